#include "worker/engine/emit/self_test.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace strata::emit {
namespace {

using program::Tree;

bool MakesInfinities(const plan::Plan& plan, const plan::Component& component) {
  return std::any_of(component.nodes.begin(), component.nodes.end(), [&](plan::NodeId n) {
    const plan::Node& node = plan.nodes.at(static_cast<size_t>(n));
    return std::any_of(node.outputs.begin(), node.outputs.end(), [&](program::ValueId id) {
      const program::Domain& domain = plan.program.value(id).domain;
      return domain.has_neg_inf || domain.has_pos_inf;
    });
  });
}

// The submitted model may return more than tensors in a tuple.
bool HasPlainOutput(const plan::Plan& plan) {
  const Tree& output = plan.program.invocations.at(0).output;
  if (output.kind == Tree::Kind::kTensor) return true;
  return (output.kind == Tree::Kind::kTuple || output.kind == Tree::Kind::kList) &&
         std::all_of(output.items.begin(), output.items.end(),
                     [](const Tree& t) { return t.kind == Tree::Kind::kTensor; });
}

Lines Flatten() {
  return {"def _tensors(output):",
          "    \"\"\"The tensors of nested containers, in order.\"\"\"",
          "    if isinstance(output, torch.Tensor):",
          "        return [output]",
          "    if isinstance(output, (tuple, list)):",
          "        return [t for item in output for t in _tensors(item)]",
          "    if hasattr(output, \"values\"):",
          "        return [t for item in output.values() for t in _tensors(item)]",
          "    if hasattr(output, \"__dict__\"):",
          "        return [t for item in vars(output).values() for t in _tensors(item)]",
          "    return []",
          "",
          ""};
}

}  // namespace

Lines SelfTest(const plan::Plan& plan, const plan::Component& component) {
  const bool model = component.id == 0;
  const bool plain = !model || HasPlainOutput(plan);
  const bool keywords = model && !plan.program.invocations.at(0).kwargs.empty();
  const bool several = component.workloads.size() > 1;
  const std::string call = several ? "workload" : "";
  Lines inner;
  inner.push_back(absl::StrCat("inputs = get_inputs(", call, ")"));
  inner.push_back(keywords ? "output = model(*inputs, **get_input_kwargs())" : "output = model(*inputs)");
  if (plain) {
    inner.push_back("outputs = [output] if isinstance(output, torch.Tensor) else list(output)");
  } else {
    inner.push_back("outputs = _tensors(output)");
  }
  inner.push_back(absl::StrCat("expected_shapes = get_expected_output_shape(", call, ")"));
  inner.push_back(
      "assert len(outputs) == len(expected_shapes), f\"{len(outputs)} outputs, expected "
      "{len(expected_shapes)}\"");
  inner.push_back("for i, (actual, expected) in enumerate(zip(outputs, expected_shapes)):");
  inner.push_back("    assert not torch.isnan(actual).any(), f\"Output {i} contains NaN\"");
  if (!model && MakesInfinities(plan, component)) {
    inner.push_back("    # No test for Inf: the original has the same infinities here (a mask).");
  } else {
    inner.push_back("    assert not torch.isinf(actual).any(), f\"Output {i} contains Inf\"");
  }
  inner.push_back(
      "    assert tuple(actual.shape) == expected, f\"Output {i}: {tuple(actual.shape)}, expected "
      "{expected}\"");
  inner.push_back(
      "print(f\"Input shape(s): {[tuple(x.shape) for x in inputs if isinstance(x, torch.Tensor)]}\")");
  inner.push_back("print(f\"Output shape(s): {[tuple(x.shape) for x in outputs]}\")");

  Lines lines;
  if (!plain) Append(lines, Flatten());
  Append(lines, {"def run_tests():", "    \"\"\"Verify this component executes correctly.\"\"\"",
                 "    try:", "        model = Model(*get_init_inputs())", "        model.eval()",
                 "        with torch.no_grad():"});
  if (several) {
    lines.push_back("            for workload in range(len(WORKLOADS)):");
    Append(lines, Indented(inner, 4));
  } else {
    Append(lines, Indented(inner, 3));
  }
  Append(lines, {"        print(\"PASS\")", "        return True",
                 "    except Exception as e:", "        print(f\"FAIL: {e}\")", "        import traceback",
                 "", "        traceback.print_exc()", "        return False"});
  return lines;
}

}  // namespace strata::emit
