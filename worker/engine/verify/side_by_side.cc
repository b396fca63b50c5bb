#include "worker/engine/verify/side_by_side.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <map>
#include <optional>
#include <set>

#include "ATen/ATen.h"
#include "ATen/core/grad_mode.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/bundle_program.h"
#include "worker/engine/verify/claim_leaves.h"
#include "worker/engine/verify/counting.h"
#include "worker/engine/verify/draw_tensor.h"
#include "worker/engine/verify/places.h"

namespace strata::verify {
namespace {

using program::Call;
using program::CallId;
using program::Program;
using program::Value;
using program::ValueId;
using program::ValueKind;
using CallSet = std::set<CallId>;
using Tensors = std::map<ValueId, at::Tensor>;

constexpr int kGrowths = 6;       // how often a group takes in its neighbours
constexpr size_t kMostCalls = 64;  // of a group: past it, it is the model that the trials compare
constexpr size_t kMostGroups = 16, kMostCandidates = 6;

std::vector<ValueId> MadeBy(const Call& call) {
  std::vector<ValueId> made = call.results;
  made.insert(made.end(), call.mutated_to.begin(), call.mutated_to.end());
  std::erase_if(made, [](ValueId id) { return id < 0; });
  return made;
}

// One side's recording as a graph.
class Graph {
 public:
  explicit Graph(const Program& program)
      : program_(program), maker_(program.values.size(), program::kNoId), depends_(program.values.size()) {
    for (const Value& value : program.values) depends_[Index(value.id)] = value.kind == ValueKind::kInput;
    for (const Call& call : program.calls) {
      bool depends = false;
      for (const ValueId id : program::Reads(call)) depends |= id >= 0 && depends_[Index(id)];
      for (const ValueId id : MadeBy(call)) {
        maker_[Index(id)] = call.id;
        depends_[Index(id)] = depends;
      }
    }
    const std::vector<bool> live = LiveCalls(program);
    for (const Call& call : program.calls) {
      if (!live[Index(call.id)]) continue;
      for (const ValueId id : program::Reads(call)) {
        if (id >= 0) readers_[id].push_back(call.id);
      }
    }
    for (const ValueId id : OutputsOf(program)) outputs_.insert(id);
  }

  const Program& program() const { return program_; }
  CallId maker(ValueId id) const { return maker_[Index(id)]; }
  bool depends_on_input(ValueId id) const { return id >= 0 && depends_[Index(id)]; }
  bool is_float(ValueId id) const { return program::IsFloating(program_.value(id).type.dtype); }
  bool is_output(ValueId id) const { return outputs_.contains(id); }
  const std::vector<CallId>& readers(ValueId id) const {
    static const std::vector<CallId> kNone;
    const auto found = readers_.find(id);
    return found == readers_.end() ? kNone : found->second;
  }

  // What must run for `wanted` where `given` are there; nullopt where a float of the model's input that is not
  // among them leads to it.
  std::optional<CallSet> Slice(const std::vector<ValueId>& wanted, const std::set<ValueId>& given) const {
    CallSet calls;
    std::vector<ValueId> todo = wanted;
    while (!todo.empty()) {
      const ValueId id = todo.back();
      todo.pop_back();
      if (id < 0 || given.contains(id)) continue;
      const CallId maker = maker_[Index(id)];
      if (maker == program::kNoId) {
        if (program_.value(id).kind == ValueKind::kInput && is_float(id)) return std::nullopt;
        continue;
      }
      if (!calls.insert(maker).second) continue;
      for (const ValueId read : program::Reads(program_.call(maker))) todo.push_back(read);
    }
    return calls;
  }

 private:
  static size_t Index(int32_t id) { return static_cast<size_t>(id); }

  const Program& program_;
  std::vector<CallId> maker_;   // by ValueId
  std::vector<bool> depends_;   // by ValueId
  std::map<ValueId, std::vector<CallId>> readers_;
  std::set<ValueId> outputs_;
};

at::Tensor Flat(const at::Tensor& tensor) { return tensor.reshape({-1}); }

// Whether they are one value up to rounding.
bool Alike(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined() || a.numel() != b.numel() || a.scalar_type() != b.scalar_type()) return false;
  const at::Tensor left = Flat(a).to(at::kDouble), right = Flat(b).to(at::kDouble);
  const double rms = left.numel() == 0 ? 0 : std::sqrt(left.square().mean().item<double>());
  const bool half = a.element_size() < 4;
  return at::allclose(left, right, half ? 1e-2 : 1e-4, (half ? 1e-2 : 1e-5) * (std::isfinite(rms) ? rms : 0),
                      /*equal_nan=*/true);
}

// A group of the original's calls between values that it takes and values that it gives.
struct Group {
  CallSet calls;
  std::vector<ValueId> in, out;  // floats that depend on the model's input
};

// The same on the other side: where each value of the group was found.
struct Place {
  std::map<ValueId, size_t> in;            // value -> index into Group::in
  std::vector<std::vector<ValueId>> outs;  // by index into Group::out: all that have its elements
};

// One that may be a value of the group, and what computes it.
struct Candidate {
  size_t out = 0;  // index into Group::out
  ValueId value = program::kNoId;
  CallSet calls;
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

