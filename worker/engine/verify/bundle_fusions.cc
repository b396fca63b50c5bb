// Rules `fusion` and `layer`. What plan/ would make a fusion is one; else what is broken is named.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "worker/engine/plan/wiring.h"
#include "worker/engine/verify/bundle_check.h"
#include "worker/engine/verify/places.h"

namespace strata::verify {
namespace {

using plan::Level;

constexpr int kMaxKernels = 5;

std::string OnlyUnit(const ExecutedComponent& executed) {
  for (const plan::Kernel& kernel : executed.kernels()) {
    if (!kernel.calls.empty()) return kernel.operation;
  }
  return executed.program().calls.empty() ? "nothing"
                                          : program::OperatorName(executed.program().calls.back().op);
}

// The contractions of one fusion and how they follow each other.
struct Contractions {
  int all = 0, linear = 0, chain = 0;  // chain: the most that stand one behind the other
  bool attention = false;              // a product of two results, an attention operator, a softmax
  int line = 0;                        // of the second of a chain
};

Contractions Count(const plan::PartContext& context, const plan::Wiring& wiring) {
  Contractions found;
  std::vector<int> depth(wiring.size(), 0);
  for (size_t i = 0; i < wiring.size(); ++i) {
    const plan::Traits& traits = wiring.traits(i);
    found.attention |= traits.mixing || traits.attention || traits.softmax;
    if (!traits.contraction) continue;
    ++found.all;
    found.linear += traits.linear;
    depth[i] = 1;
    for (size_t k = 0; k < i; ++k) {
      if (wiring.reaches(k, i) && depth[k] > 0) depth[i] = std::max(depth[i], depth[k] + 1);
    }
    if (depth[i] > 1 && found.line == 0)
      found.line = LineOf(context.program, context.program.call(context.kernel(wiring.part(i)).calls.back()));
    found.chain = std::max(found.chain, depth[i]);
  }
  return found;
}

// Side by side (projections of one tensor), a part of an attention, or an MLP.
bool IsAllowed(const Contractions& found, bool own) {
  if (found.all <= 1) return true;
  if (own) return false;  // what is allowed here, plan/ has recognised
  const bool mlp = found.linear == found.all && found.all <= 3 && found.chain <= 2;
  return found.chain <= 1 || found.attention || mlp;
}

class Fusions {
 public:
  Fusions(const BundleIndex& index, Report* report) : index_(index), report_(report) {}

  void Run() {
    for (const ComponentFile& component : index_.files().components) {
      const ExecutedComponent* executed = index_.Executed(component);
      if (executed == nullptr) continue;
      if (component.level == Level::kFusion) Fusion(component, *executed);
      if (component.level == Level::kLayer) Layer(component, *executed);
    }
  }

 private:
  void Add(const char* rule, const ComponentFile& component, int line, const std::string& what,
           const std::string& advice) {
    report_->Add(rule, component.path, line, absl::StrCat(component.path, " ", what), advice);
  }

  bool IsSingle(const char* rule, const ComponentFile& component, const ExecutedComponent& executed) {
    if (!executed.ok()) {
      Add(rule, component, 0, absl::StrCat("executes nothing: ", executed.error()), "remove it");
      return true;
    }
    if (executed.level() != Level::kKernel) return false;
    Add(rule, component, 0,
        absl::StrCat("is no ", plan::LevelName(component.level), ": it executes one kernel, ",
                     OnlyUnit(executed)),
        "let the parent call that kernel itself; levels are not to be filled");
    return true;
  }

  void Layer(const ComponentFile& component, const ExecutedComponent& executed) {
    if (IsSingle(rules::kLayer, component, executed) || !index_.is_own()) return;
    // A class is a layer where one of its instances is: a straight line may have a brother that is none.
    const auto& all = index_.files().components;
    const bool only_one = std::count_if(all.begin(), all.end(), [](const ComponentFile& other) {
                            return other.level == Level::kLayer;
                          }) == 1;
    int64_t runs = 0;
    for (const auto& [instance, count] : index_.RunsOf(component)) runs += count;
    if (executed.level() != Level::kFusion || !only_one || runs != 1) return;
    Add(rules::kLayer, component, 0, "is no layer: a straight line that nothing repeats is a fusion",
        "put it into level_1_fusion");
  }

  void Fusion(const ComponentFile& component, const ExecutedComponent& executed) {
    if (IsSingle(rules::kFusion, component, executed) || executed.level() == Level::kFusion) return;
    const plan::PartContext context = executed.context();
    const std::vector<plan::Part> parts = executed.FlatParts();
    const plan::Wiring wiring(context, parts);
    Joins(component, executed, wiring);
    const Contractions found = Count(context, wiring);
    if (!IsAllowed(found, index_.is_own())) {
      Add(rules::kFusion, component, found.line,
          absl::StrCat("holds ", found.all,
                       " contractions and is neither attention, squeeze-and-excite nor MLP"),
          "cut it before each contraction");
    }
    int kernels = 0;
    for (size_t i = 0; i < wiring.size(); ++i)
      kernels += wiring.part(i).is_unit() && !wiring.traits(i).dropout;
    if (index_.is_own() && kernels > kMaxKernels && found.all <= 1) {
      Add(rules::kFusion, component, 0,
          absl::StrCat("is a line of ", kernels, " kernels; a fusion has two to five"), "cut it");
    }
  }

  void Joins(const ComponentFile& component, const ExecutedComponent& executed, const plan::Wiring& wiring) {
    for (const plan::Join& join : wiring.Joins()) {
      if (!join.residual && !index_.is_own()) continue;
      Add(rules::kFusion, component,
          LineOf(executed.program(), executed.program().call(wiring.part(join.part).call)),
          absl::StrCat(join.residual ? "carries a residual: " : "rejoins branches: ", join.text),
          "a fusion is a straight line: make it a layer, or leave the join to its parent");
      return;
    }
  }

  const BundleIndex& index_;
  Report* report_;
};

}  // namespace

void CheckFusions(const BundleIndex& index, Report* report) { Fusions(index, report).Run(); }

}  // namespace strata::verify
