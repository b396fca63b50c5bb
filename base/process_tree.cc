#include "base/process_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <unordered_map>

namespace strata {
namespace {

// /proc files are generated in one read; this is polled, so no iostream.
size_t ReadProc(const char* path, char* buffer, size_t size) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t n = read(fd, buffer, size - 1);
  close(fd);
  if (n <= 0) return 0;
  buffer[n] = '\0';
  return static_cast<size_t>(n);
}

struct Stat {
  char state = '?';
  pid_t parent = -1;
};

bool ReadStat(pid_t pid, Stat& stat) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (ReadProc(path, text, sizeof text) == 0) return false;
  const char* after_name = strrchr(text, ')');  // the name itself may contain anything
  return after_name != nullptr && sscanf(after_name + 1, " %c %d", &stat.state, &stat.parent) == 2;
}

// The bytes of a line "NAME   123 kB"; -1 where there is none.
int64_t KibibytesField(const char* path, const char* name) {
  char text[4096];
  if (ReadProc(path, text, sizeof text) == 0) return -1;
  const char* line = strstr(text, name);
  return line == nullptr ? -1 : strtoll(line + strlen(name), nullptr, 10) * 1024;
}

}  // namespace

std::vector<pid_t> Descendants(pid_t root) {
  std::unordered_map<pid_t, std::vector<pid_t>> children;
  std::unordered_map<pid_t, char> states;
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return {};
  while (const dirent* entry = readdir(proc)) {
    const pid_t pid = atoi(entry->d_name);
    Stat stat;
    if (pid <= 0 || !ReadStat(pid, stat)) continue;
    children[stat.parent].push_back(pid);
    states[pid] = stat.state;
  }
  closedir(proc);
  std::vector<pid_t> found, open_list = {root};
  while (!open_list.empty()) {
    const pid_t pid = open_list.back();
    open_list.pop_back();
    for (const pid_t child : children[pid]) {
      open_list.push_back(child);
      if (states[child] != 'Z' && states[child] != 'X') found.push_back(child);
    }
  }
  return found;
}

int64_t ResidentBytes(pid_t pid) {
  char path[64], text[256];
  snprintf(path, sizeof path, "/proc/%d/statm", pid);
  long long size = 0, resident = 0;
  if (ReadProc(path, text, sizeof text) == 0) return 0;
  if (sscanf(text, "%lld %lld", &size, &resident) != 2) return 0;
  return resident * sysconf(_SC_PAGESIZE);
}

int64_t ProportionalBytes(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
  const int64_t bytes = KibibytesField(path, "\nPss:");
  return bytes >= 0 ? bytes : ResidentBytes(pid);  // not every kernel has the file
}

int64_t AvailableMemoryBytes() { return KibibytesField("/proc/meminfo", "\nMemAvailable:"); }

bool KillAllDescendants(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    const std::vector<pid_t> alive = Descendants(getpid());
    for (const pid_t pid : alive) kill(pid, SIGKILL);
    bool reaped = false;
    while (waitpid(-1, nullptr, WNOHANG) > 0) reaped = true;
    if (alive.empty() && !reaped) return true;
    if (std::chrono::steady_clock::now() > deadline) return false;
    if (!reaped) usleep(1000);
  }
}

}  // namespace strata
