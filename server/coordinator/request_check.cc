#include "server/coordinator/request_check.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/sha256.h"
#include "server/error.h"
#include "server/store/artifacts.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace strata {
namespace {

bool AllOf(const std::string& text, const char* others) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string(others).find(c) != std::string::npos;
  });
}

std::string StemOf(const std::string& path) {
  const std::string file = path.substr(path.rfind('/') + 1);
  return file.substr(0, file.rfind('.'));
}

// What is in sys.modules once torch is imported, or built into Python: `import NAME` never finds a file. And
// `children`, which each step has beside it.
constexpr char kTakenModules[] =
    "abc argparse array ast asyncio atexit base64 binascii bisect builtins bz2 calendar children cmath "
    "codecs collections concurrent contextlib contextvars copy copyreg csv ctypes dataclasses datetime "
    "difflib dis email encodings enum errno faulthandler fcntl fnmatch functools gc genericpath "
    "gettext glob grp gzip hashlib heapq http importlib inspect io ipaddress itertools json keyword "
    "linecache locale logging lzma marshal math mmap multiprocessing ntpath numbers numpy opcode "
    "operator os pathlib pickle pickletools pkgutil platform posix posixpath pprint pwd queue quopri "
    "random re reprlib runpy select selectors shutil signal site socket ssl stat string struct "
    "subprocess sys tarfile tempfile textwrap threading time timeit token tokenize torch torchgen "
    "traceback types typing typing_extensions unittest urllib uuid warnings weakref zipfile zipimport "
    "zlib";

// The entry becomes a module of the bundle: its stem in lower case, without what no identifier begins with.
absl::Status CheckEntry(const std::string& field, const std::string& path) {
  if (path.find('/') != std::string::npos)
    return BadField("BAD_PATH", field, "the file with Model must not lie in a folder");
  std::string module = absl::AsciiStrToLower(StemOf(path));
  module.erase(0, module.find_first_not_of("_0123456789"));
  for (absl::string_view taken : absl::StrSplit(kTakenModules, ' ')) {
    if (module != taken) continue;
    return BadField("NAME_TAKEN", field,
                    absl::StrCat("the bundle could not import ", path, ", because Python has a module ",
                                 taken, " already; rename the file"));
  }
  return absl::OkStatus();
}

absl::Status CheckLabels(const v1::CreateDecompositionRequest& request) {
  if (request.labels_size() > 32) return BadField("TOO_MANY_LABELS", "labels", "at most 32 are kept");
  for (const auto& [key, value] : request.labels()) {
    if (key.empty() || key.size() > 63 || !AllOf(key, "._/-")) {
      return BadField("BAD_LABEL", absl::StrCat("labels[", key.substr(0, 80), "]"),
                      "a key has 1 to 63 characters of [A-Za-z0-9._/-]");
    }
    if (value.size() > 255)
      return BadField("BAD_LABEL", absl::StrCat("labels[", key, "]"), "a value has at most 255 bytes");
  }
  return absl::OkStatus();
}

// The files of a model: which of them is it?
absl::Status CheckModelEntry(const v1::Source& source, const std::set<std::string>& paths) {
  if (source.entry().empty() && source.files_size() > 1) {
    return BadField("NO_ENTRY", "source.entry", "say which of the files has Model");
  }
  if (!source.entry().empty() && !paths.count(source.entry())) {
    return BadField("NO_ENTRY", "source.entry", "is none of source.files");
  }
  if (source.entry().empty()) return CheckEntry("source.files[0].path", source.files(0).path());
  return CheckEntry("source.entry", source.entry());
}

// The files of a folder: do they lie in it?
absl::Status CheckFolderEntry(const v1::Source& source) {
  if (!store::IsSafePath(source.entry()) || absl::StrContains(source.entry(), '/'))
    return BadField("NO_ENTRY", "source.entry", "say the name of the folder that holds source.files");
  for (int i = 0; i < source.files_size(); ++i) {
    if (!absl::StartsWith(source.files(i).path(), source.entry() + "/"))
      return BadField("BAD_PATH", absl::StrCat("source.files[", i, "].path"),
                      "must begin with source.entry, the name of the folder");
  }
  return absl::OkStatus();
}

absl::Status CheckSource(const v1::CreateDecompositionRequest& request) {
  const v1::Source& source = request.source();
  const bool folder = request.kind() == v1::JOB_KIND_JUDGE;
  const int max_files = folder ? kMaxFolderFiles : kMaxSourceFiles;
  if (source.files_size() == 0)
    return BadField("NO_SOURCE", "source.files", "name at least one uploaded file");
  if (source.files_size() > max_files) {
    return BadField("TOO_MANY_FILES", "source.files",
                    absl::StrCat("at most ", max_files, " files make a submission"));
  }
  std::set<std::string> paths;
  for (int i = 0; i < source.files_size(); ++i) {
    const std::string field = absl::StrCat("source.files[", i, "]");
    const v1::File& file = source.files(i);
    if (!store::IsSafePath(file.path())) {
      return BadField("BAD_PATH", field + ".path",
                      "must be relative, without '.' and '..' parts, printable, at most 500 bytes");
    }
    if (!paths.insert(file.path()).second) return BadField("BAD_PATH", field + ".path", "appears twice");
    if (absl::Status status = CheckDigest(field + ".digest", file.digest()); !status.ok()) return status;
  }
  return folder ? CheckFolderEntry(source) : CheckModelEntry(source, paths);
}

}  // namespace

