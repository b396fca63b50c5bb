#pragma once
// Files that a runner must not see or change. Landlock: a process gives up access for good, and so do its
// children; nothing that user code does brings it back.

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace strata::host {

// Whether this kernel can (Linux 5.13 or later, with Landlock in its list of security modules).
bool CanHideFiles();

// This process and its children can no longer open, list, make or remove anything at or below the absolute
// paths of `hidden`; folders above them cannot be listed either. With `read_only` they change and make files
// only at or below the paths of `writable`, and devices. All else stays as it is. Unavailable where
// CanHideFiles() is false. Irrevocable: call it in a fresh child.
absl::Status HideFiles(const std::vector<std::string>& hidden, bool read_only = false,
                       const std::vector<std::string>& writable = {});

}  // namespace strata::host
