#include <cmath>

#include "worker/engine/plan/pattern_tools.h"

namespace strata::plan::patterns {

using program::Call;
using program::CallId;
using program::kNoId;
using program::ValueId;

namespace {

bool Near(double a, double b) { return std::abs(a - b) < 1e-3 * std::abs(b); }

bool IsArithmeticStep(const std::string& op) {
  return op == "add" || op == "mul" || op == "sub" || op == "div" || op == "neg" || op == "pow" ||
         op == "square";
}

// The calls between `root` and `value`; false where another tensor enters.
bool TakePolynomial(const Dataflow& flow, ValueId value, ValueId root, std::set<CallId>* calls,
                    std::set<double>* numbers) {
  if (value == root) return true;
  if (value == kNoId || flow.producer(value) == kNoId || calls->size() > 12) return false;
  const Call& call = flow.program().call(flow.producer(value));
  if (!IsArithmeticStep(NameOf(call))) return false;
  const Operands sides = OperandsOf(flow, call);
  if (sides.has_number) numbers->insert(sides.number);
  calls->insert(call.id);
  for (ValueId operand : Tensors(flow, call)) {
    if (!TakePolynomial(flow, operand, root, calls, numbers)) return false;
  }
  return true;
}

// Values from which `value` is made by arithmetic, nearest first.
std::vector<ValueId> Roots(const Dataflow& flow, ValueId value) {
  std::vector<ValueId> roots = {value};
  for (size_t i = 0; i < roots.size() && roots.size() < 16; ++i) {
    if (flow.producer(roots[i]) == kNoId) continue;
    const Call& call = flow.program().call(flow.producer(roots[i]));
    if (!IsArithmeticStep(NameOf(call))) continue;
    for (ValueId operand : Tensors(flow, call)) roots.push_back(operand);
  }
  return roots;
}

// From tanh or erf forward: 1 + t, times x, times one half, in whatever order.
bool TakeOuterHalf(const Dataflow& flow, CallId anchor, ValueId root, std::set<CallId>* calls) {
  bool one = false, half = false, by_x = false;
  ValueId at = flow.program().call(anchor).results[0];
  for (int steps = 0; steps < 4 && !(one && half && by_x); ++steps) {
    const Call* next = OnlyReader(flow, at);
    if (next == nullptr) return false;
    const std::string op = NameOf(*next);
    const Operands sides = OperandsOf(flow, *next);
    if (sides.has_number) {
      if (op == "add" && sides.number == 1)
        one = true;
      else if ((op == "mul" && sides.number == 0.5) || (op == "div" && sides.number == 2))
        half = true;
      else
        return false;
    } else {
      if (op != "mul") return false;
      const ValueId other = sides.left == at ? sides.right : sides.left;
      std::set<double> numbers;
      std::set<CallId> side;
      if (!TakePolynomial(flow, other, root, &side, &numbers) || side.size() > 1) return false;
      if (!side.empty()) {  // 0.5 * x
        if (!numbers.contains(0.5) && !numbers.contains(2)) return false;
        half = true;
      }
      calls->insert(side.begin(), side.end());
      by_x = true;
    }
    calls->insert(next->id);
    at = next->results[0];
  }
  return one && half && by_x;
}

// relu6(x + 3) or clamp((x + 3) / 6, 0, 1) with the division by six, before or after the product.
bool TakeHardGate(const Dataflow& flow, ValueId inner, ValueId x, CallId product, std::set<CallId>* calls) {
  std::set<double> numbers;
  std::set<CallId> formula;
  if (!TakePolynomial(flow, inner, x, &formula, &numbers) || !numbers.contains(3)) return false;
  calls->insert(formula.begin(), formula.end());
  for (CallId id : formula) {
    if (!ReadOnlyBy(flow, flow.program().call(id).results[0], *calls)) return false;
  }
  const Call* next = OnlyReader(flow, flow.program().call(product).results[0]);
  if (!numbers.contains(6) && next != nullptr && NameOf(*next) == "div" &&
      OperandsOf(flow, *next).number == 6)
    calls->insert(next->id);
  return true;
}

}  // namespace

std::optional<Match> GeluByHand(const Dataflow& flow, CallId anchor) {
  const Call& call = flow.program().call(anchor);
  const bool by_tanh = NameOf(call) == "tanh";
  const std::vector<ValueId> inputs = Tensors(flow, call);
  if (inputs.size() != 1) return std::nullopt;
  for (ValueId root : Roots(flow, inputs[0])) {
    std::set<CallId> calls = {anchor};
    std::set<double> numbers;
    if (!TakePolynomial(flow, inputs[0], root, &calls, &numbers)) continue;
    bool constant = !by_tanh;
    for (double number : numbers) constant = constant || Near(number, 0.044715);
    if (!constant || !TakeOuterHalf(flow, anchor, root, &calls)) continue;
    const std::string name = by_tanh ? "gelu_tanh" : "gelu";
    return Match{Sorted(calls), name, "is the formula of " + name};
  }
  return std::nullopt;
}

// x * f(x)
std::optional<Match> GateByItself(const Dataflow& flow, CallId product) {
  const Operands sides = OperandsOf(flow, flow.program().call(product));
  if (sides.left == kNoId || sides.right == kNoId || sides.left == sides.right) return std::nullopt;
  for (const auto& [x, gate] : {std::pair(sides.left, sides.right), std::pair(sides.right, sides.left)}) {
    std::set<CallId> calls = {product};
    const Call* outer = MadeBy(flow, gate, {"sigmoid", "tanh", "relu6", "hardtanh", "clamp", "gt"});
    if (outer == nullptr || !ReadOnlyBy(flow, gate, calls)) continue;
    calls.insert(outer->id);
    const std::string op = NameOf(*outer);
    const std::vector<ValueId> inputs = Tensors(flow, *outer);
    if (inputs.empty()) continue;
    const Call* inner = MadeBy(flow, inputs[0], {"mul", "softplus", "add"});
    const bool own_inner = inner != nullptr && ReadOnlyBy(flow, inputs[0], calls) &&
                           Tensors(flow, *inner) == std::vector<ValueId>{x};
    std::string name;
    if (op == "sigmoid" && inputs[0] == x) {
      name = "swish";
    } else if (op == "sigmoid" && own_inner && NameOf(*inner) == "mul") {
      name = "quick_gelu";
    } else if (op == "tanh" && own_inner && NameOf(*inner) == "softplus") {
      name = "mish";
    } else if (op == "relu6" || op == "hardtanh" || op == "clamp") {
      if (!TakeHardGate(flow, inputs[0], x, product, &calls)) continue;
      return Match{Sorted(calls), "hardswish", "multiplies a value by a hard sigmoid of itself: hardswish"};
    } else if (op == "gt" && inputs[0] == x && OperandsOf(flow, *outer).number == 0) {
      name = "relu";
    } else {
      continue;
    }
    if (inputs[0] != x) calls.insert(inner->id);
    return Match{Sorted(calls), name, "multiplies a value by a function of itself: " + name};
  }
  return std::nullopt;
}

}  // namespace strata::plan::patterns
