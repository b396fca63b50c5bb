#include "worker/engine/verify/step_alone.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/bundle_check.h"
#include "worker/engine/verify/bundle_program.h"
#include "worker/engine/verify/counting.h"
#include "worker/engine/verify/plumbing_check.h"

namespace strata::verify {
namespace {

using program::Call;
using program::Program;

// Names of the operators among calls[begin, end) that count.
std::set<std::string> OperatorsOf(const Program& program, program::CallId begin, program::CallId end) {
  const std::vector<bool> live = LiveCalls(program);
  std::set<std::string> names;
  for (program::CallId id = begin; id < end; ++id) {
    const Call& call = program.call(id);
    if (live[static_cast<size_t>(id)] && program::Classify(program, call) != program::OpClass::kPlumbing)
      names.insert(program::OperatorName(call.op));
  }
  return names;
}

std::string Told(const std::set<std::string>& names) {
  return names.empty() ? "nothing" : absl::StrJoin(names, ", ");
}

bool ComputesOutside(const Program& program, const ChildScopes& scopes) {
  const std::vector<bool> live = LiveCalls(program);
  return std::any_of(program.calls.begin(), program.calls.end(), [&](const Call& call) {
    return live[static_cast<size_t>(call.id)] && !scopes.Inside(call.scope) &&
           program::Classify(program, call) != program::OpClass::kPlumbing;
  });
}

}  // namespace

std::vector<Violation> StepAloneViolations(const BundleFiles& files, const BundleFacts& facts,
                                           const ClaimFacts& step) {
  std::vector<Violation> violations;
  const Program& refactored = step.refactored;
  if (refactored.invocations.empty()) return violations;
  const ChildScopes scopes(refactored, step.children_dir);
  for (const ComponentFile& component : files.components) {
    const auto found = facts.components.find(component.path);
    if (found == facts.components.end() || found->second.programs.empty()) continue;
    const Program& alone = found->second.programs[0];
    const std::optional<plan::Level> said = LevelSaidBy(component.text);
    const bool whole = scopes.runs().size() == 1 && scopes.runs()[0].stem == component.stem &&
                       !ComputesOutside(refactored, scopes);
    if (whole && said != plan::Level::kKernel) {
      const ExecutedComponent executed(alone);
      if (executed.ok() && executed.level() > said.value_or(plan::Level::kKernel)) {
        violations.push_back({rules::kLevels, component.path, 0,
                              absl::StrCat("it is the whole of original.py, a ",
                                           plan::LevelName(executed.level()), ": nothing is decomposed"),
                              "make its parts the children"});
      }
    }
    if (said != plan::Level::kKernel) continue;
    const std::set<std::string> own = OperatorsOf(alone, 0, static_cast<program::CallId>(alone.calls.size()));
    for (const ChildScopes::ChildRun& run : scopes.runs()) {
      if (run.stem != component.stem) continue;
      const program::Invocation& child = refactored.invocations[static_cast<size_t>(run.invocation)];
      const std::set<std::string> here = OperatorsOf(refactored, child.begin, child.end);
      if (here == own) continue;
      violations.push_back({rules::kKernel, component.path, 0,
                            absl::StrCat("alone it executes ", Told(own), ", in the parent ", Told(here)),
                            "write one file for each kernel"});
      break;
    }
  }
  return violations;
}

}  // namespace strata::verify
