#include "worker/engine/plan/kernel_names.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/pattern_tools.h"
#include "worker/engine/plan/text.h"
#include "worker/engine/program/plumbing.h"

namespace strata::plan {
namespace {

using program::Argument;
using program::Call;
using program::kNoId;
using program::NamedArgument;
using program::ValueId;
using program::ValueKind;

using Sizes = std::vector<int64_t>;

std::vector<int64_t> IntsOf(const Argument* argument) {
  std::vector<int64_t> ints;
  if (argument == nullptr) return ints;
  if (argument->kind == Argument::Kind::kInt) ints.push_back(argument->integer);
  for (const Argument& item : argument->items) {
    if (item.kind == Argument::Kind::kInt) ints.push_back(item.integer);
  }
  return ints;
}

std::string IntToken(int64_t value) { return NumberToken(static_cast<double>(value)); }

// "2" of {2, 2}, "2x1" of {2, 1}.
std::string Short(const Sizes& ints) {
  if (ints.empty()) return "";
  if (std::all_of(ints.begin(), ints.end(), [&](int64_t i) { return i == ints[0]; }))
    return IntToken(ints[0]);
  std::string text;
  for (int64_t i : ints) absl::StrAppend(&text, text.empty() ? "" : "x", IntToken(i));
  return text;
}

// "3x3" of {3, 3} and, for an operator over `rank` dimensions, of {3}.
std::string Spread(Sizes ints, size_t rank) {
  if (ints.size() == 1) ints.assign(std::max<size_t>(rank, 1), ints[0]);
  return Dims(ints);
}

size_t SpatialRank(const std::string& op) {
  for (size_t rank : {1, 2, 3}) {
    if (op.find(absl::StrCat(rank, "d")) != std::string::npos) return rank;
  }
  return 1;
}

class Namer {
 public:
  Namer(const Dataflow& flow, const Node& node) : flow_(flow), program_(flow.program()), node_(node) {}

  KernelName Run() {
    name_.operation = Identifier(node_.operation, "kernel");
    std::vector<const Call*> formula;
    for (program::CallId id : node_.calls) {
      const Call& call = program_.call(id);
      if (program::Classify(program_, call) != program::OpClass::kPlumbing) formula.push_back(&call);
    }
    if (formula.size() == 1) {
      call_ = formula[0];
      op_ = NameOf(*call_);
      Operator();
    } else {
      Formula(formula);
    }
    name_.dtypes = DTypes();
    return std::move(name_);
  }

 private:
  void Set(const std::string& what, const std::string& token) { name_.settings.emplace_back(what, token); }

  const Sizes* SizesOf(const char* argument) const {
    const Argument* a = FindArgument(*call_, argument);
    if (a == nullptr || a->kind != Argument::Kind::kValue || a->value == kNoId) return nullptr;
    return &program_.value(a->value).type.sizes;
  }
  bool Has(const char* argument) const { return SizesOf(argument) != nullptr; }
  double Number(const char* argument, double otherwise) const {
    double number = otherwise;
    NumberOf(program_, FindArgument(*call_, argument), &number);
    return number;
  }
  Sizes Ints(const char* argument) const { return IntsOf(FindArgument(*call_, argument)); }

  void IntsUnless(const char* argument, const char* label, int64_t usual) {
    const Argument* a = FindArgument(*call_, argument);
    if (a != nullptr && a->kind == Argument::Kind::kString)
      return Set(argument, absl::StrCat(label, a->text));
    const Sizes ints = Ints(argument);
    if (ints.empty() || std::all_of(ints.begin(), ints.end(), [&](int64_t i) { return i == usual; })) return;
    Set(argument, absl::StrCat(label, Short(ints)));
  }
  void NumberUnless(const char* argument, const char* label, double usual) {
    const double number = Number(argument, usual);
    if (number != usual) Set(argument, absl::StrCat(label, NumberToken(number)));
  }
  void Flag(const char* argument, bool usual, const char* token) {
    const Argument* a = FindArgument(*call_, argument);
    if (a != nullptr && a->kind == Argument::Kind::kBool && a->boolean != usual) Set(argument, token);
  }

