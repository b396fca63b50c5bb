#include "worker/engine/verify/side_by_side.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>

#include "ATen/ATen.h"
#include "ATen/core/grad_mode.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/bundle_program.h"
#include "worker/engine/verify/claim_leaves.h"
#include "worker/engine/verify/draw_tensor.h"
#include "worker/engine/verify/places.h"
#include "worker/engine/verify/side_by_side_graph.h"

namespace strata::verify {
namespace {

using program::Call;
using program::CallId;
using program::Program;
using program::ValueId;
using program::ValueKind;
using Tensors = std::map<ValueId, at::Tensor>;

constexpr int kGrowths = 6;        // how often a group takes in its neighbours
constexpr size_t kMostCalls = 64;  // of a group: past it, it is the model that the trials compare
constexpr size_t kMostCandidates = 6;
constexpr int64_t kManyNumbers = 1 << 15;
constexpr int64_t kBatchBytes = int64_t{512} << 20;  // of recorded values that are looked for at one time

at::Tensor Flat(const at::Tensor& tensor) { return tensor.reshape({-1}); }

// Tells most values apart before all of their elements are compared.
struct Print {
  int64_t numel = 0;
  at::ScalarType dtype = at::kFloat;
  double rms = 0;
};
Print PrintOf(const at::Tensor& tensor) {
  const double square = tensor.numel() == 0 ? 0 : Flat(tensor).to(at::kDouble).square().mean().item<double>();
  return {tensor.numel(), tensor.scalar_type(), std::sqrt(square)};
}
bool MayBe(const Print& a, const Print& b) {
  return a.numel == b.numel && a.dtype == b.dtype &&
         (std::abs(a.rms - b.rms) <= 0.02 * a.rms + 1e-30 || !std::isfinite(a.rms));
}

// One value of the other side that may be a value of the group, and what computes it.
struct Candidate {
  ValueId value = program::kNoId;
  CallSet calls;
};

// A group of the original's calls between values that it takes and values that it gives.
struct Group {
  CallSet core, calls;           // before it grew, and now
  CallSet movers;                // of `calls`: what only moves data on the way in
  std::vector<ValueId> in, out;  // floats that depend on the model's input
  // Where they were found: value of the other side -> index into `in`; by index into `out` all candidates.
  std::map<ValueId, size_t> their_in;
  std::vector<std::vector<ValueId>> their_out;
  CallSet here;          // what computes the same there
  bool shown = true;     // and it could be compared
  bool stopped = false;  // whole numbers are made of what it gives
};

class SideBySide {
 public:
  SideBySide(const RanClaim& claim, size_t trial, const Surplus& surplus)
      : claim_(claim),
        trial_(trial),
        surplus_(surplus),
        ours_(claim.original[trial]),
        theirs_(claim.refactored[trial]) {
    for (const OperatorUse& use : surplus.refactored) spelling_.insert(use.call);
  }

  // Each call by itself, so that one that is right hides none that is not; those whose borders the other side
  // has not, with the left over calls around them, and then with more of their neighbours.
  absl::StatusOr<SideBySideFindings> Run() {
    std::vector<Group> singles, joined;
    CallSet taken;
    for (const OperatorUse& use : surplus_.original) singles.push_back(GroupOf({use.call}));
    STRATA_RETURN_IF_ERROR(Settle(singles, true, taken));
    for (CallSet& calls : Connected()) {
      if (!std::includes(taken.begin(), taken.end(), calls.begin(), calls.end()))
        joined.push_back(GroupOf(std::move(calls)));
    }
    for (int growth = 0; growth <= kGrowths && !joined.empty(); ++growth) {
      // What is only right together with its neighbours may be something that does nothing.
      STRATA_RETURN_IF_ERROR(Settle(joined, growth == 0, taken));
      for (Group& group : joined) Grow(group);
      std::erase_if(joined, [&](const Group& group) {
        if (group.calls.size() <= kMostCalls && growth < kGrowths) return false;
        if (group.stopped && !surplus_.refactored.empty())
          findings_.others.push_back({surplus_.refactored[0].call, HiddenBehind(group)});
        else
          findings_.unplaced.push_back(NamesOf(group.core));
        return true;
      });
    }
    if (findings_.others.empty() && findings_.unplaced.empty()) TellUncovered();
    return std::move(findings_);
  }

 private:
  static Group GroupOf(CallSet calls) {
    Group group;
    group.core = group.calls = std::move(calls);
    return group;
  }

