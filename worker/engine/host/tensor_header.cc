#include "worker/engine/host/tensor_header.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace strata::host {
namespace {

using nlohmann::json;

constexpr char kMagic[] = "STRATAT1";
constexpr int64_t kMaxHeaderBytes = int64_t{64} << 20;
constexpr size_t kMaxRank = 64;
constexpr int kMaxTreeDepth = 80;
constexpr int64_t kMaxTensorBytes = int64_t{1} << 42;  // an expanded tensor is larger than its storage

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(what); }

absl::StatusOr<int64_t> Whole(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer())
    return Bad(absl::StrCat("'", key, "' is no number"));
  if (found->is_number_unsigned() && found->get<uint64_t>() > INT64_MAX) {
    return Bad(absl::StrCat("'", key, "' is too large"));
  }
  const int64_t value = found->get<int64_t>();
  if (value < 0) return Bad(absl::StrCat("'", key, "' is negative"));
  return value;
}

absl::StatusOr<std::string> Text(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return Bad(absl::StrCat("'", key, "' is no text"));
  return found->get<std::string>();
}

absl::StatusOr<std::vector<int64_t>> Wholes(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array() || found->size() > kMaxRank) {
    return Bad(absl::StrCat("'", key, "' is no shape"));
  }
  std::vector<int64_t> values;
  for (const json& item : *found) {
    if (!item.is_number_integer() || (item.is_number_unsigned() && item.get<uint64_t>() > INT64_MAX) ||
        item.get<int64_t>() < 0) {
      return Bad(absl::StrCat("'", key, "' has a bad entry"));
    }
    values.push_back(item.get<int64_t>());
  }
  return values;
}

// An array of objects below `key`.
absl::StatusOr<const json*> Objects(const json& header, const char* key) {
  const auto found = header.find(key);
  if (found == header.end() || !found->is_array()) return Bad(absl::StrCat("'", key, "' is no list"));
  for (const json& item : *found) {
    if (!item.is_object()) return Bad(absl::StrCat("'", key, "' has an entry that is no object"));
  }
  return &*found;
}

absl::Status CheckTree(const json& tree, size_t tensor_count, int depth) {
  if (depth > kMaxTreeDepth) return Bad("a tree is too deep");
  if (!tree.is_object()) return Bad("a tree node is no object");
  STRATA_ASSIGN_OR_RETURN(const std::string kind, Text(tree, "kind"));
  if (const auto name = tree.find("class"); name != tree.end() && !name->is_string()) {
    return Bad("a class name is no text");
  }
  if (const auto extra = tree.find("extra"); extra != tree.end()) {
    const bool texts = extra->is_array() && std::all_of(extra->begin(), extra->end(),
                                                        [](const json& name) { return name.is_string(); });
    if (!texts) return Bad("what a tree node carries besides is no list of names");
  }
  if (kind == "none") return absl::OkStatus();
  if (kind == "opaque") return Text(tree, "class").status();
  if (kind == "literal") return Text(tree, "value").status();
  if (kind == "tensor") {
    STRATA_ASSIGN_OR_RETURN(const int64_t index, Whole(tree, "index"));
    return static_cast<size_t>(index) < tensor_count ? absl::OkStatus()
                                                     : Bad("a tree names a tensor that is not there");
  }
  const bool keyed = kind == "dict" || kind == "dataclass";
  if (!keyed && kind != "tuple" && kind != "list") return Bad("a tree node has an unknown kind");
  STRATA_ASSIGN_OR_RETURN(const json* items, Objects(tree, "items"));
  if (keyed) {
    const auto keys = tree.find("keys");
    if (keys == tree.end() || !keys->is_array() || keys->size() != items->size())
      return Bad("keys do not fit items");
    for (const json& key : *keys) {
      if (!key.is_string()) return Bad("a key is no text");
    }
  }
  for (const json& item : *items) STRATA_RETURN_IF_ERROR(CheckTree(item, tensor_count, depth + 1));
  return absl::OkStatus();
}

absl::StatusOr<StorageHeader> ParseStorage(const json& entry, int64_t base, int64_t file_bytes) {
  StorageHeader storage;
  STRATA_ASSIGN_OR_RETURN(storage.offset, Whole(entry, "offset"));
  STRATA_ASSIGN_OR_RETURN(storage.bytes, Whole(entry, "bytes"));
  if (storage.offset % kAlignment != 0) return Bad("a storage is not aligned");
  if (storage.offset > file_bytes - base || storage.bytes > file_bytes - base - storage.offset) {
    return Bad("a storage lies outside the file (was it cut short?)");
  }
  storage.offset += base;
  return storage;
}

