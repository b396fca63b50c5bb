#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/text.h"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/bundle_names.h"

namespace strata::verify {
namespace {

using program::Argument;
using program::Call;
using program::Value;
using program::ValueKind;
using Sizes = std::vector<int64_t>;

bool IsDType(const std::string& token) {
  static constexpr const char* kTokens[] = {"fp64", "fp32", "fp16", "bf16", "i64", "i32",
                                            "i16",  "i8",   "u8",   "bool", "c64", "c128"};
  return std::any_of(std::begin(kTokens), std::end(kTokens), [&](const char* t) { return token == t; });
}

// "64x128" as numbers; empty where the token is none.
Sizes DimsOf(const std::string& token) {
  Sizes sizes;
  for (const absl::string_view part : absl::StrSplit(token, 'x')) {
    int64_t number = 0;
    if (part.empty() || part[0] < '0' || part[0] > '9' || !absl::SimpleAtoi(part, &number)) return {};
    sizes.push_back(number);
  }
  return sizes;
}

// Words that name one operator, without underscores, and what may run under them; behind the bar by what else
// the function may be spelled.
const std::string* Family(const std::string& word) {
  static const auto* const kFamilies =
      new std::map<std::string, std::string>{{"relu", "relu"},
                                             {"relu6", "relu6 hardtanh clamp"},
                                             {"gelu", "gelu"},
                                             {"gelutanh", "gelu gelu_tanh"},
                                             {"newgelu", "gelu gelu_tanh"},
                                             {"silu", "silu swish"},
                                             {"swish", "silu swish"},
                                             {"sigmoid", "sigmoid"},
                                             {"tanh", "tanh"},
                                             {"leakyrelu", "leaky_relu"},
                                             {"elu", "elu"},
                                             {"softplus", "softplus"},
                                             {"mish", "mish"},
                                             {"hardswish", "hardswish"},
                                             {"hardsigmoid", "hardsigmoid"},
                                             {"hardtanh", "hardtanh"},
                                             {"logsoftmax", "log_softmax masked_log_softmax"},
                                             {"softmax", "softmax masked_softmax"},
                                             {"linear", "linear addmm | matmul mm"},
                                             {"conv1d", "conv1d convolution | linear"},
                                             {"conv2d", "conv2d convolution | linear"},
                                             {"conv3d", "conv3d convolution | linear"},
                                             {"convtranspose1d", "conv_transpose1d convolution"},
                                             {"convtranspose2d", "conv_transpose2d convolution"},
                                             {"convtranspose3d", "conv_transpose3d convolution"},
                                             {"matmul", "matmul bmm mm einsum | linear"},
                                             {"bmm", "bmm matmul"},
                                             {"embedding", "embedding"},
                                             {"layernorm", "layer_norm native_layer_norm"},
                                             {"batchnorm", "batch_norm"},
                                             {"batchnorm1d", "batch_norm"},
                                             {"batchnorm2d", "batch_norm"},
                                             {"batchnorm3d", "batch_norm"},
                                             {"groupnorm", "group_norm"},
                                             {"instancenorm2d", "instance_norm"},
                                             {"rmsnorm", "rms_norm"},
                                             {"maxpool1d", "max_pool1d"},
                                             {"maxpool2d", "max_pool2d max_pool2d_with_indices"},
                                             {"maxpool3d", "max_pool3d"},
                                             {"avgpool1d", "avg_pool1d"},
                                             {"avgpool2d", "avg_pool2d"},
                                             {"avgpool3d", "avg_pool3d"},
                                             {"adaptiveavgpool2d", "adaptive_avg_pool2d mean"},
                                             {"dropout", "dropout"},
                                             {"lstm", "lstm"},
                                             {"gru", "gru"},
                                             {"lstmcell", "lstm_cell"},
                                             {"grucell", "gru_cell"}};
  const auto it = kFamilies->find(word);
  return it == kFamilies->end() ? nullptr : &it->second;
}

// Reductions and scans, by the words that name them, and what else may run under that word; one does not go
// by the name of another.
const std::map<std::string, std::set<std::string>>& Reductions() {
  static const auto* const kReductions =
      new std::map<std::string, std::set<std::string>>{{"mean", {"mean", "sum"}},
                                                       {"sum", {"sum"}},
                                                       {"amax", {"amax", "max"}},
                                                       {"amin", {"amin", "min"}},
                                                       {"max", {"amax", "max"}},
                                                       {"min", {"amin", "min"}},
                                                       {"cumsum", {"cumsum"}},
                                                       {"cumprod", {"cumprod"}},
                                                       {"prod", {"prod"}},
                                                       {"argmax", {"argmax", "max"}},
                                                       {"argmin", {"argmin", "min"}},
                                                       {"logsumexp", {"logsumexp", "sum", "amax", "max"}},
                                                       {"var", {"var", "var_mean", "mean", "sum"}},
                                                       {"std", {"std", "std_mean", "var", "mean", "sum"}}};
  return *kReductions;
}

// An operator that has a word of its own.
bool IsFamily(const std::string& op) {
  std::string word = op;
  std::erase(word, '_');
  return Family(word) != nullptr;
}

// Everything that ran, by operator and by catalogue entry.
std::set<std::string> Ran(const ExecutedComponent& executed) {
  std::set<std::string> ran;
  for (const Call& call : executed.program().calls) {
    if (program::Classify(executed.program(), call) == program::OpClass::kPlumbing) continue;
    ran.insert(plan::NameOf(call));
    ran.insert(plan::TitleOf(executed.program(), call));
  }
  for (const plan::Kernel& kernel : executed.kernels()) ran.insert(kernel.operation);
  return ran;
}

// Lists of numbers that a name may tell: what the weights are made of, and the rest.
struct KnownDims {
  std::vector<Sizes> of_weights, others;
  bool has_matrix = false;  // a weight of two or more dimensions
  bool has_vector = false;  // a parameter of one
};

void AddInts(const Argument& argument, Sizes* ints) {
  if (argument.kind == Argument::Kind::kInt) ints->push_back(argument.integer);
  for (const Argument& item : argument.items) AddInts(item, ints);
}

KnownDims DimsIn(const ExecutedComponent& executed) {
  KnownDims known;
  for (const Value& value : executed.recorded().values) {
    const Sizes& sizes = value.type.sizes;
    if (value.is_wrapped_number || sizes.empty()) continue;
    const bool weight = value.kind == ValueKind::kParameter || value.kind == ValueKind::kBuffer;
    (weight ? known.of_weights : known.others).push_back(sizes);
    known.has_matrix |= weight && sizes.size() > 1;
    known.has_vector |= value.kind == ValueKind::kParameter && sizes.size() == 1;
  }
  for (const Call& call : executed.recorded().calls) {
    int64_t groups = 1;
    Sizes numbers;
    for (const program::NamedArgument& argument : call.args) {
      Sizes ints;
      AddInts(argument.value, &ints);
      numbers.insert(numbers.end(), ints.begin(), ints.end());
      if (ints.size() == 1) ints.insert(ints.end(), 2, ints[0]);  // kernel_size=3 is 3x3
      if (argument.name == "groups" && !ints.empty()) groups = ints[0];
      if (!ints.empty()) known.of_weights.push_back(ints);
    }
    for (const program::ValueId id : program::Reads(call)) {
      const Value& value = executed.recorded().value(id);
      if (value.kind != ValueKind::kParameter) continue;
      if (value.type.sizes.size() == 1) {  // groups x channels of a norm
        for (const int64_t number : numbers) known.of_weights.push_back({number, value.type.sizes[0]});
      }
      if (value.type.sizes.size() < 2) continue;
      // Channels times groups; gates stacked in one weight.
      for (const int64_t factor : {groups, int64_t{3}, int64_t{4}}) {
        Sizes wide = value.type.sizes, narrow = value.type.sizes;
        wide[1] *= factor;
        if (narrow[0] % factor == 0) narrow[0] /= factor;
        known.of_weights.push_back(wide);
        known.of_weights.push_back(narrow);
      }
    }
  }
  return known;
}

// What its calls are given under that name.
Sizes NumbersOf(const ExecutedComponent& executed, const char* setting) {
  Sizes numbers;
  for (const Call& call : executed.recorded().calls) {
    for (const program::NamedArgument& argument : call.args) {
      if (argument.name == setting) AddInts(argument.value, &numbers);
    }
  }
  return numbers;
}

bool Holds(Sizes sizes, Sizes wanted) {
  std::sort(sizes.begin(), sizes.end());
  std::sort(wanted.begin(), wanted.end());
  return std::includes(sizes.begin(), sizes.end(), wanted.begin(), wanted.end());
}

// As Holds, side by side: 32x32 of [4, 64, 32, 32], not 4x32.
bool HoldsTogether(const Sizes& sizes, const Sizes& wanted) {
  for (size_t begin = 0; begin + wanted.size() <= sizes.size(); ++begin) {
    const auto window = sizes.begin() + static_cast<std::ptrdiff_t>(begin);
    if (Holds({window, window + static_cast<std::ptrdiff_t>(wanted.size())}, wanted)) return true;
  }
  return false;
}

bool AnyHolds(const std::vector<Sizes>& known, const Sizes& wanted) {
  return std::any_of(known.begin(), known.end(), [&](const Sizes& sizes) { return Holds(sizes, wanted); });
}

std::string WeightsText(const ExecutedComponent& executed) {
  std::vector<std::string> shapes;
  for (const Value& value : executed.recorded().values) {
    if (value.kind == ValueKind::kParameter && shapes.size() < 4)
      shapes.push_back(plan::Dims(value.type.sizes));
  }
  return shapes.empty() ? absl::StrCat("its inputs are ", InputShapes(executed.recorded()))
                        : absl::StrCat("its weights are ", absl::StrJoin(shapes, ", "));
}

// Whether what ran may have that name.
bool IsOf(const std::string& family, const std::set<std::string>& ran,
          const std::optional<std::set<std::string>>& respelled) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(family, absl::MaxSplits(" | ", 1));
  const auto any_in = [](const std::string& names, const std::set<std::string>& set) {
    const std::vector<std::string> words = absl::StrSplit(names, ' ', absl::SkipEmpty());
    return std::any_of(words.begin(), words.end(),
                       [&](const std::string& word) { return set.contains(word); });
  };
  if (any_in(parts.first, ran)) return true;
  return any_in(parts.second, ran) && (!respelled || any_in(parts.first, *respelled));
}

// "mean" of what takes the largest.
std::string WrongReduction(const StatedName& name, const ExecutedComponent& executed) {
  const auto said = Reductions().find(name.operation.substr(0, name.operation.find('_')));
  if (said == Reductions().end()) return "";
  const std::set<std::string> ran = Ran(executed);
  const auto is_other = [&](const std::string& op) { return Reductions().contains(op); };
  const bool fits =
      std::any_of(ran.begin(), ran.end(), [&](const std::string& op) { return said->second.contains(op); });
  if (fits || std::none_of(ran.begin(), ran.end(), is_other)) return "";
  return absl::StrCat("says ", said->first, "; it executes ", absl::StrJoin(ran, ", "));
}

std::string WrongOperation(const StatedName& name, const ExecutedComponent& executed,
                           const std::optional<std::set<std::string>>& respelled) {
  std::vector<std::string> words = absl::StrSplit(name.operation, '_', absl::SkipEmpty());
  const std::set<std::string> ran = Ran(executed);
  for (; !words.empty(); words.pop_back()) {
    if (ran.contains(absl::StrJoin(words, "_"))) return "";  // embedding_bag is no embedding
    const std::string* family = Family(absl::StrJoin(words, ""));
    if (family == nullptr) continue;
    if (IsOf(*family, ran, respelled)) return "";
    // Sums, products and roots may be any formula.
    if (ran.size() > 1 && std::none_of(ran.begin(), ran.end(), IsFamily)) return "";
    return absl::StrCat("says ", absl::StrJoin(words, "_"), "; it executes ",
                        ran.empty() ? "nothing" : absl::StrJoin(ran, ", "));
  }
  return "";
}

// "0p2" as 0.2; nullopt where the token is no fraction.
std::optional<double> FractionOf(const std::string& token) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(token, absl::MaxSplits('p', 1));
  const auto is_number = [](const std::string& text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  };
  double fraction = 0;
  if (!is_number(parts.first) || !is_number(parts.second) ||
      !absl::SimpleAtod(absl::StrCat(parts.first, ".", parts.second), &fraction))
    return std::nullopt;
  return fraction;
}

