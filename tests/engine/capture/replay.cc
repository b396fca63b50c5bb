#include "tests/engine/capture/replay.h"

#include <cmath>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace strata::capture {
namespace {

using program::Argument;
using program::Call;
using program::Program;
using program::Value;
using program::ValueId;
using program::ValueKind;

std::string Name(ValueId id) { return id == program::kNoId ? "_" : absl::StrCat("v", id); }

std::string Number(double v) {
  if (std::isnan(v)) return "float('nan')";
  if (std::isinf(v)) return v < 0 ? "float('-inf')" : "float('inf')";
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", v);
  return std::strpbrk(text, ".e") ? text : absl::StrCat(text, ".0");
}

std::string Show(const Argument& a) {
  switch (a.kind) {
    case Argument::Kind::kNone:
    case Argument::Kind::kGenerator:
      return "None";
    case Argument::Kind::kValue:
      return Name(a.value);
    case Argument::Kind::kBool:
      return a.boolean ? "True" : "False";
    case Argument::Kind::kInt:
      return absl::StrCat(a.integer);
    case Argument::Kind::kDouble:
      return Number(a.real);
    case Argument::Kind::kComplex:
      return absl::StrCat("complex(", Number(a.real), ",", Number(a.imag), ")");
    case Argument::Kind::kString:
      return absl::StrCat("'", a.text, "'");
    case Argument::Kind::kDType:
      return TorchName(a.dtype);
    case Argument::Kind::kDevice:
      return absl::StrCat("torch.device('", a.text, "')");
    case Argument::Kind::kLayout:
    case Argument::Kind::kMemoryFormat:
      return a.text;
    case Argument::Kind::kList:
      break;
  }
  std::vector<std::string> items;
  for (const Argument& item : a.items) items.push_back(Show(item));
  return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
}

std::string Constant(const Value& v) {
  const std::string bytes =
      absl::BytesToHexString({reinterpret_cast<const char*>(v.data.data()), v.data.size()});
  std::string tensor = v.data.empty()
                           ? absl::StrCat("torch.empty((", 0, ",), dtype=", TorchName(v.type.dtype), ")")
                           : absl::StrCat("torch.frombuffer(bytearray.fromhex('", bytes,
                                          "'), dtype=", TorchName(v.type.dtype), ")");
  absl::StrAppend(&tensor, ".reshape([", absl::StrJoin(v.type.sizes, ","), "])");
  if (v.type.device != "cpu") absl::StrAppend(&tensor, ".to('", v.type.device, "')");
  return v.is_wrapped_number ? absl::StrCat(tensor, ".item()") : tensor;
}

std::string LineOf(const Call& call) {
  std::vector<std::string> args, results;
  for (const auto& a : call.args) {
    args.push_back(a.kwarg_only ? absl::StrCat(a.name, "=", Show(a.value)) : Show(a.value));
  }
  for (ValueId id : call.results) results.push_back(Name(id));
  const size_t colons = call.op.find("::");
  std::string line = results.empty() ? "" : absl::StrJoin(results, ", ");
  if (call.result_is_list) absl::StrAppend(&line, ",");
  if (!results.empty()) absl::StrAppend(&line, " = ");
  absl::StrAppend(&line, "torch.ops.", call.op.substr(0, colons), ".", call.op.substr(colons + 2), ".",
                  call.overload.empty() ? "default" : call.overload, "(", absl::StrJoin(args, ", "), ")");
  for (size_t i = 0; i < call.mutated.size(); ++i) {
    absl::StrAppend(&line, "; ", Name(call.mutated_to[i]), " = ", Name(call.mutated[i]));
  }
  return line;
}

void Leaves(const program::Tree& tree, std::vector<std::string>& out) {
  if (tree.kind == program::Tree::Kind::kTensor) out.push_back(Name(tree.value));
  for (const auto& item : tree.items) Leaves(item, out);
}

}  // namespace

std::string ReplayText(const Program& program) {
  std::string text = "def replay(model, named):\n";
  const auto line = [&](const std::string& statement) { absl::StrAppend(&text, "    ", statement, "\n"); };
  for (const Value& v : program.values) {
    const std::string path = v.paths.empty() ? "" : v.paths[0];
    if (v.kind == ValueKind::kInput)
      line(absl::StrCat(Name(v.id), " = eval(", "\"\"\"", path, "\"\"\", {}, named)"));
    if (v.kind == ValueKind::kParameter)
      line(absl::StrCat(Name(v.id), " = model.get_parameter('", path, "')"));
    if (v.kind == ValueKind::kBuffer) line(absl::StrCat(Name(v.id), " = model.get_buffer('", path, "')"));
    if (v.kind == ValueKind::kConstant) line(absl::StrCat(Name(v.id), " = ", Constant(v)));
  }
  for (const Call& call : program.calls) {
    const bool cast = call.autocast != program::DType::kOther;
    if (cast)
      line(
          absl::StrCat("with torch.autocast('", program.device, "', dtype=", TorchName(call.autocast), "):"));
    line((cast ? "    " : "") + LineOf(call));
  }
  std::vector<std::string> leaves;
  Leaves(program.invocations.at(0).output, leaves);
  line(absl::StrCat("return [", absl::StrJoin(leaves, ", "), "]"));
  return text;
}

}  // namespace strata::capture