absl::StatusOr<TensorHeader> ParseTensor(const json& entry, size_t storage_count) {
  TensorHeader tensor;
  STRATA_ASSIGN_OR_RETURN(tensor.name, Text(entry, "name"));
  STRATA_ASSIGN_OR_RETURN(tensor.dtype, Text(entry, "dtype"));
  STRATA_ASSIGN_OR_RETURN(tensor.device, Text(entry, "device"));
  STRATA_ASSIGN_OR_RETURN(tensor.sizes, Wholes(entry, "sizes"));
  STRATA_ASSIGN_OR_RETURN(tensor.strides, Wholes(entry, "strides"));
  STRATA_ASSIGN_OR_RETURN(tensor.storage_offset, Whole(entry, "storage_offset"));
  STRATA_ASSIGN_OR_RETURN(const int64_t storage, Whole(entry, "storage"));
  tensor.storage = static_cast<size_t>(storage);
  if (tensor.storage >= storage_count) return Bad("a tensor names a storage that is not there");
  if (tensor.sizes.size() != tensor.strides.size()) return Bad("a tensor's strides do not fit its sizes");
  return tensor;
}

absl::StatusOr<json> ParseTrees(const json& entries, size_t tensor_count) {
  json trees = json::object();
  for (const json& entry : entries) {
    STRATA_ASSIGN_OR_RETURN(std::string name, Text(entry, "name"));
    const auto tree = entry.find("tree");
    if (tree == entry.end()) return Bad("a tree is missing");
    STRATA_RETURN_IF_ERROR(CheckTree(*tree, tensor_count, 0));
    trees[std::move(name)] = *tree;
  }
  return trees;
}

}  // namespace

std::string Prologue(const std::string& header_text) {
  std::string prologue(kMagic, 8);
  const uint64_t size = header_text.size();
  prologue.append(reinterpret_cast<const char*>(&size), sizeof size);
  return prologue;
}

absl::StatusOr<Header> ParseHeader(std::string_view file) {
  if (file.size() < static_cast<size_t>(kPrologueBytes)) return Bad("shorter than a header");
  if (file.substr(0, 8) != std::string_view(kMagic, 8)) return Bad("it does not begin with STRATAT1");
  uint64_t header_bytes = 0;
  memcpy(&header_bytes, file.data() + 8, sizeof header_bytes);
  if (header_bytes > static_cast<uint64_t>(kMaxHeaderBytes) || header_bytes > file.size() - kPrologueBytes) {
    return Bad("its header is longer than allowed or than the file");
  }
  const std::string_view text = file.substr(kPrologueBytes, header_bytes);
  const json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return Bad("its header is no JSON object");

  const int64_t file_bytes = static_cast<int64_t>(file.size());
  const int64_t base = AlignUp(kPrologueBytes + static_cast<int64_t>(header_bytes));
  STRATA_ASSIGN_OR_RETURN(const json* storages, Objects(parsed, "storages"));
  STRATA_ASSIGN_OR_RETURN(const json* tensors, Objects(parsed, "tensors"));
  STRATA_ASSIGN_OR_RETURN(const json* trees, Objects(parsed, "trees"));
  if (base > file_bytes && !storages->empty())
    return Bad("a storage lies outside the file (was it cut short?)");
  Header header;
  for (const json& entry : *storages) {
    STRATA_ASSIGN_OR_RETURN(StorageHeader storage, ParseStorage(entry, base, file_bytes));
    header.storages.push_back(storage);
  }
  for (const json& entry : *tensors) {
    STRATA_ASSIGN_OR_RETURN(TensorHeader tensor, ParseTensor(entry, header.storages.size()));
    header.tensors.push_back(std::move(tensor));
  }
  STRATA_ASSIGN_OR_RETURN(header.trees, ParseTrees(*trees, header.tensors.size()));
  return header;
}

absl::Status CheckExtent(const TensorHeader& tensor, int64_t element_bytes, const StorageHeader& storage) {
  int64_t elements = 1, last = tensor.storage_offset;
  bool empty = false;
  for (size_t i = 0; i < tensor.sizes.size(); ++i) {
    const int64_t size = tensor.sizes[i];
    int64_t reach = 0;
    if (size == 0) {
      empty = true;
      continue;
    }
    if (__builtin_mul_overflow(elements, size, &elements) ||
        __builtin_mul_overflow(size - 1, tensor.strides[i], &reach) ||
        __builtin_add_overflow(last, reach, &last)) {
      return Bad("a tensor's shape overflows");
    }
  }
  const int64_t capacity = storage.bytes / element_bytes;
  if (elements > kMaxTensorBytes / element_bytes) return Bad("a tensor is larger than any real one");
  if (empty ? tensor.storage_offset > capacity : last >= capacity) {
    return Bad("a tensor reaches past its storage");
  }
  return absl::OkStatus();
}

}  // namespace strata::host
