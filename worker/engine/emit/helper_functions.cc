#include "worker/engine/emit/helper_functions.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "worker/engine/emit/flow.h"
#include "worker/engine/emit/forward_writer.h"
#include "worker/engine/emit/input_names.h"

namespace strata::emit {
namespace {

using program::Call;
using program::CallId;
using program::Frame;
using program::ValueId;

bool IsOrdinary(const std::string& function) {
  return IsIdentifier(function) && !absl::StartsWith(function, "__") && function != "forward";
}

}  // namespace

size_t SharedFrames(const program::Program& program, const std::vector<CallId>& calls) {
  std::vector<const Frame*> shared;
  bool first = true;
  for (const CallId c : calls) {
    const std::vector<const Frame*> frames = OwnFrames(program.call(c));
    if (first) shared = frames;
    first = false;
    const auto same = [](const Frame* a, const Frame* b) { return a->serial == b->serial; };
    shared.erase(std::mismatch(shared.begin(), shared.end(), frames.begin(), frames.end(), same).first,
                 shared.end());
  }
  return shared.size();
}

std::optional<HelperRun> FindHelperRun(const program::Program& program, const std::vector<CallId>& calls,
                                       size_t begin, size_t depth) {
  const auto frame_of = [&](size_t i) -> const Frame* {
    const std::vector<const Frame*> frames = OwnFrames(program.call(calls[i]));
    return depth < frames.size() ? frames[depth] : nullptr;
  };
  const Frame* frame = frame_of(begin);
  if (depth == 0 || frame == nullptr || !IsOrdinary(frame->function)) return std::nullopt;
  size_t end = begin;
  for (; end < calls.size(); ++end) {
    const Call& call = program.call(calls[end]);
    const Frame* other = frame_of(end);
    if (other == nullptr || other->serial != frame->serial || call.scope != program.call(calls[begin]).scope)
      break;
    if (!call.mutated.empty() || (call.marks & (program::kRandom | program::kDataDependent)) != 0)
      return std::nullopt;
  }
  if (end - begin < 2) return std::nullopt;
  return HelperRun{frame->function, end};
}

std::optional<Apply> ApplyHelper(const Slice& slice, const std::vector<CallId>& calls,
                                 const std::string& function_name,
                                 const std::vector<std::pair<std::string, ValueId>>& known,
                                 std::vector<Helper>& helpers) {
  const program::Program& program = slice.program();
  const auto hides = [&](const auto& parameter) { return parameter.first == function_name; };
  if (std::any_of(known.begin(), known.end(), hides)) return std::nullopt;
  Function function;
  function.is_method = false;
  function.name = function_name;
  function.twins = slice.twins();
  function.returns = slice.Outputs(calls);
  if (function.returns.empty()) return std::nullopt;
  NameScope names;
  for (const char* word : {"torch", "nn", "F", "math"}) names.Reserve(word);
  Apply apply;
  for (const ValueId id : slice.FreeValues(calls, [](ValueId) { return false; })) {
    std::string name;
    for (const auto& [parameter, value] : known) {
      if (value == id) name = parameter;
    }
    // The first operand has as many names as the function has callers.
    const bool first = apply.inputs.empty();
    if (name.empty() && !first) name = SourceName(program, id);
    if (!IsIdentifier(name)) name = first ? "x" : "y";
    function.parameters.emplace_back(names.Unique(name), id);
    apply.inputs.push_back(id);
  }
  if (apply.inputs.empty()) return std::nullopt;
  for (const CallId c : calls) {
    Step step;
    step.call = c;
    function.steps.push_back(step);
  }
  const absl::StatusOr<Lines> lines = WriteForward(program, function, ForwardOptions());
  if (!lines.ok()) return std::nullopt;
  const auto same = [&](const Helper& helper) {
    return helper.name == function_name && helper.lines == *lines;
  };
  const bool name_taken =
      std::any_of(helpers.begin(), helpers.end(), [&](const Helper& h) { return h.name == function_name; });
  if (std::none_of(helpers.begin(), helpers.end(), same)) {
    if (name_taken) return std::nullopt;  // the same function did something else here: its calls stand inline
    helpers.push_back({function_name, *lines});
  }
  apply.callee = function_name;
  apply.outputs = function.returns;
  apply.place = calls.back();
  return apply;
}

}  // namespace strata::emit