void AddDoubles(const Argument& argument, std::vector<double>* doubles) {
  if (argument.kind == Argument::Kind::kDouble) doubles->push_back(argument.real);
  if (argument.kind == Argument::Kind::kInt) doubles->push_back(static_cast<double>(argument.integer));
  for (const Argument& item : argument.items) AddDoubles(item, doubles);
}

// "0p2" where no call is given 0.2. Numbers that a formula makes tensors of are not told.
std::string WrongFractions(const StatedName& name, const ExecutedComponent& executed) {
  std::vector<double> known;
  for (const Call& call : executed.recorded().calls) {
    for (const program::NamedArgument& argument : call.args) AddDoubles(argument.value, &known);
  }
  const auto& values = executed.recorded().values;
  const bool has_numbers =
      std::any_of(values.begin(), values.end(), [](const Value& value) { return value.is_wrapped_number; });
  if (known.empty() || has_numbers) return "";
  for (const std::string& token : name.tokens) {
    const std::optional<double> said = FractionOf(token);
    if (!said) continue;
    const auto fits = [&](double is) { return std::abs(std::abs(is) - *said) <= 1e-6 * *said; };
    if (std::none_of(known.begin(), known.end(), fits))
      return absl::StrCat("says ", token, "; what it is given is ", absl::StrJoin(known, ", "));
  }
  return "";
}

