#pragma once
// A bundle's tar.zst stream → a folder that is either complete or not there.
//
// Entries may only be files and folders below the target: no links, devices, absolute paths or "..". They
// are written into a temporary folder beside the target, which takes the target's place at the end; an empty
// target stays and is filled instead.

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace strata::cli {

// The next piece of the stream; empty at its end. An error ends the unpacking with that error.
using ByteSource = std::function<absl::StatusOr<std::string>()>;

// Whether `dir` can be written; makes the folder around it. FailedPrecondition, in words, where nothing can
// be made there, and for a folder that is not empty: without `force` always, with it unless it is an earlier
// bundle. Worth asking before the work starts.
absl::Status CheckTarget(const std::string& dir, bool force);

// On failure `dir` is what it was before and nothing is left beside it.
absl::Status UnpackBundle(const ByteSource& source, const std::string& dir, bool force);

}  // namespace strata::cli
