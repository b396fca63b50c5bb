#include "server/coordinator/result_check.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "server/store/json_view.h"

namespace strata {
namespace {

constexpr char kPreparation[] = "step_0_preparation";

absl::Status Wrong(const std::string& what) { return absl::InvalidArgumentError(what); }

absl::Status CheckVerdicts(jobs::TaskKind kind, const std::string& step, bool passed,
                           const store::Findings& findings) {
  bool own = false;
  for (const v1::StepResult& verdict : findings.verdicts) {
    const std::string& name = verdict.step().name();
    const bool allowed = kind == jobs::TaskKind::kVerify    ? name == step
                         : kind == jobs::TaskKind::kPrepare ? name == kPreparation
                                                            : false;
    if (!allowed) return Wrong(absl::StrCat("wrote the verdict of ", name, ", which is not its own"));
    if (passed && verdict.step().status() != "PASS") {
      return Wrong(absl::StrCat("says passed, but the verdict of ", name, " is ", verdict.step().status()));
    }
    own |= name == step;
  }
  if (kind == jobs::TaskKind::kVerify && passed && !own) {
    return Wrong(absl::StrCat("says passed without steps/", step, "/verification_result.json"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckOutputs(const v1::TaskResult& result) {
  if (result.outputs_size() > static_cast<int>(kMaxOutputs)) {
    return Wrong(absl::StrCat("wrote ", result.outputs_size(), " files, over the limit of ", kMaxOutputs));
  }
  std::set<std::string> paths;
  for (const v1::File& file : result.outputs()) {
    if (!store::IsSafePath(file.path()))
      return Wrong("wrote a file under a path that leads out of the bundle or is not printable");
    if (!IsSha256Hex(file.digest())) return Wrong(absl::StrCat("names no SHA-256 for ", file.path()));
    if (!paths.insert(file.path()).second) return Wrong(absl::StrCat("wrote ", file.path(), " twice"));
  }
  return absl::OkStatus();
}

absl::StatusOr<store::Findings> ReadFindings(const store::BlobStore& blobs, const v1::TaskResult& result,
                                             jobs::TaskKind kind) {
  store::Findings findings;
  const bool publish = kind == jobs::TaskKind::kPublish;
  for (const v1::File& file : result.outputs()) {
    const std::string& path = file.path();
    const bool joined = path == "decomposition_log.json";
    const bool publishes =
        joined || path == "decomposition_tree.json" || path == "verification/coverage_summary.json";
    if (!store::IsArtifact(path) || (publish ? !publishes : joined)) continue;
    auto text = blobs.ReadBlob(file.digest(), store::kMaxJsonBytes);
    if (absl::IsResourceExhausted(text.status()))
      return Wrong(absl::StrCat(path, " is larger than an index may be"));
    if (!text.ok()) return text.status();
    if (absl::Status status = store::ReadArtifact(path, *text, findings); !status.ok()) return status;
  }
  return findings;
}

absl::Status CheckFindings(jobs::TaskKind kind, const std::string& step, jobs::Outcome outcome,
                           const store::Findings& findings) {
  using jobs::TaskKind;
  const bool passed = outcome == jobs::Outcome::kPassed;
  if (kind != TaskKind::kPublish) {
    if (absl::Status status = CheckVerdicts(kind, step, passed, findings); !status.ok()) return status;
  }
  for (const v1::Coverage& coverage : findings.coverages) {
    const bool summary =
        coverage.step().empty() && (kind == TaskKind::kCoverage || kind == TaskKind::kPublish);
    if (!summary && !(kind == TaskKind::kVerify && coverage.step() == step)) {
      return Wrong(absl::StrCat("wrote the coverage of '", coverage.step(), "', which is not its own"));
    }
  }
  if (findings.graph && kind != TaskKind::kPrepare)
    return Wrong("wrote .strata/jobs.json, which only prepare may");
  if (findings.folder_verdict && kind != TaskKind::kJudge)
    return Wrong("wrote verdict.json, which only judge may");
  if (!passed) return absl::OkStatus();
  switch (kind) {
    case TaskKind::kPrepare:
      if (!findings.graph) return Wrong("says passed without .strata/jobs.json");
      if (!findings.tree) return Wrong("says passed without decomposition_tree.json");
      return absl::OkStatus();
    case TaskKind::kCompose:
      if (findings.composition && findings.composition->status != "PASS") {
        return Wrong("says passed, but .strata/composition.json says " + findings.composition->status);
      }
      return absl::OkStatus();
    case TaskKind::kCoverage:
      return findings.coverages.empty() ? Wrong("says passed without verification/coverage_summary.json")
                                        : absl::OkStatus();
    case TaskKind::kJudge:
      return findings.folder_verdict ? absl::OkStatus() : Wrong("says passed without verdict.json");
    default:
      return absl::OkStatus();
  }
}

}  // namespace strata