  // Compares those that are found on the other side, and takes them out.
  absl::Status Settle(std::vector<Group>& groups, bool may_settle, CallSet& taken) {
    for (Group& group : groups) SetBorders(group);
    for (size_t begin = 0, end = 0; begin < groups.size(); begin = end) {
      int64_t bytes = 0;
      for (; end < groups.size() && (end == begin || bytes < kBatchBytes); ++end)
        bytes += BytesOf(groups[end]);
      STRATA_RETURN_IF_ERROR(FindPlaces(
          {groups.begin() + static_cast<int64_t>(begin), groups.begin() + static_cast<int64_t>(end)}));
      for (size_t i = begin; i < end; ++i) {
        Group& group = groups[i];
        if (!IsFound(group)) continue;
        STRATA_ASSIGN_OR_RETURN(const std::optional<OtherFunction> other, Compare(group));
        if (other.has_value()) findings_.others.push_back(*other);
        taken.insert(group.core.begin(), group.core.end());
        covered_.insert(group.here.begin(), group.here.end());
        if (!group.shown) findings_.unplaced.push_back(NamesOf(group.core));
        if (!other.has_value() && group.shown && may_settle) {
          findings_.settled.insert(group.core.begin(), group.core.end());
          findings_.settled_here.insert(group.here.begin(), group.here.end());
        }
        group.calls.clear();
      }
    }
    std::erase_if(groups, [](const Group& group) { return group.calls.empty(); });
    return absl::OkStatus();
  }

  // All that is left over belongs to spellings that were found to be the same function: an operator beside
  // them agrees on what the trials give only. Which of several equal operators is left over is nobody's to
  // say, so they are counted.
  void TellUncovered() {
    const auto key = [](const OperatorUse& use) { return std::pair(use.name, use.settings); };
    std::map<std::pair<std::string, std::string>, int64_t> covered;
    for (const OperatorUse& use : UsesOf(theirs_.program())) {
      if (covered_.contains(use.call)) ++covered[key(use)];
    }
    for (const OperatorUse& use : surplus_.refactored) {
      if (--covered[key(use)] >= 0) continue;
      findings_.others.push_back({use.call, absl::StrCat(use.name,
                                                         " is part of no spelling that alone is the same "
                                                         "function as an operator of the original")});
    }
  }

  int64_t BytesOf(const Group& group) const {
    int64_t bytes = 0;
    for (const std::vector<ValueId>& ids : {group.in, group.out}) {
      for (const ValueId id : ids) {
        const program::TensorType& type = ours_.program().value(id).type;
        int64_t count = program::ElementSizeBytes(type.dtype);
        for (const int64_t size : type.sizes) count *= size;
        bytes += count;
      }
    }
    return bytes;
  }

  // Left over calls that feed each other, directly or through calls that are not counted.
  std::vector<CallSet> Connected() const {
    std::map<CallId, CallSet> groups;          // by one of their calls
    std::map<CallId, CallId> group_of;         // left over call -> key into `groups`
    std::map<ValueId, std::set<CallId>> from;  // the left over calls that a value carries
    CallSet left;
    for (const OperatorUse& use : surplus_.original) left.insert(use.call);
    for (const Call& call : ours_.program().calls) {
      std::set<CallId> sources;
      for (const ValueId id : program::Reads(call)) {
        if (const auto found = from.find(id); found != from.end())
          sources.insert(found->second.begin(), found->second.end());
      }
      if (left.contains(call.id)) {
        CallSet& group = groups[call.id] = {call.id};
        for (const CallId source : sources) {
          const auto merged = groups.extract(group_of.at(source));
          if (!merged.empty()) group.insert(merged.mapped().begin(), merged.mapped().end());
        }
        for (const CallId id : group) group_of[id] = call.id;
        sources = {call.id};
      } else if (program::Classify(ours_.program(), call) != program::OpClass::kPlumbing) {
        continue;
      }
      for (const ValueId id : MadeBy(call)) from[id].insert(sources.begin(), sources.end());
    }
    std::vector<CallSet> found;
    for (auto& [id, calls] : groups) found.push_back(std::move(calls));
    return found;
  }