// "s2" against a stride of 1; a setting that no call has contradicts nothing.
std::string WrongSettings(const StatedName& name, const ExecutedComponent& executed) {
  static constexpr std::pair<const char*, const char*> kSettings[] = {
      {"s", "stride"}, {"p", "padding"}, {"d", "dilation"}, {"g", "groups"}, {"dim", "dim"}, {"dimm", "dim"}};
  for (const std::string& token : name.tokens) {
    const size_t digits = token.find_first_of("0123456789");
    int64_t number = 0;
    if (digits == std::string::npos || !absl::SimpleAtoi(token.substr(digits), &number)) continue;
    const std::string letters = token.substr(0, digits);
    for (const auto& [prefix, setting] : kSettings) {
      if (letters != prefix) continue;
      const Sizes has = NumbersOf(executed, setting);
      const int64_t said = letters == "dimm" ? -number : number;
      const bool fits = std::any_of(has.begin(), has.end(), [&](int64_t is) {
        return is == said || (letters.starts_with("dim") && (is < 0) != (said < 0));
      });
      if (!has.empty() && !fits) return absl::StrCat("says ", token, "; its ", setting, " is ", has[0]);
    }
  }
  return "";
}

std::string WrongDims(const StatedName& name, const ExecutedComponent& executed) {
  const KnownDims known = DimsIn(executed);
  bool first = true;
  for (const std::string& token : name.tokens) {
    const Sizes dims = DimsOf(token);
    // A single number may be anything, but for the one that a norm's weight has.
    if (dims.empty() || (dims.size() == 1 && !(first && known.has_vector && !known.has_matrix))) continue;
    // The first dimensions of a kernel with a matrix are the matrix's: a batch of 512 excuses no 512x512.
    const bool of_weight = first && known.has_matrix;
    first = false;
    if (AnyHolds(known.of_weights, dims)) continue;
    if (!of_weight && std::any_of(known.others.begin(), known.others.end(),
                                  [&](const Sizes& sizes) { return HoldsTogether(sizes, dims); }))
      continue;
    return absl::StrCat("says ", token, "; ", WeightsText(executed));
  }
  return "";
}

