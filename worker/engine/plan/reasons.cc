#include "worker/engine/plan/reasons.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/text.h"
#include "worker/engine/plan/wiring.h"
#include "worker/engine/program/plumbing.h"

namespace strata::plan {
namespace {

// What keeps unit i from joining what follows it.
std::string Alone(const Wiring& wiring, size_t i) {
  for (program::ValueId made : wiring.makes(i)) {
    for (size_t reader : wiring.readers(made)) {
      const Part& part = wiring.part(reader);
      if (part.is_unit() && part.kind != Part::Kind::kKernel)
        return absl::StrCat("It stands alone: what follows, ", wiring.Describe(reader),
                            ", is a component of its own.");
    }
  }
  std::string cut;
  const std::optional<Wiring::Step> step = wiring.Straight(i, &cut);
  if (!step) return absl::StrCat("It stands alone: ", cut, ".");
  const std::string next = wiring.Describe(step->next);
  if (wiring.traits(step->next).contraction)
    return absl::StrCat("It stands alone: ", next, " follows, and a fusion is cut before each contraction.");
  if (wiring.traits(i).pool)
    return absl::StrCat("It stands alone: a fusion ends after each pool, ", next, " follows.");
  return absl::StrCat("It stands alone before ", next, ".");
}

std::string InstancesText(const Plan& plan, const Component& component) {
  if (component.nodes.size() < 2) return "";
  std::set<std::string> scopes;
  std::vector<std::string> names;
  for (NodeId id : component.nodes) {
    const Node& node = plan.nodes[static_cast<size_t>(id)];
    if (node.form != NodeForm::kModule) continue;
    const std::string& path = ModulePath(plan.program, node.scope);
    if (scopes.insert(path).second && names.size() < 4) names.push_back(path);
  }
  std::string text = absl::StrCat(" One file for ", component.nodes.size(), " occurrences");
  if (!names.empty())
    absl::StrAppend(&text, " (", absl::StrJoin(names, ", "), scopes.size() > 4 ? ", ..." : "", ")");
  return text + ".";
}

const Component& ParentOf(const Plan& plan, const Component& component) {
  const Node& first = plan.nodes[static_cast<size_t>(component.nodes[0])];
  const NodeId parent = first.parent < 0 ? 0 : first.parent;
  return plan.components[static_cast<size_t>(plan.nodes[static_cast<size_t>(parent)].component)];
}

bool IsFormula(const Plan& plan, const Node& node) {
  int formula = 0;
  for (program::CallId id : node.calls)
    formula += program::Classify(plan.program, plan.program.call(id)) != program::OpClass::kPlumbing;
  return formula > 1;
}

void LogTies(const Plan& plan, std::vector<LogEntry>* log) {
  for (const program::Value& value : plan.program.values) {
    if (value.kind != program::ValueKind::kParameter || value.paths.size() < 2) continue;
    std::set<std::string> holders;
    for (const Node& node : plan.nodes) {
      if (node.level != Level::kKernel) continue;
      if (std::find(node.held.begin(), node.held.end(), value.id) == node.held.end()) continue;
      holders.insert(plan.components[static_cast<size_t>(node.component)].stem);
    }
    log->push_back(
        {"plan", "decision", absl::StrCat("Tied weight ", value.paths[0]),
         absl::StrCat(Enumerate(value.paths), " are one parameter in the model and stay one: ",
                      Enumerate({holders.begin(), holders.end()}), " each hold it under their own name."),
         ""});
  }
}

void LogShared(const Plan& plan, std::vector<LogEntry>* log) {
  for (const Node& node : plan.nodes) {
    if (node.level == Level::kKernel) continue;
    const Component& component = plan.components[static_cast<size_t>(node.component)];
    if (component.nodes[0] != node.id) continue;
    for (program::ValueId id : node.held) {
      const program::Value& value = plan.program.value(id);
      const std::string name = value.paths.empty() ? "a constant" : absl::StrCat("buffer ", value.paths[0]);
      log->push_back({component.step_name, "decision", absl::StrCat(component.stem, " keeps ", name),
                      absl::StrCat("More than one component below ", component.stem, " reads ", name,
                                   ", or its own plumbing does: it holds the value and passes it on."),
                      ""});
    }
  }
}

}  // namespace

void ExplainKernels(const PartContext& context, Part* parent) {
  std::vector<std::string> reasons(parent->parts.size());
  {
    const Wiring wiring(context, parent->parts);
    const bool in_fusion = parent->level == Level::kFusion;
    for (size_t i = 0; i < parent->parts.size(); ++i) {
      if (parent->parts[i].kind != Part::Kind::kKernel) continue;
      const Kernel& kernel = context.kernel(parent->parts[i]);
      reasons[i] = absl::StrCat(wiring.Describe(i), " ", kernel.why, ".");
      if (in_fusion) {
        absl::StrAppend(&reasons[i], " One kernel of the fusion ", parent->operation, ".");
      } else {
        absl::StrAppend(&reasons[i], " ", Alone(wiring, i));
      }
    }
  }
  for (size_t i = 0; i < reasons.size(); ++i) {
    if (!reasons[i].empty()) parent->parts[i].reason = reasons[i];
  }
}

std::vector<LogEntry> LogDecisions(const Plan& plan) {
  std::vector<LogEntry> log;
  for (const Component& component : plan.components) {
    const Node& first = plan.nodes[static_cast<size_t>(component.nodes[0])];
    const Component& parent = ParentOf(plan, component);
    const bool in_fusion = parent.level == Level::kFusion && component.id != 0;
    if (component.level == Level::kKernel && in_fusion && !IsFormula(plan, first)) continue;
    const std::string step = component.id == 0 || parent.step_name.empty() ? "plan" : parent.step_name;
    log.push_back({step, "decision",
                   absl::StrCat("Classified ", component.stem, " as ", LevelName(component.level)),
                   absl::StrCat(first.reason, InstancesText(plan, component)), ""});
  }
  LogTies(plan, &log);
  LogShared(plan, &log);
  for (const std::string& note : plan.program.notes)
    log.push_back({"plan", "difficulty", note.substr(0, note.find(':')), note, ""});
  return log;
}

}  // namespace strata::plan