  void SetBorders(Group& group) const {
    std::set<ValueId> made, in;
    group.in.clear();
    group.out.clear();
    // A value and its transpose are one value: what only moves data before the group belongs to it.
    std::vector<CallId> pending(group.calls.begin(), group.calls.end());
    while (!pending.empty()) {
      const Call& call = ours_.program().call(pending.back());
      pending.pop_back();
      for (const ValueId value : program::Reads(call)) {
        const CallId maker = value < 0 ? program::kNoId : ours_.maker(value);
        if (maker == program::kNoId || !ours_.depends_on_input(value)) continue;
        const Call& mover = ours_.program().call(maker);
        const bool moves = program::Classify(ours_.program(), mover) == program::OpClass::kPlumbing;
        if (!moves || !mover.mutated.empty() || !group.calls.insert(maker).second) continue;
        group.movers.insert(maker);
        pending.push_back(maker);
      }
    }
    for (const CallId id : group.calls) {
      for (const ValueId value : MadeBy(ours_.program().call(id))) made.insert(value);
    }
    for (const CallId id : group.calls) {
      for (const ValueId value : program::Reads(ours_.program().call(id))) {
        if (!made.contains(value) && ours_.depends_on_input(value) && ours_.is_float(value)) in.insert(value);
      }
    }
    group.in.assign(in.begin(), in.end());
    for (const ValueId value : made) {
      const std::vector<CallId>& readers = ours_.readers(value);
      if (group.movers.contains(ours_.maker(value))) continue;
      const bool leaves =
          ours_.is_output(value) ||
          std::any_of(readers.begin(), readers.end(), [&](CallId id) { return !group.calls.contains(id); });
      if (leaves) group.out.push_back(value);
    }
  }

  // Whole numbers and truth values hide what they were made of (argmax): there a group ends.
  bool HidesIts(ValueId id, CallId reader) const {
    const std::vector<ValueId> made = MadeBy(ours_.program().call(reader));
    return ours_.is_float(id) && !made.empty() &&
           std::none_of(made.begin(), made.end(), [&](ValueId value) { return ours_.is_float(value); });
  }

  void Grow(Group& group) const {
    for (const ValueId id : group.out) {
      for (const CallId reader : ours_.readers(id)) {
        if (HidesIts(id, reader))
          group.stopped = true;
        else
          group.calls.insert(reader);
      }
    }
    for (const ValueId id : group.in) {
      if (ours_.maker(id) != program::kNoId) group.calls.insert(ours_.maker(id));
    }
  }

  std::string HiddenBehind(const Group& group) const {
    return absl::StrCat(NamesOf(group.core),
                        " is spelled otherwise here, and what it gives is not found before whole numbers or "
                        "truth values are made of it");
  }

  // ---- what the recordings have

  absl::Status Replayed(bool refactored, const Replay::Hooks& hooks, Replay*& replay,
                        std::optional<Replay>& holder) const {
    STRATA_ASSIGN_OR_RETURN(Leaves leaves, LeavesOf(claim_, trial_, refactored));
    holder.emplace(refactored ? theirs_.program() : ours_.program(), std::move(leaves));
    replay = &*holder;
    return holder->Run(claim_.trials[trial_].seed, hooks);
  }

  using Groups = std::span<Group>;

  absl::Status Record(Groups groups) {
    recorded_.clear();
    prints_.clear();
    std::set<ValueId> wanted;
    for (const Group& group : groups) {
      wanted.insert(group.in.begin(), group.in.end());
      wanted.insert(group.out.begin(), group.out.end());
    }
    Replay* replay = nullptr;
    std::optional<Replay> holder;
    const auto keep = [&](ValueId id) {
      if (!wanted.contains(id)) return;
      const absl::StatusOr<at::Tensor> tensor = replay->Read(id);
      if (!tensor.ok()) return;
      recorded_[id] = tensor->clone();
      prints_[id] = PrintOf(*tensor);
    };
    return Replayed(false, Each(ours_.program(), keep), replay, holder);
  }

