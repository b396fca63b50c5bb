#include "worker/engine/emit/spelling.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/emit/index_chain.h"
#include "worker/engine/emit/spelling_table.h"

namespace strata::emit {
namespace {

using program::Argument;
using program::Call;
using program::DType;
using program::NamedArgument;
using program::OperatorName;

Spelled Plain(std::string text, int precedence = kAtom) {
  return {Expr{std::move(text), precedence}, nullptr, nullptr};
}

bool IsSizeList(const NamedArgument& argument) {
  return argument.value.kind == Argument::Kind::kList && (absl::StartsWith(argument.schema_type, "int[") ||
                                                          absl::StartsWith(argument.schema_type, "SymInt["));
}

// int[2] and the like: one number stands for equal ones.
bool HasFixedLength(const NamedArgument& argument) {
  const size_t bracket = argument.schema_type.find('[');
  return bracket != std::string::npos && bracket + 1 < argument.schema_type.size() &&
         std::isdigit(static_cast<unsigned char>(argument.schema_type[bracket + 1]));
}

const char* ReductionName(int64_t value) { return value == 0 ? "none" : value == 1 ? "mean" : "sum"; }

bool IsTensorArgument(const NamedArgument& a) {
  return a.value.kind == Argument::Kind::kValue ||
         (a.value.kind == Argument::Kind::kList && !a.value.items.empty() &&
          std::any_of(a.value.items.begin(), a.value.items.end(),
                      [](const Argument& item) { return item.kind == Argument::Kind::kValue; }));
}

class Speller {
 public:
  Speller(const Call& call, const SpellingContext& context) : call_(call), context_(context) {}

  Expr Value(program::ValueId id) const { return context_.operand(id).expr; }

  std::string Size(const std::string& argument, size_t item, int64_t value) const {
    const std::string said = context_.size ? context_.size(call_, argument, item, value) : "";
    return said.empty() ? absl::StrCat(value) : said;
  }

  std::vector<std::string> SizeItems(const NamedArgument& argument) const {
    std::vector<std::string> items;
    for (size_t i = 0; i < argument.value.items.size(); ++i) {
      const Argument& item = argument.value.items[i];
      items.push_back(item.kind == Argument::Kind::kInt ? Size(argument.name, i, item.integer)
                                                        : Text(argument, item));
    }
    return items;
  }

  // One argument as a Python expression.
  std::string Text(const NamedArgument& argument, const Argument& value) const {
    switch (value.kind) {
      case Argument::Kind::kNone:
        return "None";
      case Argument::Kind::kValue:
        return Value(value.value).text;
      case Argument::Kind::kBool:
        return value.boolean ? "True" : "False";
      case Argument::Kind::kInt:
        if (argument.name == "reduction") return PythonString(ReductionName(value.integer));
        return argument.name == "split_size" ? Size(argument.name, 0, value.integer)
                                             : absl::StrCat(value.integer);
      case Argument::Kind::kDouble:
        return PythonNumber(value.real).text;
      case Argument::Kind::kComplex:
        return absl::StrCat("complex(", PythonFloat(value.real), ", ", PythonFloat(value.imag), ")");
      case Argument::Kind::kString:
        return PythonString(value.text);
      case Argument::Kind::kDType:
        return program::TorchName(value.dtype);
      case Argument::Kind::kDevice:
        return context_.device.empty() ? "None" : context_.device;
      case Argument::Kind::kLayout:
      case Argument::Kind::kMemoryFormat:
        return value.text;
      case Argument::Kind::kGenerator:
        return "None";
      case Argument::Kind::kList:
        return ListText(argument, value);
    }
    return "None";
  }