  absl::StatusOr<std::vector<OtherFunction>> Run() {
    std::vector<OtherFunction> found;
    std::vector<Group> groups = Groups();
    if (groups.size() > kMostGroups) groups.resize(kMostGroups);
    for (Group& group : groups) {
      const CallSet core = group.calls;
      for (int growth = 0; growth <= kGrowths && group.calls.size() <= kMostCalls; ++growth) {
        SetBorders(group);
        if (group.in.empty() || group.out.empty()) break;
        STRATA_ASSIGN_OR_RETURN(const Place place, FindPlace(group));
        if (IsFound(place)) {
          STRATA_ASSIGN_OR_RETURN(const std::optional<OtherFunction> other, Compare(group, core, place));
          if (other.has_value()) found.push_back(*other);
          break;
        }
        Grow(group);
      }
    }
    return found;
  }

 private:
  // Left over calls that feed each other, directly or through calls that are not counted.
  std::vector<Group> Groups() const {
    std::vector<CallSet> groups;
    std::map<ValueId, std::set<size_t>> from;  // the groups that a value carries
    CallSet left;
    for (const OperatorUse& use : surplus_.original) left.insert(use.call);
    for (const Call& call : ours_.program().calls) {
      std::set<size_t> sources;
      for (const ValueId id : program::Reads(call)) {
        if (const auto found = from.find(id); found != from.end())
          sources.insert(found->second.begin(), found->second.end());
      }
      const bool counted = program::Classify(ours_.program(), call) != program::OpClass::kPlumbing;
      if (!left.contains(call.id) && counted) continue;
      if (left.contains(call.id)) {
        const size_t group = sources.empty() ? groups.size() : *sources.begin();
        if (group == groups.size()) groups.emplace_back();
        groups[group].insert(call.id);
        sources.insert(group);
      }
      for (const ValueId id : MadeBy(call)) from[id].insert(sources.begin(), sources.end());
    }
    std::vector<Group> found;
    for (CallSet& calls : groups) found.push_back({.calls = std::move(calls), .in = {}, .out = {}});
    return found;
  }

  void SetBorders(Group& group) const {
    std::set<ValueId> made, in;
    group.in.clear();
    group.out.clear();
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
      const bool leaves = ours_.is_output(value) || std::any_of(readers.begin(), readers.end(), [&](CallId id) {
                            return !group.calls.contains(id);
                          });
      if (leaves) group.out.push_back(value);
    }
  }

  void Grow(Group& group) const {
    for (const ValueId id : group.out) {
      for (const CallId reader : ours_.readers(id)) group.calls.insert(reader);
    }
    for (const ValueId id : group.in) {
      if (ours_.maker(id) != program::kNoId) group.calls.insert(ours_.maker(id));
    }
  }

  // ---- what the recordings have

  absl::Status Replayed(bool refactored, const Replay::Hooks& hooks, Replay*& replay,
                        std::optional<Replay>& holder) const {
    STRATA_ASSIGN_OR_RETURN(Leaves leaves, LeavesOf(claim_, trial_, refactored));
    holder.emplace(refactored ? theirs_.program() : ours_.program(), std::move(leaves));
    replay = &*holder;
    return holder->Run(claim_.trials[trial_].seed, hooks);
  }

  absl::StatusOr<Tensors> Recorded(const Group& group) const {
    Tensors found;
    std::set<ValueId> wanted(group.in.begin(), group.in.end());
    wanted.insert(group.out.begin(), group.out.end());
    Replay* replay = nullptr;
    std::optional<Replay> holder;
    const auto keep = [&](ValueId id) {
      if (!wanted.contains(id)) return;
      if (const absl::StatusOr<at::Tensor> tensor = replay->Read(id); tensor.ok()) found[id] = tensor->clone();
    };
    STRATA_RETURN_IF_ERROR(Replayed(false,
                                    {.enter =
                                         [&](const program::Invocation& invocation) {
                                           if (invocation.id != 0) return absl::OkStatus();
                                           for (const ValueId id : InputsOf(ours_.program())) keep(id);
                                           return absl::OkStatus();
                                         },
                                     .leave = {},
                                     .before_call = {},
                                     .after_call =
                                         [&](const Call& call) {
                                           for (const ValueId id : MadeBy(call)) keep(id);
                                         }},
                                    replay, holder));
    return found;
  }

