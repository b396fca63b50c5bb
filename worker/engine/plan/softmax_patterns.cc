#include "worker/engine/plan/pattern_tools.h"

namespace strata::plan::patterns {

using program::Call;
using program::CallId;
using program::kNoId;
using program::ValueId;

namespace {

// Minus infinity, or a number so low that softmax makes it zero.
constexpr double kMasked = -1e4;

ValueId ValueOf(const Call& call, const char* name) {
  const program::Argument* argument = FindArgument(call, name);
  return argument && argument->kind == program::Argument::Kind::kValue ? argument->value : kNoId;
}

// The mask of `scores.masked_fill(mask, -inf)` or `where(mask, scores, -inf)`; kNoId where `call` is neither.
ValueId MaskOf(const Dataflow& flow, const Call& call) {
  double number = 0;
  const std::string op = NameOf(call);
  if (op == "masked_fill") {
    if (!NumberOf(flow.program(), FindArgument(call, "value"), &number) || number > kMasked) return kNoId;
    return ValueOf(call, "mask");
  }
  if (op == "where") {
    const bool low = (NumberOf(flow.program(), FindArgument(call, "other"), &number) && number <= kMasked) ||
                     (NumberOf(flow.program(), FindArgument(call, "self"), &number) && number <= kMasked);
    return low ? ValueOf(call, "condition") : kNoId;
  }
  return kNoId;
}

// Comparisons that make the mask for this softmax alone, and the shape operators on the way.
void TakeMaskFormula(const Dataflow& flow, ValueId mask, program::InvocationId scope,
                     std::set<CallId>* calls) {
  if (mask == kNoId || flow.producer(mask) == kNoId) return;
  const Call& call = flow.program().call(flow.producer(mask));
  if (call.scope != scope || !ReadOnlyBy(flow, mask, *calls)) return;
  std::set<CallId> grown = *calls;
  const bool plumbing = program::Classify(flow.program(), call) == program::OpClass::kPlumbing;
  if (!IsComparison(NameOf(call)) && !plumbing) return;
  grown.insert(call.id);
  for (ValueId operand : Tensors(flow, call)) TakeMaskFormula(flow, operand, scope, &grown);
  // Shape operators alone stay in the parent unless what they shape comes along, or is a constant.
  const bool brings = grown.size() > calls->size() + 1 || !plumbing || flow.independent_of_input(call.id);
  if (brings) *calls = grown;
}

}  // namespace

std::optional<Match> MaskedSoftmax(const Dataflow& flow, CallId softmax) {
  std::set<CallId> calls = {softmax};
  ValueId input = ValueOf(flow.program().call(softmax), "self");
  if (input == kNoId) input = ValueOf(flow.program().call(softmax), "input");
  std::set<CallId> casts;
  const ValueId scores = SkipCasts(flow, input, &casts);
  const Call* fill = MadeBy(flow, scores, {"masked_fill", "where"});
  if (fill == nullptr) return std::nullopt;
  const ValueId mask = MaskOf(flow, *fill);
  if (mask == kNoId) return std::nullopt;
  calls.insert(casts.begin(), casts.end());
  for (CallId call : casts) {
    for (ValueId value : Tensors(flow, flow.program().call(call))) {
      if (value != scores && !ReadOnlyBy(flow, value, calls)) return std::nullopt;
    }
  }
  if (!ReadOnlyBy(flow, scores, calls)) return std::nullopt;
  calls.insert(fill->id);
  TakeMaskFormula(flow, mask, fill->scope, &calls);
  const bool log = NameOf(flow.program().call(softmax)).find("log") != std::string::npos;
  return Match{Sorted(calls), log ? "masked_log_softmax" : "masked_softmax",
               "fills the masked scores with -inf, which means something to its softmax alone"};
}

std::optional<Match> SoftmaxByHand(const Dataflow& flow, CallId division) {
  const Operands sides = OperandsOf(flow, flow.program().call(division));
  const Call* exp = MadeBy(flow, sides.left, {"exp"});
  if (exp == nullptr || sides.right == kNoId) return std::nullopt;
  std::set<CallId> calls = {division, exp->id};
  const Call* sum = MadeBy(flow, sides.right, {"sum", "add"});
  if (sum != nullptr && NameOf(*sum) == "add") {  // exp / (sum + eps)
    calls.insert(sum->id);
    sum = MadeBy(flow, OperandsOf(flow, *sum).left, {"sum"});
  }
  if (sum == nullptr || ValueOf(*sum, "self") != sides.left) return std::nullopt;
  calls.insert(sum->id);
  if (!ReadOnlyBy(flow, sides.left, calls) || !ReadOnlyBy(flow, sum->results[0], calls)) return std::nullopt;
  const Call* shift = MadeBy(flow, ValueOf(*exp, "self"), {"sub"});
  if (shift != nullptr && ReadOnlyBy(flow, shift->results[0], calls)) {
    const Operands shifted = OperandsOf(flow, *shift);
    std::set<CallId> casts;
    const Call* max = MadeBy(flow, SkipCasts(flow, shifted.right, &casts), {"max", "amax"});
    if (max != nullptr && ValueOf(*max, "self") == shifted.left) {
      calls.insert({shift->id, max->id});
      calls.insert(casts.begin(), casts.end());
    }
  }
  return Match{Sorted(calls), "softmax", "is a softmax written by hand"};
}

}  // namespace strata::plan::patterns