  std::string ListText(const NamedArgument& argument, const Argument& value) const {
    const auto& items = value.items;
    const bool equal = !items.empty() && std::all_of(items.begin(), items.end(), [&](const Argument& item) {
      return item == items[0] && (item.kind == Argument::Kind::kInt || item.kind == Argument::Kind::kDouble);
    });
    if (equal && (HasFixedLength(argument) || argument.name == "scale_factors" || IsSpatial()))
      return Text(argument, items[0]);
    const bool sizes = IsSizeList(argument);
    if (sizes && items.size() == 1 && (argument.name == "dim" || argument.name == "dims"))
      return Text(argument, items[0]);
    std::vector<std::string> texts = sizes ? SizeItems(argument) : std::vector<std::string>();
    if (!sizes) {
      for (const Argument& item : items) texts.push_back(Text(argument, item));
    }
    const bool tuple = sizes && argument.name != "split_sizes";
    if (!tuple) return absl::StrCat("[", absl::StrJoin(texts, ", "), "]");
    return absl::StrCat("(", absl::StrJoin(texts, ", "), texts.size() == 1 ? ",)" : ")");
  }

  // One number stands for equal ones in every dimension of the image.
  bool IsSpatial() const {
    const std::string name = OperatorName(call_.op);
    return absl::StrContains(name, "pool") || absl::StrContains(name, "conv");
  }

  // Arguments from `first` on: tensors and up to `positional` others by position, what follows a left out
  // default by keyword, defaults not at all.
  std::vector<std::string> Arguments(size_t first, int positional, bool varargs) const {
    std::vector<std::string> out;
    const bool loss = FindArgument(call_, "reduction") != nullptr;
    bool keywords = false;
    for (size_t i = first; i < call_.args.size(); ++i) {
      const NamedArgument& argument = call_.args[i];
      if (varargs && IsSizeList(argument)) {
        for (std::string& item : SizeItems(argument)) out.push_back(std::move(item));
        varargs = false;
        continue;
      }
      if (argument.is_default || argument.value.kind == Argument::Kind::kGenerator) {
        keywords = true;
        continue;
      }
      const bool tensor = IsTensorArgument(argument);
      const bool named_tensor =
          tensor && argument.schema_type == "Tensor?" && (loss || !TakesWeightsByPosition());
      const bool by_position =
          !keywords && !argument.kwarg_only && !named_tensor && (tensor || positional-- > 0);
      std::string text = Text(argument, argument.value);
      if (by_position) {
        out.push_back(std::move(text));
      } else {
        keywords = true;
        out.push_back(absl::StrCat(argument.name == "self" ? "input" : argument.name, "=", text));
      }
    }
    return out;
  }

  bool TakesWeightsByPosition() const {
    const std::string name = OperatorName(call_.op);
    return name == "linear" || name == "bilinear" || absl::StartsWith(name, "conv") ||
           absl::EndsWith(name, "_norm");
  }

  Spelled Function(const std::string& name, int positional, bool varargs = false) const {
    return Plain(absl::StrCat(name, "(", absl::StrJoin(Arguments(0, positional, varargs), ", "), ")"));
  }

  Spelled Method(const std::string& name, int positional, bool varargs = false) const {
    return Plain(absl::StrCat(Receiver(), ".", name, "(",
                              absl::StrJoin(Arguments(1, positional, varargs), ", "), ")"));
  }

  std::string Receiver() const { return emit::Operand(Value(call_.args[0].value.value), kAtom); }

  const Call& call() const { return call_; }
  const SpellingContext& context() const { return context_; }
  const program::Value& Type(program::ValueId id) const { return context_.program.value(id); }

