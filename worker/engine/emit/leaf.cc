#include "worker/engine/emit/leaf.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "worker/engine/emit/python_text.h"
#include "worker/engine/emit/spelling.h"

namespace strata::emit {
namespace {

using program::Argument;
using program::Call;
using program::Module;
using program::NamedArgument;
using program::Program;
using program::ValueId;

// How many leading constructor arguments stand without their names.
size_t PositionalCount(const std::string& c) {
  static const std::map<std::string, size_t> kCounts = {{"Linear", 2},
                                                        {"Bilinear", 3},
                                                        {"LayerNorm", 1},
                                                        {"RMSNorm", 1},
                                                        {"GroupNorm", 2},
                                                        {"Embedding", 2},
                                                        {"EmbeddingBag", 2},
                                                        {"LSTM", 2},
                                                        {"GRU", 2},
                                                        {"RNN", 2},
                                                        {"MultiheadAttention", 2},
                                                        {"LeakyReLU", 1},
                                                        {"PReLU", 0},
                                                        {"Flatten", 2},
                                                        {"Unflatten", 2},
                                                        {"PixelShuffle", 1},
                                                        {"PixelUnshuffle", 1},
                                                        {"ChannelShuffle", 1}};
  const auto found = kCounts.find(c);
  if (found != kCounts.end()) return found->second;
  if (absl::StartsWith(c, "Conv")) return 2;
  if (absl::StrContains(c, "Norm") || absl::StrContains(c, "Dropout") || absl::StartsWith(c, "Adaptive"))
    return 1;
  return 0;
}

bool IsDimension(const std::string& name) {
  static const std::set<std::string> kNames = {
      "in_features",    "out_features",  "in_channels", "out_channels", "num_features", "num_channels",
      "num_embeddings", "embedding_dim", "input_size",  "hidden_size",  "embed_dim",    "normalized_shape"};
  return kNames.count(name) > 0;
}

// "(3, 3)" -> "3", "(128,)" -> "128"; anything else as it is.
std::string Collapse(const std::string& literal) {
  if (literal.size() < 3 || literal.front() != '(' || literal.back() != ')') return literal;
  std::vector<std::string> items =
      absl::StrSplit(literal.substr(1, literal.size() - 2), ',', absl::SkipWhitespace());
  for (std::string& item : items) item = std::string(absl::StripAsciiWhitespace(item));
  int64_t number = 0;
  const bool equal = !items.empty() && std::all_of(items.begin(), items.end(), [&](const std::string& item) {
    return item == items[0] && absl::SimpleAtoi(item, &number);
  });
  return equal ? items[0] : literal;
}

// 1e-05 -> 1e-5, 'mean' -> "mean".
std::string Tidy(const std::string& literal) {
  if (literal.size() >= 2 && literal.front() == '\'' && literal.back() == '\'') {
    return PythonString(literal.substr(1, literal.size() - 2));
  }
  double number = 0;
  const bool is_float =
      literal.find_first_of(".e") != std::string::npos && absl::SimpleAtod(literal, &number);
  return is_float ? PythonFloat(number) : literal;
}

std::string MemberName(const std::string& c) {
  if (absl::StartsWith(c, "Conv")) return "conv";
  if (absl::StrContains(c, "Norm")) return "norm";
  if (absl::StrContains(c, "Pool")) return "pool";
  if (absl::StrContains(c, "Dropout")) return "dropout";
  if (absl::StrContains(c, "Loss")) return "loss";
  if (absl::StrContains(c, "Pad")) return "pad";
  if (c == "MultiheadAttention") return "attn";
  std::string name = ToSnakeCase(c);
  static const std::map<std::string, std::string> kTidy = {{"re_lu", "relu"},
                                                           {"leaky_re_lu", "leaky_relu"},
                                                           {"re_lu6", "relu6"},
                                                           {"si_lu", "silu"},
                                                           {"p_re_lu", "prelu"}};
  const auto found = kTidy.find(name);
  return found == kTidy.end() ? name : found->second;
}

// The dtype of a module's own floating point weights, "" for float32.
std::string WeightDtype(const Program& program,
                        const std::vector<std::pair<std::string, ValueId>>& parameters) {
  for (const auto& parameter : parameters) {
    const program::DType dtype = program.value(parameter.second).type.dtype;
    if (dtype != program::DType::kFloat32) return program::TorchName(dtype);
  }
  return "";
}

void Require(Leaf& leaf, const std::string& name, const std::string& value, bool positional, bool dimension) {
  leaf.constructor.arguments.push_back({name, value, positional, dimension});
}

std::string Number(int64_t value) { return absl::StrCat(value); }

std::string ListSetting(const Argument& value) {
  std::vector<int64_t> items;
  for (const Argument& item : value.items) items.push_back(item.integer);
  return value.kind == Argument::Kind::kList ? Collapse(PythonTuple(items)) : Number(value.integer);
}

bool IsState(const Program& program, const NamedArgument* argument) {
  if (argument == nullptr || argument->value.kind != Argument::Kind::kValue) return false;
  const program::ValueKind kind = program.value(argument->value.value).kind;
  return kind == program::ValueKind::kParameter || kind == program::ValueKind::kBuffer;
}

class CallLeaf {
 public:
  CallLeaf(const Program& program, const Call& call) : program_(program), call_(call) {}

