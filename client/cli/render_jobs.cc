#include <google/protobuf/util/time_util.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/json.h"
#include "client/cli/render.h"
#include "client/cli/table.h"

namespace strata::cli {
namespace {

using google::protobuf::Timestamp;

absl::Time ToTime(const Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string LocalTime(const Timestamp& time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", ToTime(time), absl::LocalTimeZone());
}

// From the first lease to the end, or to now; "" before.
std::string TimeTaken(const v1::Decomposition& job) {
  if (!job.has_start_time()) return "";
  const absl::Time end = job.has_end_time() ? ToTime(job.end_time()) : absl::Now();
  return FormatSeconds(absl::ToDoubleSeconds(end - ToTime(job.start_time())));
}

std::string StateName(v1::State state) {
  return ShortEnumName(v1::State_descriptor()->FindValueByNumber(state));
}

std::string JobName(const v1::Decomposition& job) {
  return ShortEnumName(v1::JobKind_descriptor()->FindValueByNumber(job.kind()), /*lower=*/true);
}

std::string StepCounts(const v1::Counts& counts) {
  return counts.steps_known() ? absl::StrCat(counts.steps_done(), "/", counts.steps_total()) : "";
}

}  // namespace

std::string RenderDecomposition(const Terminal& terminal, const v1::Decomposition& job) {
  const std::string state = StateName(job.state());
  std::string text = absl::StrCat(terminal.Paint(Style::kBold, job.id()), "  ", Printable(job.model_name()),
                                  "  ", terminal.Paint(StyleOfStatus(state), state), "\n");
  const auto line = [&text](absl::string_view name, const std::string& value) {
    if (!value.empty()) absl::StrAppendFormat(&text, "  %-10s %s\n", name, Printable(value));
  };
  line("job", JobName(job));
  line("source", job.source().entry());
  line("verdict", job.verdict());
  line("device", job.resolved_device());
  line("labels", absl::StrJoin(job.labels(), ", ", absl::PairFormatter("=")));
  line("created", LocalTime(job.create_time()));
  line("took", TimeTaken(job));
  const v1::Counts& counts = job.counts();
  if (counts.steps_known()) {
    line("steps", absl::StrFormat("%d of %d verified, %d failed, %d left", counts.steps_done(),
                                  counts.steps_total(), counts.steps_failed(), counts.steps_left()));
  }
  line("tasks", absl::StrFormat("%d of %d ended, %d running", counts.tasks_done(), counts.tasks_total(),
                                counts.tasks_running()));
  for (const v1::TaskStatus& task : job.running_tasks()) {
    line("running", absl::StrCat(task.task_id(), " on ", task.worker(), ", attempt ", task.attempt()));
  }
  if (job.has_failure()) text += RenderFailure(terminal, job.failure());
  return text;
}

std::string RenderList(const Terminal& terminal, const v1::ListDecompositionsResponse& list) {
  Table table({{"id"},
               {"job"},
               {"model"},
               {"state"},
               {"steps", Table::Align::kRight},
               {"created"},
               {"took", Table::Align::kRight},
               {"labels"}});
  for (const v1::Decomposition& job : list.decompositions()) {
    // A judge's job that has ended well is not worth a word, its verdict is.
    const std::string state = job.verdict().empty() ? StateName(job.state()) : job.verdict();
    table.Add({{job.id()},
               {JobName(job)},
               {job.model_name()},
               {state, StyleOfStatus(state)},
               {StepCounts(job.counts())},
               {LocalTime(job.create_time())},
               {TimeTaken(job)},
               {absl::StrJoin(job.labels(), " ", absl::PairFormatter("=")), Style::kDim}});
  }
  return table.empty() ? "no decompositions\n" : table.Render(terminal);
}

std::string RenderWorkers(const Terminal& terminal, const v1::ListWorkersResponse& workers) {
  Table table({{"worker"},
               {"state"},
               {"slots", Table::Align::kRight},
               {"devices"},
               {"torch"},
               {"engine"},
               {"last seen"},
               {"tasks"}});
  for (const v1::WorkerInfo& worker : workers.workers()) {
    const std::string state = !worker.connected() ? "gone" : worker.draining() ? "draining" : "connected";
    table.Add({{worker.name()},
               {state, worker.connected() ? Style::kGood : Style::kWarn},
               {absl::StrCat(worker.busy(), "/", worker.slots())},
               {absl::StrJoin(worker.devices(), ",")},
               {worker.torch_version()},
               {worker.engine_version()},
               {LocalTime(worker.last_seen())},
               {absl::StrJoin(worker.task_ids(), " "), Style::kDim}});
  }
  return table.empty() ? "no workers\n" : table.Render(terminal);
}

std::string WhyQueued(const v1::Decomposition& job, const v1::ListWorkersResponse& workers) {
  std::string wanted = job.resolved_device();
  if (wanted.empty() && job.device() == v1::DEVICE_CUDA) wanted = "cuda";
  if (wanted.empty() && job.device() == v1::DEVICE_CPU) wanted = "cpu";
  bool any = false;
  for (const v1::WorkerInfo& worker : workers.workers()) {
    if (!worker.connected() || worker.draining()) continue;
    const auto& devices = worker.devices();
    if (wanted.empty() || std::find(devices.begin(), devices.end(), wanted) != devices.end()) return "";
    any = true;
  }
  return any ? absl::StrCat("no connected worker has ", wanted) : "no worker is connected";
}

}  // namespace strata::cli
