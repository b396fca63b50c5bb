#include "worker/engine/emit/loops.h"

#include <algorithm>
#include <set>

#include "worker/engine/emit/python_text.h"

namespace strata::emit {
namespace {

using program::Argument;
using program::Call;
using program::ValueId;

// Arguments equal except for which tensors they name.
bool SameSettings(const Argument& a, const Argument& b) {
  if (a.kind != b.kind) return false;
  if (a.kind == Argument::Kind::kValue) return true;
  if (a.kind != Argument::Kind::kList) return a == b;
  return std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), SameSettings);
}

bool SameKind(const program::Program& program, const Step& a, const Step& b, int64_t distance) {
  if (a.apply.has_value() != b.apply.has_value()) return false;
  if (a.apply) {
    if (a.apply->inputs.size() != b.apply->inputs.size() ||
        a.apply->outputs.size() != b.apply->outputs.size())
      return false;
    if (a.apply->arguments != b.apply->arguments || a.apply->pattern != b.apply->pattern) return false;
    if (a.apply->list.empty()) return a.apply->callee == b.apply->callee;
    return a.apply->list == b.apply->list && b.apply->position - a.apply->position == distance;
  }
  const Call& x = program.call(a.call);
  const Call& y = program.call(b.call);
  if (x.op != y.op || x.overload != y.overload || x.args.size() != y.args.size()) return false;
  if (x.results.size() != y.results.size() || !x.mutated.empty() || !y.mutated.empty()) return false;
  for (size_t i = 0; i < x.args.size(); ++i) {
    if (!SameSettings(x.args[i].value, y.args[i].value)) return false;
  }
  return true;
}

// One attempt: `count` iterations of `period` steps from `begin`.
class Roller {
 public:
  Roller(const program::Program& program, const Flow& flow, size_t begin, size_t period, size_t count)
      : program_(program), flow_(flow), begin_(begin), period_(period), count_(count) {}

  bool Matches() {
    if (begin_ + period_ * count_ > flow_.steps.size()) return false;
    maps_.assign(count_, {});
    std::set<std::pair<std::string, int64_t>> lists;
    for (size_t q = 0; q < period_; ++q) {
      const Step& step = flow_.steps[begin_ + q];
      if (step.apply && !step.apply->list.empty()) {
        if (step.apply->position != 0 || step.apply->list_size != static_cast<int64_t>(count_)) return false;
      }
      for (const ValueId id : Flow::Makes(program_, step)) {
        maps_[0][id] = id;
        made_at_[id] = q;
      }
    }
    for (size_t k = 1; k < count_; ++k) {
      if (!MatchIteration(k)) return false;
    }
    return UsesAreLocal() && CarriesAreOrderly();
  }

  void Rewrite(Flow& flow) const {
    Loop loop;
    loop.begin = begin_;
    loop.end = begin_ + period_;
    for (size_t q = 0; q < period_; ++q) {
      const Step& step = flow.steps[begin_ + q];
      if (!step.apply || step.apply->list.empty()) continue;
      const std::pair<std::string, std::string> list{step.apply->list, step.apply->element};
      if (std::find(loop.lists.begin(), loop.lists.end(), list) == loop.lists.end())
        loop.lists.push_back(list);
    }
    for (const auto& [before, after] : carried_) loop.carried.emplace_back(before, after);
    flow.steps.erase(flow.steps.begin() + static_cast<int64_t>(loop.end),
                     flow.steps.begin() + static_cast<int64_t>(begin_ + period_ * count_));
    for (const auto& [first, last] : maps_[count_ - 1]) flow.renamed[last] = first;
    for (ValueId& id : flow.returns) id = flow.Canonical(id);
    flow.loops.push_back(std::move(loop));
  }