  absl::StatusOr<Place> FindPlace(const Group& group) {
    STRATA_ASSIGN_OR_RETURN(recorded_, Recorded(group));
    Place place{.in = {}, .outs = std::vector<std::vector<ValueId>>(group.out.size())};
    Replay* replay = nullptr;
    std::optional<Replay> holder;
    const auto look = [&](ValueId id) {
      const absl::StatusOr<at::Tensor> tensor = replay->Read(id);
      if (!tensor.ok()) return;
      for (size_t i = 0; i < group.in.size(); ++i) {
        if (Alike(recorded_[group.in[i]], *tensor)) place.in.emplace(id, i);
      }
      for (size_t i = 0; i < group.out.size(); ++i) {
        if (Alike(recorded_[group.out[i]], *tensor)) place.outs[i].push_back(id);
      }
    };
    STRATA_RETURN_IF_ERROR(Replayed(true,
                                    {.enter =
                                         [&](const program::Invocation& invocation) {
                                           if (invocation.id != 0) return absl::OkStatus();
                                           for (const ValueId id : InputsOf(theirs_.program())) look(id);
                                           return absl::OkStatus();
                                         },
                                     .leave = {},
                                     .before_call = {},
                                     .after_call =
                                         [&](const Call& call) {
                                           for (const ValueId id : MadeBy(call)) look(id);
                                         }},
                                    replay, holder));
    return place;
  }

  // What computes it from the group's inputs alone, by some of the spelling.
  std::vector<Candidate> Candidates(const Place& place, size_t out) const {
    std::set<ValueId> given;
    for (const auto& [id, index] : place.in) given.insert(id);
    std::vector<Candidate> found;
    for (const ValueId id : place.outs[out]) {
      if (given.contains(id) || found.size() == kMostCandidates) continue;
      std::optional<CallSet> calls = theirs_.Slice({id}, given);
      if (!calls.has_value()) continue;
      const bool spells =
          std::any_of(calls->begin(), calls->end(), [&](CallId call) { return spelling_.contains(call); });
      if (spells) found.push_back({.out = out, .value = id, .calls = *std::move(calls)});
    }
    return found;
  }

