#pragma once
// The inline chapter of docs/kernels.md: operator patterns with one meaning, whoever wrote them.

#include <optional>
#include <string>
#include <vector>

#include "worker/engine/plan/dataflow.h"

namespace strata::plan {

struct Match {
  std::vector<program::CallId> calls;  // ascending
  std::string operation;               // "rms_norm"
  std::string why;                     // "is RMS normalisation written by hand"
};

// The entry whose anchor `call` is (its last decisive operator), or nothing. Intermediate values are read
// by the pattern alone.
std::optional<Match> MatchAt(const Dataflow& flow, program::CallId call);

// The entry that covers all of `calls` but shape operators and casts, or nothing.
std::optional<Match> MeaningOf(const Dataflow& flow, const std::vector<program::CallId>& calls);

// The names that entries can have; `REDUCTION_normalize` for unusual reductions aside.
const std::vector<std::string>& PatternNames();

namespace patterns {  // one file each
std::optional<Match> MaskedSoftmax(const Dataflow& flow, program::CallId softmax);
std::optional<Match> SoftmaxByHand(const Dataflow& flow, program::CallId division);
std::optional<Match> NormalisationByHand(const Dataflow& flow, program::CallId product);
std::optional<Match> GeluByHand(const Dataflow& flow, program::CallId tanh_or_erf);
std::optional<Match> GateByItself(const Dataflow& flow, program::CallId product);
}  // namespace patterns

}  // namespace strata::plan
