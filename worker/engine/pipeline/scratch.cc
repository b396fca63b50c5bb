#include "worker/engine/pipeline/scratch.h"

#include <signal.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace strata::pipeline {
namespace {

// Weights, inputs and outputs of one step lie there at a time; containers often have 64 MiB only.
constexpr uint64_t kEnoughBytes = uint64_t{4} << 30;

std::string Choose() {
  struct statvfs space;
  const std::string memory = "/dev/shm";
  if (access(memory.c_str(), W_OK) == 0 && statvfs(memory.c_str(), &space) == 0 &&
      static_cast<uint64_t>(space.f_bavail) * space.f_frsize >= kEnoughBytes) {
    return memory;
  }
  const char* tmp = std::getenv("TMPDIR");
  return tmp && *tmp ? tmp : "/tmp";
}

// An engine that was killed could not take its folder away, and what lies in it is memory.
void RemoveThoseOfTheDead(const std::string& place, const std::string& prefix) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(place, error)) {
    const std::string name = entry.path().filename().string();
    pid_t pid = 0;
    if (!absl::StartsWith(name, prefix) || !absl::SimpleAtoi(name.substr(prefix.size()), &pid)) continue;
    if (kill(pid, 0) != 0 && errno == ESRCH) RemoveTree(entry.path().string()).IgnoreError();
  }
}

std::string Make() {
  const std::string place = Choose(), prefix = absl::StrCat("strata-engine-", getuid(), "-");
  RemoveThoseOfTheDead(place, prefix);
  return absl::StrCat(place, "/", prefix, getpid());
}

}  // namespace

std::string ScratchFolder() {
  static const std::string folder = Make();
  return folder;
}

void RemoveScratchFolder() { RemoveTree(ScratchFolder()).IgnoreError(); }

}  // namespace strata::pipeline