  bool IsFound(const Place& place) const {
    for (size_t out = 0; out < place.outs.size(); ++out) {
      if (Candidates(place, out).empty()) return false;
    }
    return true;
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
        claim_.trials[trial_].seed,
        {.enter =
             [&](const program::Invocation& invocation) {
               if (invocation.id != 0) return absl::OkStatus();
               for (const auto& [id, tensor] : given) replay.Set(id, cast(tensor));
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
  Tensors Theirs(const Place& place, const std::vector<at::Tensor>& tensors) const {
    Tensors given;
    for (const auto& [id, index] : place.in)
      given[id] = Flat(tensors[index]).reshape(theirs_.program().value(id).type.sizes);
    return given;
  }

  // Of several values with the elements of one (the negative half of a leaky_relu, where nothing is positive)
  // it is enough that one is the same function.
  absl::StatusOr<std::optional<OtherFunction>> Compare(const Group& group, const CallSet& core,
                                                       const Place& place) const {
    for (size_t out = 0; out < group.out.size(); ++out) {
      std::optional<OtherFunction> other;
      for (const Candidate& candidate : Candidates(place, out)) {
        STRATA_ASSIGN_OR_RETURN(const std::string difference, Difference(group, place, candidate));
        if (!difference.empty()) {
          other = Told(core, candidate, difference);
        } else {
          other.reset();
          break;
        }
      }
      if (other.has_value()) return other;
    }
    return std::nullopt;
  }

  // "" where the two agree, or cannot be compared.
  absl::StatusOr<std::string> Difference(const Group& group, const Place& place,
                                         const Candidate& candidate) const {
    const ValueId wanted = group.out[candidate.out];
    const std::optional<CallSet> calls =
        ours_.Slice({wanted}, std::set<ValueId>(group.in.begin(), group.in.end()));
    if (!calls.has_value()) return std::string();
    for (const CallId id : *calls) {
      if ((ours_.program().call(id).marks & program::kRandom) != 0) return std::string();
    }
    std::vector<at::Tensor> recorded;
    for (const ValueId id : group.in) recorded.push_back(recorded_.at(id));
    // First as recorded: what is written through views is not seen by the slice.
    const auto plain = Execute(false, *calls, Ours(group, recorded), wanted, false);
    const auto spelled = Execute(true, candidate.calls, Theirs(place, recorded), candidate.value, false);
    if (!plain.ok() || !spelled.ok() || !Alike(recorded_.at(wanted), *plain) || !Alike(*plain, *spelled))
      return std::string();
    for (const bool mostly_large : {false, true}) {
      const std::vector<at::Tensor> drawn = Drawn(group, recorded, mostly_large);
      const auto ours = Execute(false, *calls, Ours(group, drawn), wanted, false);
      if (!ours.ok()) continue;  // the original does not bear these
      const auto theirs = Execute(true, candidate.calls, Theirs(place, drawn), candidate.value, false);
      if (!theirs.ok()) return std::string("it raises on numbers that the original's bears");
      const auto exact = Execute(false, *calls, Ours(group, drawn), wanted, true);
      std::string difference = DifferenceOf(*ours, *theirs, exact.ok() ? *exact : at::Tensor());
      if (!difference.empty()) return difference;
    }
    return std::string();
  }

  // Values that were one stay one.
  std::vector<at::Tensor> Drawn(const Group& group, const std::vector<at::Tensor>& recorded,
                                bool mostly_large) const {
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
      const at::Tensor wide = DrawWide(recorded[i], given, mostly_large);
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
    double own = 0;  // what rounding does to the original
    if (exact.defined() && exact.numel() == a.numel()) {
      const at::Tensor off = a.sub(Flat(exact).to(at::kDouble)).abs();
      own = at::where(counts.logical_and(at::isfinite(off)), off, zeros).max().item<double>();
    }
    const at::Tensor finite = at::where(counts, a, zeros);
    const double rms = std::sqrt(finite.square().mean().item<double>());
    const at::Tensor allowed = finite.abs().mul(step).add(step * rms + 10 * own);
    const at::Tensor off = finite.sub(at::where(counts, b, zeros)).abs();
    const at::Tensor bad = off.gt(allowed).logical_or(at::isfinite(off).logical_not());
    if (!bad.any().item<bool>()) return "";
    const auto first = bad.to(at::kByte).argmax().item<int64_t>();
    return absl::StrFormat("alone, on large, tiny and negative numbers, %g and here %g", a[first].item<double>(),
                           b[first].item<double>());
  }

  OtherFunction Told(const CallSet& core, const Candidate& candidate, const std::string& difference) const {
    std::vector<std::string> names, spelled;
    OtherFunction told;
    for (const CallId id : core) names.push_back(program::OperatorName(ours_.program().call(id).op));
    for (const CallId id : candidate.calls) {
      if (!spelling_.contains(id)) continue;
      if (told.refactored == program::kNoId) told.refactored = id;
      if (spelled.size() < 8) spelled.push_back(program::OperatorName(theirs_.program().call(id).op));
    }
    const Call& first = ours_.program().call(*core.begin());
    told.what = absl::StrCat(absl::StrJoin(names, ", "), " of original.py:", LineOf(ours_.program(), first),
                             " is spelled ", absl::StrJoin(spelled, ", "), " here, another function: ", difference);
    return told;
  }

  const RanClaim& claim_;
  const size_t trial_;
  const Surplus& surplus_;
  const Graph ours_, theirs_;
  CallSet spelling_;
  Tensors recorded_;
};

}  // namespace

absl::StatusOr<std::vector<OtherFunction>> FindOtherFunctions(const RanClaim& claim, size_t trial,
                                                              const Surplus& surplus) {
  UseThreadsOf(claim);
  try {
    const at::NoGradGuard no_grad;
    at::manual_seed(static_cast<uint64_t>(claim.trials[trial].seed));
    absl::StatusOr<std::vector<OtherFunction>> found = SideBySide(claim, trial, surplus).Run();
    // An operator that cannot run again: rule `replay`.
    if (absl::IsInvalidArgument(found.status())) return std::vector<OtherFunction>{};
    return found;
  } catch (const std::exception& error) {  // torch's
    return absl::InternalError(absl::StrCat("executing spellings side by side: ", error.what()));
  }
}

}  // namespace strata::verify
