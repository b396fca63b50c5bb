#include "worker/engine/plan/patterns.h"

#include <algorithm>

#include "worker/engine/plan/pattern_tools.h"

namespace strata::plan {

using program::CallId;

std::optional<Match> MatchAt(const Dataflow& flow, CallId id) {
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
