#pragma once
// Whether a client's request can be meant as it is. Each answers INVALID_ARGUMENT with the field
// (BadRequest), or RESOURCE_EXHAUSTED for a limit, in words that say what to do.

#include "absl/status/status.h"
#include "strata/v1/strata.pb.h"
#include "strata/v1/worker.pb.h"

namespace strata {

constexpr uint64_t kMaxUploadBytes = 64ull << 20;  // one submitted file
constexpr uint64_t kMaxBlobBytes = 1ull << 30;     // one file that a task wrote
constexpr int kMaxSourceFiles = 1000;
constexpr int kMaxFolderFiles = 20000;              // of a folder to be judged,
constexpr uint64_t kMaxFolderBytes = 256ull << 20;  // together

absl::Status CheckUpload(const v1::StartUploadRequest& request);
absl::Status CheckCreate(const v1::CreateDecompositionRequest& request);
absl::Status CheckRegister(const v1::Register& worker);
absl::Status CheckDigest(const std::string& field, const std::string& digest);

// The request as it is stored: entry and model name filled in, unset device AUTO, sizes left out.
v1::CreateDecompositionRequest Normal(v1::CreateDecompositionRequest request);
// Equal for equal content, whatever the request id.
std::string ContentDigest(const v1::CreateDecompositionRequest& normal);

}  // namespace strata
