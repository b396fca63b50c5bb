// Rule `kernel`: one compute operator, or one entry of docs/kernels.md, as plan/ recognises them.
#include "absl/strings/str_cat.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/text.h"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/bundle_check.h"
#include "worker/engine/verify/places.h"

namespace strata::verify {
namespace {

using plan::Level;
using program::Call;
using program::OpClass;

// What docs/kernels.md allows a helper function, and a custom module.
constexpr int kMaxFunction = 60, kMaxModule = 24;

struct Census {
  int contractions = 0, named = 0, compute = 0, arithmetic = 0;
  bool joins_results = false;  // arithmetic with two operands that depend on the input
  int formula() const { return compute + arithmetic; }
};

Census Count(const ExecutedComponent& executed) {
  Census census;
  for (const Call& call : executed.program().calls) {
    if (executed.flow().independent_of_input(call.id)) continue;
    const OpClass kind = program::Classify(executed.program(), call);
    if (kind == OpClass::kPlumbing) continue;
    const std::string op = plan::NameOf(call);
    if (kind == OpClass::kArithmetic) {
      ++census.arithmetic;
      int dependent = 0;
      for (const program::ValueId read : program::Reads(call)) {
        const program::Value& value = executed.program().value(read);
        dependent += !value.is_wrapped_number && !executed.flow().independent_value(read);
      }
      census.joins_results |= dependent > 1;
      continue;
    }
    ++census.compute;
    census.contractions += plan::IsContraction(op);
    census.named += plan::IsNormalisation(op) || plan::IsPool(op) || plan::IsSoftmax(op) ||
                    plan::IsDropout(op) || op == "embedding";
  }
  return census;
}

// A formula of one meaning whose module or function can no longer be seen in the file.
bool IsOneFormula(const Census& census, bool own) {
  if (own) {
    const bool few = census.named == 0 || (census.named == 1 && census.formula() <= 3);
    return census.contractions == 0 && few && census.formula() <= kMaxFunction;
  }
  if (census.contractions == 0 && census.named == 0) return census.formula() <= kMaxModule;
  // One operator with scaling around it, as a bias added by hand.
  return census.compute == 1 && !census.joins_results;
}

class Kernels {
 public:
  Kernels(const BundleIndex& index, Report* report) : index_(index), report_(report) {}

  void Run() {
    for (const ComponentFile& component : index_.files().components) {
      const ExecutedComponent* executed = index_.Executed(component);
      if (component.level == Level::kKernel && executed != nullptr) Check(component, *executed);
    }
  }

 private:
  void Check(const ComponentFile& component, const ExecutedComponent& executed) {
    if (!executed.ok()) {
      if (executed.returned_parameter() != program::kNoId) return;
      return Add(component, 0, absl::StrCat(component.path, " executes nothing: ", executed.error()),
                 "remove it: data movement belongs to the parent; only a parameter may be handed out");
    }
    if (executed.level() == Level::kKernel) {
      // A flatten as a kernel does no harm in the work of others.
      const bool moves = executed.kernels().empty() && executed.arithmetic().empty();
      if (moves && index_.is_own() && &component != index_.root())
        Add(component, 0, absl::StrCat(component.path, " only moves data"), "leave that to the parent");
      return;
    }
    const Census census = Count(executed);
    if (IsOneFormula(census, index_.is_own())) return;
    const auto& [units, line] = Units(executed);
    Add(component, line,
        absl::StrCat(component.path, " is more than one kernel: it executes ", units,
                     ", which is no entry of docs/kernels.md"),
        "make a kernel of each and let a fusion or layer hold them");
  }

  static std::pair<std::string, int> Units(const ExecutedComponent& executed) {
    std::vector<std::string> units;
    int line = 0;
    for (const plan::Kernel& kernel : executed.kernels()) {
      if (kernel.calls.empty()) continue;
      if (units.size() == 1) line = LineOf(executed.program(), executed.program().call(kernel.calls[0]));
      units.push_back(kernel.operation);
    }
    for (const program::CallId id : executed.arithmetic())
      units.push_back(plan::NameOf(executed.program().call(id)));
    const size_t all = units.size();
    if (all > 6) units.resize(6);
    return {absl::StrCat(plan::Enumerate(units), all > 6 ? absl::StrCat(" and ", all - 6, " more") : ""),
            line};
  }

  void Add(const ComponentFile& component, int line, const std::string& what, const std::string& advice) {
    report_->Add(rules::kKernel, component.path, line, what, advice);
  }

  const BundleIndex& index_;
  Report* report_;
};

}  // namespace

void CheckKernels(const BundleIndex& index, Report* report) { Kernels(index, report).Run(); }

}  // namespace strata::verify