std::string WrongDType(const StatedName& name, const ExecutedComponent& executed) {
  std::set<std::string> known;
  for (const Value& value : executed.recorded().values) {
    if (!value.is_wrapped_number) known.insert(program::ShortName(value.type.dtype));
  }
  for (const std::string& dtype : name.dtypes) {
    if (!known.contains(dtype))
      return absl::StrCat("says ", dtype, "; its tensors are ", absl::StrJoin(known, ", "));
  }
  return "";
}

}  // namespace

StatedName ReadName(const std::string& stem) {
  StatedName name;
  name.tokens = absl::StrSplit(stem, '_', absl::SkipEmpty());
  size_t end = name.tokens.size();
  const Sizes last = end > 1 ? DimsOf(name.tokens[end - 1]) : Sizes();
  name.numbered = last.size() == 1 && IsDType(name.tokens[end - 2]);
  if (name.numbered) --end;
  while (end > 1 && IsDType(name.tokens[end - 1])) --end;
  for (size_t i = end; i < name.tokens.size() && IsDType(name.tokens[i]); ++i)
    name.dtypes.push_back(name.tokens[i]);
  std::vector<std::string> words;
  for (size_t i = 0; i < end && DimsOf(name.tokens[i]).empty(); ++i) words.push_back(name.tokens[i]);
  name.operation = absl::StrJoin(words, "_");
  return name;
}