  void Operator() {
    if (name_.operation == "parameter") return;
    if (IsConvolution(op_)) return Convolution();
    if (op_ == "linear") return Linear();
    if (op_ == "batch_norm" || op_ == "instance_norm") return BatchNorm();
    if (op_ == "layer_norm" || op_ == "rms_norm" || op_ == "group_norm") return LayerNorm();
    if (IsPool(op_)) return Pool();
    if (IsRecurrent(op_)) return Recurrent();
    if (op_ == "embedding") {
      name_.dims = Dims(*SizesOf("weight"));
      return NumberUnless("padding_idx", "pad", -1);
    }
    if (IsSoftmax(op_)) {
      Set("dim", absl::StrCat("dim", Short(Ints("dim"))));
      return OutputDType();
    }
    if (IsDropout(op_)) {
      Set("p", NumberToken(Number("p", 0.5)));
      return Flag("train", false, "train");
    }
    if (name_.operation == "relu6") return;
    if (op_ == "gelu") {
      const Argument* approximate = FindArgument(*call_, "approximate");
      if (approximate != nullptr && approximate->text == "tanh") Set("approximate", "tanh");
      return;
    }
    if (IsContraction(op_) && !HoldsWeight()) {
      AddOperands();
    } else {
      name_.dims = HeldDims();
    }
    Generic();
  }

  void Convolution() {
    const Sizes* weight = SizesOf("weight");
    if (weight == nullptr || weight->size() < 2) return Generic();
    const bool transposed = op_.find("transpose") != std::string::npos;
    const Sizes groups = Ints("groups");
    const int64_t g = groups.empty() ? 1 : groups[0];
    const int64_t in = transposed ? (*weight)[0] : (*weight)[1] * g;
    const int64_t out = transposed ? (*weight)[1] * g : (*weight)[0];
    name_.dims = absl::StrCat(in, "x", out);
    Set("kernel", Dims(Sizes(weight->begin() + 2, weight->end())));
    IntsUnless("stride", "s", 1);
    IntsUnless("padding", "p", 0);
    IntsUnless("output_padding", "op", 0);
    IntsUnless("dilation", "d", 1);
    IntsUnless("groups", "g", 1);
    if (!Has("bias")) Set("bias", "nobias");
  }

  void Linear() {
    const Sizes* weight = SizesOf("weight");
    if (weight != nullptr && weight->size() == 2) name_.dims = absl::StrCat((*weight)[1], "x", (*weight)[0]);
    if (!Has("bias")) Set("bias", "nobias");
  }

  void BatchNorm() {
    const Sizes* input = SizesOf("input");
    const size_t rank = input == nullptr ? 4 : input->size();
    name_.operation = absl::StrCat(op_, rank == 5 ? "3d" : rank == 4 ? "2d" : "1d");
    if (input != nullptr && input->size() > 1) name_.dims = IntToken((*input)[1]);
    NumberUnless("eps", "eps", 1e-5);
    NumberUnless("momentum", "momentum", 0.1);
    if (op_ == "batch_norm" && !Has("weight")) Set("weight", "noaffine");
    if (op_ == "batch_norm" && !Has("running_mean")) Set("running_mean", "nostats");
    if (op_ == "instance_norm" && Has("weight")) Set("weight", "affine");
    Flag("training", false, "train");
  }

  void LayerNorm() {
    if (op_ == "group_norm") {
      const Sizes* input = SizesOf("input");
      name_.dims = absl::StrCat(Short(Ints("num_groups")), "x", input && input->size() > 1 ? (*input)[1] : 0);
    } else {
      name_.dims = Dims(Ints("normalized_shape"));
    }
    NumberUnless("eps", "eps", op_ == "rms_norm" ? -1 : 1e-5);
    if (!Has("weight")) Set("weight", "noaffine");
    if (Has("weight") && !Has("bias") && op_ != "rms_norm") Set("bias", "nobias");
  }

