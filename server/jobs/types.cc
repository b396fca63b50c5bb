#include "server/jobs/types.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace strata::jobs {

LeaseId MakeLeaseId(const JobId& job, const TaskId& task, uint32_t attempt) {
  return absl::StrCat(job, "/", task, "#", attempt);
}

std::optional<LeaseName> ParseLeaseId(const LeaseId& id) {
  const size_t slash = id.find('/');
  const size_t hash = id.rfind('#');
  if (slash == std::string::npos || hash == std::string::npos || hash < slash) return std::nullopt;
  LeaseName name{id.substr(0, slash), id.substr(slash + 1, hash - slash - 1), 0};
  if (!absl::SimpleAtoi(id.substr(hash + 1), &name.attempt)) return std::nullopt;
  return name;
}

Task* FindTask(Job& job, const TaskId& id) {
  for (Task& task : job.tasks) {
    if (task.id == id) return &task;
  }
  return nullptr;
}

const Task* FindTask(const Job& job, const TaskId& id) { return FindTask(const_cast<Job&>(job), id); }

Counts CountTasks(const Job& job) {
  Counts counts;
  counts.steps_known = job.tasks.size() > 1;
  std::set<std::string> failed_components;
  for (const Task& task : job.tasks) {
    ++counts.tasks_total;
    if (IsFinal(task.state)) ++counts.tasks_done;
    if (task.state == TaskState::kRunning) ++counts.tasks_running;
    // A step is lost with either of its two tasks.
    if (task.kind != TaskKind::kVerify && task.kind != TaskKind::kDecompose) continue;
    if (task.state == TaskState::kGateFailed || task.state == TaskState::kFailed) {
      ++counts.steps_failed;
      failed_components.insert(task.component);
    }
    if (task.kind != TaskKind::kVerify) continue;
    ++counts.steps_total;
    if (task.state == TaskState::kPassed) ++counts.steps_done;
    if (!IsFinal(task.state) && !failed_components.count(task.component)) ++counts.steps_left;
  }
  return counts;
}

const char* Name(TaskKind kind) {
  switch (kind) {
    case TaskKind::kPrepare:
      return "prepare";
    case TaskKind::kDecompose:
      return "decompose";
    case TaskKind::kVerify:
      return "verify";
    case TaskKind::kCompose:
      return "compose";
    case TaskKind::kCoverage:
      return "coverage";
    case TaskKind::kPublish:
      return "publish";
    case TaskKind::kJudge:
      return "judge";
  }
  return "?";
}

}  // namespace strata::jobs
