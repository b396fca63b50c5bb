#include "worker/engine/verify/compare.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "worker/engine/host/tensor_file.h"
#include "worker/engine/verify/draw.h"

namespace strata::verify {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int64_t kChunk = int64_t{1} << 22;  // elements compared at once, in double

// JSON has no NaN and no infinity.
ordered_json Number(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
}

std::string DTypeName(const at::Tensor& tensor) {
  static const std::pair<at::ScalarType, const char*> kNames[] = {
      {at::kDouble, "torch.float64"},
      {at::kFloat, "torch.float32"},
      {at::kHalf, "torch.float16"},
      {at::kBFloat16, "torch.bfloat16"},
      {at::kLong, "torch.int64"},
      {at::kInt, "torch.int32"},
      {at::kShort, "torch.int16"},
      {at::kChar, "torch.int8"},
      {at::kByte, "torch.uint8"},
      {at::kBool, "torch.bool"},
      {at::kComplexFloat, "torch.complex64"},
      {at::kComplexDouble, "torch.complex128"},
  };
  for (const auto& [type, name] : kNames) {
    if (tensor.scalar_type() == type) return name;
  }
  return c10::toString(tensor.scalar_type());
}

// Torch knows no isnan of floats of eight bits.
at::Tensor Measurable(const at::Tensor& tensor) {
  return tensor.is_floating_point() && tensor.element_size() < 2 ? tensor.to(at::kFloat) : tensor;
}

struct Difference {
  double max = 0, sum = 0;
  int64_t max_ulp = 0;  // units in the last place, of floating types
  bool close = true, bit_exact = true, nan = false, inf = false;
  int64_t elements = 0;
};

// What an output is held to, and what must not pass for it.
struct Bar {
  Tolerance tolerance;
  bool exact = false;      // only equal bits pass
  bool unchanged = false;  // it is an input that the original does not change
};

// One chunk of floating values, both as double. NaN never passes, whatever the other side has.
void CompareChunk(const at::Tensor& a, const at::Tensor& b, const Tolerance& tolerance, Difference& out) {
  out.nan |= at::isnan(a).any().item<bool>() || at::isnan(b).any().item<bool>();
  out.inf |= at::isinf(a).any().item<bool>() || at::isinf(b).any().item<bool>();
  const at::Tensor difference = at::where(a.eq(b), at::zeros_like(a), a.sub(b).abs());
  const at::Tensor bound = a.abs().mul(tolerance.rtol).add(tolerance.atol);
  // Against an infinite bound everything would be close: an Inf has to meet the same Inf.
  const at::Tensor close = a.eq(b).logical_or(difference.le(bound).logical_and(at::isfinite(a)));
  out.close &= close.all().item<bool>();
  const double max = difference.max().item<double>();
  out.max = std::isnan(max) || std::isnan(out.max) ? std::numeric_limits<double>::quiet_NaN()
                                                   : std::max(out.max, max);
  out.sum += difference.sum().item<double>();
}

// How many representable numbers lie between two: the bits of floats, read as whole numbers, are in order.
int64_t MaxUlp(const at::Tensor& a, const at::Tensor& b) {
  const auto ordered = [](const at::Tensor& t) {
    const bool wide = t.element_size() == 8;
    const at::ScalarType as = wide ? at::kLong : t.element_size() == 4 ? at::kInt : at::kShort;
    const at::Tensor bits = t.contiguous().view(as).to(at::kLong);
    const int64_t low =
        wide ? std::numeric_limits<int64_t>::min() : -(int64_t{1} << (8 * t.element_size() - 1));
    return at::where(bits.lt(0), at::full_like(bits, low).sub(bits), bits);
  };
  if (!a.is_floating_point() || a.element_size() < 2 || a.numel() == 0) return 0;
  return ordered(a).sub(ordered(b)).abs().max().item<int64_t>();
}

double RootMeanSquare(const at::Tensor& values) {
  if (values.numel() == 0) return 0;
  const at::Tensor real = values.is_complex() ? at::view_as_real(values) : values;
  return std::sqrt(real.to(at::kDouble).square().mean().item<double>());
}

// Of the output's numbers; of a masked one's (-1e9 where a score does not count) without what the mask left.
double ScaleOf(const at::Tensor& values) {
  const double all = RootMeanSquare(values);
  if (!values.is_floating_point() || values.numel() == 0) return all;
  const at::Tensor rest = values.masked_select(values.gt(kMasked / 2));
  const double unmasked = RootMeanSquare(rest);
  return rest.numel() > 0 && std::isfinite(unmasked) && 100 * unmasked < all ? unmasked : all;
}

at::Tensor Bound(const at::Tensor& values, const Tolerance& tolerance) {
  return values.abs().mul(tolerance.rtol).add(tolerance.atol);
}

// Its elements in a row; of complex ones both parts.
at::Tensor Numbers(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.resolve_conj().resolve_neg();
  return (plain.is_complex() ? at::view_as_real(plain.contiguous()) : plain).reshape({-1}).to(at::kDouble);
}

// Whether something that no model computes would be close to these values: zeros, one number for all, or one
// of the inputs.
bool PassesForNothing(const at::Tensor& original, const Tolerance& tolerance,
                      const std::vector<at::Tensor>& inputs) {
  const at::Tensor values = Numbers(original);
  const at::Tensor bound = Bound(values, tolerance);
  if (values.abs().le(bound).all().item<bool>()) return true;
  const bool constant =
      values.numel() > 1 && values.sub(bound).max().item<double>() <= values.add(bound).min().item<double>();
  if (constant) return true;
  for (const at::Tensor& input : inputs) {
    if (input.is_complex() != original.is_complex() || input.numel() != original.numel()) continue;
    if (values.sub(Numbers(input)).abs().le(bound).all().item<bool>()) return true;
  }
  return false;
}

Bar BarFor(const at::Tensor& original, Tolerance tolerance, bool scaled,
           const std::vector<at::Tensor>& inputs) {
  const bool measured = (original.is_floating_point() || original.is_complex()) && original.numel() > 0;
  const double rms = measured ? ScaleOf(original) : 0;
  if (!std::isfinite(rms)) return {tolerance};
  if (scaled) tolerance.atol = std::max(tolerance.atol, (tolerance.rtol >= 1e-3 ? 1e-3 : 1e-5) * rms);
  if (!measured || !PassesForNothing(original, tolerance, inputs)) return {tolerance};
  tolerance.atol = std::min(tolerance.atol, 1e-3 * rms);
  return {tolerance, PassesForNothing(original, tolerance, inputs)};
}

bool SameBytes(const at::Tensor& a, const at::Tensor& b) {
  return std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

Difference CompareValues(const at::Tensor& original, const at::Tensor& refactored,
                         const Tolerance& tolerance) {
  at::Tensor a = original.resolve_conj().resolve_neg().contiguous();
  at::Tensor b = refactored.resolve_conj().resolve_neg().contiguous();
  Difference out;
  out.elements = a.numel();
  if (a.numel() == 0) return out;
  out.bit_exact = SameBytes(a, b);
  const bool exact = !a.is_floating_point() && !a.is_complex();
  if (exact && out.bit_exact) return out;
  if (a.is_complex()) {
    a = at::view_as_real(a);
    b = at::view_as_real(b);
  }
  a = Measurable(a);
  b = Measurable(b);
  if (!out.bit_exact) out.max_ulp = MaxUlp(a, b);
  // The common case, in the tensor's own type: equal bits of finite values have nothing to measure.
  if (out.bit_exact && at::isfinite(a).all().item<bool>()) return out;
  a = a.reshape({-1});
  b = b.reshape({-1});
  for (int64_t begin = 0; begin < a.numel(); begin += kChunk) {
    const int64_t length = std::min(kChunk, a.numel() - begin);
    const at::Tensor left = a.narrow(0, begin, length), right = b.narrow(0, begin, length);
    CompareChunk(left.to(at::kDouble), right.to(at::kDouble), tolerance, out);
  }
  if (exact) out.close = false;  // whole numbers and truth values have no tolerance
  return out;
}

ordered_json Mismatch(size_t index, const std::string& reason) {
  return {{"output_idx", index},
          {"max_diff", nullptr},
          {"mean_diff", nullptr},
          {"matches", false},
          {"reason", reason}};
}

std::string Shape(const at::Tensor& tensor) {
  return absl::StrCat("[", c10::Join(", ", tensor.sizes()), "]");
}

// One output of both sides, as output_details has it; `bit_exact` and `max` go up to the trial.
ordered_json CompareOutput(size_t index, const at::Tensor& original, const at::Tensor& refactored,
                           const Bar& bar, bool allow_inf, bool& bit_exact, double& max) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  if (original.scalar_type() != refactored.scalar_type() || original.sizes() != refactored.sizes()) {
    bit_exact = false;
    max = nan;
    return Mismatch(index, absl::StrCat("the original has ", DTypeName(original), Shape(original),
                                        ", the refactored model ", DTypeName(refactored), Shape(refactored)));
  }
  Difference difference = CompareValues(original, refactored, bar.tolerance);
  if ((bar.exact || bar.unchanged) && !difference.bit_exact) difference.close = false;
  bit_exact &= difference.bit_exact;
  max = std::isnan(max) || std::isnan(difference.max) ? nan : std::max(max, difference.max);
  const double mean =
      difference.elements == 0 ? 0 : difference.sum / static_cast<double>(difference.elements);
  const bool inf_fails = difference.inf && !allow_inf;
  ordered_json detail = {
      {"output_idx", index},           {"shape", original.sizes().vec()},
      {"dtype", DTypeName(original)},  {"max_diff", Number(difference.max)},
      {"mean_diff", Number(mean)},     {"matches", difference.close && !difference.nan && !inf_fails},
      {"max_ulp", difference.max_ulp}, {"bit_exact", difference.bit_exact}};
  if (difference.nan) {
    detail["reason"] = "NaN in the output";
  } else if (inf_fails) {
    detail["reason"] = "Inf in the output of the submitted model";
  } else if (!difference.close) {
    detail["reason"] = bar.unchanged ? "the original does not change it"
                       : bar.exact
                           ? "zeros, a constant or an input would pass for it, so only equal bits pass"
                           : "the numbers differ by more than the tolerance";
  }
  return detail;
}

// The class of a dataclass is known by its own name only: the refactored file has a copy of it.
std::string ClassName(const json& tree) {
  const std::string name = tree.value("class", "");
  return name.substr(name.rfind('.') + 1);
}

// What the first object in it carries besides what can be compared, and where; "" where none does.
std::string ExtraIn(const json& tree, const std::string& where) {
  std::string names;
  for (const json& name : tree.value("extra", json::array()))
    absl::StrAppend(&names, names.empty() ? "" : ", ", name.get<std::string>());
  if (!names.empty()) return absl::StrCat(where, " carries ", names);
  const json items = tree.value("items", json::array());
  for (size_t i = 0; i < items.size() && names.empty(); ++i)
    names = ExtraIn(items[i], absl::StrCat(where, "[", i, "]"));
  return names;
}

// Pairs the tensors of two trees; "" or what differs in their structure and where.
std::string PairTensors(const json& a, const json& b, const std::string& where,
                        std::vector<std::pair<size_t, size_t>>& pairs) {
  const std::string kind = a.value("kind", "");
  if (kind != b.value("kind", "")) {
    return absl::StrCat(where, " is a ", kind, " in the original and a ", b.value("kind", ""), " here");
  }
  if (kind == "tensor") {
    pairs.emplace_back(a.at("index").get<size_t>(), b.at("index").get<size_t>());
    return "";
  }
  if (kind == "literal" && a.value("value", "") != b.value("value", "")) {
    return absl::StrCat(where, " is ", a.value("value", ""), " in the original and ", b.value("value", ""),
                        " here");
  }
  if (a.value("keys", json::array()) != b.value("keys", json::array()) || ClassName(a) != ClassName(b)) {
    return absl::StrCat(where, " has other keys or another class than in the original");
  }
  const json& items = a.value("items", json::array());
  const json& others = b.value("items", json::array());
  if (items.size() != others.size()) {
    return absl::StrCat(where, " has ", items.size(), " elements in the original and ", others.size(),
                        " here");
  }
  for (size_t i = 0; i < items.size(); ++i) {
    std::string what = PairTensors(items[i], others[i], absl::StrCat(where, "[", i, "]"), pairs);
    if (!what.empty()) return what;
  }
  return "";
}

Tolerance Loosest(const std::vector<Tolerance>& tolerances) {
  Tolerance loosest{1e-5, 1e-6};
  for (const Tolerance& t : tolerances) {
    loosest.rtol = std::max(loosest.rtol, t.rtol);
    loosest.atol = std::max(loosest.atol, t.atol);
  }
  return loosest;
}

bool IsSame(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         CompareValues(a, b, Tolerance{0, 0}).bit_exact;
}

struct Side {
  bool pass = true, bit_exact = true;
  double max = 0;
  ordered_json details = ordered_json::array();
};

// All tensors of the named trees of two files.
// `inputs` are those of the forward. `are_inputs`: the files hold them as they were after it; what the
// original left as it was is left as it was, bit by bit.
absl::StatusOr<Side> CompareFiles(const std::string& original, const std::string& refactored,
                                  const std::vector<std::string>& trees, const CompareRequest& request,
                                  bool scaled_atol, const std::vector<at::Tensor>& inputs, bool are_inputs) {
  absl::StatusOr<host::TensorFile> a = host::ReadTensorFile(original);
  if (!a.ok()) return a.status();
  absl::StatusOr<host::TensorFile> b = host::ReadTensorFile(refactored);
  if (!b.ok()) return b.status();
  Side side;
  std::vector<std::pair<size_t, size_t>> pairs;
  for (const std::string& tree : trees) {
    const json ours = a->trees.value(tree, json::object()), theirs = b->trees.value(tree, json::object());
    std::string what = ExtraIn(ours, tree);
    const bool unjudged = !what.empty();
    if (!unjudged) what = ExtraIn(theirs, tree);
    if (!what.empty()) {
      absl::StrAppend(&what, unjudged ? ", which cannot be compared" : ", and the original's does not");
    } else {
      what = PairTensors(ours, theirs, tree, pairs);
    }
    if (what.empty()) continue;
    side.pass = side.bit_exact = false;
    side.max = std::numeric_limits<double>::quiet_NaN();
    side.details.push_back(Mismatch(0, what));
    if (unjudged) side.details.back()["unjudged"] = true;
    return side;
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [left, right] = pairs[i];
    if (left >= a->tensors.size() || right >= b->tensors.size()) {
      return absl::DataLossError(
          absl::StrCat(original, " or ", refactored, ": a tree names a tensor that is not there"));
    }
    const Tolerance tolerance =
        i < request.tolerances.size() && !are_inputs ? request.tolerances[i] : Loosest(request.tolerances);
    const at::Tensor& value = a->tensors[left].second;
    Bar bar = BarFor(value, tolerance, scaled_atol, are_inputs ? std::vector<at::Tensor>{} : inputs);
    bar.unchanged = are_inputs && left < inputs.size() && IsSame(inputs[left], value);
    side.details.push_back(CompareOutput(i, a->tensors[left].second, b->tensors[right].second, bar,
                                         request.allow_inf, side.bit_exact, side.max));
    side.pass &= side.details.back()["matches"].get<bool>();
  }
  return side;
}

// What the call left in parameters and buffers: as the original left it, and nothing else changed.
absl::StatusOr<ordered_json> CompareState(const TrialFiles& files, const CompareRequest& request) {
  using State = std::map<std::string, at::Tensor>;
  const auto read = [](const std::string& path) -> absl::StatusOr<State> {
    if (path.empty() || !FileExists(path)) return State{};
    absl::StatusOr<host::TensorFile> file = host::ReadTensorFile(path);
    if (!file.ok()) return file.status();
    return State(file->tensors.begin(), file->tensors.end());
  };
  const absl::StatusOr<State> original = read(files.original_state),
                              refactored = read(files.refactored_state);
  if (!original.ok()) return original.status();
  if (!refactored.ok()) return refactored.status();
  ordered_json details = ordered_json::array();
  const auto differs = [&](const std::string& key, const std::string& reason) {
    details.push_back({{"key", key}, {"matches", false}, {"reason", reason}});
  };
  for (const auto& [key, source] : request.weight_sources) {
    const auto ours = original->find(source);
    const auto theirs = refactored->find(key);
    const bool changed = theirs != refactored->end();
    if ((ours != original->end()) != changed) {
      differs(key,
              changed ? "the original leaves it as it was" : "the original changes it, and here it stays");
    } else if (changed && (ours->second.sizes() != theirs->second.sizes() ||
                           ours->second.scalar_type() != theirs->second.scalar_type())) {
      differs(key, "it has another shape or dtype than in the original");
    } else if (changed) {
      const Bar bar = BarFor(ours->second, Loosest(request.tolerances), files.scaled_atol, {});
      if (!CompareValues(ours->second, theirs->second, bar.tolerance).close)
        differs(key, "it has other numbers than in the original");
    }
  }
  return details;
}

// What a model keeps between calls shows in the second one. Nothing where the original has none, or NaN
// there.
absl::StatusOr<ordered_json> CompareAgain(const TrialFiles& files, CompareRequest request,
                                          const std::vector<at::Tensor>& inputs) {
  if (files.original_again.empty() || !FileExists(files.original_again)) return ordered_json::array();
  const absl::StatusOr<NonFinite> original = FindNonFinite(files.original_again);
  if (!original.ok()) return original.status();
  if (original->nan) return ordered_json::array();
  if (!FileExists(files.refactored_again))
    return ordered_json::array({Mismatch(0, "the refactored model raises at its second call")});
  request.allow_inf = true;
  absl::StatusOr<Side> side = CompareFiles(files.original_again, files.refactored_again, {"output"}, request,
                                           files.scaled_atol, inputs, /*are_inputs=*/false);
  if (!side.ok()) return side.status();
  return side->pass ? ordered_json::array() : std::move(side->details);
}

absl::StatusOr<ordered_json> CompareTrial(const TrialFiles& files, const CompareRequest& request) {
  std::vector<at::Tensor> inputs_before;
  if (!files.inputs.empty()) {
    absl::StatusOr<host::TensorFile> file = host::ReadTensorFile(files.inputs);
    if (!file.ok()) return file.status();
    for (auto& [name, tensor] : file->tensors) inputs_before.push_back(std::move(tensor));
  }
  absl::StatusOr<Side> outputs =
      CompareFiles(files.original_outputs, files.refactored_outputs, {"output"}, request, files.scaled_atol,
                   inputs_before, /*are_inputs=*/false);
  if (!outputs.ok()) return outputs.status();
  ordered_json trial = {{"trial", files.trial}, {"seed", files.seed}};
  if (files.workload != 0) trial["workload"] = files.workload;
  trial["max_diff"] = Number(outputs->max);
  bool pass = outputs->pass;
  trial["pass"] = pass;
  trial["bit_exact"] = outputs->bit_exact;
  trial["output_details"] = outputs->details;
  absl::StatusOr<ordered_json> state = CompareState(files, request);
  if (!state.ok()) return state.status();
  if (!state->empty()) {
    trial["pass"] = pass = false;
    trial["state_after"] = *std::move(state);
  }
  absl::StatusOr<ordered_json> again = CompareAgain(files, request, inputs_before);
  if (!again.ok()) return again.status();
  if (!again->empty()) {
    trial["pass"] = pass = false;
    trial["second_call"] = *std::move(again);
  }
  if (files.original_after.empty()) return trial;

  // Most forwards change no input, and then there is nothing to say about it.
  CompareRequest inputs = request;
  inputs.allow_inf = true;
  absl::StatusOr<Side> after = CompareFiles(files.original_after, files.refactored_after, {"args", "kwargs"},
                                            inputs, files.scaled_atol, inputs_before, /*are_inputs=*/true);
  if (!after.ok()) return after.status();
  if (after->pass && after->bit_exact) return trial;
  trial["pass"] = pass && after->pass;
  trial["bit_exact"] = false;
  trial["inputs_after"] = after->details;
  return trial;
}

}  // namespace

