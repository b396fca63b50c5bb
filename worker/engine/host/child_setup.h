#pragma once
// The pipes between the zygote and one forked child, and what the child does with itself first.

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/host/supervisor.h"
#include "worker/engine/host/zygote.h"

namespace strata::host {

class ChildPipes {
 public:
  static constexpr int kResultFd = 3, kTraceFd = 4;  // in the child; it has no other descriptors above 2

  static absl::StatusOr<ChildPipes> Make();
  ChildPipes(ChildPipes&& other) noexcept;
  ~ChildPipes();

  // In the child, before anything else. A session of its own, death with its parent, limits, descriptors 0
  // to 4 and no others (stdin is empty), `work_dir` as current folder unless empty.
  absl::Status EnterChild(const Limits& limits, const std::string& work_dir, pid_t parent);
  // In the child, last: writes the message and ends the process without running anybody's destructors.
  [[noreturn]] void FinishChild(const std::string& message);
  [[noreturn]] void FailChild(const absl::Status& status);

  // In the parent: our ends, non-blocking, now the caller's.
  Child ParentEnds(pid_t pid);

 private:
  enum Pipe { kOut, kErr, kResult, kTrace, kCount };
  ChildPipes() = default;
  void CloseAll();

  int read_[kCount] = {-1, -1, -1, -1};
  int write_[kCount] = {-1, -1, -1, -1};
};

}  // namespace strata::host
