#include "client/cli/progress.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/json.h"
#include "client/cli/render.h"
#include "client/cli/status.h"

namespace strata::cli {
namespace {

constexpr auto kLookAfter = std::chrono::seconds(1);

// Stages of which there is one; the others show as steps.
bool IsStage(v1::TaskKind kind) {
  return kind == v1::TASK_KIND_PREPARE || kind == v1::TASK_KIND_COMPOSE || kind == v1::TASK_KIND_COVERAGE ||
         kind == v1::TASK_KIND_PUBLISH || kind == v1::TASK_KIND_JUDGE;
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
  Redraw();
}

void Progress::SetState(v1::State state) {
  {
    absl::MutexLock lock(&mutex_);
    OnState(state);
  }
  Redraw();
}

void Progress::On(const v1::Event& event) {
  {
    absl::MutexLock lock(&mutex_);
    stage_.clear();
    if (event.has_counts()) counts_ = event.counts();
    if (event.has_state_changed()) OnState(event.state_changed().state());
    if (event.has_task_changed()) OnTask(event.task_changed());
    if (event.has_progress()) {
      running_[event.progress().task_id()] = event.progress().text();
      latest_ = event.progress().task_id();
    }
    if (event.has_step_finished()) terminal_->Print(RenderStepLine(*terminal_, event.step_finished().step()));
  }
  Redraw();
}

void Progress::OnState(v1::State state) {
  if (state == state_) return;
  state_ = state;
  waiting_.clear();
  next_look_ = std::chrono::steady_clock::now() + kLookAfter;
  // The status line shows the same; the end has the verdict.
  if (terminal_->interactive() || IsFinal(state)) return;
  terminal_->Print(ShortEnumName(v1::State_descriptor()->FindValueByNumber(state), /*lower=*/true));
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
                                  Printable(change.failure().message(), /*keep_lines=*/true)));
  }
  if (task.state() == v1::TASK_STATE_PASSED && IsStage(task.kind())) {
    terminal_->Print(
        absl::StrCat(terminal_->Paint(Style::kGood, "done "), " ", task.task_id(), "  ",
                     terminal_->Paint(Style::kDim, absl::StrFormat("%.1f s", change.seconds()))));
  }
}

void Progress::Tick() {
  LookAtQueue();
  Redraw();
}

void Progress::LookAtQueue() {
  {
    absl::MutexLock lock(&mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (why_queued_ == nullptr || state_ != v1::STATE_QUEUED || now < next_look_) return;
    next_look_ = now + kLookAfter;
  }
  const std::string why = why_queued_();
  absl::MutexLock lock(&mutex_);
  if (why == waiting_ || state_ != v1::STATE_QUEUED) return;
  waiting_ = why;
  if (!why.empty() && !terminal_->interactive()) terminal_->Print("waiting: " + why);
}

void Progress::Redraw() {
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
  if (it == running_.end())
    return line + (waiting_.empty() ? "waiting for a worker" : "waiting: " + waiting_);
  absl::StrAppend(&line, it->first);
  if (running_.size() > 1) absl::StrAppend(&line, " and ", running_.size() - 1, " more");
  if (!it->second.empty()) absl::StrAppend(&line, "  ", Printable(it->second));
  return line;
}

}  // namespace strata::cli