  // What each of the groups takes and gives, found by its elements among the other side's values.
  absl::Status FindPlaces(Groups groups) {
    STRATA_RETURN_IF_ERROR(Record(groups));
    for (Group& group : groups) {
      group.their_in.clear();
      group.their_out.assign(group.out.size(), {});
    }
    Replay* replay = nullptr;
    std::optional<Replay> holder;
    const auto look = [&](ValueId id) {
      const absl::StatusOr<at::Tensor> tensor = replay->Read(id);
      if (!tensor.ok() || !tensor->is_floating_point()) return;
      const Print print = PrintOf(*tensor);
      std::map<ValueId, bool> alike;  // groups share borders
      const auto is = [&](ValueId own) {
        const auto [found, is_new] = alike.emplace(own, false);
        if (is_new && recorded_.contains(own) && MayBe(prints_.at(own), print))
          found->second = Alike(recorded_.at(own), *tensor);
        return found->second;
      };
      for (Group& group : groups) {
        for (size_t i = 0; i < group.in.size(); ++i) {
          if (is(group.in[i])) group.their_in.emplace(id, i);
        }
        for (size_t i = 0; i < group.out.size(); ++i) {
          if (is(group.out[i])) group.their_out[i].push_back(id);
        }
      }
    };
    return Replayed(true, Each(theirs_.program(), look), replay, holder);
  }

  // Every value of a recording, as soon as it is there.
  static Replay::Hooks Each(const Program& program, std::function<void(ValueId)> visit) {
    return {.enter =
                [&program, visit](const program::Invocation& invocation) {
                  if (invocation.id != 0) return absl::OkStatus();
                  for (const ValueId id : InputsOf(program)) visit(id);
                  return absl::OkStatus();
                },
            .leave = {},
            .before_call = {},
            .after_call =
                [visit](const Call& call) {
                  for (const ValueId id : MadeBy(call)) visit(id);
                }};
  }

  // What computes it from the group's inputs alone, by some of the spelling.
  std::vector<Candidate> Candidates(const Group& group, size_t out) const {
    std::set<ValueId> given;
    for (const auto& [id, index] : group.their_in) given.insert(id);
    std::vector<Candidate> found;
    for (const ValueId id : group.their_out[out]) {
      if (given.contains(id) || found.size() == kMostCandidates) continue;
      std::optional<CallSet> calls = theirs_.Slice({id}, given);
      if (!calls.has_value()) continue;
      const bool spells =
          std::any_of(calls->begin(), calls->end(), [&](CallId call) { return spelling_.contains(call); });
      if (spells) found.push_back({.value = id, .calls = *std::move(calls)});
    }
    return found;
  }

  // All that it takes and gives is there: what is not found would be drawn on one side only.
  bool IsFound(const Group& group) const {
    std::set<size_t> ins;
    for (const auto& [id, index] : group.their_in) ins.insert(index);
    for (size_t i = 0; i < group.in.size(); ++i) {
      if (!recorded_.contains(group.in[i])) return false;
      const bool shared = std::any_of(ins.begin(), ins.end(), [&](size_t other) {
        return Alike(recorded_.at(group.in[other]), recorded_.at(group.in[i]));
      });
      if (!shared) return false;
    }
    for (size_t out = 0; out < group.out.size(); ++out) {
      if (Candidates(group, out).empty()) return false;
    }
    return !group.in.empty() && !group.out.empty();
  }

  // ---- alone

  // What the calls give where the values of `given` are these. InvalidArgument where they cannot run.
  absl::StatusOr<at::Tensor> Execute(bool refactored, const CallSet& calls, const Tensors& given,
                                     ValueId wanted, bool in_double) const {
    STRATA_ASSIGN_OR_RETURN(Leaves leaves, LeavesOf(claim_, trial_, refactored));
    const auto cast = [&](const at::Tensor& tensor) {
      return in_double && tensor.is_floating_point() ? tensor.to(at::kDouble) : tensor.clone();
    };
    if (in_double) {
      for (auto& [key, tensor] : leaves.weights) tensor = cast(tensor);
    }
    Replay replay(refactored ? theirs_.program() : ours_.program(), std::move(leaves));
    STRATA_RETURN_IF_ERROR(replay.Run(
        claim_.trials[trial_].seed, {.enter =
                                         [&](const program::Invocation& invocation) {
                                           if (invocation.id != 0) return absl::OkStatus();
                                           for (const auto& [id, tensor] : given)
                                             replay.Set(id, cast(tensor));
                                           return absl::OkStatus();
                                         },
                                     .leave = {},
                                     .before_call = [&](const Call& call) { return calls.contains(call.id); },
                                     .after_call = {}}));
    return replay.Read(wanted);
  }

