#include "worker/engine/host/tensor_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "ATen/ATen.h"
#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "worker/engine/host/tensor_header.h"

namespace strata::host {
namespace {

using nlohmann::json;

constexpr std::pair<at::ScalarType, const char*> kDTypes[] = {
    {at::kDouble, "float64"},
    {at::kFloat, "float32"},
    {at::kHalf, "float16"},
    {at::kBFloat16, "bfloat16"},
    {at::kLong, "int64"},
    {at::kInt, "int32"},
    {at::kShort, "int16"},
    {at::kChar, "int8"},
    {at::kByte, "uint8"},
    {at::kBool, "bool"},
    {at::kComplexFloat, "complex64"},
    {at::kComplexDouble, "complex128"},
    {at::kUInt16, "uint16"},
    {at::kUInt32, "uint32"},
    {at::kUInt64, "uint64"},
    {at::kComplexHalf, "complex32"},
    {at::kFloat8_e4m3fn, "float8_e4m3fn"},
    {at::kFloat8_e5m2, "float8_e5m2"},
};

const char* DTypeName(at::ScalarType type) {
  for (const auto& [dtype, name] : kDTypes) {
    if (dtype == type) return name;
  }
  return nullptr;
}

std::optional<at::ScalarType> DTypeOf(const std::string& name) {
  for (const auto& [dtype, text] : kDTypes) {
    if (name == text) return dtype;
  }
  return std::nullopt;
}

// ---- writing -------------------------------------------------------------------------------------------

absl::StatusOr<at::Tensor> Plain(const std::string& name, const at::Tensor& tensor) {
  const auto refuse = [&](absl::string_view what, absl::string_view cure) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is ", what, " and cannot be saved; ", cure));
  };
  if (!tensor.defined()) return refuse("an undefined tensor", "return a tensor or None");
  if (tensor.is_nested()) return refuse("a nested tensor", "return its padded form");
  if (tensor.layout() != at::kStrided) return refuse("a sparse tensor", "return its to_dense() form");
  if (tensor.is_quantized()) return refuse("a quantized tensor", "return its dequantize() form");
  if (tensor.is_meta()) return refuse("a tensor on the meta device", "build the model on a real device");
  if (!tensor.has_storage()) return refuse("a tensor without storage", "return a plain tensor");
  if (DTypeName(tensor.scalar_type()) == nullptr) {
    return refuse(absl::StrCat("of dtype ", c10::toString(tensor.scalar_type())),
                  "cast it to a supported dtype");
  }
  return tensor.detach().resolve_conj().resolve_neg();
}

// The bytes of a storage on the CPU; a copy where it lives elsewhere.
at::Tensor StorageBytes(const at::Tensor& tensor) {
  const c10::Storage& storage = tensor.storage();
  const int64_t bytes = static_cast<int64_t>(storage.nbytes());
  if (bytes == 0) return at::empty({0}, at::kByte);
  return at::empty({0}, tensor.options().dtype(at::kByte)).set_(storage, 0, {bytes}, {1}).cpu();
}

struct Writing {
  json storages = json::array(), tensors = json::array();
  std::vector<at::Tensor> bytes;  // per storage
  std::vector<at::Tensor> alive;  // resolve_conj() makes storages whose addresses must not come again
  int64_t end = 0;                // of the storages so far, relative to the first
};

// `lived`: where, if the tensor is the copy of one that was there.
absl::Status Add(Writing& writing, std::unordered_map<const void*, size_t>& known, const std::string& name,
                 const at::Tensor& original, const std::string& lived) {
  STRATA_ASSIGN_OR_RETURN(const at::Tensor tensor, Plain(name, original));
  writing.alive.push_back(tensor);
  const void* key = tensor.storage().unsafeGetStorageImpl();
  const auto [found, is_new] = known.emplace(key, writing.bytes.size());
  if (is_new) {
    writing.bytes.push_back(StorageBytes(tensor));
    writing.storages.push_back({{"offset", writing.end}, {"bytes", writing.bytes.back().numel()}});
    writing.end = AlignUp(writing.end + writing.bytes.back().numel());
  }
  const c10::DeviceType device = tensor.device().type();
  writing.tensors.push_back(
      {{"name", name},
       {"dtype", DTypeName(tensor.scalar_type())},
       {"sizes", tensor.sizes().vec()},
       {"strides", tensor.strides().vec()},
       {"storage_offset", tensor.storage_offset()},
       {"storage", found->second},
       {"device",
        device == at::kCPU && !lived.empty() ? lived : c10::DeviceTypeName(device, /*lower_case=*/true)}});
  return absl::OkStatus();
}

absl::StatusOr<Writing> Prepare(const TensorFile& file) {
  Writing writing;
  std::unordered_map<const void*, size_t> known;
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    const auto& [name, tensor] = file.tensors[i];
    STRATA_RETURN_IF_ERROR(Add(writing, known, name, tensor, i < file.devices.size() ? file.devices[i] : ""));
  }
  return writing;
}

