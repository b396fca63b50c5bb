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

#include <string>
#include <utility>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace strata::host {

struct TensorFile {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  // {"kind":"tensor","index":0} | {"kind":"none"} | {"kind":"tuple"|"list","items":[…]} |
  // {"kind":"dict"|"dataclass","class":"…","keys":[…],"items":[…]} | {"kind":"literal","value":"3"} |
  // {"kind":"opaque","class":"…"}: an object that is none of these. Dict keys are Python literals. The
  // index is a position in `tensors`; one tensor object met twice is one index. Of an output each may have
  // "extra": ["…"], names of what it carries besides.
  nlohmann::json trees = nlohmann::json::object();  // name -> tree ("args", "kwargs", "output")
  // Device type where each tensor lived when it was written, parallel to `tensors`. Filled by reading;
  // writing says the same again of a tensor on the CPU, so that a file may be read, changed and written.
  std::vector<std::string> devices;
};

// Tensors on an accelerator are copied to the CPU first; `device` keeps where they were. Whole storages are
// written, so that views keep their offsets. InvalidArgument for a tensor without plain memory (sparse,
// nested, quantized, meta).
absl::Status WriteTensorFile(const std::string& path, const TensorFile& file);

// Whether WriteTensorFile(path, file) would change nothing: the file there has the same bytes.
absl::StatusOr<bool> SameAsTensorFile(const std::string& path, const TensorFile& file);

// Maps the file privately (copy on write); the tensors keep the mapping alive. Nobody may truncate the file
// meanwhile: read it when its writer is dead. InvalidArgument names what is wrong with the file.
absl::StatusOr<TensorFile> ReadTensorFile(const std::string& path);

// A copy with every tensor on the device type where it lived when it was written; aliases stay aliases.
absl::StatusOr<TensorFile> RestoreDevices(TensorFile file);

}  // namespace strata::host
