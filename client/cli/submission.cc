#include "client/cli/submission.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/status.h"
#include "client/cli/render.h"

namespace strata::cli {
namespace {

namespace fs = std::filesystem;

constexpr auto kPatience = std::chrono::seconds(5);
constexpr int64_t kMaxFileBytes = int64_t{64} << 20;
constexpr int64_t kMaxFolderBytes = int64_t{256} << 20;
constexpr size_t kMaxFolderFiles = 20000;

std::string RandomUuid() {
  std::random_device random;
  const uint32_t a = random(), b = random(), c = random(), d = random();
  return absl::StrFormat("%08x-%04x-4%03x-%04x-%04x%08x", a, b >> 16, b & 0xfff, 0x8000 | (c >> 16 & 0x3fff),
                         c & 0xffff, d);
}

absl::StatusOr<std::string> ReadModel(const std::string& path) {
  if (const std::string name = BaseName(path); !IsUtf8(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file's name ", Printable(name), " is not UTF-8; rename the file"));
  }
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " does not exist or cannot be read; name a Python file"));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not a regular file; name the Python file that has the model"));
  }
  if (info.st_size == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is empty (0 bytes); it needs a class Model, get_inputs() and get_init_inputs()"));
  }
  if (info.st_size > kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, " has ", FormatBytes(info.st_size), "; at most ",
                                                   FormatBytes(kMaxFileBytes),
                                                   " are allowed. Is it a model's source?"));
  }
  auto content = ReadFile(path, kMaxFileBytes);
  if (!content.ok()) return absl::InvalidArgumentError(content.status().message());
  return content;
}

v1::Device ToDevice(const std::string& device) {
  return device == "cpu" ? v1::DEVICE_CPU : device == "cuda" ? v1::DEVICE_CUDA : v1::DEVICE_AUTO;
}

// The request without its files.
absl::StatusOr<Submission> Begin(const SubmitOptions& options) {
  Submission submission;
  v1::CreateDecompositionRequest& request = submission.request;
  request.set_request_id(options.request_id.empty() ? RandomUuid() : options.request_id);
  request.set_model_name(options.name);
  request.set_device(ToDevice(options.device));
  request.set_threads(options.threads);
  request.mutable_limits()->set_wall_seconds(options.wall_seconds);
  request.mutable_limits()->set_memory_bytes(options.memory_bytes);
  for (const std::string& label : options.labels) {
    const size_t equals = label.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("--label ", label, ": write KEY=VALUE"));
    }
    (*request.mutable_labels())[label.substr(0, equals)] = label.substr(equals + 1);
  }
  return submission;
}

void AddFile(Submission& submission, const std::string& path, std::string content) {
  v1::File* file = submission.request.mutable_source()->add_files();
  file->set_path(path);
  file->set_digest(Sha256Hex(content));
  file->set_size_bytes(content.size());
  submission.contents.push_back(std::move(content));
}

// Regular files below `folder`, relative and sorted.
absl::StatusOr<std::vector<std::string>> ListFolder(const fs::path& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string path = it->path().lexically_relative(folder).string();
    const auto refuse = [&](absl::string_view why) {
      return absl::InvalidArgumentError(absl::StrCat(folder.string(), ": ", Printable(path), " ", why));
    };
    if (it->is_symlink(error)) return refuse("is a symbolic link; put the file that it names in its place");
    if (it->is_directory(error)) continue;
    if (!it->is_regular_file(error)) return refuse("is neither a file nor a folder; remove it");
    if (!IsUtf8(path)) return refuse("is not UTF-8; rename it");
    if (paths.size() == kMaxFolderFiles)
      return absl::InvalidArgumentError(absl::StrCat(folder.string(), " holds more than ", kMaxFolderFiles,
                                                     " files; name one bundle or step"));
    paths.push_back(path);
  }
  if (error)
    return absl::InvalidArgumentError(absl::StrCat(folder.string(), " cannot be read: ", error.message()));
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace

absl::StatusOr<Submission> ReadSubmission(const SubmitOptions& options) {
  STRATA_ASSIGN_OR_RETURN(std::string content, ReadModel(options.path));
  STRATA_ASSIGN_OR_RETURN(Submission submission, Begin(options));
  AddFile(submission, BaseName(options.path), std::move(content));
  submission.request.mutable_source()->set_entry(BaseName(options.path));
  submission.request.set_kind(v1::JOB_KIND_DECOMPOSE);
  return submission;
}

absl::StatusOr<Submission> ReadFolder(const SubmitOptions& options) {
  std::error_code error;
  const fs::path folder = fs::canonical(options.path, error);
  if (error || !fs::is_directory(folder, error)) {
    return absl::InvalidArgumentError(absl::StrCat(
        options.path,
        " is no folder that can be read; name a bundle, or a step with original.py and refactored.py"));
  }
  const std::string name = folder.filename().string();
  if (name.empty() || !IsUtf8(name))
    return absl::InvalidArgumentError(
        absl::StrCat("the folder's name '", Printable(name), "' is no name; rename it"));
  STRATA_ASSIGN_OR_RETURN(Submission submission, Begin(options));
  STRATA_ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListFolder(folder));
  if (paths.empty()) return absl::InvalidArgumentError(absl::StrCat(options.path, " holds no files"));
  int64_t left_bytes = kMaxFolderBytes;
  for (const std::string& path : paths) {
    auto content = ReadFile((folder / path).string(), std::min(left_bytes, kMaxFileBytes));
    if (absl::IsResourceExhausted(content.status())) {
      return absl::InvalidArgumentError(absl::StrCat(options.path, ": ", path, " is too large; at most ",
                                                     FormatBytes(kMaxFileBytes), " in one file and ",
                                                     FormatBytes(kMaxFolderBytes), " in all are allowed"));
    }
    if (!content.ok()) return absl::InvalidArgumentError(content.status().message());
    left_bytes -= static_cast<int64_t>(content->size());
    AddFile(submission, absl::StrCat(name, "/", path), *std::move(content));
  }
  submission.request.mutable_source()->set_entry(name);
  submission.request.set_kind(v1::JOB_KIND_JUDGE);
  return submission;
}

absl::StatusOr<v1::Decomposition> Submit(Client& client, const Submission& submission) {
  std::set<std::string> sent;
  for (size_t i = 0; i < submission.contents.size(); ++i) {
    const std::string& digest = submission.request.source().files(static_cast<int>(i)).digest();
    const std::string& content = submission.contents[i];
    if (content.empty() || !sent.insert(digest).second) continue;  // nothing needs no upload
    STRATA_RETURN_IF_ERROR(client.Retry(kPatience, [&] { return client.Upload(digest, content); }));
  }
  v1::Decomposition job;
  STRATA_RETURN_IF_ERROR(client.Retry(kPatience, [&]() -> absl::Status {
    STRATA_ASSIGN_OR_RETURN(job, client.Call(&Client::Stub::CreateDecomposition, submission.request));
    return absl::OkStatus();
  }));
  return job;
}

}  // namespace strata::cli
