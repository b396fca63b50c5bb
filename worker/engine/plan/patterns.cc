#include "worker/engine/plan/patterns.h"

#include <algorithm>
#include <set>

#include "worker/engine/plan/pattern_tools.h"

namespace strata::plan {

using program::CallId;

const std::vector<std::string>& PatternNames() {
  static const auto* const kNames = new std::vector<std::string>{"masked_softmax", "masked_log_softmax",
                                                                 "softmax",        "rms_norm",
                                                                 "layer_norm",     "normalize",
                                                                 "l1_normalize",   "gelu_tanh",
                                                                 "gelu",           "swish",
                                                                 "quick_gelu",     "mish",
                                                                 "hardswish",      "relu"};
  return *kNames;
}

namespace {

// One call hands the result out; nobody outside reads what the others make.
bool IsClosed(const Dataflow& flow, const Match& match) {
  const std::set<CallId> calls(match.calls.begin(), match.calls.end());
  int open = 0;
  for (CallId id : calls) {
    const std::vector<program::ValueId> made = flow.makes(id);
    open += std::any_of(made.begin(), made.end(), [&](program::ValueId value) {
      return !flow.readers(value).empty() && !patterns::ReadOnlyBy(flow, value, calls);
    });
  }
  return open <= 1;
}

std::optional<Match> AnyMatchAt(const Dataflow& flow, CallId id) {
  const std::string op = NameOf(flow.program().call(id));
  if (IsSoftmax(op)) return patterns::MaskedSoftmax(flow, id);
  if (op == "tanh" || op == "erf") return patterns::GeluByHand(flow, id);
  if (op == "div") {
    if (auto match = patterns::SoftmaxByHand(flow, id)) return match;
    return patterns::NormalisationByHand(flow, id);
  }
  if (op == "mul") {
    if (auto match = patterns::GateByItself(flow, id)) return match;
    return patterns::NormalisationByHand(flow, id);
  }
  return std::nullopt;
}

}  // namespace

std::optional<Match> MatchAt(const Dataflow& flow, CallId id) {
  std::optional<Match> match = AnyMatchAt(flow, id);
  return match && IsClosed(flow, *match) ? match : std::nullopt;
}

std::optional<Match> MeaningOf(const Dataflow& flow, const std::vector<CallId>& calls) {
  const program::Program& program = flow.program();
  for (CallId anchor : calls) {
    std::optional<Match> match = MatchAt(flow, anchor);
    if (!match) continue;
    const bool inside = std::includes(calls.begin(), calls.end(), match->calls.begin(), match->calls.end());
    const bool covers = std::all_of(calls.begin(), calls.end(), [&](CallId id) {
      return std::binary_search(match->calls.begin(), match->calls.end(), id) ||
             program::Classify(program, program.call(id)) == program::OpClass::kPlumbing;
    });
    if (inside && covers) return match;
  }
  return std::nullopt;
}

}  // namespace strata::plan
