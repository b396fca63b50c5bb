# The public API: messages and stubs in one library, because gRPC code is slow to compile.
find_package(gRPC REQUIRED)
set(_service_protos
  ${CMAKE_CURRENT_SOURCE_DIR}/google/rpc/status.proto
  ${CMAKE_CURRENT_SOURCE_DIR}/google/rpc/error_details.proto
  ${CMAKE_CURRENT_SOURCE_DIR}/grpc/health/v1/health.proto
  ${CMAKE_CURRENT_SOURCE_DIR}/strata/v1/types.proto
  ${CMAKE_CURRENT_SOURCE_DIR}/strata/v1/strata.proto
  ${CMAKE_CURRENT_SOURCE_DIR}/strata/v1/worker.proto)
set(_grpc_protos
  ${CMAKE_CURRENT_SOURCE_DIR}/grpc/health/v1/health.proto
  ${CMAKE_CURRENT_SOURCE_DIR}/strata/v1/strata.proto
  ${CMAKE_CURRENT_SOURCE_DIR}/strata/v1/worker.proto)

add_library(strata_proto STATIC)
protobuf_generate(TARGET strata_proto LANGUAGE cpp PROTOS ${_service_protos}
  IMPORT_DIRS ${CMAKE_CURRENT_SOURCE_DIR} PROTOC_OUT_DIR ${_out})
protobuf_generate(TARGET strata_proto LANGUAGE grpc PROTOS ${_grpc_protos}
  IMPORT_DIRS ${CMAKE_CURRENT_SOURCE_DIR} PROTOC_OUT_DIR ${_out}
  GENERATE_EXTENSIONS .grpc.pb.h .grpc.pb.cc
  PLUGIN "protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>")
target_include_directories(strata_proto SYSTEM PUBLIC ${_out} ${Protobuf_INCLUDE_DIRS})
target_compile_options(strata_proto PRIVATE -w)
target_link_libraries(strata_proto PUBLIC protobuf::libprotobuf gRPC::grpc++)
