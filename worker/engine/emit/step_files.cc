#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/emit/class_builder.h"
#include "worker/engine/emit/component_doc.h"
#include "worker/engine/emit/constants.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/emit/input_names.h"
#include "worker/engine/emit/inputs.h"
#include "worker/engine/emit/output_tree.h"
#include "worker/engine/emit/refactored_class.h"

namespace strata::emit {
namespace {

using plan::Component;
using plan::Plan;
using program::kNoId;
using program::ValueId;

absl::StatusOr<ChildClasses> ChildrenOf(const Plan& plan, const Component& parent,
                                        const Spellings& spellings) {
  ChildClasses children;
  children.names = ClassNames(plan, parent.children);
  for (const plan::ComponentId id : parent.children) {
    absl::StatusOr<std::vector<StateEntry>> state = StateOf(plan, id, SpellingOf(spellings, id));
    if (!state.ok()) return state.status();
    children.states[id] = *std::move(state);
  }
  return children;
}

std::string RefactoredText(const Plan& plan, const Component& parent, const ChildClasses& children,
                           const RefactoredClass& refactored) {
  std::vector<std::string> stems;
  for (const plan::ComponentId id : parent.children)
    stems.push_back(plan.components.at(static_cast<size_t>(id)).stem);
  Lines lines = {"\"\"\"",
                 absl::StrCat(parent.stem, " (", plan::LevelName(parent.level),
                              ") as calls of its children and plumbing between them."),
                 "", "Children:"};
  for (const std::string& stem : stems) lines.push_back("  - " + stem);
  Append(lines, {"\"\"\"", ""});
  if (refactored.packed) Append(lines, {"import base64"});
  const Lines& forward = refactored.text.forward;
  if (absl::StrContains(absl::StrJoin(forward, "\n"), "math.") ||
      absl::StrContains(absl::StrJoin(refactored.text.init, "\n"), "math.")) {
    lines.push_back("import math");
  }
  lines.push_back("import sys");
  if (refactored.packed) Append(lines, {"import zlib"});
  OutputText output;
  if (parent.id == 0) output = SpellOutput(plan.program.invocations.at(0).output);
  Append(lines, Lines(output.imports.begin(), output.imports.end()));
  Append(lines, {"from pathlib import Path", "", "import torch", "import torch.nn as nn", "",
                 "sys.path.insert(0, str(Path(__file__).resolve().parent))", ""});
  for (const plan::ComponentId id : parent.children) {
    lines.push_back(absl::StrCat("from children.", plan.components.at(static_cast<size_t>(id)).stem,
                                 " import Model as ", children.names.at(id)));
  }
  Append(lines, {"", ""});
  if (refactored.packed) {
    Append(lines, UnpackHelper());
    Append(lines, {"", ""});
  }
  Append(lines, output.classes);
  Append(lines, ClassLines(refactored.text, /*defaults=*/true, {}));
  Append(lines, {"", ""});
  const std::vector<std::string> names =
      InputNames(plan, plan.nodes.at(static_cast<size_t>(parent.nodes.at(0))));
  Append(lines, parent.id == 0 ? ModelInputFunctions(plan) : InputFunctions(plan, parent, names, {}));
  return Join(lines);
}

}  // namespace

Spelling SpellingOf(const Spellings& spellings, plan::ComponentId id) {
  const auto found = spellings.find(id);
  return found == spellings.end() ? Spelling() : found->second;
}

std::map<std::string, std::string> MatchState(const std::vector<StateEntry>& original,
                                              const std::vector<StateEntry>& refactored) {
  std::map<std::string, std::string> out;
  std::map<ValueId, size_t> taken;  // tied weights: the n-th key of one to the n-th of the other
  for (const StateEntry& entry : original) {
    std::vector<std::string> keys;
    for (const StateEntry& other : refactored) {
      if (other.value == entry.value && other.value != kNoId) keys.push_back(other.key);
    }
    if (!keys.empty()) out[entry.key] = keys[std::min(taken[entry.value]++, keys.size() - 1)];
  }
  return out;
}

absl::StatusOr<Emission> StepFiles(const Plan& plan, plan::ComponentId id, const std::string& source,
                                   const Spellings& spellings) {
  const Component& parent = plan.components.at(static_cast<size_t>(id));
  if (parent.level == plan::Level::kKernel) {
    return absl::InvalidArgumentError(
        absl::StrCat("emit: ", parent.stem, " is a kernel; kernels have no step"));
  }
  Emission out;
  const std::string folder = absl::StrCat("steps/", parent.step_name, "/");
  absl::StatusOr<std::string> original = ComponentText(plan, id, source, SpellingOf(spellings, id));
  if (!original.ok()) return original.status();
  out.files.push_back({folder + "original.py", *original});

  const absl::StatusOr<ChildClasses> children = ChildrenOf(plan, parent, spellings);
  if (!children.ok()) return children.status();
  const absl::StatusOr<RefactoredClass> refactored =
      BuildRefactored(plan, id, *children, SpellingOf(spellings, id), "RefactoredModel", false);
  if (!refactored.ok()) return refactored.status();
  out.files.push_back({folder + "refactored.py", RefactoredText(plan, parent, *children, *refactored)});

  for (const plan::ComponentId child : parent.children) {
    absl::StatusOr<std::string> text = ComponentText(plan, child, source, SpellingOf(spellings, child));
    if (!text.ok()) return text.status();
    const std::string& stem = plan.components.at(static_cast<size_t>(child)).stem;
    out.files.push_back({absl::StrCat(folder, "children/", stem, ".py"), *text});
    out.files.push_back({ComponentPath(plan, child), *std::move(text)});
  }

  const absl::StatusOr<std::vector<StateEntry>> state = StateOf(plan, id, SpellingOf(spellings, id));
  if (!state.ok()) return state.status();
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  const std::map<std::string, std::string> matched = MatchState(*state, refactored->text.state);
  for (const StateEntry& entry : *state) {
    if (const auto found = matched.find(entry.key); found != matched.end()) map[entry.key] = found->second;
  }
  out.files.push_back({folder + "weight_map.json", map.dump(2) + "\n"});
  for (const std::string& note : refactored->packed_notes) {
    out.log.push_back(
        {parent.step_name, "decision", "Embedded a constant as a packed literal",
         absl::StrCat(
             note,
             " has no formula in the source's construction and no simple pattern; its bytes stand in "
             "refactored.py, compressed."),
         ""});
  }
  return out;
}

}  // namespace strata::emit
