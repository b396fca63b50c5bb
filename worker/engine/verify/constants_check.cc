#include "worker/engine/verify/constants_check.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <map>
#include <set>

#include "ATen/ATen.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/boxed_call.h"
#include "worker/engine/verify/claim_leaves.h"
#include "worker/engine/verify/counting.h"
#include "worker/engine/verify/reconcile.h"

namespace strata::verify {
namespace {

using program::Call;
using program::Program;
using program::Value;
using program::ValueId;
using program::ValueKind;

// What of a call's operands gives values, not only a shape.
std::vector<ValueId> ValueReads(const Call& call) {
  const std::string op = program::OperatorName(call.op);
  std::vector<ValueId> reads = program::Reads(call);
  if (absl::EndsWith(op, "_like") || absl::StartsWith(op, "new_")) reads.clear();
  if (absl::EndsWith(op, "_as") && !reads.empty()) reads.resize(1);
  if ((op == "fill" || op == "zero") && !reads.empty()) reads.erase(reads.begin());  // written over
  return reads;
}

class Constants {
 public:
  explicit Constants(const Program& program) : program_(program), live_(LiveCalls(program)) {
    // A write of data to the memory of a constant makes data of all its views: known only afterwards.
    for (size_t before = SIZE_MAX; before != written_.size();) {
      before = written_.size();
      Mark();
    }
  }

  bool Is(ValueId id) const { return id >= 0 && is_[static_cast<size_t>(id)]; }
  // All that it gives is constant.
  bool Makes(const Call& call) const {
    return !call.results.empty() &&
           std::all_of(call.results.begin(), call.results.end(), [&](ValueId id) { return Is(id); });
  }
  // The constants that a call takes beside data; Python's numbers are settings already.
  std::vector<ValueId> TakenBy(const Call& call) const {
    std::vector<ValueId> taken;
    bool takes_data = false;
    for (const ValueId id : ValueReads(call)) {
      if (id < 0 || program_.value(id).is_wrapped_number) continue;
      if (Is(id)) taken.push_back(id);
      takes_data |= !Is(id);
    }
    if (!takes_data || !live_[static_cast<size_t>(call.id)]) taken.clear();
    return taken;
  }

 private:
  void Mark() {
    is_.assign(program_.values.size(), false);
    for (const Value& value : program_.values) {
      const bool kept = value.kind == ValueKind::kConstant || value.kind == ValueKind::kBuffer;
      is_[static_cast<size_t>(value.id)] = kept && !value.data.empty() && !written_.contains(value.storage);
    }
    for (const Call& call : program_.calls) {
      const std::vector<ValueId> reads = ValueReads(call);
      const bool random = (call.marks & program::kRandom) != 0;
      const bool empty = absl::StrContains(program::OperatorName(call.op), "empty");
      const bool constant = !random && !empty && std::all_of(reads.begin(), reads.end(), [&](ValueId id) {
        return Is(id) || (id >= 0 && program_.value(id).is_wrapped_number);
      });
      for (const std::vector<ValueId>& made : {call.results, call.mutated_to}) {
        for (const ValueId id : made) {
          if (id < 0) continue;
          is_[static_cast<size_t>(id)] = constant && !written_.contains(program_.value(id).storage);
        }
      }
      if (constant) continue;
      for (const ValueId id : call.mutated) {
        if (id >= 0) written_.insert(program_.value(id).storage);
      }
    }
  }