absl::StatusOr<ordered_json> CompareTrials(const CompareRequest& request) {
  ordered_json trials = ordered_json::array(), drawn = ordered_json::array();
  bool pass = !request.trials.empty(), bit_exact = true;
  double max = 0;
  try {
    for (const TrialFiles& files : request.trials) {
      absl::StatusOr<ordered_json> trial = CompareTrial(files, request);
      if (!trial.ok()) return trial.status();
      pass &= (*trial)["pass"].get<bool>();
      if (files.by_judge) {
        drawn.push_back(*std::move(trial));
        continue;
      }
      bit_exact &= (*trial)["bit_exact"].get<bool>();
      const ordered_json& diff = (*trial)["max_diff"];
      max = diff.is_null() ? std::numeric_limits<double>::quiet_NaN() : std::max(max, diff.get<double>());
      trials.push_back(*std::move(trial));
    }
  } catch (const std::exception& e) {  // torch's, and nlohmann's on a forged header
    return absl::DataLossError(absl::StrCat("comparing outputs: ", e.what()));
  }
  return ordered_json{{"status", pass ? "PASS" : "FAIL"},
                      {"num_trials", trials.size()},
                      {"max_diff_across_trials", Number(max)},
                      {"bit_exact", bit_exact},
                      {"trials", trials},
                      {"drawn_trials", drawn}};
}

