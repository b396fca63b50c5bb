#pragma once
// Where in the user's source a call stands, for notes. Pure.

#include <string>

#include "worker/engine/program/program.h"

namespace strata::capture {

// "model.py:31": the innermost frame outside torch itself, file without its directory; "" without frames.
std::string PlaceOf(const program::Call& call);

}  // namespace strata::capture
