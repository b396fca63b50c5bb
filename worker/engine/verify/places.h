#pragma once
// Where in the author's text a recorded call stands. Pure.

#include <string>

#include "worker/engine/program/program.h"

namespace strata::verify {

// The innermost frame that is not torch's own: its file as a verdict names it ("children/attention.py",
// "refactored.py"), its line. A torch module called by another (in a Sequential) has none: then the class of
// the author's that it is in. "" and 0 where unknown.
std::string FileOf(const program::Program& program, const program::Call& call);
int LineOf(const program::Program& program, const program::Call& call);

}  // namespace strata::verify