std::vector<std::string> Contradictions(const StatedName& name, const ExecutedComponent& executed,
                                        const std::optional<std::set<std::string>>& respelled) {
  std::vector<std::string> found;
  if (executed.ok()) {
    found.push_back(WrongOperation(name, executed, respelled));
    found.push_back(WrongReduction(name, executed));
  }
  found.push_back(WrongFractions(name, executed));
  found.push_back(WrongDims(name, executed));
  found.push_back(WrongSettings(name, executed));
  found.push_back(WrongDType(name, executed));
  std::erase(found, "");
  return found;
}

std::string OperatorsNotNamed(const StatedName& name, const ExecutedComponent& executed) {
  std::string word = name.operation;
  std::erase(word, '_');
  const std::string* family = Family(word);
  if (!executed.ok() || executed.kernels().size() < 2 || family == nullptr) return "";
  const std::set<std::string> ran = Ran(executed);
  if (!IsOf(*family, ran, std::nullopt)) return "";
  const std::vector<std::string> own = absl::StrSplit(*family, ' ', absl::SkipEmpty());
  for (const std::string& op : ran) {
    if (IsFamily(op) && std::find(own.begin(), own.end(), op) == own.end())
      return absl::StrCat("says ", name.operation, "; it executes ", absl::StrJoin(ran, ", "));
  }
  return "";
}

bool IsGeneric(const StatedName& name, const ExecutedComponent* executed) {
  if (name.dtypes.empty()) return true;
  if (executed == nullptr) return false;
  return !SaysDims(name) && DimsIn(*executed).has_matrix;
}

bool SaysDims(const StatedName& name) {
  return std::any_of(name.tokens.begin(), name.tokens.end(),
                     [](const std::string& token) { return !DimsOf(token).empty(); });
}

}  // namespace strata::verify
