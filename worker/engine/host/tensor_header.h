#pragma once
// The header of a tensor file, parsed and checked without torch. Every function treats its input as hostile.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace strata::host {

inline constexpr int64_t kPrologueBytes = 16;  // magic and the header's length
inline constexpr int64_t kAlignment = 64;
inline constexpr int64_t AlignUp(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

struct StorageHeader {
  int64_t offset = 0;  // from the start of the file
  int64_t bytes = 0;
};

struct TensorHeader {
  std::string name, dtype, device;
  std::vector<int64_t> sizes, strides;
  int64_t storage_offset = 0;
  size_t storage = 0;
};

struct Header {
  std::vector<StorageHeader> storages;  // each aligned and inside the file
  std::vector<TensorHeader> tensors;    // shapes sane and storage index valid; CheckExtent is left
  nlohmann::json trees;                 // an object; indices valid
};

// Magic and length for a header of this text.
std::string Prologue(const std::string& header_text);

absl::StatusOr<Header> ParseHeader(std::string_view file);

// Whether every element lies inside the storage, and there are no more of them than any real tensor has.
absl::Status CheckExtent(const TensorHeader& tensor, int64_t element_bytes, const StorageHeader& storage);

}  // namespace strata::host
