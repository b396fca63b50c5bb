# strata_embed(TARGET FILE SYMBOL): compiles the text of FILE into TARGET as
#   namespace strata::embedded { extern const char SYMBOL[]; }
# and rebuilds when FILE changes.
function(strata_embed target file symbol)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cc)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  set(content "namespace strata::embedded {\nextern const char ${symbol}[];\nconst char ${symbol}[] = R\"strata_text(${text})strata_text\";\n}\n")
  file(CONFIGURE OUTPUT ${out} CONTENT "@content@" @ONLY)
  target_sources(${target} PRIVATE ${out})
endfunction()
