#pragma once
// Files that a runner must not see. Landlock: a process gives up access for good, and so do its children;
// nothing that user code does brings it back.

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace strata::host {

// Whether this kernel can (Linux 5.13 or later, with Landlock in its list of security modules).
bool CanHideFiles();

// This process and its children can no longer open, list, make or remove anything at or below these absolute
// paths; folders above them cannot be listed either. All else stays as it is. Unavailable where
// CanHideFiles() is false. Irrevocable: call it in a fresh child.
absl::Status HideFiles(const std::vector<std::string>& paths);

}  // namespace strata::host