  // The group's inputs as `tensors` (parallel to Group::in), by the values of one side.
  Tensors Ours(const Group& group, const std::vector<at::Tensor>& tensors) const {
    Tensors given;
    for (size_t i = 0; i < group.in.size(); ++i) given[group.in[i]] = tensors[i];
    return given;
  }
  Tensors Theirs(const Group& group, const std::vector<at::Tensor>& tensors) const {
    Tensors given;
    for (const auto& [id, index] : group.their_in)
      given[id] = Flat(tensors[index]).reshape(theirs_.program().value(id).type.sizes);
    return given;
  }

  // Of several values with the elements of one (the negative half of a leaky_relu, where nothing is positive)
  // it is enough that one is the same function; what leads to the others only is not covered by it.
  absl::StatusOr<std::optional<OtherFunction>> Compare(Group& group) const {
    for (size_t out = 0; out < group.out.size(); ++out) {
      std::optional<OtherFunction> other;
      bool agrees = false, unknown = false;
      for (const Candidate& candidate : Candidates(group, out)) {
        STRATA_ASSIGN_OR_RETURN(const std::optional<std::string> difference,
                                Difference(group, group.out[out], candidate));
        if (difference.has_value() && !difference->empty()) {
          other = Told(group.core, candidate, *difference);
          continue;
        }
        agrees |= difference.has_value();
        unknown |= !difference.has_value();
        group.here.insert(candidate.calls.begin(), candidate.calls.end());
      }
      if (!agrees && !unknown && other.has_value()) return other;
      group.shown &= agrees;
    }
    return std::nullopt;
  }

  // "" where the two agree; nullopt where they cannot be compared: they draw random numbers, do not give
  // again what was recorded, or the original bears none of the draws.
  absl::StatusOr<std::optional<std::string>> Difference(const Group& group, ValueId wanted,
                                                        const Candidate& candidate) const {
    const std::optional<CallSet> calls =
        ours_.Slice({wanted}, std::set<ValueId>(group.in.begin(), group.in.end()));
    if (!calls.has_value()) return std::nullopt;
    for (const CallId id : *calls) {
      if ((ours_.program().call(id).marks & program::kRandom) != 0) return std::nullopt;
    }
    std::vector<at::Tensor> recorded;
    for (const ValueId id : group.in) {
      if (!recorded_.contains(id)) return std::nullopt;
      recorded.push_back(recorded_.at(id));
    }
    // First as recorded: what is written through views is not seen by the slice.
    const auto plain = Execute(false, *calls, Ours(group, recorded), wanted, false);
    const auto spelled = Execute(true, candidate.calls, Theirs(group, recorded), candidate.value, false);
    if (!plain.ok() || !spelled.ok() || !Alike(recorded_.at(wanted), *plain) || !Alike(*plain, *spelled))
      return std::nullopt;
    int64_t most = 0;
    for (const at::Tensor& tensor : recorded) most = std::max(most, tensor.numel());
    // Few rows have few scales.
    const int draws = most < kManyNumbers ? 16 : 2;
    bool compared = false;
    for (int draw = 0; draw < draws; ++draw) {
      const std::vector<at::Tensor> drawn = Drawn(group, recorded, draw);
      const auto ours = Execute(false, *calls, Ours(group, drawn), wanted, false);
      if (!ours.ok()) continue;  // the original does not bear these
      const auto theirs = Execute(true, candidate.calls, Theirs(group, drawn), candidate.value, false);
      compared = true;
      if (!theirs.ok()) return "it raises on numbers that the original's bears";
      const auto exact = Execute(false, *calls, Ours(group, drawn), wanted, true);
      std::string difference = DifferenceOf(*ours, *theirs, exact.ok() ? *exact : at::Tensor());
      if (!difference.empty()) return difference;
    }
    if (!compared) return std::nullopt;
    return "";
  }

  // Values that were one stay one.
  std::vector<at::Tensor> Drawn(const Group& group, const std::vector<at::Tensor>& recorded, int draw) const {
    std::vector<at::Tensor> drawn;
    for (size_t i = 0; i < recorded.size(); ++i) {
      const auto same = std::find_if(recorded.begin(), recorded.begin() + static_cast<int64_t>(i),
                                     [&](const at::Tensor& other) { return Alike(other, recorded[i]); });
      if (same != recorded.begin() + static_cast<int64_t>(i)) {
        const at::Tensor& other = drawn[static_cast<size_t>(same - recorded.begin())];
        drawn.push_back(Flat(other).reshape(recorded[i].sizes()));
        continue;
      }
      const bool given = ours_.program().value(group.in[i]).kind == ValueKind::kInput;
      const int64_t seed = claim_.trials.back().seed + 100 * static_cast<int64_t>(i) + draw;
      const at::Tensor wide = DrawWide(recorded[i], given, /*mostly_large=*/draw % 2 == 1, seed);
      drawn.push_back(wide.defined() ? wide : recorded[i]);
    }
    return drawn;
  }