  std::optional<Leaf> Make(std::vector<ValueId>* inputs) {
    const std::string name = program::OperatorName(call_.op);
    bool known = false;
    if (name == "linear") known = Linear();
    if (name == "conv1d" || name == "conv2d" || name == "conv3d") known = Convolution(name);
    if (name == "layer_norm") known = LayerNorm();
    if (name == "group_norm") known = GroupNorm();
    // batch_norm stays functional: nn.BatchNorm would add num_batches_tracked to the state.
    if (name == "embedding") known = Embedding();
    if (name == "dropout") known = Dropout();
    if (!known) return std::nullopt;
    const std::string input = name == "embedding" ? "indices" : "input";
    const NamedArgument* argument = FindArgument(call_, input);
    inputs->assign(1, argument->value.value);
    const std::string dtype = WeightDtype(program_, leaf_.state);
    if (!dtype.empty()) Require(leaf_, "dtype", dtype, false, false);
    const std::string& callee = leaf_.constructor.callee;
    leaf_.member = MemberName(callee.substr(3));
    return leaf_;
  }

 private:
  const std::vector<int64_t>& Sizes(const char* argument) const {
    return program_.value(FindArgument(call_, argument)->value.value).type.sizes;
  }
  bool Has(const char* argument) const {
    const NamedArgument* found = FindArgument(call_, argument);
    return found != nullptr && found->value.kind == Argument::Kind::kValue;
  }
  bool Hold(const char* argument) {
    const NamedArgument* found = FindArgument(call_, argument);
    if (!IsState(program_, found)) return false;
    leaf_.state.emplace_back(argument, found->value.value);
    return true;
  }
  // weight, and bias where there is one; false where one is computed.
  bool HoldWeights() { return Hold("weight") && (!Has("bias") || Hold("bias")); }

  bool Linear() {
    if (!HoldWeights() || Sizes("weight").size() != 2) return false;
    leaf_.constructor.callee = "nn.Linear";
    Require(leaf_, "in_features", Number(Sizes("weight")[1]), true, true);
    Require(leaf_, "out_features", Number(Sizes("weight")[0]), true, true);
    if (!Has("bias")) Require(leaf_, "bias", "False", false, false);
    return true;
  }

  bool Convolution(const std::string& name) {
    if (!HoldWeights()) return false;
    const auto& weight = Sizes("weight");
    const NamedArgument* groups_argument = FindArgument(call_, "groups");
    const int64_t groups = groups_argument == nullptr ? 1 : groups_argument->value.integer;
    leaf_.constructor.callee = "nn.Conv" + name.substr(4, 1) + "d";
    Require(leaf_, "in_channels", Number(weight[1] * groups), true, true);
    Require(leaf_, "out_channels", Number(weight[0]), true, true);
    Require(leaf_, "kernel_size", Collapse(PythonTuple({weight.begin() + 2, weight.end()})), false, false);
    for (const char* setting : {"stride", "padding", "dilation"}) {
      const NamedArgument* argument = FindArgument(call_, setting);
      if (argument == nullptr || argument->is_default) continue;
      if (argument->value.kind == Argument::Kind::kString) {
        Require(leaf_, setting, PythonString(argument->value.text), false, false);
        continue;
      }
      const std::string value = ListSetting(argument->value);
      if (value != (setting == std::string("padding") ? "0" : "1"))
        Require(leaf_, setting, value, false, false);
    }
    if (groups != 1) Require(leaf_, "groups", Number(groups), false, false);
    if (!Has("bias")) Require(leaf_, "bias", "False", false, false);
    return true;
  }

