#pragma once

#include <string>

namespace strata::pipeline {

// Where this process keeps what runners hand over: on a memory file system if one has room, else $TMPDIR.
// The folder is this process's own; RemoveScratchFolder takes it away at the end.
std::string ScratchFolder();
void RemoveScratchFolder();

}  // namespace strata::pipeline
