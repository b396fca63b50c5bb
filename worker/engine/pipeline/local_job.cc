#include "worker/engine/pipeline/local_job.h"

#include <cstdio>
#include <filesystem>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "nlohmann/json.hpp"
#include "worker/engine/pipeline/workspace.h"
#include "worker/engine/verify/findings.h"

namespace strata::pipeline {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

struct Component {
  std::string id, step;
  std::vector<std::string> children;
};

absl::StatusOr<std::vector<Component>> ReadComponents(const std::string& workspace) {
  absl::StatusOr<ordered_json> jobs = Workspace(workspace, workspace).ReadJson(".strata/jobs.json");
  if (!jobs.ok()) return jobs.status();
  std::vector<Component> components;
  for (const ordered_json& json : (*jobs)["components"]) {
    components.push_back({json["id"], json["step"], json["children"].get<std::vector<std::string>>()});
  }
  return components;
}

// Those with a step, every parent before its children: what the coordinator's releases come to with one
// worker.
std::vector<std::string> ReleaseOrder(const std::vector<Component>& components) {
  std::map<std::string, int> open_parents;
  for (const Component& component : components) {
    if (component.step.empty()) continue;
    for (const std::string& child : component.children) open_parents[child]++;
  }
  std::vector<std::string> order;
  std::set<std::string> done;
  for (bool moved = true; moved;) {
    moved = false;
    for (const Component& component : components) {
      if (component.step.empty() || done.contains(component.id) || open_parents[component.id] > 0) continue;
      order.push_back(component.id);
      done.insert(component.id);
      for (const std::string& child : component.children) open_parents[child]--;
      moved = true;
      break;  // tree order among what is released
    }
  }
  return order;
}

class Job {
 public:
  Job(host::Zygote& zygote, const LocalJob& job, Reporter& reporter)
      : zygote_(zygote),
        job_(job),
        reporter_(reporter),
        workspace_(fs::absolute(job.out_dir).string() + "/.strata") {}

  absl::Status SetUp() {
    const std::string name = BaseName(job_.file);
    absl::StatusOr<std::string> source = ReadFile(job_.file);
    if (!source.ok()) return source.status();
    if (absl::Status s = MakeDirs(workspace_ + "/source"); !s.ok()) return s;
    return WriteFile(workspace_ + "/source/" + name, *source);
  }

  Ending Run() {
    if (Ending bad = RunOne(TaskKind::kPrepare)) return bad;
    absl::StatusOr<std::vector<Component>> components = ReadComponents(workspace_);
    if (!components.ok()) return Failure{.message = std::string(components.status().message())};
    for (const std::string& id : ReleaseOrder(*components)) {
      if (Ending bad = RunOne(TaskKind::kDecompose, id)) return bad;
      if (Ending bad = RunOne(TaskKind::kVerify, id)) return bad;
    }
    if (Ending bad = RunOne(TaskKind::kCompose)) return bad;
    return RunOne(TaskKind::kCoverage);
  }

  // A submission that prepare refused has nothing to deliver.
  Ending Publish() {
    if (!FileExists(workspace_ + "/.strata/jobs.json")) return std::nullopt;
    return RunOne(TaskKind::kPublish);
  }
  void CleanUp() { RemoveTree(workspace_).IgnoreError(); }

 private:
  Ending RunOne(TaskKind kind, const std::string& component = "") {
    Task task{.kind = kind,
              .component = component,
              .source = "source/" + BaseName(job_.file),
              .input_dir = workspace_,
              .output_dir = kind == TaskKind::kPublish ? fs::absolute(job_.out_dir).string() : workspace_,
              .device = job_.device,
              .numeric = job_.numeric,
              .limits = job_.limits};
    return RunTask(zygote_, findings_, task, reporter_).failure;
  }

  host::Zygote& zygote_;
  verify::Findings findings_;
  const LocalJob& job_;
  Reporter& reporter_;
  const std::string workspace_;
};

int ExitCode(const Failure& failure) {
  switch (failure.kind) {
    case FailureKind::kGate:
      return 1;
    case FailureKind::kUser:
    case FailureKind::kLimits:
      return 2;
    case FailureKind::kOurs:
      return 4;
  }
  return 4;
}

void Print(const Failure& failure) {
  std::string where = failure.file;
  if (failure.line > 0) absl::StrAppend(&where, ":", failure.line);
  const std::string prefix = where.empty() ? "" : where + ": ";
  std::fprintf(stderr, "%serror (%s): %s\n", prefix.c_str(), FailureName(failure.kind),
               failure.message.c_str());
  if (!failure.traceback.empty()) std::fprintf(stderr, "%s\n", failure.traceback.c_str());
}

}  // namespace

int RunLocalJob(host::Zygote& zygote, const LocalJob& job, Reporter& reporter) {
  RemoveOldBundle(job.out_dir);
  Job local(zygote, job, reporter);
  if (absl::Status s = local.SetUp(); !s.ok()) {
    Print({.message = std::string(s.message())});
    return 4;
  }
  Ending failure = local.Run();
  const Ending unpublished = local.Publish();
  if (!job.keep_workspace) local.CleanUp();
  if (!failure) failure = unpublished;
  if (!failure) return 0;
  Print(*failure);
  return ExitCode(*failure);
}

}  // namespace strata::pipeline