absl::StatusOr<NonFinite> FindNonFinite(const std::string& outputs_path) {
  absl::StatusOr<host::TensorFile> file = host::ReadTensorFile(outputs_path);
  if (!file.ok()) return file.status();
  NonFinite found;
  try {
    for (const auto& [name, original] : file->tensors) {
      const at::Tensor tensor = Measurable(original);
      if (!tensor.is_floating_point() && !tensor.is_complex()) continue;
      found.nan |= at::isnan(tensor).any().item<bool>();
      found.inf |= at::isinf(tensor).any().item<bool>();
    }
  } catch (const std::exception& e) {
    return absl::DataLossError(absl::StrCat("reading outputs: ", e.what()));
  }
  return found;
}

absl::StatusOr<std::string> CheckFinite(const std::string& outputs_path) {
  absl::StatusOr<host::TensorFile> file = host::ReadTensorFile(outputs_path);
  if (!file.ok()) return file.status();
  try {
    for (size_t i = 0; i < file->tensors.size(); ++i) {
      const at::Tensor tensor = Measurable(file->tensors[i].second);
      if (!tensor.is_floating_point() && !tensor.is_complex()) continue;
      const char* what = at::isnan(tensor).any().item<bool>()   ? "NaN"
                         : at::isinf(tensor).any().item<bool>() ? "Inf"
                                                                : nullptr;
      if (what)
        return absl::StrCat("output ", i, " (", DTypeName(tensor), Shape(tensor), ") contains ", what);
    }
  } catch (const std::exception& e) {
    return absl::DataLossError(absl::StrCat("reading outputs: ", e.what()));
  }
  return "";
}

}  // namespace strata::verify
