#include "client/cli/progress.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/render.h"

namespace strata::cli {
namespace {

// Stages of which there is one; the others show as steps.
bool IsStage(v1::TaskKind kind) {
  return kind == v1::TASK_KIND_PREPARE || kind == v1::TASK_KIND_COMPOSE || kind == v1::TASK_KIND_COVERAGE ||
         kind == v1::TASK_KIND_PUBLISH;
}

const char* Spinner(std::chrono::steady_clock::duration elapsed) {
  static const char* const frames[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
  return frames[elapsed / std::chrono::milliseconds(100) % 10];
}

}  // namespace

void Progress::SetStage(const std::string& text) {
  {
    absl::MutexLock lock(&mutex_);
    stage_ = text;
  }
  Tick();
}

void Progress::On(const v1::Event& event) {
  {
    absl::MutexLock lock(&mutex_);
    stage_.clear();
    if (event.has_counts()) counts_ = event.counts();
    if (event.has_task_changed()) OnTask(event.task_changed());
    if (event.has_progress()) {
      running_[event.progress().task_id()] = event.progress().text();
      latest_ = event.progress().task_id();
    }
    if (event.has_step_finished()) terminal_->Print(RenderStepLine(*terminal_, event.step_finished().step()));
  }
  Tick();
}

void Progress::OnTask(const v1::TaskChanged& change) {
  const v1::TaskStatus& task = change.task();
  if (task.state() == v1::TASK_STATE_RUNNING) {
    running_.try_emplace(task.task_id());
    latest_ = task.task_id();
    return;
  }
  running_.erase(task.task_id());
  if (task.state() == v1::TASK_STATE_READY && change.has_failure()) {
    terminal_->Print(absl::StrCat(terminal_->Paint(Style::kWarn, "retry"), " ", task.task_id(), ": ",
                                  change.failure().message()));
  }
  if (task.state() == v1::TASK_STATE_PASSED && IsStage(task.kind())) {
    terminal_->Print(
        absl::StrCat(terminal_->Paint(Style::kGood, "done "), " ", task.task_id(), "  ",
                     terminal_->Paint(Style::kDim, absl::StrFormat("%.1f s", change.seconds()))));
  }
}

void Progress::Tick() {
  if (!terminal_->interactive()) return;
  absl::MutexLock lock(&mutex_);
  terminal_->SetStatus(StatusLine());
}

std::string Progress::StatusLine() const {
  const auto elapsed = std::chrono::steady_clock::now() - started_;
  std::string line = absl::StrCat(Spinner(elapsed), " ",
                                  FormatSeconds(std::chrono::duration<double>(elapsed).count()), "  ");
  if (!stage_.empty()) return line + stage_;
  if (counts_.steps_known())
    absl::StrAppend(&line, counts_.steps_done(), "/", counts_.steps_total(), " steps  ");
  auto it = running_.find(latest_);
  if (it == running_.end()) it = running_.begin();
  if (it == running_.end()) return line + "waiting for a worker";
  absl::StrAppend(&line, it->first);
  if (running_.size() > 1) absl::StrAppend(&line, " and ", running_.size() - 1, " more");
  if (!it->second.empty()) absl::StrAppend(&line, "  ", it->second);
  return line;
}

}  // namespace strata::cli
