#include <algorithm>
#include <map>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/emit/class_builder.h"
#include "worker/engine/emit/component_doc.h"
#include "worker/engine/emit/constants.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/emit/inputs.h"
#include "worker/engine/emit/output_tree.h"
#include "worker/engine/emit/self_test.h"

namespace strata::emit {
namespace {

using plan::Component;
using plan::Node;
using plan::Plan;

bool Uses(const Lines& lines, const std::string& text) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return absl::StrContains(line, text); });
}

absl::StatusOr<std::string> WrittenText(const Plan& plan, const Component& component,
                                        const Spelling& spelling) {
  const Node& node = plan.nodes.at(static_cast<size_t>(component.nodes.at(0)));
  absl::StatusOr<ComponentClasses> classes = BuildClasses(plan, node, spelling);
  if (!classes.ok()) return classes.status();

  Lines body;
  if (classes->packed) {
    Append(body, UnpackHelper());
    Append(body, {"", ""});
  }
  for (const Lines& helper : classes->helpers) {
    Append(body, helper);
    Append(body, {"", ""});
  }
  for (const ClassText& nested : classes->nested) {
    Append(body, ClassLines(nested, /*defaults=*/false, {}));
    Append(body, {"", ""});
  }
  Append(body, ClassLines(classes->model, /*defaults=*/true, ClassDocstring(plan, component)));
  std::vector<std::string> init_values;
  for (const Dimension& d : classes->model.dimensions) init_values.push_back(d.value);
  Append(body, {"", ""});
  Append(body, InputFunctions(plan, component, classes->inputs, init_values));
  Append(body, {"", ""});
  Append(body, SelfTest(plan, component));
  Append(body, {"", "", "if __name__ == \"__main__\":", "    import sys", "",
                "    sys.exit(0 if run_tests() else 1)"});

  Lines lines = FileDocstring(plan, component, classes->inputs, classes->model.state);
  lines.push_back("");
  Lines imports;
  if (classes->packed) imports.push_back("import base64");
  if (Uses(body, "math.")) imports.push_back("import math");
  if (classes->packed) imports.push_back("import zlib");
  if (!imports.empty()) imports.push_back("");
  Append(lines, imports);
  lines.push_back("import torch");
  lines.push_back("import torch.nn as nn");
  if (Uses(body, "F.")) lines.push_back("import torch.nn.functional as F");
  Append(lines, {"", ""});
  Append(lines, body);
  return Join(lines);
}

// Whether the source defines a function or has a __main__ block, at the start of a line.
bool Defines(const std::string& source, const std::string& what) {
  return absl::StartsWith(source, what) || absl::StrContains(source, "\n" + what);
}

std::string ModelText(const Plan& plan, const Component& component, const std::string& source) {
  Lines lines;
  Append(lines, ModelNote(plan, component));
  Append(lines, {"import torch", ""});
  if (!Defines(source, "def get_init_inputs(")) {
    Append(lines, {"", "def get_init_inputs():", "    return []", ""});
  }
  if (!Defines(source, "def get_expected_output_shape(")) {
    std::vector<std::string> shapes;
    for (const program::ValueId id : SpellOutput(plan.program.invocations.at(0).output).values) {
      shapes.push_back(PythonTuple(plan.program.value(id).type.sizes));
    }
    Append(lines, {"", "def get_expected_output_shape():",
                   absl::StrCat("    return [", absl::StrJoin(shapes, ", "), "]"), ""});
  }
  if (!Defines(source, "def run_tests(")) {
    lines.push_back("");
    Append(lines, SelfTest(plan, component));
    lines.push_back("");
  }
  if (!Defines(source, "if __name__")) {
    Append(lines, {"", "if __name__ == \"__main__\":", "    import sys", "",
                   "    sys.exit(0 if run_tests() else 1)"});
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  const std::string gap = !source.empty() && source.back() == '\n' ? "" : "\n";
  return absl::StrCat(source, gap, "\n\n# ---- component self-test ----\n", Join(lines));
}

}  // namespace

std::string ComponentPath(const Plan& plan, plan::ComponentId id) {
  const Component& component = plan.components.at(static_cast<size_t>(id));
  return absl::StrCat(plan::LevelFolder(component.level), "/", component.stem, ".py");
}

absl::StatusOr<std::string> ComponentText(const Plan& plan, plan::ComponentId id, const std::string& source,
                                          const Spelling& spelling) {
  const Component& component = plan.components.at(static_cast<size_t>(id));
  if (component.nodes.empty() || component.workloads.empty()) {
    return absl::InternalError(
        absl::StrCat("emit: component ", component.stem, " has no node or no workload"));
  }
  // A model that is one kernel is spelled and named like every kernel; source/ keeps the submission.
  if (id == 0 && component.level != plan::Level::kKernel) return ModelText(plan, component, source);
  return WrittenText(plan, component, spelling);
}

}  // namespace strata::emit