 private:
  const Call& call_;
  const SpellingContext& context_;
};

// ---- operators whose Python form is not their schema --------------------------------------------------

bool NonDefault(const Call& call, const char* name) {
  const NamedArgument* argument = FindArgument(call, name);
  return argument != nullptr && !argument->is_default;
}

Expr NumberOrTensor(const Speller& s, const NamedArgument& argument) {
  if (argument.value.kind == Argument::Kind::kValue) return s.Value(argument.value.value);
  if (argument.value.kind == Argument::Kind::kDouble) return PythonNumber(argument.value.real);
  const std::string text = s.Text(argument, argument.value);
  return {text, text[0] == '-' ? kUnary : kAtom};
}

Spelled Infix(const Speller& s, const SpellingRow& row) {
  const Call& call = s.call();
  if (call.args.size() < 2 || NonDefault(call, "alpha") || NonDefault(call, "rounding_mode")) {
    return s.Function("torch." + OperatorName(call.op), 1);
  }
  const Argument& left = call.args[0].value;
  const Argument& right = call.args[1].value;
  const Expr b = NumberOrTensor(s, call.args[1]);
  if (row.name == "*" && left.kind == Argument::Kind::kValue) {
    const Spelled first = s.context().operand(left.value);
    const bool number = right.kind != Argument::Kind::kValue || s.Type(right.value).is_wrapped_number;
    if (first.reciprocal_of && number) {
      return Plain(absl::StrCat(Operand(b, kProduct), " / ", Operand(*first.reciprocal_of, kProduct + 1)),
                   kProduct);
    }
  }
  const Expr a = NumberOrTensor(s, call.args[0]);
  // Comparisons chain in Python; the right operand of equal precedence needs brackets.
  const int left_precedence = row.precedence == kCompare ? kCompare + 1 : row.precedence;
  return Plain(absl::StrCat(Operand(a, left_precedence), " ", row.name, " ", Operand(b, row.precedence + 1)),
               row.precedence);
}

Spelled Rsub(const Speller& s) {
  if (NonDefault(s.call(), "alpha")) return s.Function("torch.rsub", 1);
  const Expr a = NumberOrTensor(s, s.call().args[1]);
  const Expr b = s.Value(s.call().args[0].value.value);
  return Plain(absl::StrCat(Operand(a, kSum), " - ", Operand(b, kSum + 1)), kSum);
}

// 2 ** x
Spelled PowerOfNumber(const Speller& s) {
  const NamedArgument& base = s.call().args[0];
  const Expr exponent = s.Value(s.call().args[1].value.value);
  return Plain(absl::StrCat(Operand(NumberOrTensor(s, base), kAtom), " ** ", Operand(exponent, kAtom)),
               kPower);
}

Spelled Reciprocal(const Speller& s) {
  Spelled out = s.Method("reciprocal", 0);
  out.reciprocal_of = std::make_shared<Expr>(s.Value(s.call().args[0].value.value));
  return out;
}

Spelled Dropout(const Speller& s, const std::string& name) {
  const Call& call = s.call();
  const NamedArgument* p = FindArgument(call, "p");
  const NamedArgument* train = FindArgument(call, "train");
  const std::string training = train != nullptr && train->value.boolean ? "True" : "False";
  return Plain(absl::StrCat("F.", name, "(", s.Text(call.args[0], call.args[0].value),
                            ", p=", s.Text(*p, p->value), ", training=", training, ")"));
}

Spelled Embedding(const Speller& s) {
  const Call& call = s.call();
  std::string out = absl::StrCat("F.embedding(", s.Text(call.args[1], call.args[1].value), ", ",
                                 s.Text(call.args[0], call.args[0].value));
  const NamedArgument* padding = FindArgument(call, "padding_idx");
  if (padding != nullptr && padding->value.integer >= 0)
    absl::StrAppend(&out, ", padding_idx=", padding->value.integer);
  return Plain(out + ")");
}

// weight, bias, running statistics stand in another order in Python.
Spelled BatchNorm(const Speller& s, const std::string& name) {
  const Call& call = s.call();
  const auto text = [&](const char* argument) {
    const NamedArgument* a = FindArgument(call, argument);
    return a == nullptr ? std::string("None") : s.Text(*a, a->value);
  };
  const NamedArgument* flag = FindArgument(call, name == "batch_norm" ? "training" : "use_input_stats");
  std::string out = absl::StrCat("F.", name, "(", text("input"), ", ", text("running_mean"), ", ",
                                 text("running_var"), ", weight=", text("weight"), ", bias=", text("bias"));
  if (flag != nullptr && flag->value.boolean != (name != "batch_norm")) {
    absl::StrAppend(&out, name == "batch_norm" ? ", training=" : ", use_input_stats=",
                    flag->value.boolean ? "True" : "False");
  }
  const NamedArgument* momentum = FindArgument(call, "momentum");
  if (momentum != nullptr && momentum->value.real != 0.1)
    absl::StrAppend(&out, ", momentum=", text("momentum"));
  return Plain(absl::StrCat(out, ", eps=", text("eps"), ")"));
}

Spelled To(const Speller& s) {
  const Call& call = s.call();
  if (call.results.empty() || call.args.empty()) return SpellAten(call, s.context());
  const DType from = s.Type(call.args[0].value.value).type.dtype;
  const DType to = call.results[0] == program::kNoId ? from : s.Type(call.results[0]).type.dtype;
  if (NonDefault(call, "copy") || NonDefault(call, "memory_format")) return s.Method("to", 2);
  static const std::map<DType, const char*> kShort = {
      {DType::kFloat32, "float"},     {DType::kFloat64, "double"}, {DType::kFloat16, "half"},
      {DType::kBFloat16, "bfloat16"}, {DType::kInt64, "long"},     {DType::kInt32, "int"},
      {DType::kBool, "bool"}};
  const auto name = kShort.find(to);
  if (call.overload == "dtype" && name != kShort.end())
    return Plain(absl::StrCat(s.Receiver(), ".", name->second, "()"));
  if (from != to || s.context().device.empty())
    return Plain(absl::StrCat(s.Receiver(), ".to(", program::TorchName(to), ")"));
  return Plain(absl::StrCat(s.Receiver(), ".to(", s.context().device, ")"));
}

// ones, zeros, full, arange, … : sizes, then dtype and device where they matter.
Spelled Factory(const Speller& s, const std::string& name) {
  const Call& call = s.call();
  std::vector<std::string> args;
  bool like = absl::EndsWith(name, "_like") || absl::StartsWith(name, "new_");
  for (const NamedArgument& argument : call.args) {
    if (argument.name == "dtype" || argument.name == "layout" || argument.name == "device" ||
        argument.is_default || argument.name == "pin_memory" ||
        argument.value.kind == Argument::Kind::kGenerator || argument.name == "memory_format" ||
        (like && argument.name == "self")) {
      continue;
    }
    if (IsSizeList(argument) && name != "full" && name != "new_full" && name != "randint") {
      for (std::string& item : s.SizeItems(argument)) args.push_back(std::move(item));
    } else if (argument.value.kind == Argument::Kind::kInt && (name == "arange" || name == "eye")) {
      args.push_back(s.Size(argument.name, 0, argument.value.integer));
    } else {
      args.push_back(s.Text(argument, argument.value));
    }
  }
  if (name == "arange" && call.overload == "start" && args.size() == 2 && args[0] == "0")
    args.erase(args.begin());
  const NamedArgument* dtype = FindArgument(call, "dtype");
  const bool has_dtype = dtype != nullptr && dtype->value.kind == Argument::Kind::kDType;
  const NamedArgument* self = like ? &call.args[0] : nullptr;
  const DType natural = self != nullptr ? s.Type(self->value.value).type.dtype : DType::kFloat32;
  if (has_dtype && (name == "arange" || name == "full" || dtype->value.dtype != natural)) {
    args.push_back(absl::StrCat("dtype=", program::TorchName(dtype->value.dtype)));
  }
  if (absl::StartsWith(name, "new_"))
    return Plain(absl::StrCat(s.Receiver(), ".", name, "(", absl::StrJoin(args, ", "), ")"));
  if (like) {
    args.insert(args.begin(), s.Value(self->value.value).text);
  } else if (!s.context().device.empty()) {
    args.push_back("device=" + s.context().device);
  }
  return Plain(absl::StrCat("torch.", name, "(", absl::StrJoin(args, ", "), ")"));
}

Spelled Interpolate(const Speller& s, const std::string& name) {
  const Call& call = s.call();
  const std::string mode = absl::StrContains(name, "nearest_exact") ? "nearest-exact"
                           : absl::StrContains(name, "nearest")     ? "nearest"
                           : absl::StrContains(name, "bilinear")    ? "bilinear"
                           : absl::StrContains(name, "bicubic")     ? "bicubic"
                           : absl::StrContains(name, "trilinear")   ? "trilinear"
                                                                    : "linear";
  const NamedArgument* scale = FindArgument(call, "scale_factors");
  const NamedArgument* size = FindArgument(call, "output_size");
  const NamedArgument* corners = FindArgument(call, "align_corners");
  if (call.overload != "vec" || absl::StrContains(name, "_aa")) return SpellAten(call, s.context());
  std::string out = absl::StrCat("F.interpolate(", s.Text(call.args[0], call.args[0].value));
  if (scale != nullptr && scale->value.kind == Argument::Kind::kList) {
    absl::StrAppend(&out, ", scale_factor=", s.ListText(*scale, scale->value));
  } else {
    absl::StrAppend(&out, ", size=", s.ListText(*size, size->value));
  }
  absl::StrAppend(&out, ", mode=", PythonString(mode));
  if (corners != nullptr)
    absl::StrAppend(&out, ", align_corners=", corners->value.boolean ? "True" : "False");
  return Plain(out + ")");
}

Spelled Einsum(const Speller& s) {
  const NamedArgument* equation = FindArgument(s.call(), "equation");
  const NamedArgument* tensors = FindArgument(s.call(), "tensors");
  std::string out = absl::StrCat("torch.einsum(", s.Text(*equation, equation->value));
  for (const Argument& item : tensors->value.items) absl::StrAppend(&out, ", ", s.Text(*tensors, item));
  return Plain(out + ")");
}

Spelled Clamp(const Speller& s) {
  const Call& call = s.call();
  std::vector<std::string> args;
  for (size_t i = 1; i < call.args.size(); ++i) {
    if (call.args[i].value.kind != Argument::Kind::kNone) {
      args.push_back(absl::StrCat(call.args[i].name, "=", s.Text(call.args[i], call.args[i].value)));
    }
  }
  return Plain(absl::StrCat(s.Receiver(), ".clamp(", absl::StrJoin(args, ", "), ")"));
}

Spelled CatOrStack(const Speller& s, const std::string& name) {
  const Call& call = s.call();
  std::vector<std::string> items;
  for (const Argument& item : call.args[0].value.items) items.push_back(s.Text(call.args[0], item));
  const NamedArgument* dim = FindArgument(call, "dim");
  std::string out = absl::StrCat("torch.", name, "([", absl::StrJoin(items, ", "), "]");
  if (dim != nullptr && !dim->is_default) absl::StrAppend(&out, ", dim=", dim->value.integer);
  return Plain(out + ")");
}

const std::set<std::string>& Factories() {
  static const auto* names = new std::set<std::string>{
      "arange",     "ones",      "zeros",      "full",      "eye",        "linspace",
      "logspace",   "empty",     "rand",       "randn",     "randint",    "ones_like",
      "zeros_like", "full_like", "empty_like", "rand_like", "randn_like", "new_zeros",
      "new_ones",   "new_full",  "new_empty",  "randperm"};
  return *names;
}

}  // namespace

const NamedArgument* FindArgument(const Call& call, const std::string& name) {
  for (const NamedArgument& argument : call.args) {
    if (argument.name == name) return &argument;
  }
  return nullptr;
}

std::optional<Expr> NumberLiteral(const program::Value& value) {
  if (!value.is_wrapped_number || value.data.empty()) return std::nullopt;
  const auto read = [&]<typename T>(T) {
    T out{};
    std::memcpy(&out, value.data.data(), std::min(sizeof out, value.data.size()));
    return out;
  };
  const auto integer = [](int64_t number) { return Expr{absl::StrCat(number), number < 0 ? kUnary : kAtom}; };
  switch (value.type.dtype) {
    case DType::kFloat64:
      return PythonNumber(read(double{}));
    case DType::kFloat32:
      return PythonNumber(static_cast<double>(read(float{})));
    case DType::kInt64:
      return integer(read(int64_t{}));
    case DType::kInt32:
      return integer(read(int32_t{}));
    case DType::kBool:
      return Expr{read(uint8_t{}) != 0 ? "True" : "False", kAtom};
    default:
      return std::nullopt;
  }
}

Spelled SpellAten(const Call& call, const SpellingContext& context) {
  const Speller s(call, context);
  std::vector<std::string> args;
  for (const NamedArgument& argument : call.args) {
    std::string text = argument.name == "reduction" && argument.value.kind == Argument::Kind::kInt
                           ? absl::StrCat(argument.value.integer)
                           : s.Text(argument, argument.value);
    if (IsSizeList(argument)) text = absl::StrCat("[", absl::StrJoin(s.SizeItems(argument), ", "), "]");
    if (argument.kwarg_only && argument.is_default) continue;
    args.push_back(argument.kwarg_only ? absl::StrCat(argument.name, "=", text) : text);
  }
  while (!args.empty() && call.args.size() >= args.size() && !call.args[args.size() - 1].kwarg_only &&
         call.args[args.size() - 1].is_default) {
    args.pop_back();
  }
  const size_t colons = call.op.find("::");
  const std::string space = colons == std::string::npos ? "aten" : call.op.substr(0, colons);
  const std::string name = colons == std::string::npos ? call.op : call.op.substr(colons + 2);
  return Plain(absl::StrCat("torch.ops.", space, ".", name, ".",
                            call.overload.empty() ? "default" : call.overload, "(", absl::StrJoin(args, ", "),
                            ")"));
}

Spelled Spell(const Call& call, const SpellingContext& context) {
  const Speller s(call, context);
  const std::string name = OperatorName(call.op);
  if (!absl::StartsWith(call.op, "aten::")) return SpellAten(call, context);
  if (name == "select" || name == "slice" || name == "unsqueeze") return SpellIndexing(call, context);
  if (name == "index") return SpellAdvancedIndexing(call, context);
  if (name == "rsub") return Rsub(s);
  if (name == "reciprocal") return Reciprocal(s);
  if (name == "dropout" || name == "alpha_dropout") return Dropout(s, name);
  if (name == "feature_dropout") {
    const size_t rank = s.Type(call.args[0].value.value).type.sizes.size();
    return Dropout(s, rank == 3 ? "dropout1d" : rank == 4 ? "dropout2d" : "dropout3d");
  }
  if (name == "embedding") return Embedding(s);
  if (name == "batch_norm" || name == "instance_norm") return BatchNorm(s, name);
  if (name == "to") return To(s);
  if (Factories().count(name) > 0) return Factory(s, name);
  if (absl::StartsWith(name, "upsample_")) return Interpolate(s, name);
  if (name == "einsum") return Einsum(s);
  if (name == "clamp") return Clamp(s);
  if (name == "cat" || name == "stack" || name == "hstack" || name == "vstack") return CatOrStack(s, name);
  if (name == "numpy_T" || name == "mT")
    return Plain(absl::StrCat(s.Receiver(), name == "mT" ? ".mT" : ".T"));
  if (name == "grid_sampler" || name == "scaled_dot_product_attention_math") return SpellAten(call, context);
  if (name == "pow" && call.overload == "Scalar") return PowerOfNumber(s);
  const SpellingRow* row = FindSpelling(name);
  if (row == nullptr) return SpellAten(call, context);
  switch (row->style) {
    case Style::kInfix:
      return Infix(s, *row);
    case Style::kUnaryPrefix:
      return Plain(absl::StrCat(row->name, Operand(s.Value(call.args[0].value.value), kUnary)), kUnary);
    case Style::kMethod:
      if (call.args.empty() || call.args[0].value.kind != Argument::Kind::kValue)
        return SpellAten(call, context);
      return s.Method(row->name, row->positional, row->varargs);
    case Style::kFunction:
      return s.Function(absl::StrCat(row->prefix, ".", row->name), row->positional);
  }
  return SpellAten(call, context);
}

std::string SpellStatement(const Call& call, const SpellingContext& context) {
  if (call.mutated.empty()) return "";
  const Speller s(call, context);
  const std::string name = call.op.substr(call.op.find("::") + 2);
  if (name == "copy_") {
    const Spelled target = context.operand(call.args[0].value.value);
    const std::string source = s.Text(call.args[1], call.args[1].value);
    if (target.index) return absl::StrCat(target.expr.text, " = ", source);
    return absl::StrCat(Operand(target.expr, kAtom), ".copy_(", source, ")");
  }
  if (name == "index_put_" && !NonDefault(call, "accumulate")) {
    return absl::StrCat(SpellAdvancedIndexing(call, context).expr.text, " = ",
                        s.Text(call.args[2], call.args[2].value));
  }
  const SpellingRow* row = FindSpelling(OperatorName(call.op));
  if (call.args.empty() || call.args[0].value.kind != Argument::Kind::kValue || !absl::EndsWith(name, "_")) {
    return SpellAten(call, context).expr.text;
  }
  return s.Method(name, row == nullptr ? 0 : std::max(row->positional, 1)).expr.text;
}

}  // namespace strata::emit