absl::Status CheckDigest(const std::string& field, const std::string& digest) {
  if (IsSha256Hex(digest)) return absl::OkStatus();
  return BadField("BAD_DIGEST", field,
                  "must be the SHA-256 of the file as 64 lowercase hexadecimal characters");
}

absl::Status CheckUpload(const v1::StartUploadRequest& request) {
  if (absl::Status status = CheckDigest("digest", request.digest()); !status.ok()) return status;
  if (request.size_bytes() == 0) {
    return BadField("EMPTY_FILE", "size_bytes", "the file is empty; submit a Python file that defines Model");
  }
  if (request.size_bytes() > kMaxUploadBytes) {
    return BadField(
        "FILE_TOO_LARGE", "size_bytes",
        absl::StrCat(
            "the file has ", request.size_bytes(), " bytes; at most ", kMaxUploadBytes,
            " (64 MiB) are"
            " accepted. Submit source code only: weights are not needed, the decomposition is proved on"
            " freshly initialised ones"));
  }
  return absl::OkStatus();
}

absl::Status CheckCreate(const v1::CreateDecompositionRequest& request) {
  const std::string& id = request.request_id();
  if (id.empty() || id.size() > 128 || !AllOf(id, "._:-")) {
    return BadField("BAD_REQUEST_ID", "request_id",
                    "must have 1 to 128 characters of [A-Za-z0-9._:-]; use a UUID");
  }
  if (!v1::JobKind_IsValid(request.kind())) return BadField("BAD_KIND", "kind", "is no known kind of job");
  if (absl::Status status = CheckSource(request); !status.ok()) return status;
  if (request.model_name().size() > 200) return BadField("BAD_MODEL_NAME", "model_name", "at most 200 bytes");
  if (!store::IsPrintable(request.model_name()) ||
      request.model_name().find_first_of("/\\") != std::string::npos)
    return BadField("BAD_MODEL_NAME", "model_name", "must be printable, without slashes");
  if (!v1::Device_IsValid(request.device())) return BadField("BAD_DEVICE", "device", "is no known device");
  if (request.threads() > 1024) return BadField("BAD_THREADS", "threads", "at most 1024");
  return CheckLabels(request);
}

absl::Status CheckRegister(const v1::Register& worker) {
  if (worker.worker_id().empty() || worker.worker_id().size() > 128) {
    return BadField("BAD_WORKER_ID", "register.worker_id", "must have 1 to 128 bytes; use a UUID");
  }
  if (worker.name().size() > 255) return BadField("BAD_WORKER_NAME", "register.name", "at most 255 bytes");
  if (worker.slots() == 0 || worker.slots() > 256)
    return BadField("BAD_SLOTS", "register.slots", "must be 1 to 256");
  if (worker.devices_size() == 0)
    return BadField("NO_DEVICES", "register.devices", "name at least \"cpu\" or \"cuda\"");
  for (const std::string& device : worker.devices()) {
    if (device != "cpu" && device != "cuda")
      return BadField("BAD_DEVICE", "register.devices", "only \"cpu\" and \"cuda\" are known");
  }
  return absl::OkStatus();
}

v1::CreateDecompositionRequest Normal(v1::CreateDecompositionRequest request) {
  v1::Source& source = *request.mutable_source();
  if (source.entry().empty()) source.set_entry(source.files(0).path());
  for (v1::File& file : *source.mutable_files()) file.clear_size_bytes();
  std::sort(source.mutable_files()->begin(), source.mutable_files()->end(),
            [](const v1::File& a, const v1::File& b) { return a.path() < b.path(); });
  if (request.model_name().empty()) {
    const bool folder = request.kind() == v1::JOB_KIND_JUDGE;
    request.set_model_name(folder ? source.entry() : StemOf(source.entry()));
  }
  if (request.device() == v1::DEVICE_UNSPECIFIED) request.set_device(v1::DEVICE_AUTO);
  if (request.kind() == v1::JOB_KIND_UNSPECIFIED) request.set_kind(v1::JOB_KIND_DECOMPOSE);
  return request;
}

std::string ContentDigest(const v1::CreateDecompositionRequest& normal) {
  v1::CreateDecompositionRequest content = normal;
  content.clear_request_id();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    content.SerializeToCodedStream(&coded);
  }
  return Sha256Hex(bytes);
}

}  // namespace strata
