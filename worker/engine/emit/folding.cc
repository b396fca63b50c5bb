#include "worker/engine/emit/folding.h"

#include <algorithm>

namespace strata::emit {
namespace {

using program::ValueId;

class Folder {
 public:
  Folder(const program::Program& program, const Flow& flow, const std::set<size_t>& keep)
      : program_(program), flow_(flow), keep_(keep) {}

  Folding Run() {
    const size_t n = flow_.steps.size();
    folding_.into.assign(n, Folding::kStatement);
    applies_.assign(n + 1, 0);
    for (size_t i = n; i-- > 0;) {
      const size_t consumer = ConsumerOf(i);
      if (consumer == Folding::kStatement || !MayFold(i, consumer)) continue;
      folding_.into[i] = consumer;
      if (flow_.steps[i].apply) ++applies_[RootOf(i)];
    }
    return folding_;
  }

 private:
  size_t RootOf(size_t i) const { return folding_.RootOf(i); }

  // The one reader of the step's one result.
  size_t ConsumerOf(size_t i) const {
    const auto results = UsedResults(program_, flow_, i);
    if (results.size() != 1) return Folding::kStatement;
    const auto& uses = flow_.uses.at(results[0]);
    return uses.size() == 1 ? uses[0] : Folding::kStatement;
  }

  bool MayFold(size_t i, size_t consumer) const {
    const Step& step = flow_.steps[i];
    if (keep_.count(i) > 0 || CrossesLoop(i, consumer) || CrossesWrite(i, RootOf(consumer))) return false;
    if (step.apply && step.apply->outputs.size() > 1) return false;
    if (!step.apply &&
        (!program_.call(step.call).mutated.empty() || (program_.call(step.call).marks & program::kRandom))) {
      return false;
    }
    if (consumer == flow_.steps.size()) return FoldsIntoReturn(i);
    if (flow_.statement[i] >= 0 && flow_.statement[i] == flow_.statement[consumer]) return true;
    const Step& reader = flow_.steps[consumer];
    if (!flow_.targets[i].empty()) return reader.apply && !step.apply && IsSliceOfAttribute(i);
    if (step.apply && applies_[RootOf(consumer)] >= 4) return false;
    if (step.apply && !IsNext(i, RootOf(consumer))) return false;
    if (step.apply && reader.apply) return FeedsCompute(consumer);
    return true;
  }

  bool FoldsIntoReturn(size_t i) const {
    return flow_.fold_all_returns || (flow_.returns.size() == 1 && i + 1 == flow_.steps.size());
  }

  // Nothing but parts of the same statement stands between.
  bool IsNext(size_t i, size_t root) const {
    for (size_t k = i + 1; k < root && k < flow_.steps.size(); ++k) {
      if (RootOf(k) != root) return false;
    }
    return true;
  }

  // x + self.attn(self.norm(x)), F.relu(self.bn(self.conv(x))): an operator takes the application as operand.
  bool FeedsCompute(size_t i) const {
    static const std::set<std::string> kShapes = {"view",    "reshape",    "flatten", "transpose",
                                                  "permute", "contiguous", "squeeze", "unsqueeze",
                                                  "select",  "slice",      "expand"};
    for (size_t k = folding_.into[i]; k < flow_.steps.size(); k = folding_.into[k]) {
      if (!flow_.steps[k].apply)
        return kShapes.count(program::OperatorName(program_.call(flow_.steps[k].call).op)) == 0;
    }
    return false;
  }

  // self.mask[:T] as an argument.
  bool IsSliceOfAttribute(size_t i) const {
    const auto name = program::OperatorName(program_.call(flow_.steps[i].call).op);
    if (name != "slice" && name != "select" && name != "unsqueeze") return false;
    for (const ValueId id : flow_.Reads(program_, flow_.steps[i])) {
      if (program_.value(id).kind == program::ValueKind::kResult && flow_.producer.count(id) > 0) {
        const size_t producer = flow_.producer.at(id);
        if (flow_.steps[producer].apply || !IsSliceOfAttribute(producer)) return false;
      }
    }
    return true;
  }

  // What a loop body reads from outside is made once, before it; what it leaves is a variable.
  bool CrossesLoop(size_t i, size_t consumer) const {
    for (const Loop& loop : flow_.loops) {
      const bool inside = i >= loop.begin && i < loop.end;
      const bool reader_inside = consumer >= loop.begin && consumer < loop.end;
      if (inside != reader_inside) return true;
      for (const auto& [before, after] : loop.carried) {
        for (const ValueId id : Flow::Makes(program_, flow_.steps[i])) {
          if (id == after || id == before) return true;
        }
      }
    }
    return false;
  }

  // An expression may not move past a write.
  bool CrossesWrite(size_t i, size_t root) const {
    for (size_t k = i + 1; k < std::min(root, flow_.steps.size()); ++k) {
      if (!flow_.steps[k].apply && !program_.call(flow_.steps[k].call).mutated.empty()) return true;
    }
    return false;
  }

  const program::Program& program_;
  const Flow& flow_;
  const std::set<size_t>& keep_;
  Folding folding_;
  std::vector<int> applies_;  // folded applications per statement
};

}  // namespace

std::vector<ValueId> UsedResults(const program::Program& program, const Flow& flow, size_t step) {
  std::vector<ValueId> out;
  for (const ValueId id : Flow::Makes(program, flow.steps[step])) {
    if (id != program::kNoId && flow.uses.count(id) > 0) out.push_back(id);
  }
  return out;
}

Folding Fold(const program::Program& program, const Flow& flow, const std::set<size_t>& keep) {
  return Folder(program, flow, keep).Run();
}

}  // namespace strata::emit