// Everything before the storages, but for the padding.
std::string HeaderText(const Writing& writing, const json& named_trees) {
  json trees = json::array();
  for (const auto& [name, tree] : named_trees.items()) trees.push_back({{"name", name}, {"tree", tree}});
  const json header = {{"storages", writing.storages}, {"tensors", writing.tensors}, {"trees", trees}};
  const std::string text = header.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  return Prologue(text) + text;
}

bool SameParts(const Writing& writing, const std::string& header, std::string_view content) {
  const int64_t base = AlignUp(static_cast<int64_t>(header.size()));
  if (static_cast<int64_t>(content.size()) != base + writing.end ||
      content.substr(0, header.size()) != header) {
    return false;
  }
  for (size_t i = 0; i < writing.bytes.size(); ++i) {
    const at::Tensor& bytes = writing.bytes[i];
    const int64_t offset = base + writing.storages[i]["offset"].get<int64_t>();
    if (bytes.numel() > 0 &&
        memcmp(content.data() + offset, bytes.const_data_ptr(), static_cast<size_t>(bytes.numel())) != 0) {
      return false;
    }
  }
  return true;
}

absl::Status WriteAt(int fd, const void* data, int64_t size, int64_t offset, const std::string& path) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = pwrite(fd, bytes, static_cast<size_t>(size), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
    bytes += n, size -= n, offset += n;
  }
  return absl::OkStatus();
}

absl::Status WriteParts(const Writing& writing, const std::string& header, const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot create ", path));
  const absl::Cleanup close_fd = [fd] { close(fd); };
  STRATA_RETURN_IF_ERROR(WriteAt(fd, header.data(), static_cast<int64_t>(header.size()), 0, path));
  const int64_t base = AlignUp(static_cast<int64_t>(header.size()));
  for (size_t i = 0; i < writing.bytes.size(); ++i) {
    const at::Tensor& bytes = writing.bytes[i];
    const int64_t offset = base + writing.storages[i]["offset"].get<int64_t>();
    STRATA_RETURN_IF_ERROR(WriteAt(fd, bytes.const_data_ptr(), bytes.numel(), offset, path));
  }
  if (ftruncate(fd, base + writing.end) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
  }
  return absl::OkStatus();
}

// ---- reading -------------------------------------------------------------------------------------------

struct Mapping {
  char* data = nullptr;
  size_t bytes = 0;
  ~Mapping() {
    if (data != nullptr) munmap(data, bytes);
  }
};

absl::StatusOr<std::shared_ptr<Mapping>> Map(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  const absl::Cleanup close_fd = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError("not a regular file");
  if (info.st_size < kPrologueBytes) return absl::InvalidArgumentError("shorter than a header");
  auto mapping = std::make_shared<Mapping>();
  void* data = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_NORESERVE, fd, 0);
  if (data == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat("cannot map ", path));
  mapping->data = static_cast<char*>(data);
  mapping->bytes = static_cast<size_t>(info.st_size);
  return mapping;
}

