#pragma once
// Which Python functions are active, as numbered activations. A profile function counts them; CPython only,
// no torch. One thread: the one that calls Install, with the GIL held.

#include <cstddef>
#include <vector>

#include "worker/engine/program/program.h"

namespace strata::capture::frames {

void Install();    // PyEval_SetProfile; activations that are already open are not seen
void Uninstall();  // takes the profile function out and forgets everything

// How many activations are open now.
size_t Depth();
// The activations above `depth`, outermost first, less those of torch's call machinery (Module.__call__,
// default-device mode, overload dispatch) and of the recorder itself. Takes the GIL.
std::vector<program::Frame> Since(size_t depth);

}  // namespace strata::capture::frames