  void Pool() {
    const size_t rank = SpatialRank(op_);
    if (op_.starts_with("adaptive")) {
      Set("output_size", Spread(Ints("output_size"), rank));
      return;
    }
    Set("kernel", Spread(Ints("kernel_size"), rank));
    const Sizes stride = Ints("stride");
    Set("stride", absl::StrCat("s", Short(stride.empty() ? Ints("kernel_size") : stride)));
    IntsUnless("padding", "p", 0);
    IntsUnless("dilation", "d", 1);
    Flag("ceil_mode", false, "ceil");
    Flag("count_include_pad", true, "nocountpad");
    IntsUnless("divisor_override", "div", -1);
  }

  void Recurrent() {
    const Argument* weights = FindArgument(*call_, "params");
    const Argument* first =
        weights != nullptr && !weights->items.empty() ? &weights->items[0] : FindArgument(*call_, "w_ih");
    const Argument* second =
        weights != nullptr && weights->items.size() > 1 ? &weights->items[1] : FindArgument(*call_, "w_hh");
    if (first != nullptr && second != nullptr && first->kind == Argument::Kind::kValue) {
      name_.dims = absl::StrCat(program_.value(first->value).type.sizes.back(), "x",
                                program_.value(second->value).type.sizes.back());
    }
    IntsUnless("num_layers", "l", 1);
    Flag("has_biases", true, "nobias");
    Flag("batch_first", false, "batchfirst");
    Flag("bidirectional", false, "bidirectional");
    NumberUnless("dropout", "dropout", 0);
  }

  // Settings of an operator without a rule of its own: required ones by value, the rest where not default.
  void Generic() {
    for (const NamedArgument& argument : call_->args) {
      const Argument& value = argument.value;
      if (argument.is_default || argument.name == "layout" || argument.name == "device" ||
          argument.name == "pin_memory" || argument.name == "generator")
        continue;
      std::string token = Literal(value);
      if (token.empty()) continue;
      if (value.kind == Argument::Kind::kBool) {
        token = absl::StrCat(value.boolean ? "" : "no", argument.name);
      } else if (argument.name == "dim") {
        token = absl::StrCat("dim", token);
      } else if (argument.name == "eps" || argument.name == "p" || argument.name == "ord") {
        token = absl::StrCat(argument.name, token);
      }
      Set(argument.name, Identifier(absl::StrCat("x", token), "x").substr(1));
    }
  }

  // A number or word as a token; empty for tensors and None.
  std::string Literal(const Argument& a) const {
    double number = 0;
    switch (a.kind) {
      case Argument::Kind::kBool:
        return a.boolean ? "true" : "false";
      case Argument::Kind::kInt:
      case Argument::Kind::kDouble:
      case Argument::Kind::kValue:
        return NumberOf(program_, &a, &number) ? NumberToken(number) : "";
      case Argument::Kind::kDType:
        return ShortName(a.dtype);
      case Argument::Kind::kString:
        return SnakeCase(a.text);
      case Argument::Kind::kList: {
        std::string text;
        for (const Argument& item : a.items) {
          const std::string token = Literal(item);
          if (!token.empty()) absl::StrAppend(&text, text.empty() ? "" : "x", token);
        }
        return text;
      }
      default:
        return "";
    }
  }

  void OutputDType() {
    const Argument* dtype = FindArgument(*call_, "dtype");
    if (dtype != nullptr && dtype->kind == Argument::Kind::kDType)
      Set("dtype", absl::StrCat("to", ShortName(dtype->dtype)));
  }

  void AddOperands() {
    for (ValueId id : patterns::Tensors(flow_, *call_))
      absl::StrAppend(&name_.dims, name_.dims.empty() ? "" : "_", Dims(program_.value(id).type.sizes));
  }

  bool HoldsWeight() const {
    const auto tensors = patterns::Tensors(flow_, *call_);
    return std::any_of(tensors.begin(), tensors.end(),
                       [&](ValueId id) { return patterns::IsWeight(flow_, id); });
  }

