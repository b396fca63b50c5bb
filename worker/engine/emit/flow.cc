#include "worker/engine/emit/flow.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "worker/engine/emit/loops.h"
#include "worker/engine/emit/python_text.h"

namespace strata::emit {
namespace {

using program::Call;
using program::CallId;
using program::Frame;
using program::ValueId;

// The call whose frames say where the step stands in the source.
CallId PlaceCall(const Step& step) { return step.apply ? step.apply->place : step.call; }

// How many leading frames all calls share: the function being written is the last of them.
size_t SharedDepth(const program::Program& program, const std::vector<Step>& steps) {
  std::vector<int32_t> shared;
  bool first = true;
  for (const Step& step : steps) {
    const CallId place = PlaceCall(step);
    if (place == program::kNoId) continue;
    std::vector<int32_t> serials;
    for (const Frame* frame : OwnFrames(program.call(place))) serials.push_back(frame->serial);
    if (first) {
      shared = serials;
      first = false;
      continue;
    }
    const auto end = std::mismatch(shared.begin(), shared.end(), serials.begin(), serials.end()).first;
    shared.erase(end, shared.end());
  }
  return shared.size();
}

struct Place {
  int32_t serial = -1, line = -1;
  bool operator==(const Place&) const = default;
};

class Grouper {
 public:
  Grouper(const program::Program& program, Flow& flow) : program_(program), flow_(flow) {}

  void Run() {
    depth_ = std::max<size_t>(SharedDepth(program_, flow_.steps), 1) - 1;
    flow_.statement.assign(flow_.steps.size(), -1);
    flow_.targets.assign(flow_.steps.size(), {});
    int32_t number = 0;
    for (size_t i = 0; i < flow_.steps.size();) {
      const size_t end = GroupEnd(i);
      for (size_t k = i; k < end; ++k) flow_.statement[k] = number;
      ++number;
      NameEscapes(i, end);
      i = end;
    }
  }

 private:
  Place PlaceOf(size_t i) const {
    if (PlaceCall(flow_.steps[i]) == program::kNoId) return {};
    const auto frames = OwnFrames(program_.call(PlaceCall(flow_.steps[i])));
    if (depth_ >= frames.size()) return {};
    return {frames[depth_]->serial, frames[depth_]->line};
  }

  // Calls of one line; applications of submodules between them belong to it if they read from it.
  size_t GroupEnd(size_t begin) const {
    const Place place = PlaceOf(begin);
    if (place.serial < 0) return begin + 1;
    size_t end = begin + 1;
    for (size_t i = begin + 1; i < flow_.steps.size(); ++i) {
      if (PlaceCall(flow_.steps[i]) == program::kNoId) {
        if (!ReadsFrom(i, begin, i)) break;
        continue;
      }
      if (!(PlaceOf(i) == place) || Closed(begin, end, i)) break;
      end = i + 1;
    }
    return end;
  }

  // In a loop one line runs many times: a statement is over once its last value is read twice or more.
  bool Closed(size_t begin, size_t end, size_t next) const {
    if (end == next) return false;
    for (const ValueId id : Flow::Makes(program_, flow_.steps[end - 1])) {
      const auto found = flow_.uses.find(id);
      if (found != flow_.uses.end() && found->second.size() > 1) return true;
    }
    (void)begin;
    return false;
  }

  bool ReadsFrom(size_t step, size_t begin, size_t end) const {
    for (const ValueId id : flow_.Reads(program_, flow_.steps[step])) {
      const auto made = flow_.producer.find(id);
      if (made != flow_.producer.end() && made->second >= begin && made->second < end) return true;
    }
    return false;
  }

  // Gives the statement's names to the values that leave it, if there are as many.
  void NameEscapes(size_t begin, size_t end) {
    const Step& last = flow_.steps[end - 1];
    if (PlaceCall(last) == program::kNoId) return;
    const auto frames = OwnFrames(program_.call(PlaceCall(last)));
    if (depth_ >= frames.size()) return;
    const std::vector<std::string>& targets = frames[depth_]->targets;
    if (targets.empty()) return;
    std::vector<std::pair<size_t, ValueId>> escapes;
    for (size_t i = begin; i < end; ++i) {
      for (const ValueId id : Flow::Makes(program_, flow_.steps[i])) {
        const auto found = flow_.uses.find(id);
        const bool escapes_here =
            found != flow_.uses.end() &&
            std::any_of(found->second.begin(), found->second.end(), [&](size_t u) { return u >= end; });
        if (escapes_here) escapes.emplace_back(i, id);
      }
    }
    const size_t makes = Flow::Makes(program_, last).size();
    if (makes == targets.size() && makes > 1) {
      flow_.targets[end - 1] = targets;
    } else if (escapes.size() == targets.size()) {
      for (size_t i = 0; i < escapes.size(); ++i) {
        if (Flow::Makes(program_, flow_.steps[escapes[i].first]).size() == 1 && IsIdentifier(targets[i])) {
          flow_.targets[escapes[i].first] = {targets[i]};
        }
      }
    }
  }

  const program::Program& program_;
  Flow& flow_;
  size_t depth_ = 0;
};

}  // namespace

std::vector<const Frame*> OwnFrames(const Call& call) {
  std::vector<const Frame*> out;
  for (const Frame& frame : call.frames) {
    if (IsTorchFile(frame.file)) break;
    out.push_back(&frame);
  }
  return out;
}

bool IsTorchFile(const std::string& file) {
  return absl::StrContains(file, "/torch/nn/") || absl::StrContains(file, "-packages/torch/");
}

void Flow::CountUses(const program::Program& program) {
  uses.clear();
  producer.clear();
  for (size_t i = 0; i < steps.size(); ++i) {
    for (const ValueId id : Reads(program, steps[i])) uses[id].push_back(i);
    for (const ValueId id : Makes(program, steps[i])) producer[id] = i;
  }
  for (const ValueId id : returns) uses[id].push_back(steps.size());
}

std::vector<ValueId> Flow::Reads(const program::Program& program, const Step& step) const {
  std::vector<ValueId> out = step.apply ? step.apply->inputs : program::Reads(program.call(step.call));
  out.erase(std::remove(out.begin(), out.end(), program::kNoId), out.end());
  for (ValueId& id : out) id = Canonical(id);
  return out;
}

std::vector<ValueId> Flow::Makes(const program::Program& program, const Step& step) {
  std::vector<ValueId> out = step.apply ? step.apply->outputs : program.call(step.call).results;
  if (step.apply) return out;
  for (const ValueId id : program.call(step.call).mutated_to) {
    if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
  }
  return out;
}

Flow MakeFlow(const program::Program& program, const Function& function) {
  Flow flow;
  flow.steps = function.steps;
  flow.returns = function.returns;
  flow.CountUses(program);
  RollLoops(program, flow);
  Grouper(program, flow).Run();
  return flow;
}

}  // namespace strata::emit