c10::Storage StorageOf(const StorageHeader& storage, const std::shared_ptr<Mapping>& mapping) {
  auto* owner = new std::shared_ptr<Mapping>(mapping);
  c10::DataPtr data(
      mapping->data + storage.offset, owner,
      [](void* context) { delete static_cast<std::shared_ptr<Mapping>*>(context); }, c10::Device(c10::kCPU));
  return c10::Storage(c10::Storage::use_byte_size_t(), static_cast<size_t>(storage.bytes), std::move(data),
                      /*allocator=*/nullptr, /*resizable=*/false);
}

absl::StatusOr<TensorFile> ReadMapped(const std::shared_ptr<Mapping>& mapping) {
  STRATA_ASSIGN_OR_RETURN(Header header, ParseHeader({mapping->data, mapping->bytes}));
  std::vector<c10::Storage> storages;
  for (const StorageHeader& storage : header.storages) storages.push_back(StorageOf(storage, mapping));
  TensorFile file;
  for (TensorHeader& entry : header.tensors) {
    const auto dtype = DTypeOf(entry.dtype);
    if (!dtype) return absl::InvalidArgumentError("a tensor has an unknown dtype");
    STRATA_RETURN_IF_ERROR(
        CheckExtent(entry, static_cast<int64_t>(c10::elementSize(*dtype)), header.storages[entry.storage]));
    at::Tensor tensor = at::empty({0}, at::TensorOptions().dtype(*dtype).device(at::kCPU));
    tensor.set_(storages[entry.storage], entry.storage_offset, entry.sizes, entry.strides);
    file.tensors.emplace_back(std::move(entry.name), std::move(tensor));
    file.devices.push_back(std::move(entry.device));
  }
  file.trees = std::move(header.trees);
  return file;
}

}  // namespace

absl::Status WriteTensorFile(const std::string& path, const TensorFile& file) try {
  STRATA_ASSIGN_OR_RETURN(const Writing writing, Prepare(file));
  return WriteParts(writing, HeaderText(writing, file.trees), path);
} catch (const std::exception& error) {
  return absl::InternalError(absl::StrCat("cannot write ", path, ": ", error.what()));
}

absl::StatusOr<bool> SameAsTensorFile(const std::string& path, const TensorFile& file) try {
  STRATA_ASSIGN_OR_RETURN(const Writing writing, Prepare(file));
  STRATA_ASSIGN_OR_RETURN(const std::shared_ptr<Mapping> mapping, Map(path));
  return SameParts(writing, HeaderText(writing, file.trees), {mapping->data, mapping->bytes});
} catch (const std::exception& error) {
  return absl::InternalError(absl::StrCat("cannot compare with ", path, ": ", error.what()));
}

absl::StatusOr<TensorFile> ReadTensorFile(const std::string& path) try {
  const auto mapping = Map(path);
  absl::StatusOr<TensorFile> file = mapping.ok() ? ReadMapped(*mapping) : mapping.status();
  if (absl::IsInvalidArgument(file.status())) {
    return Annotate(file.status(), absl::StrCat(path, " is no valid tensor file"));
  }
  return file;
} catch (const std::exception& error) {
  return absl::InvalidArgumentError(absl::StrCat(path, " is no valid tensor file: ", error.what()));
}

absl::StatusOr<TensorFile> RestoreDevices(TensorFile file) try {
  std::unordered_map<const void*, at::Tensor> moved;  // storage -> its bytes over there
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    if (file.devices.at(i) == "cpu") continue;
    if (file.devices[i] != "cuda") return absl::InvalidArgumentError("a tensor was on an unknown device");
    at::Tensor& tensor = file.tensors[i].second;
    at::Tensor& bytes = moved[tensor.storage().unsafeGetStorageImpl()];
    if (!bytes.defined()) bytes = StorageBytes(tensor).to(at::kCUDA);
    at::Tensor there = at::empty({0}, bytes.options().dtype(tensor.scalar_type()));
    there.set_(bytes.storage(), tensor.storage_offset(), tensor.sizes(), tensor.strides());
    tensor = std::move(there);
  }
  return file;
} catch (const std::exception& error) {
  return absl::ResourceExhaustedError(absl::StrCat("cannot move tensors to the accelerator: ", error.what()));
}

}  // namespace strata::host