  void Epsilon() {
    const NamedArgument* eps = FindArgument(call_, "eps");
    if (eps != nullptr && eps->value.real != 1e-5)
      Require(leaf_, "eps", PythonFloat(eps->value.real), false, false);
  }

  bool LayerNorm() {
    if (Has("bias") && !Has("weight")) return false;
    if (Has("weight") && !HoldWeights()) return false;
    leaf_.constructor.callee = "nn.LayerNorm";
    Require(leaf_, "normalized_shape", ListOrTuple(FindArgument(call_, "normalized_shape")->value), true,
            true);
    Epsilon();
    if (!Has("weight")) Require(leaf_, "elementwise_affine", "False", false, false);
    if (Has("weight") && !Has("bias")) Require(leaf_, "bias", "False", false, false);
    return true;
  }

  static std::string ListOrTuple(const Argument& value) {
    std::vector<int64_t> items;
    for (const Argument& item : value.items) items.push_back(item.integer);
    return items.size() == 1 ? Number(items[0]) : PythonTuple(items);
  }

  bool GroupNorm() {
    if (Has("weight") != Has("bias") || (Has("weight") && !HoldWeights())) return false;
    leaf_.constructor.callee = "nn.GroupNorm";
    Require(leaf_, "num_groups", Number(FindArgument(call_, "num_groups")->value.integer), true, false);
    Require(leaf_, "num_channels", Number(Sizes("input")[1]), true, true);
    Epsilon();
    if (!Has("weight")) Require(leaf_, "affine", "False", false, false);
    return true;
  }

  bool Embedding() {
    if (!Hold("weight")) return false;
    leaf_.constructor.callee = "nn.Embedding";
    Require(leaf_, "num_embeddings", Number(Sizes("weight")[0]), true, true);
    Require(leaf_, "embedding_dim", Number(Sizes("weight")[1]), true, true);
    const NamedArgument* padding = FindArgument(call_, "padding_idx");
    if (padding != nullptr && padding->value.integer >= 0) {
      Require(leaf_, "padding_idx", Number(padding->value.integer), false, false);
    }
    return true;
  }

  bool Dropout() {
    const NamedArgument* train = FindArgument(call_, "train");
    if (train == nullptr || train->value.boolean) return false;
    leaf_.constructor.callee = "nn.Dropout";
    Require(leaf_, "p", PythonFloat(FindArgument(call_, "p")->value.real), true, false);
    return true;
  }

  const Program& program_;
  const Call& call_;
  Leaf leaf_;
};

}  // namespace

Leaf LeafOfModule(const Program& program, const Module& module) {
  Leaf leaf;
  leaf.constructor.callee = "nn." + module.class_name;
  leaf.member = MemberName(module.class_name);
  const bool pool = absl::StrContains(module.class_name, "Pool");
  const bool spatial = pool || absl::StartsWith(module.class_name, "Conv");
  const size_t positional = PositionalCount(module.class_name);
  bool skipped = false;
  for (size_t i = 0; i < module.settings.size(); ++i) {
    const program::Setting& setting = module.settings[i];
    if (setting.is_default || setting.name == "inplace" || setting.name == "device" ||
        setting.name == "dtype") {
      skipped = true;
      continue;
    }
    const bool collapse = spatial || setting.name == "normalized_shape";
    const std::string value = Tidy(collapse ? Collapse(setting.value) : setting.value);
    int64_t number = 0;
    const bool dimension = IsDimension(setting.name) && absl::SimpleAtoi(value, &number);
    leaf.constructor.arguments.push_back({setting.name, value, i < positional && !skipped, dimension});
  }
  const std::string dtype = WeightDtype(program, module.parameters);
  if (!dtype.empty()) leaf.constructor.arguments.push_back({"dtype", dtype, false, false});
  leaf.state = module.parameters;
  for (const auto& buffer : module.buffers) {
    if (program.value(buffer.second).persistent) leaf.state.push_back(buffer);
  }
  return leaf;
}

std::optional<Leaf> LeafOfCall(const Program& program, const Call& call, std::vector<ValueId>* inputs) {
  return CallLeaf(program, call).Make(inputs);
}

}  // namespace strata::emit
