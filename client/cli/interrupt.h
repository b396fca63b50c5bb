#pragma once
// Ctrl-C and SIGTERM as a question instead of an end: whoever blocks asks, cleans up and leaves.

namespace strata::cli {

// Call first thing in main, before any thread exists. A second signal ends the program at once.
void WatchForInterrupt();

bool Interrupted();

}  // namespace strata::cli
