#include "worker/engine/plan/plan.h"

#include "absl/strings/str_cat.h"
#include "worker/engine/plan/attributes.h"
#include "worker/engine/plan/dataflow.h"
#include "worker/engine/plan/dead_code.h"
#include "worker/engine/plan/digests.h"
#include "worker/engine/plan/fold_constants.h"
#include "worker/engine/plan/functionalise.h"
#include "worker/engine/plan/kernels.h"
#include "worker/engine/plan/levels.h"
#include "worker/engine/plan/names.h"
#include "worker/engine/plan/nodes.h"
#include "worker/engine/plan/parts.h"
#include "worker/engine/plan/reasons.h"

namespace strata::plan {
namespace {

absl::Status CheckIsModel(const program::Program& program) {
  const auto where = [&] {
    if (program.modules.empty() || program.modules[0].line == 0) return program.source_file;
    return absl::StrCat(program.source_file, ":", program.modules[0].line);
  };
  if (program.invocations.empty() || program.modules.empty())
    return absl::InvalidArgumentError(absl::StrCat(program.source_file, ": no module was run"));
  if (program.calls.empty())
    return absl::InvalidArgumentError(
        absl::StrCat(where(), ": forward runs no operator, so there is nothing to decompose"));
  if (program::Tensors(program.invocations[0].output).empty())
    return absl::InvalidArgumentError(
        absl::StrCat(where(), ": forward returns no tensor; return the tensors that the model computes"));
  return absl::OkStatus();
}

}  // namespace

const char* LevelName(Level level) {
  static constexpr const char* kNames[] = {"kernel", "fusion", "layer", "model"};
  return kNames[static_cast<size_t>(level)];
}

const char* LevelFolder(Level level) {
  static constexpr const char* kFolders[] = {"level_0_kernel", "level_1_fusion", "level_2_layer",
                                             "level_3_model"};
  return kFolders[static_cast<size_t>(level)];
}

absl::StatusOr<Plan> MakePlan(program::Program program) {
  if (absl::Status status = CheckIsModel(program); !status.ok()) return status;
  Plan plan;
  plan.program = FoldConstants(std::move(program));
  plan.program = RemoveDeadCode(std::move(plan.program));
  plan.program = Functionalise(std::move(plan.program));
  if (plan.program.calls.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(plan.program.source_file, ": forward computes nothing from its inputs or weights"));
  }

  const Dataflow flow(plan.program);
  const std::vector<Kernel> kernels = FindKernels(plan.program, flow);
  const PartContext context{plan.program, flow, kernels};
  std::vector<LogEntry> dissolved;
  const Part root = SettleLevels(context, BuildParts(context), &dissolved);

  plan.model_name = ModelName(plan.program.source_file);
  plan.nodes = BuildNodes(context, root);
  plan.components = BuildComponents(flow, &plan.nodes);
  NameComponents(flow, plan.nodes, plan.model_name, &plan.components);
  NameAttributes(flow, &plan.nodes);
  NumberSteps(&plan.components);
  plan.log = LogDecisions(plan);
  plan.log.insert(plan.log.end(), dissolved.begin(), dissolved.end());
  return plan;
}

}  // namespace strata::plan