  // Shapes of what the kernel holds, each once.
  std::string HeldDims() const {
    std::vector<std::string> shapes;
    for (ValueId id : node_.held) {
      const Sizes& sizes = program_.value(id).type.sizes;
      if (sizes.empty() && program_.value(id).kind != ValueKind::kParameter) continue;
      const std::string dims = Dims(sizes);
      if (std::find(shapes.begin(), shapes.end(), dims) == shapes.end() && shapes.size() < 4)
        shapes.push_back(dims);
    }
    std::string text;
    for (const std::string& shape : shapes) absl::StrAppend(&text, text.empty() ? "" : "_", shape);
    return text;
  }

  // A formula of several operators: its weights, its eps, the dimension it reduces over.
  void Formula(const std::vector<const Call*>& formula) {
    name_.dims = HeldDims();
    bool dim = false;
    for (const Call* call : formula) {
      const std::string op = NameOf(*call);
      call_ = call;
      if (IsContraction(op) && !HoldsWeight()) AddOperands();
      const Sizes dims = IntsOf(FindArgument(*call, "dim"));
      const bool last_only = dims == Sizes{-1} && !IsSoftmax(op);
      if ((IsSoftmax(op) || IsReduction(op)) && !dims.empty() && !last_only && !dim) {
        Set("dim", absl::StrCat("dim", Short(dims)));
        dim = true;
      }
      const patterns::Operands sides = patterns::OperandsOf(flow_, *call);
      if (op == "add" && sides.has_number && sides.number > 0 && sides.number < 1e-2)
        Set("eps", absl::StrCat("eps", NumberToken(sides.number)));
    }
  }

  std::string DTypes() const {
    const auto short_name = [&](ValueId id) { return std::string(ShortName(program_.value(id).type.dtype)); };
    const std::string out = node_.outputs.empty() ? "" : short_name(node_.outputs[0]);
    if (node_.inputs.empty()) return out;
    const std::string in = short_name(node_.inputs[0]);
    return out.empty() || in == out ? in : absl::StrCat(in, "_", out);
  }

  const Dataflow& flow_;
  const program::Program& program_;
  const Node& node_;
  const Call* call_ = nullptr;
  std::string op_;
  KernelName name_;
};

void CollectLiterals(const Argument& a, std::vector<std::string>* out) {
  switch (a.kind) {
    case Argument::Kind::kBool:
      out->push_back(a.boolean ? "true" : "false");
      break;
    case Argument::Kind::kInt:
      out->push_back(IntToken(a.integer));
      break;
    case Argument::Kind::kDouble:
      out->push_back(NumberToken(a.real));
      break;
    case Argument::Kind::kDType:
      out->push_back(ShortName(a.dtype));
      break;
    case Argument::Kind::kString:
      out->push_back(SnakeCase(a.text));
      break;
    default:
      break;
  }
  for (const Argument& item : a.items) CollectLiterals(item, out);
}

}  // namespace

std::string KernelName::Stem() const {
  std::string stem = operation;
  if (!dims.empty()) absl::StrAppend(&stem, "_", dims);
  for (const auto& [what, token] : settings) absl::StrAppend(&stem, "_", token);
  if (!dtypes.empty()) absl::StrAppend(&stem, "_", dtypes);
  return stem;
}

KernelName NameKernel(const Dataflow& flow, const Node& node) {
  KernelName name = Namer(flow, node).Run();
  if (node.calls.empty() && !node.held.empty())
    name.dims = Dims(flow.program().value(node.held[0]).type.sizes);
  return name;
}

std::vector<std::string> LiteralsOf(const Dataflow& flow, const Node& node) {
  std::vector<std::string> literals;
  for (program::CallId id : node.calls) {
    const Call& call = flow.program().call(id);
    literals.push_back(NameOf(call));
    for (const NamedArgument& argument : call.args) {
      double number = 0;
      if (argument.value.kind == Argument::Kind::kValue) {
        const bool wrapped =
            argument.value.value != kNoId && flow.program().value(argument.value.value).is_wrapped_number;
        if (wrapped && NumberOf(flow.program(), &argument.value, &number))
          literals.push_back(NumberToken(number));
      } else {
        CollectLiterals(argument.value, &literals);
      }
    }
  }
  return literals;
}

}  // namespace strata::plan
