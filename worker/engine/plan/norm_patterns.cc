#include "worker/engine/plan/pattern_tools.h"

namespace strata::plan::patterns {

using program::Call;
using program::CallId;
using program::kNoId;
using program::ValueId;

namespace {

ValueId Self(const Call& call) {
  const program::Argument* argument = FindArgument(call, "self");
  if (argument == nullptr) argument = FindArgument(call, "input");
  return argument && argument->kind == program::Argument::Kind::kValue ? argument->value : kNoId;
}

// What the divisor of a normalisation is made of.
struct Scale {
  std::set<CallId> calls;
  ValueId base = kNoId;   // what is measured
  std::string reduction;  // "mean", "norm", ...
  bool squared = false, absolute = false, root = false, inverted = false;
};

// Divisor <- [sqrt, rsqrt, + eps, clamp, expand ...] <- reduction <- [square, abs] <- base.
std::optional<Scale> ScaleOf(const Dataflow& flow, ValueId value) {
  Scale scale;
  const Call* at = nullptr;
  for (int steps = 0; steps < 8; ++steps) {
    if (value == kNoId || flow.producer(value) == kNoId) return std::nullopt;
    at = &flow.program().call(flow.producer(value));
    const std::string op = NameOf(*at);
    if (IsReduction(op)) break;
    double number = 0;
    const Operands sides = OperandsOf(flow, *at);
    const bool shapes =
        op == "expand" || op == "expand_as" || op == "unsqueeze" || op == "view" || op == "to";
    const bool steady = (op == "add" && sides.has_number) || op == "clamp" || op == "clamp_min";
    if (op == "sqrt") {
      scale.root = true;
    } else if (op == "rsqrt") {
      scale.root = scale.inverted = true;
    } else if (op == "reciprocal") {
      scale.inverted = !scale.inverted;
    } else if (op == "pow" && NumberOf(flow.program(), FindArgument(*at, "exponent"), &number) &&
               (number == 0.5 || number == -0.5)) {
      scale.root = true;
      scale.inverted = number < 0;
    } else if (!shapes && !steady) {
      return std::nullopt;
    }
    scale.calls.insert(at->id);
    value = Self(*at) != kNoId ? Self(*at) : sides.right;
  }
  if (at == nullptr || !IsReduction(NameOf(*at)) || at->results.size() != 1) return std::nullopt;
  scale.reduction = NameOf(*at);
  scale.calls.insert(at->id);
  scale.base = Self(*at);
  if (const Call* inner = MadeBy(flow, scale.base, {"pow", "square", "mul", "abs"})) {
    double exponent = 0;
    const Operands sides = OperandsOf(flow, *inner);
    const std::string op = NameOf(*inner);
    scale.absolute = op == "abs";
    scale.squared = op == "square" || (op == "mul" && sides.left == sides.right) ||
                    (op == "pow" && NumberOf(flow.program(), FindArgument(*inner, "exponent"), &exponent) &&
                     exponent == 2);
    if (scale.absolute || scale.squared) {
      scale.calls.insert(inner->id);
      scale.base = Self(*inner);
    }
  }
  return scale;
}

// sub(x, mean(x)): x, and the two calls into `calls`; kNoId where it is none.
ValueId Centred(const Dataflow& flow, ValueId value, std::set<CallId>* calls) {
  const Call* sub = MadeBy(flow, value, {"sub"});
  if (sub == nullptr) return kNoId;
  const Operands sides = OperandsOf(flow, *sub);
  const Call* mean = MadeBy(flow, sides.right, {"mean"});
  if (mean == nullptr || Self(*mean) != sides.left) return kNoId;
  calls->insert({sub->id, mean->id});
  return sides.left;
}

// The multiplication by a weight and the addition of a bias that may follow, with casts between.
void TakeAffine(const Dataflow& flow, CallId last, std::set<CallId>* calls) {
  const program::Program& program = flow.program();
  bool scaled = false;
  for (int steps = 0; steps < 4; ++steps) {
    const Call* next = OnlyReader(flow, program.call(last).results[0]);
    if (next == nullptr || next->scope != program.call(last).scope) return;
    const std::string op = NameOf(*next);
    std::set<CallId> cast;
    if (op == "to" || op == "_to_copy" || op == "type_as") {
      const Call* after = next->results.empty() ? nullptr : OnlyReader(flow, next->results[0]);
      if (after == nullptr || NameOf(*after) != "mul") return;
      cast.insert(next->id);
      next = after;
    }
    const Operands sides = OperandsOf(flow, *next);
    if (sides.left == kNoId || sides.right == kNoId) return;
    const bool weighs = IsWeight(flow, sides.left) || IsWeight(flow, sides.right);
    const std::string name = NameOf(*next);
    if (!weighs || !((name == "mul" && !scaled) || name == "add")) return;
    scaled = true;
    calls->insert(cast.begin(), cast.end());
    calls->insert(next->id);
    last = next->id;
    if (name == "add") return;
  }
}

std::string NormName(const Scale& scale, bool centred) {
  if (centred) return "layer_norm";
  if (scale.reduction == "mean" && scale.squared) return "rms_norm";
  if (scale.absolute) return "l1_normalize";
  if (scale.reduction == "norm" || scale.reduction == "linalg_vector_norm") return "normalize";
  if (scale.squared && scale.root) return "normalize";
  return scale.reduction + "_normalize";
}

}  // namespace

std::optional<Match> NormalisationByHand(const Dataflow& flow, CallId id) {
  const program::Program& program = flow.program();
  const Call& product = program.call(id);
  const bool multiplies = NameOf(product) == "mul";
  const Operands sides = OperandsOf(flow, product);
  if (sides.left == kNoId || sides.right == kNoId || sides.left == sides.right) return std::nullopt;
  for (const auto& [numerator, divisor] :
       {std::pair(sides.left, sides.right), std::pair(sides.right, sides.left)}) {
    if (!multiplies && divisor != sides.right) continue;
    std::optional<Scale> scale = ScaleOf(flow, divisor);
    if (!scale || scale->inverted != multiplies) continue;
    std::set<CallId> calls = scale->calls;
    calls.insert(id);
    std::set<CallId> centre, casts;
    const ValueId uncentred = Centred(flow, numerator, &centre);
    const ValueId base = SkipCasts(flow, scale->base, &casts);
    std::set<CallId> own_casts;
    const bool same = scale->base == numerator || base == numerator ||
                      SkipCasts(flow, numerator, &own_casts) == scale->base;
    if (!same && scale->base != uncentred) continue;
    if (uncentred != kNoId) calls.insert(centre.begin(), centre.end());
    // Nothing between may be read from outside.
    bool closed = true;
    for (CallId call : calls) {
      if (call != id) closed = closed && ReadOnlyBy(flow, program.call(call).results[0], calls);
      closed = closed && program.call(call).scope == product.scope;
    }
    if (!closed) continue;
    TakeAffine(flow, id, &calls);
    const std::string name = NormName(*scale, uncentred != kNoId);
    return Match{Sorted(calls), name, "is " + name + " written by hand"};
  }
  return std::nullopt;
}

}  // namespace strata::plan::patterns