  // `exact` is the original in double precision; undefined where that cannot run.
  static std::string DifferenceOf(const at::Tensor& ours, const at::Tensor& theirs, const at::Tensor& exact) {
    const at::Tensor a = Flat(ours).to(at::kDouble), b = Flat(theirs).to(at::kDouble);
    if (a.numel() != b.numel() || a.numel() == 0) return "";
    const at::Tensor counts = at::isfinite(a), zeros = at::zeros_like(a);
    const double step = ours.is_floating_point() && ours.element_size() < 4 ? 1e-3 : 1e-5;
    const at::Tensor finite = at::where(counts, a, zeros);
    at::Tensor own = zeros;  // what rounding does to the original
    if (exact.defined() && exact.numel() == a.numel()) {
      own = a.sub(Flat(exact).to(at::kDouble)).abs();
      own = at::where(counts.logical_and(at::isfinite(own)), own, zeros);
    }
    // Rows differ in scale: each has its own measure. Of vectors, all are one row.
    const int64_t row = ours.dim() > 1 ? std::max<int64_t>(1, ours.size(-1)) : a.numel();
    const at::Tensor rms = finite.reshape({-1, row}).square().mean(1, true).sqrt();
    const at::Tensor most = std::get<0>(own.reshape({-1, row}).max(1, true));
    const at::Tensor allowed =
        rms.mul(step).add(most.mul(10)).add(1e-6).expand({-1, row}).reshape({-1}) + finite.abs().mul(step);
    const at::Tensor off = finite.sub(at::where(counts, b, zeros)).abs();
    const at::Tensor bad = off.gt(allowed).logical_or(at::isfinite(off).logical_not());
    if (!bad.any().item<bool>()) return "";
    const auto first = bad.to(at::kByte).argmax().item<int64_t>();
    return absl::StrFormat("alone, on large, tiny and negative numbers, %g and here %g",
                           a[first].item<double>(), b[first].item<double>());
  }

  OtherFunction Told(const CallSet& core, const Candidate& candidate, const std::string& difference) const {
    std::vector<std::string> spelled;
    OtherFunction told;
    for (const CallId id : candidate.calls) {
      if (!spelling_.contains(id)) continue;
      if (told.refactored == program::kNoId) told.refactored = id;
      if (spelled.size() < 8) spelled.push_back(program::OperatorName(theirs_.program().call(id).op));
    }
    told.what = absl::StrCat(NamesOf(core), " is spelled ", absl::StrJoin(spelled, ", "),
                             " here, another function: ", difference);
    return told;
  }

  // "exp, sum of original.py:12"
  std::string NamesOf(const CallSet& core) const {
    std::vector<std::string> names;
    for (const CallId id : core) names.push_back(program::OperatorName(ours_.program().call(id).op));
    const Call& first = ours_.program().call(*core.begin());
    return absl::StrCat(absl::StrJoin(names, ", "), " of ", FileOf(ours_.program(), first), ":",
                        LineOf(ours_.program(), first));
  }

  const RanClaim& claim_;
  const size_t trial_;
  const Surplus& surplus_;
  const Graph ours_, theirs_;
  CallSet spelling_;
  CallSet covered_;  // of the refactored model: what computes something that agrees
  Tensors recorded_;
  std::map<ValueId, Print> prints_;
  SideBySideFindings findings_;
};

}  // namespace

absl::StatusOr<SideBySideFindings> FindOtherFunctions(const RanClaim& claim, size_t trial,
                                                      const Surplus& surplus) {
  UseThreadsOf(claim);
  try {
    const at::NoGradGuard no_grad;
    at::manual_seed(static_cast<uint64_t>(claim.trials[trial].seed));
    absl::StatusOr<SideBySideFindings> found = SideBySide(claim, trial, surplus).Run();
    // An operator that cannot run again: rule `replay`.
    if (absl::IsInvalidArgument(found.status())) return SideBySideFindings{};
    return found;
  } catch (const std::exception& error) {  // torch's
    return absl::InternalError(absl::StrCat("executing spellings side by side: ", error.what()));
  }
}

}  // namespace strata::verify
