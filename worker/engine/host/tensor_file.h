#pragma once
// Tensor files: how tensors cross between runners and the judge. Sizes, strides, storage offset and
// aliasing are kept; the data is raw. Layout:
//   "STRATAT1" | u64 header_bytes | header JSON | padding to 64 | storages, each aligned to 64
// header: {"storages":[{"offset","bytes"}],
//          "tensors":[{"name","dtype","sizes","strides","storage_offset","storage","device"}],
//          "trees":[{"name", "tree"}]}    tree: the structure of arguments or outputs, leaves index tensors
//
// Reading treats the file as hostile: every size, stride and offset is checked against the file's length
// before a tensor is made. This header includes torch: use it only in torch translation units.

#include <map>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace strata::host {

struct TensorFile {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  // {"kind":"tensor","index":0} | {"kind":"none"} | {"kind":"tuple"|"list","items":[…]} |
  // {"kind":"dict"|"dataclass","class":"…","keys":[…],"items":[…]} | {"kind":"literal","value":"3"}
  nlohmann::json trees = nlohmann::json::object();  // name -> tree ("args", "kwargs", "output")
};

// Tensors on an accelerator are copied to the CPU first; `device` keeps where they were.
absl::Status WriteTensorFile(const std::string& path, const TensorFile& file);
// Maps the file privately (copy on write); the tensors keep the mapping alive.
absl::StatusOr<TensorFile> ReadTensorFile(const std::string& path);

}  // namespace strata::host
