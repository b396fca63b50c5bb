#include "worker/engine/verify/digest.h"

#include <string_view>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/sha256.h"

namespace strata::verify {
namespace {

using nlohmann::json;

void Add(Sha256& sha, const at::Tensor& tensor) {
  sha.Update(absl::StrCat("tensor ", c10::toString(tensor.scalar_type()), " ",
                          absl::StrJoin(tensor.sizes(), ","), "\n"));
  const at::Tensor plain = tensor.resolve_conj().resolve_neg().contiguous().cpu();
  if (plain.nbytes() > 0)
    sha.Update(std::string_view(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()));
}

void Add(Sha256& sha, const json& tree, const host::TensorFile& file) {
  const std::string kind = tree.value("kind", "");
  if (kind == "tensor") {
    const size_t index = tree.value("index", size_t{0});
    if (index < file.tensors.size()) Add(sha, file.tensors[index].second);
    return;
  }
  const json items = tree.value("items", json::array());
  sha.Update(absl::StrCat(kind, " ", tree.value("value", ""), " ", tree.value("keys", json::array()).dump(),
                          " ", items.size(), "\n"));
  for (const json& item : items) Add(sha, item, file);
}

}  // namespace

std::string DigestOf(const host::TensorFile& file, const std::vector<std::string>& trees) {
  Sha256 sha;
  for (const std::string& name : trees) Add(sha, file.trees.value(name, json::object()), file);
  return sha.HexDigest();
}

std::string DigestOf(const at::Tensor& tensor) {
  Sha256 sha;
  Add(sha, tensor);
  return sha.HexDigest();
}

}  // namespace strata::verify
