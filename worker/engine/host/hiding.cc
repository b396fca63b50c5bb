#include "worker/engine/host/hiding.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace strata::host {
namespace {

namespace fs = std::filesystem;

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)  // of Linux 6.2, its third version
#endif
constexpr int kTruncateVersion = 3;

// What rules allow (landlock(7)), and what of that a rule on a file may name.
constexpr uint64_t kRead =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr uint64_t kWrite = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                            LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                            LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                            LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM;
constexpr uint64_t kOfFiles = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                              LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_TRUNCATE;

int Version();
// Before its third version a kernel refuses the word, and truncate(2) by path is not restricted.
uint64_t WriteAccess() {
  return Version() >= kTruncateVersion ? kWrite | LANDLOCK_ACCESS_FS_TRUNCATE : kWrite;
}

int CreateRuleset(const landlock_ruleset_attr* attributes, size_t size, uint32_t flags) {
  return static_cast<int>(syscall(SYS_landlock_create_ruleset, attributes, size, flags));
}

int Version() { return CreateRuleset(nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION); }

bool IsAtOrAbove(const fs::path& folder, const fs::path& path) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

absl::Status Allow(int ruleset, const std::string& path, uint64_t access) {
  const int fd = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (fd < 0) return absl::OkStatus();  // gone meanwhile, or a broken link: nothing to allow
  const absl::Cleanup close_fd = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, path);
  landlock_path_beneath_attr rule{};
  rule.allowed_access = S_ISDIR(info.st_mode) ? access : access & kOfFiles;
  rule.parent_fd = fd;
  if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0)
    return absl::OkStatus();
  if (errno == EBADFD) return absl::OkStatus();  // of a file system that landlock does not cover
  return absl::ErrnoToStatus(errno, absl::StrCat("landlock does not allow ", path));
}

// Allows every entry of `folder` that leads to nothing hidden, and goes down into the others.
absl::Status AllowAllBut(int ruleset, const fs::path& folder, const std::vector<fs::path>& hidden,
                         uint64_t access) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const fs::path& path = entry.path();
    const bool leads_there =
        !entry.is_symlink(error) &&
        std::any_of(hidden.begin(), hidden.end(), [&](const auto& h) { return IsAtOrAbove(path, h); });
    if (!leads_there) {
      STRATA_RETURN_IF_ERROR(Allow(ruleset, path.string(), access));
    } else if (std::find(hidden.begin(), hidden.end(), path) == hidden.end()) {
      STRATA_RETURN_IF_ERROR(AllowAllBut(ruleset, path, hidden, access));
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool CanHideFiles() { return Version() >= 1; }

absl::Status HideFiles(const std::vector<std::string>& hidden, bool read_only,
                       const std::vector<std::string>& writable) {
  std::vector<fs::path> paths;
  for (const std::string& path : hidden) {
    std::error_code error;
    const fs::path real = fs::canonical(path, error);
    if (!error) paths.push_back(real);  // what is not there needs no hiding
  }
  const uint64_t all = kRead | WriteAccess();
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = all;
  const int ruleset = CreateRuleset(&attributes, sizeof(attributes.handled_access_fs), 0);
  if (ruleset < 0)
    return absl::UnavailableError("this kernel has no landlock, so no file can be hidden from a runner");
  const absl::Cleanup close_ruleset = [ruleset] { close(ruleset); };
  const uint64_t elsewhere = read_only ? kRead : all;
  STRATA_RETURN_IF_ERROR(paths.empty() ? Allow(ruleset, "/", elsewhere)
                                       : AllowAllBut(ruleset, "/", paths, elsewhere));
  if (read_only) {
    // CUDA names its threads in /proc. Memory of other processes stays shut: landlock keeps ptrace out too.
    for (const char* path : {"/dev", "/proc/self"}) STRATA_RETURN_IF_ERROR(Allow(ruleset, path, all));
    for (const std::string& path : writable) STRATA_RETURN_IF_ERROR(Allow(ruleset, path, all));
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return absl::ErrnoToStatus(errno, "no_new_privs");
  if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
    return absl::ErrnoToStatus(errno, "landlock does not restrict this process");
  return absl::OkStatus();
}

}  // namespace strata::host
