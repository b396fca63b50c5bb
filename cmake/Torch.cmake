# torch as an imported target, taken from the installed wheel of STRATA_PYTHON.
#
# find_package(Torch) is not used: it pulls Caffe2's CMake, breaks protobuf::libprotobuf and wants a CUDA
# toolkit on GPU machines. The wheel also ships its own google/protobuf, fmt and pybind11 headers, so a
# translation unit that links strata::torch must include neither protobuf nor gRPC nor spdlog.
if(NOT EXISTS "${STRATA_PYTHON}")
  message(FATAL_ERROR "STRATA_PYTHON=${STRATA_PYTHON} does not exist; run ./dev setup, or name an interpreter that has torch")
endif()
execute_process(
  COMMAND "${STRATA_PYTHON}" -c
    "import sysconfig, pathlib, importlib.util as u; t = pathlib.Path(u.find_spec('torch').origin).parent; v = sysconfig.get_config_var; print(t, sysconfig.get_paths()['include'], v('LIBDIR'), v('LDLIBRARY'), sep=';')"
  OUTPUT_VARIABLE _strata_python OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
list(GET _strata_python 0 STRATA_TORCH_DIR)
list(GET _strata_python 1 _python_include)
list(GET _strata_python 2 _python_libdir)
list(GET _strata_python 3 _python_library)

find_library(STRATA_LIBPYTHON NAMES ${_python_library} PATHS ${_python_libdir} NO_DEFAULT_PATH)
if(NOT STRATA_LIBPYTHON)
  message(FATAL_ERROR "${_python_libdir}/${_python_library} not found: the engine embeds CPython and needs its shared library (Debian: python3-dev)")
endif()

add_library(strata_torch INTERFACE)
add_library(strata::torch ALIAS strata_torch)
target_include_directories(strata_torch SYSTEM INTERFACE
  ${STRATA_TORCH_DIR}/include ${STRATA_TORCH_DIR}/include/torch/csrc/api/include ${_python_include})
target_compile_definitions(strata_torch INTERFACE NDEBUG)  # RecordFunction's layout depends on it
target_link_directories(strata_torch INTERFACE ${STRATA_TORCH_DIR}/lib)
set(_torch_libs torch_python torch torch_cpu c10)
if(EXISTS ${STRATA_TORCH_DIR}/lib/libtorch_cuda.so)
  list(APPEND _torch_libs torch_cuda c10_cuda)
endif()
# stdc++ first: libtorch_cpu exports its own copy of std::filesystem, and a program that finds it there before
# libstdc++'s crashes in directory iterators (seen with g++ 13 and torch 2.11).
target_link_libraries(strata_torch INTERFACE -Wl,--no-as-needed stdc++ ${_torch_libs} -Wl,--as-needed ${STRATA_LIBPYTHON})
target_link_options(strata_torch INTERFACE -Wl,-rpath,${STRATA_TORCH_DIR}/lib -Wl,-rpath,${_python_libdir})