 private:
  bool MatchIteration(size_t k) {
    for (size_t q = 0; q < period_; ++q) {
      const Step& a = flow_.steps[begin_ + q];
      const Step& b = flow_.steps[begin_ + k * period_ + q];
      if (!SameKind(program_, a, b, static_cast<int64_t>(k))) return false;
      const auto reads_a = flow_.Reads(program_, a), reads_b = flow_.Reads(program_, b);
      if (reads_a.size() != reads_b.size()) return false;
      for (size_t i = 0; i < reads_a.size(); ++i) {
        if (!MatchRead(reads_a[i], reads_b[i], k)) return false;
      }
      const auto makes_a = Flow::Makes(program_, a), makes_b = Flow::Makes(program_, b);
      for (size_t i = 0; i < makes_a.size(); ++i) maps_[k][makes_a[i]] = makes_b[i];
    }
    return true;
  }

  bool MatchRead(ValueId first, ValueId now, size_t k) {
    if (const auto made = maps_[k].find(first); made != maps_[k].end()) return made->second == now;
    if (maps_[0].count(first) > 0) return false;  // made later in the iteration
    if (first == now) {
      invariant_.insert(first);
      return carried_.count(first) == 0;
    }
    const program::Value& a = program_.value(first);
    const program::Value& b = program_.value(now);
    if (a.is_wrapped_number && b.is_wrapped_number) return a.type.dtype == b.type.dtype && a.data == b.data;
    if (invariant_.count(first) > 0) return false;
    if (const auto carry = carried_.find(first); carry != carried_.end())
      return maps_[k - 1].at(carry->second) == now;
    for (const auto& [original, then] : maps_[k - 1]) {
      if (then != now) continue;
      carried_[first] = original;
      return k == 1;
    }
    return false;
  }

  // What an iteration makes is read in it, carried into the next, or, of the last, read afterwards.
  bool UsesAreLocal() const {
    for (size_t k = 0; k + 1 < count_; ++k) {
      const size_t from = begin_ + k * period_, to = from + 2 * period_;
      for (const auto& [first, now] : maps_[k]) {
        const auto uses = flow_.uses.find(now);
        if (uses == flow_.uses.end()) continue;
        for (const size_t u : uses->second) {
          if (u < from || u >= to) return false;
        }
      }
    }
    return true;
  }

  // The variable is overwritten only after its last read in the body, and each has a value of its own.
  bool CarriesAreOrderly() const {
    std::set<ValueId> carried_to;
    for (const auto& [before, after] : carried_) {
      if (!carried_to.insert(after).second) return false;
      const size_t written = made_at_.at(after);
      const auto uses = flow_.uses.find(before);
      for (const size_t u : uses->second) {
        if (u >= begin_ + period_ * count_ || (u >= begin_ && u < begin_ + period_ && u - begin_ > written))
          return false;
      }
    }
    return true;
  }

  const program::Program& program_;
  const Flow& flow_;
  size_t begin_, period_, count_;
  std::vector<std::map<ValueId, ValueId>> maps_;  // iteration 0's value -> iteration k's
  std::map<ValueId, size_t> made_at_;
  std::map<ValueId, ValueId> carried_;
  std::set<ValueId> invariant_;
};

}  // namespace

void RollLoops(const program::Program& program, Flow& flow) {
  for (size_t i = 0; i < flow.steps.size(); ++i) {
    const auto& apply = flow.steps[i].apply;
    if (!apply || apply->list.empty() || apply->position != 0 || apply->list_size < 2) continue;
    size_t next = i + 1;
    while (next < flow.steps.size() &&
           !(flow.steps[next].apply && flow.steps[next].apply->list == apply->list &&
             flow.steps[next].apply->position == 1)) {
      ++next;
    }
    if (next == flow.steps.size()) continue;
    const size_t period = next - i;
    for (size_t offset = 0; offset < period && offset <= i; ++offset) {
      const auto count = static_cast<size_t>(apply->list_size);
      Roller roller(program, flow, i - offset, period, count);
      if (!roller.Matches()) continue;
      roller.Rewrite(flow);
      i = flow.loops.back().end - 1;
      flow.CountUses(program);
      break;
    }
  }
}

}  // namespace strata::emit
