#include "worker/engine/verify/draw.h"

#include <cmath>
#include <exception>
#include <functional>
#include <random>
#include <set>

#include "ATen/ATen.h"
#include "ATen/MemoryOverlap.h"
#include "ATen/core/grad_mode.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "worker/engine/host/tensor_file.h"
#include "worker/engine/verify/draw_tensor.h"

namespace strata::verify {
namespace {

using nlohmann::json;

// Scalars from the standard library, tensors from torch's generator: both from one seed.
class Dice {
 public:
  explicit Dice(int64_t seed) : engine_(static_cast<uint64_t>(seed)) {
    at::manual_seed(static_cast<uint64_t>(seed));
  }
  double Between(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(engine_);
  }
  double Sign() { return Between(0, 1) < 0.5 ? -1 : 1; }
  bool Coin() { return Between(0, 1) < 0.5; }

 private:
  std::mt19937_64 engine_;
};

bool IsFloat(const at::Tensor& tensor) { return tensor.is_floating_point() || tensor.is_complex(); }

at::Tensor Normal(at::IntArrayRef sizes) { return at::randn(sizes, at::kFloat); }

// Mean 0, spread 1, with or without tails.
at::Tensor Spread(Dice& dice, at::IntArrayRef sizes) {
  if (dice.Coin()) return Normal(sizes);
  return at::rand(sizes, at::kFloat).sub_(0.5).mul_(std::sqrt(12.0));
}

// ---- weights -------------------------------------------------------------------------------------------

at::Tensor WideParameter(Dice& dice, const at::Tensor& built) {
  const int64_t rows = built.dim() >= 2 ? built.size(0) : 1;
  if (built.dim() >= 2 && rows > 0) {
    const double fan_in = static_cast<double>(std::max<int64_t>(1, built.numel() / rows));
    const double spread = dice.Between(0.7, 1.3) / std::sqrt(fan_in);
    return Spread(dice, built.sizes()).mul_(spread).add_(dice.Between(-0.3, 0.3) * spread);
  }
  const double mean = dice.Sign() * dice.Between(0.4, 1.2);
  return Spread(dice, built.sizes()).mul_(dice.Between(0.1, 0.4)).add_(mean);
}

at::Tensor NarrowParameter(Dice& dice, const at::Tensor& built) {
  const at::Tensor old = built.to(at::kFloat);
  const double own = old.numel() > 1 ? old.std().item<double>() : 0;
  const double spread = std::isfinite(own) && own > 0 ? 0.2 * own : 0.02;
  return old.mul(dice.Between(0.8, 1.2)).add_(Normal(built.sizes()).mul_(spread));
}

// One in twenty is small, so that what is added to it under the root shows.
at::Tensor Variance(Dice& dice, const at::Tensor& built, Reach reach) {
  if (reach == Reach::kNarrow) return built.to(at::kFloat).mul(Normal(built.sizes()).mul_(0.2).exp_());
  const at::Tensor usual = at::rand(built.sizes(), at::kFloat).mul_(1.5).add_(dice.Between(0.3, 0.6));
  return at::where(at::rand(built.sizes(), at::kFloat).lt(0.05), usual * 0.01, usual);
}

at::Tensor DrawWeight(Dice& dice, const at::Tensor& built, WeightRole role, Reach reach) {
  switch (role) {
    case WeightRole::kRunningVariance:
      return Variance(dice, built, reach);
    case WeightRole::kRunningMean:
      return Normal(built.sizes()).mul_(dice.Between(0.2, 0.6)).add_(dice.Between(-0.3, 0.3));
    case WeightRole::kParameter:
    case WeightRole::kFixed:
      break;
  }
  return reach == Reach::kWide ? WideParameter(dice, built) : NarrowParameter(dice, built);
}

at::Tensor WithPhase(const at::Tensor& real, const at::Tensor& like) {
  if (!like.is_complex()) return real;
  return at::complex(real, Normal(like.sizes()).mul_(real.abs().mean().item<double>()));
}

// ---- inputs --------------------------------------------------------------------------------------------

enum class Domain : uint8_t { kKeep, kProbabilities, kUnit, kPositive, kAny };

Domain DomainOf(const at::Tensor& tensor) {
  if (tensor.numel() == 0 || at::has_internal_overlap(tensor) != at::MemOverlap::No) return Domain::kKeep;
  if (tensor.is_complex()) return Domain::kAny;
  if (!tensor.is_floating_point()) return Domain::kKeep;
  const at::Tensor values = tensor.to(at::kFloat);
  if (!at::isfinite(values).all().item<bool>()) return Domain::kKeep;
  if (values.eq(0).logical_or(values.eq(1)).all().item<bool>()) return Domain::kKeep;
  const double low = values.min().item<double>(), high = values.max().item<double>();
  // A mask to be added: nothing, or something very small.
  if (low <= kMasked && values.eq(0).logical_or(values.eq(low)).all().item<bool>()) return Domain::kKeep;
  if (low < 0) return Domain::kAny;
  const bool sums_to_one =
      values.dim() > 0 && values.size(-1) > 1 && values.sum(-1).sub(1).abs().max().item<double>() < 1e-3;
  if (sums_to_one) return Domain::kProbabilities;
  return high <= 1 ? Domain::kUnit : Domain::kPositive;
}

// One factor per row: the last dimension shares it. Of vectors and numbers, one per element. In turn, so that
// few rows have the first of them, and in random order.
at::Tensor RowScales(const at::Tensor& like, const std::vector<double>& choices) {
  std::vector<int64_t> sizes = like.sizes().vec();
  if (sizes.size() > 1) sizes.back() = 1;
  int64_t rows = 1;
  for (const int64_t size : sizes) rows *= size;
  const at::Tensor table = at::tensor(choices, at::kFloat);
  const at::Tensor turn = at::arange(rows, at::kLong).remainder(static_cast<int64_t>(choices.size()));
  return table.index({turn.index({at::randperm(rows, at::kLong)})}).reshape(sizes);
}

std::vector<double> Choices(Reach reach, bool mostly_large) {
  if (reach == Reach::kNarrow) return {3, 1, 0.3, 1};
  if (mostly_large) return {100, 1, 30, 10, 1};
  return {1, 1e-2, 0, 1, 1e-4, 0.1};
}

at::Tensor DrawInput(Dice& dice, const at::Tensor& drawn, Domain domain, Reach reach, bool mostly_large) {
  switch (domain) {
    case Domain::kProbabilities:
      return at::softmax(Normal(drawn.sizes()).mul_(reach == Reach::kWide ? 3 : 1), -1);
    case Domain::kUnit: {
      const at::Tensor inside = at::rand(drawn.sizes(), at::kFloat);
      if (reach == Reach::kNarrow) return inside;
      const at::Tensor edge = at::rand(drawn.sizes(), at::kFloat);
      return at::where(edge.lt(0.1), at::zeros_like(inside),
                       at::where(edge.gt(0.9), at::ones_like(inside), inside * inside));
    }
    case Domain::kPositive:
      return Normal(drawn.sizes())
          .mul_(0.5)
          .exp_()
          .mul_(RowScales(drawn, reach == Reach::kNarrow ? std::vector<double>{0.3, 1, 3}
                                                         : std::vector<double>{0.01, 0.1, 1, 10, 100}));
    case Domain::kAny:
    case Domain::kKeep:
      break;
  }
  const at::Tensor scale = RowScales(drawn, Choices(reach, mostly_large));
  return Normal(drawn.sizes()).add_(dice.Between(-0.2, 0.2)).mul_(scale);
}

using Fill = std::function<at::Tensor(const std::string& name, const at::Tensor&)>;

// ---- changes of the inputs besides -----------------------------------------------------------------------

struct InputChange {
  enum class Kind : uint8_t { kApart, kAlike, kNumber, kAlone } kind = Kind::kApart;
  std::string tree;
  json::json_pointer place{};  // kApart, kNumber: in that tree
  size_t tensor = 0;           // kAlike, kAlone
  Reach reach = Reach::kWide;  // kAlone
};

// Another number for a Python one; "" where it is no number. `nth` keeps numbers apart that were equal.
std::string OtherNumber(Dice& dice, const std::string& literal, int nth) {
  int64_t whole = 0;
  if (absl::SimpleAtoi(literal, &whole)) {
    if (std::abs(whole) > 1'000'000'000) return "";
    return absl::StrCat(whole < 0 ? whole - 1 - nth : whole + 1 + nth);
  }
  double number = 0;
  if (!absl::SimpleAtod(literal, &number) || !std::isfinite(number)) return "";
  const bool is_share = number >= 0 && number < 1;
  const double other = is_share ? dice.Between(0.05, 0.95) : number * dice.Between(0.3, 3);
  // Of few digits, which Python writes back as they stand here.
  double rounded = 0;
  if (!absl::SimpleAtod(absl::StrFormat("%.3g", other), &rounded)) return "";
  return json(rounded).dump();
}

void AddChanges(const json& node, const std::string& tree, const json::json_pointer& place,
                std::set<size_t>& seen, std::vector<InputChange>& changes) {
  const std::string kind = node.value("kind", "");
  Dice any(0);
  if (kind == "literal" && !OtherNumber(any, node.value("value", ""), 0).empty())
    changes.push_back({.kind = InputChange::Kind::kNumber, .tree = tree, .place = place});
  if (kind == "tensor" && !seen.insert(node.value("index", size_t{0})).second)
    changes.push_back({.kind = InputChange::Kind::kApart, .tree = tree, .place = place});
  if (!node.contains("items")) return;
  for (size_t i = 0; i < node["items"].size(); ++i)
    AddChanges(node["items"][i], tree, place / "items" / i, seen, changes);
}

// In an order that depends on the file alone.
std::vector<InputChange> ChangesOf(const host::TensorFile& file, bool one_by_one) {
  std::vector<InputChange> changes;
  std::set<size_t> seen;
  for (const char* tree : {"args", "kwargs"}) {
    if (file.trees.contains(tree)) AddChanges(file.trees[tree], tree, json::json_pointer(), seen, changes);
  }
  std::vector<size_t> drawable;
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    const at::Tensor& tensor = file.tensors[i].second;
    if (tensor.numel() == 0) continue;
    if (DomainOf(tensor) == Domain::kKeep)
      changes.push_back({.kind = InputChange::Kind::kAlike, .tree = "", .tensor = i});
    else
      drawable.push_back(i);
  }
  if (!one_by_one || drawable.size() < 2) return changes;
  for (const Reach reach : {Reach::kWide, Reach::kNarrow}) {
    for (const size_t i : drawable)
      changes.push_back({.kind = InputChange::Kind::kAlone, .tree = "", .tensor = i, .reach = reach});
  }
  return changes;
}

// Of the same values in other places; of zeros and ones where all were one value; a number for a number. What
// one row was spread over is other in every row. `equal`: how many of its value were changed before, which it
// is to differ from.
at::Tensor Another(Dice& dice, const at::Tensor& kept, std::ptrdiff_t equal) {
  if (at::has_internal_overlap(kept) != at::MemOverlap::No) {
    const at::Tensor rows = kept.contiguous();
    return DomainOf(rows) == Domain::kKeep
               ? Another(dice, rows, equal + 1)
               : DrawInput(dice, rows, DomainOf(rows), Reach::kNarrow, false).to(rows.scalar_type());
  }
  if (kept.numel() == 1 && kept.is_floating_point()) return at::full_like(kept, dice.Between(0.3, 3));
  const at::Tensor flat = kept.flatten();
  if (flat.eq(flat[0]).all().item<bool>()) {
    at::Tensor other = at::where(at::rand(flat.sizes(), at::kFloat).lt(0.3), flat.eq(0), flat);
    other[0] = flat[0].eq(0);
    return other.to(kept.scalar_type()).reshape(kept.sizes());
  }
  std::vector<int64_t> all(static_cast<size_t>(kept.dim()));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  const at::Tensor flipped = kept.flip(all);
  if (equal == 0 && !at::equal(flipped, kept)) return flipped;
  return flat.index({at::randperm(flat.numel(), at::kLong)}).reshape(kept.sizes());
}

// A copy of its own for the tensor at this place.
size_t SetApart(json& node, host::TensorFile& file) {
  const auto index = node.value("index", size_t{0});
  const auto [name, tensor] = file.tensors.at(index);
  node["index"] = file.tensors.size();
  file.tensors.emplace_back(name, tensor.clone());
  if (index < file.devices.size()) file.devices.push_back(file.devices[index]);
  return file.tensors.size() - 1;
}

// `alone`: what is drawn on its own, and how far.
DrawnInputs Apply(Dice& dice, const InputDraw& draw, host::TensorFile& file,
                  std::map<const void*, Reach>& alone) {
  DrawnInputs found;
  std::map<std::string, int> numbers;
  std::vector<at::Tensor> changed;  // as they came
  const std::vector<InputChange> changes = ChangesOf(file, draw.one_by_one);
  for (const int chosen : draw.changes) {
    if (static_cast<size_t>(chosen) >= changes.size()) continue;
    const InputChange& change = changes[static_cast<size_t>(chosen)];
    switch (change.kind) {
      case InputChange::Kind::kNumber: {
        json& literal = file.trees[change.tree][change.place];
        const auto old = literal.value("value", std::string());
        literal["value"] = OtherNumber(dice, old, numbers[old]++);
        found.numbers = true;
        break;
      }
      case InputChange::Kind::kApart:
      case InputChange::Kind::kAlike: {
        const bool apart = change.kind == InputChange::Kind::kApart;
        at::Tensor& tensor =
            file.tensors[apart ? SetApart(file.trees[change.tree][change.place], file) : change.tensor]
                .second;
        if (tensor.numel() == 0 || DomainOf(tensor) != Domain::kKeep) break;
        const auto equal = std::count_if(changed.begin(), changed.end(),
                                         [&](const at::Tensor& other) { return SameValue(other, tensor); });
        changed.push_back(tensor);
        tensor = tensor.clone().copy_(Another(dice, tensor, equal));
        break;
      }
      case InputChange::Kind::kAlone:
        alone.emplace(file.tensors[change.tensor].second.unsafeGetTensorImpl(), change.reach);
        break;
    }
  }
  return found;
}

using Change = std::function<void(host::TensorFile&)>;

// Every tensor of the file that `fill` gives something for, each memory once, after `change`.
absl::Status Redraw(const std::string& in, const std::string& out, const Change& change, const Fill& fill) {
  try {
    const at::NoGradGuard no_grad;
    absl::StatusOr<host::TensorFile> file = host::ReadTensorFile(in);
    if (!file.ok()) return file.status();
    if (change) change(*file);
    std::set<std::pair<const void*, int64_t>> done;
    for (auto& [name, tensor] : file->tensors) {
      if (!IsFloat(tensor) || tensor.numel() == 0) continue;
      if (!done.emplace(tensor.storage().unsafeGetStorageImpl(), tensor.storage_offset()).second) continue;
      const at::Tensor drawn = fill(name, tensor);
      if (drawn.defined()) tensor.copy_(WithPhase(drawn, tensor));
    }
    return host::WriteTensorFile(out, *file);
  } catch (const std::exception& error) {  // torch's
    return absl::InternalError(absl::StrCat("drawing from ", in, ": ", error.what()));
  }
}

}  // namespace

const char* ReachName(Reach reach) {
  switch (reach) {
    case Reach::kWide:
      return "wide";
    case Reach::kNarrow:
      return "narrow";
    case Reach::kAsBuilt:
      break;
  }
  return "as built";
}

std::map<std::string, WeightRole> WeightRoles(const program::Program& original) {
  std::map<program::ValueId, WeightRole> by_value;
  for (const program::Value& value : original.values) {
    if (value.kind == program::ValueKind::kParameter) by_value[value.id] = WeightRole::kParameter;
  }
  for (const program::Call& call : original.calls) {
    for (const program::NamedArgument& argument : call.args) {
      if (argument.value.kind != program::Argument::Kind::kValue) continue;
      if (argument.name == "running_mean") by_value[argument.value.value] = WeightRole::kRunningMean;
      if (argument.name == "running_var") by_value[argument.value.value] = WeightRole::kRunningVariance;
    }
  }
  std::map<std::string, WeightRole> roles;
  for (const auto& [id, role] : by_value) {
    for (const std::string& path : original.value(id).paths) roles[path] = role;
  }
  return roles;
}

bool SameValue(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && at::equal(a, b);
}

at::Tensor DrawWide(const at::Tensor& like, bool keeps_domain, bool mostly_large, int64_t seed) {
  Domain domain = DomainOf(like);
  if (!like.is_floating_point() || like.numel() == 0) return {};
  if (!keeps_domain) domain = Domain::kAny;
  if (domain == Domain::kKeep) return {};
  Dice dice(seed);
  at::Tensor drawn = DrawInput(dice, like, domain, Reach::kWide, mostly_large);
  if (domain == Domain::kAny && !mostly_large) {
    const at::Tensor scale = RowScales(like, {1, 0, 0.1, 1e-2, 1}), far = RowScales(like, {0, 30, -30, 0});
    drawn = Normal(like.sizes()).add_(far).mul_(scale);
  }
  return drawn.to(like.scalar_type()).to(like.device());
}

std::set<std::string> BranchingWeights(const program::Program& original) {
  std::vector<bool> read(original.values.size(), false);
  for (size_t i = original.calls.size(); i-- > 0;) {
    const program::Call& call = original.calls[i];
    // What gives no tensor gives a number.
    bool leads =
        (call.marks & program::kDataDependent) != 0 || (call.results.empty() && call.mutated.empty());
    for (const std::vector<program::ValueId>& made : {call.results, call.mutated_to}) {
      for (const program::ValueId id : made) leads |= id >= 0 && read[static_cast<size_t>(id)];
    }
    if (!leads) continue;
    for (const program::ValueId id : program::Reads(call)) read[static_cast<size_t>(id)] = true;
  }
  std::set<std::string> keys;
  for (const program::Value& value : original.values) {
    if (read[static_cast<size_t>(value.id)]) keys.insert(value.paths.begin(), value.paths.end());
  }
  return keys;
}

absl::Status DrawWeights(const std::string& built, const std::map<std::string, WeightRole>& roles,
                         int64_t seed, Reach reach, const std::string& out) {
  Dice dice(seed);
  return Redraw(built, out, {}, [&](const std::string& name, const at::Tensor& tensor) {
    const auto role = roles.find(name);
    if (role == roles.end() || role->second == WeightRole::kFixed) return at::Tensor();
    return DrawWeight(dice, tensor, role->second, reach);
  });
}

absl::StatusOr<DrawnInputs> DrawInputs(const std::string& drawn, const InputDraw& draw,
                                       const std::string& out) {
  Dice dice(draw.seed);
  DrawnInputs found;
  std::map<const void*, Reach> alone;
  const auto change = [&](host::TensorFile& file) { found = Apply(dice, draw, file, alone); };
  STRATA_RETURN_IF_ERROR(Redraw(drawn, out, change, [&](const std::string&, const at::Tensor& tensor) {
    const auto by_itself = alone.find(tensor.unsafeGetTensorImpl());
    const Reach reach = by_itself == alone.end() ? draw.reach : by_itself->second;
    Domain domain = DomainOf(tensor);
    if (reach == Reach::kAsBuilt || domain == Domain::kKeep) return at::Tensor();
    if (domain == Domain::kUnit && reach == Reach::kWide && draw.mostly_large) domain = Domain::kAny;
    found.tensors = true;
    return DrawInput(dice, tensor, domain, reach, draw.mostly_large);
  }));
  return found;
}

absl::StatusOr<int> CountInputChanges(const std::string& drawn, bool one_by_one) {
  try {
    STRATA_ASSIGN_OR_RETURN(const host::TensorFile file, host::ReadTensorFile(drawn));
    return static_cast<int>(ChangesOf(file, one_by_one).size());
  } catch (const std::exception& error) {  // torch's
    return absl::InternalError(absl::StrCat("reading ", drawn, ": ", error.what()));
  }
}

}  // namespace strata::verify
