#include <algorithm>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/emit/composition_script.h"
#include "worker/engine/emit/constants.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/emit/forward_writer.h"
#include "worker/engine/emit/output_tree.h"
#include "worker/engine/emit/refactored_class.h"

namespace strata::emit {
namespace {

using plan::Component;
using plan::Plan;

struct Composition {
  std::vector<plan::ComponentId> kernels;  // in order of first use
  std::vector<ClassText> classes;          // blocks before those that use them; the model last
  ChildClasses all;
  bool packed = false;
};

// Every component as a class: kernels imported, all others composed of them.
class Composer {
 public:
  Composer(const Plan& plan, const Spellings& spellings) : plan_(plan), spellings_(spellings) {}

  absl::StatusOr<Composition> Run() {
    std::vector<plan::ComponentId> ids;
    for (const Component& component : plan_.components) ids.push_back(component.id);
    out_.all.names = ClassNames(plan_, ids);
    out_.all.names[0] = "ComposedModel";
    if (plan_.components.at(0).level == plan::Level::kKernel) {
      const absl::Status added = AddLoneKernel();
      if (!added.ok()) return added;
      return std::move(out_);
    }
    const absl::Status added = Add(0);
    if (!added.ok()) return added;
    return std::move(out_);
  }

 private:
  absl::Status Add(plan::ComponentId id) {
    if (!done_.insert(id).second) return absl::OkStatus();
    const Component& component = plan_.components.at(static_cast<size_t>(id));
    if (component.level == plan::Level::kKernel) {
      absl::StatusOr<std::vector<StateEntry>> state = StateOf(plan_, id, SpellingOf(spellings_, id));
      if (!state.ok()) return state.status();
      out_.all.states[id] = *std::move(state);
      out_.kernels.push_back(id);
      return absl::OkStatus();
    }
    for (const plan::ComponentId child : component.children) {
      const absl::Status added = Add(child);
      if (!added.ok()) return added;
    }
    absl::StatusOr<RefactoredClass> made =
        BuildRefactored(plan_, id, out_.all, SpellingOf(spellings_, id), out_.all.names.at(id), id == 0);
    if (!made.ok()) return made.status();
    out_.all.states[id] = made->text.state;
    out_.packed |= made->packed;
    out_.classes.push_back(std::move(made->text));
    return absl::OkStatus();
  }

  // A model that is one kernel: the submission against the kernel as it is spelled.
  absl::Status AddLoneKernel() {
    absl::StatusOr<ComponentClasses> kernel =
        BuildClasses(plan_, plan_.nodes.at(0), SpellingOf(spellings_, 0));
    if (!kernel.ok()) return kernel.status();
    out_.kernels.push_back(0);
    out_.all.names[0] = "Kernel";
    ClassText text;
    text.name = "ComposedModel";
    text.init = {"self.kernel = Kernel()"};
    Function function;
    DescribeModelInterface(plan_.program, function);
    Step step;
    step.apply.emplace();
    step.apply->callee = "self.kernel";
    step.apply->inputs = plan_.nodes.at(0).inputs;
    step.apply->outputs = plan_.nodes.at(0).outputs;
    function.steps.push_back(std::move(step));
    ForwardOptions options;
    options.shape_comments = false;
    absl::StatusOr<Lines> forward = WriteForward(plan_.program, function, options);
    if (!forward.ok()) return forward.status();
    text.forward = *std::move(forward);
    for (const StateEntry& entry : kernel->model.state)
      text.state.push_back({"kernel." + entry.key, entry.value});
    out_.classes.push_back(std::move(text));
    return absl::OkStatus();
  }

  const Plan& plan_;
  const Spellings& spellings_;
  Composition out_;
  std::set<plan::ComponentId> done_;
};

// state_dict keys of the submission itself, whatever its level.
std::vector<StateEntry> SubmissionState(const Plan& plan) {
  std::vector<StateEntry> out;
  for (const program::Value& value : plan.program.values) {
    const bool in_state = value.kind == program::ValueKind::kParameter ||
                          (value.kind == program::ValueKind::kBuffer && value.persistent);
    if (!in_state) continue;
    for (const std::string& path : value.paths) out.push_back({path, value.id});
  }
  return out;
}

}  // namespace

std::map<std::string, std::string> CompositionWeightMap(const Plan& plan, const Spellings& spellings) {
  const absl::StatusOr<Composition> composition = Composer(plan, spellings).Run();
  if (!composition.ok()) return {};
  return MatchState(SubmissionState(plan), composition->classes.back().state);
}

absl::StatusOr<std::string> CompositionText(const Plan& plan, const Spellings& spellings) {
  const absl::StatusOr<Composition> composition = Composer(plan, spellings).Run();
  if (!composition.ok()) return composition.status();
  const Component& model = plan.components.at(0);
  const bool lone = model.level == plan::Level::kKernel;
  // A model that is one kernel is compared with the submission, which lies in source/.
  std::string module = model.stem;
  if (lone) module = plan.program.source_file.substr(0, plan.program.source_file.rfind('.'));

  bool math = false;
  for (const ClassText& text : composition->classes) {
    math = math || absl::StrContains(absl::StrJoin(text.forward, "\n"), "math.") ||
           absl::StrContains(absl::StrJoin(text.init, "\n"), "math.");
  }
  const OutputText output = SpellOutput(plan.program.invocations.at(0).output);
  Lines lines = CompositionHeader(model.stem, lone ? "source" : plan::LevelFolder(model.level), module,
                                  composition->packed, math, output.imports);
  for (const plan::ComponentId id : composition->kernels) {
    lines.push_back(absl::StrCat("from ", plan.components.at(static_cast<size_t>(id)).stem,
                                 " import Model as ", composition->all.names.at(id)));
  }
  Append(lines, {"", ""});
  if (composition->packed) {
    Append(lines, UnpackHelper());
    Append(lines, {"", ""});
  }
  Append(lines, output.classes);
  for (const ClassText& text : composition->classes) {
    Append(lines, ClassLines(text, /*defaults=*/true, {}));
    Append(lines, {"", ""});
  }
  lines.push_back("# state_dict key of the submitted model -> key of ComposedModel.");
  lines.push_back("WEIGHT_MAP = {");
  const std::map<std::string, std::string> matched =
      MatchState(SubmissionState(plan), composition->classes.back().state);
  for (const StateEntry& entry : SubmissionState(plan)) {
    const auto found = matched.find(entry.key);
    if (found == matched.end()) continue;
    lines.push_back(absl::StrCat("    ", PythonString(entry.key), ": ", PythonString(found->second), ","));
  }
  lines.push_back("}");
  Append(lines, {"", ""});
  Append(lines, CompositionMain());
  return Join(lines);
}

}  // namespace strata::emit