  const Program& program_;
  const std::vector<bool> live_;
  std::vector<bool> is_;       // by ValueId
  std::set<int32_t> written_;  // storages that data were written to
};

struct Taken {
  program::CallId call;
  std::string op;
  bool counts;                                 // it is no data movement
  std::vector<std::vector<double>> constants;  // by operand the numbers, sorted, each once
  double rtol = 1e-5;
};

// Of data movement (cat) all operands are one table.
absl::StatusOr<Taken> TakenOf(Replay& replay, const Program& program, const Call& call,
                              const std::vector<ValueId>& ids) {
  Taken taken{.call = call.id,
              .op = program::OperatorName(call.op),
              .counts = program::Classify(program, call) != program::OpClass::kPlumbing,
              .constants = {}};
  std::set<double> numbers;
  for (const ValueId id : ids) {
    STRATA_ASSIGN_OR_RETURN(at::Tensor tensor, replay.Read(id));
    if (tensor.is_floating_point() && tensor.element_size() < 4) taken.rtol = 1e-2;
    if (tensor.is_complex()) tensor = at::view_as_real(tensor.resolve_conj());
    const at::Tensor plain = std::get<0>(at::_unique(tensor.cpu().to(at::kDouble).reshape({-1})));
    const at::Tensor row = plain.masked_select(plain.isnan().logical_not()).contiguous();
    numbers.insert(row.const_data_ptr<double>(), row.const_data_ptr<double>() + row.numel());
    if (!taken.counts) continue;
    taken.constants.emplace_back(numbers.begin(), numbers.end());
    numbers.clear();
  }
  if (!taken.counts) taken.constants.emplace_back(numbers.begin(), numbers.end());
  return taken;
}

absl::StatusOr<std::map<std::string, std::vector<Taken>>> TakenBySide(const RanClaim& claim,
                                                                      bool refactored) {
  const Program& program = refactored ? claim.refactored[0] : claim.original[0];
  const Constants constants(program);
  STRATA_ASSIGN_OR_RETURN(Leaves leaves, LeavesOf(claim, 0, refactored));
  Replay replay(program, std::move(leaves));
  std::map<std::string, std::vector<Taken>> found;
  absl::Status failed;
  const auto before = [&](const Call& call) {
    const std::vector<ValueId> ids = constants.TakenBy(call);
    if (!ids.empty()) {
      absl::StatusOr<Taken> taken = TakenOf(replay, program, call, ids);
      failed.Update(taken.status());
      if (taken.ok()) found[taken->op].push_back(*std::move(taken));
    }
    if (!constants.Makes(call)) return false;
    // What is only asked for its shape need not be there.
    for (const ValueId id : program::Reads(call)) {
      if (id < 0 || constants.Is(id) || replay.Get(id).defined()) continue;
      const program::TensorType& type = program.value(id).type;
      const at::TensorOptions options =
          at::TensorOptions().dtype(ToScalarType(type.dtype)).device(at::Device(type.device));
      replay.Set(id, call.mutated.empty() ? at::empty({}, options).expand(type.sizes)
                                          : at::empty(type.sizes, options));
    }
    return true;
  };
  STRATA_RETURN_IF_ERROR(
      replay.Run(claim.trials[0].seed, {.enter = {}, .leave = {}, .before_call = before, .after_call = {}}));
  STRATA_RETURN_IF_ERROR(failed);
  return found;
}

// Every number of one is a number of the other.
bool Within(const std::vector<double>& a, const std::vector<double>& b, double rtol) {
  const double largest =
      std::max({1e-30, a.empty() ? 0 : std::abs(a.front()), a.empty() ? 0 : std::abs(a.back())});
  const double atol = a.size() > 1 && std::isfinite(largest) ? 1e-2 * rtol * largest : 0;
  return std::all_of(a.begin(), a.end(), [&](double number) {
    const double reach = std::isfinite(number) ? rtol * std::abs(number) + atol : 0;
    const auto near = std::lower_bound(b.begin(), b.end(), number - reach);
    return near != b.end() && (*near <= number + reach);
  });
}

// Operand by operand: each has a measure of its own.
bool Same(const Taken& a, const Taken& b) {
  const double rtol = std::max(a.rtol, b.rtol);
  return std::equal(a.constants.begin(), a.constants.end(), b.constants.begin(), b.constants.end(),
                    [&](const std::vector<double>& one, const std::vector<double>& other) {
                      return Within(one, other, rtol) && Within(other, one, rtol);
                    });
}

std::string Told(const std::vector<double>& numbers) {
  const auto said = [](double number) { return absl::StrFormat("%g", number); };
  if (numbers.size() == 1) return absl::StrCat("the constant ", said(numbers[0]));
  if (numbers.empty()) return "an empty constant";
  return absl::StrCat("a table of ", numbers.size(), " numbers from ", said(numbers.front()), " to ",
                      said(numbers.back()));
}

std::string Told(const Taken& taken) {
  return absl::StrJoin(taken.constants, " and ", [](std::string* out, const std::vector<double>& numbers) {
    absl::StrAppend(out, Told(numbers));
  });
}

// Both sides have some of it left over: its constants may be those of two spellings.
bool IsSpelled(const Surplus& surplus, const std::string& op) {
  const auto named = [&](const OperatorUse& use) { return use.name == op; };
  return std::any_of(surplus.original.begin(), surplus.original.end(), named) &&
         std::any_of(surplus.refactored.begin(), surplus.refactored.end(), named);
}

}  // namespace

bool TakesConstants(const Program& program) {
  const Constants constants(program);
  return std::any_of(program.calls.begin(), program.calls.end(),
                     [&](const Call& call) { return !constants.TakenBy(call).empty(); });
}

std::vector<OtherConstant> FindOtherConstants(const RanClaim& claim) try {
  UseThreadsOf(claim);
  std::vector<OtherConstant> others;
  auto original = TakenBySide(claim, false);
  const auto refactored = TakenBySide(claim, true);
  if (!original.ok() || !refactored.ok()) return others;  // an operator that cannot run again: rule `replay`
  const Surplus surplus = Reconcile(claim.original[0], claim.refactored[0]);
  for (const auto& [op, theirs] : *refactored) {
    std::vector<Taken>& ours = (*original)[op];
    // Where one side has more, some are spelled otherwise, and only the others can be told apart.
    const bool as_many = ours.size() == theirs.size();
    if (!as_many && (!theirs[0].counts || IsSpelled(surplus, op))) continue;
    std::vector<const Taken*> unknown;
    for (const Taken& taken : theirs) {
      const auto same =
          std::find_if(ours.begin(), ours.end(), [&](const Taken& own) { return Same(own, taken); });
      if (same != ours.end())
        ours.erase(same);
      else
        unknown.push_back(&taken);
    }
    for (size_t i = 0; i < std::min(ours.size(), unknown.size()); ++i) {
      others.push_back({unknown[i]->call,
                        absl::StrCat(op, " takes ", Told(*unknown[i]), ", in the original ", Told(ours[i]))});
    }
  }
  return others;
} catch (const std::exception&) {  // torch's, of a constant that is no plain tensor
  return {};
}

}  // namespace strata::verify
