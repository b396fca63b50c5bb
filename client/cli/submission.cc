#include "client/cli/submission.h"

#include <sys/stat.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/status.h"
#include "client/cli/render.h"

namespace strata::cli {
namespace {

constexpr auto kPatience = std::chrono::seconds(5);
constexpr int64_t kMaxFileBytes = int64_t{64} << 20;

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

}  // namespace

absl::StatusOr<Submission> ReadSubmission(const SubmitOptions& options) {
  Submission submission;
  STRATA_ASSIGN_OR_RETURN(submission.content, ReadModel(options.file));
  v1::CreateDecompositionRequest& request = submission.request;
  request.set_request_id(options.request_id.empty() ? RandomUuid() : options.request_id);
  v1::File* file = request.mutable_source()->add_files();
  file->set_path(BaseName(options.file));
  file->set_digest(Sha256Hex(submission.content));
  file->set_size_bytes(submission.content.size());
  request.mutable_source()->set_entry(file->path());
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

absl::StatusOr<v1::Decomposition> Submit(Client& client, const Submission& submission) {
  const std::string& digest = submission.request.source().files(0).digest();
  STRATA_RETURN_IF_ERROR(client.Retry(kPatience, [&] { return client.Upload(digest, submission.content); }));
  v1::Decomposition job;
  STRATA_RETURN_IF_ERROR(client.Retry(kPatience, [&]() -> absl::Status {
    STRATA_ASSIGN_OR_RETURN(job, client.Call(&Client::Stub::CreateDecomposition, submission.request));
    return absl::OkStatus();
  }));
  return job;
}

}  // namespace strata::cli
