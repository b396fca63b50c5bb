#include "worker/engine/pipeline/scratch.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

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

}  // namespace

std::string ScratchFolder() {
  static const std::string folder = absl::StrCat(Choose(), "/strata-engine-", getuid(), "-", getpid());
  return folder;
}

void RemoveScratchFolder() { RemoveTree(ScratchFolder()).IgnoreError(); }

}  // namespace strata::pipeline
