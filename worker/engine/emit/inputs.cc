#include "worker/engine/emit/inputs.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace strata::emit {
namespace {

using program::Domain;
using program::DType;
using program::Program;
using program::Value;
using program::ValueId;

std::string DtypeArgument(DType dtype, DType natural) {
  return dtype == natural ? "" : absl::StrCat(", dtype=", program::TorchName(dtype));
}

// The rows of the table that the value indexes, 0 if it indexes none.
int64_t TableRows(const Program& program, ValueId id) {
  for (const program::Call& call : program.calls) {
    if (call.op != "aten::embedding" || call.args.size() < 2) continue;
    if (call.args[1].value.kind == program::Argument::Kind::kValue && call.args[1].value.value == id) {
      return program.value(call.args[0].value.value).type.sizes[0];
    }
  }
  return 0;
}

std::string Rounded(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.2g", value);
  return PythonFloat(std::strtod(buffer, nullptr));
}

class Drawer {
 public:
  Drawer(const Program& program, ValueId id, std::string sizes)
      : program_(program), id_(id), value_(program.value(id)), sizes_(std::move(sizes)) {}

  std::string Text() {
    const DType dtype = value_.type.dtype;
    if (dtype == DType::kBool) return Mask();
    if (program::IsIntegral(dtype)) return Integers();
    if (program::IsFloating(dtype)) return Floats();
    return absl::StrCat("torch.randn(", sizes_, DtypeArgument(dtype, DType::kFloat32), ")");
  }
  bool depends_on_shape() const { return depends_; }

 private:
  const Domain& domain() const { return value_.domain; }
  const std::vector<int64_t>& sizes() const { return value_.type.sizes; }

  size_t Count() const {
    size_t count = 1;
    for (const int64_t size : sizes()) count *= static_cast<size_t>(size);
    return count;
  }

  int64_t At(size_t i) const {
    const auto size = static_cast<size_t>(program::ElementSizeBytes(value_.type.dtype));
    if (size == 1) return value_.data[i];
    if (size == 4) {
      int32_t out = 0;
      std::memcpy(&out, value_.data.data() + i * size, sizeof out);
      return out;
    }
    int64_t out = 0;
    std::memcpy(&out, value_.data.data() + i * size, std::min(size, sizeof out));
    return out;
  }

  bool HasData() const {
    return !value_.data.empty() &&
           value_.data.size() == Count() * static_cast<size_t>(program::ElementSizeBytes(value_.type.dtype));
  }

  std::string Tuple() const { return absl::StrCat("(", sizes_, sizes().size() == 1 ? ",)" : ")"); }

  std::string Integers() {
    const std::string dtype = DtypeArgument(value_.type.dtype, DType::kInt64);
    const auto low = static_cast<int64_t>(domain().min), high = static_cast<int64_t>(domain().max);
    if (!domain().known || sizes().empty()) {
      return sizes().empty() ? absl::StrCat("torch.tensor(", low, dtype, ")")
                             : absl::StrCat("torch.zeros(", sizes_,
                                            ", dtype=", program::TorchName(value_.type.dtype), ")");
    }
    if (domain().is_arange && sizes().back() > 1) {
      depends_ = true;
      const std::string base = absl::StrCat("torch.arange(", sizes().back(), dtype, ")");
      return sizes().size() == 1 ? base : absl::StrCat(base, ".expand(", sizes_, ")");
    }
    if (domain().is_permutation && sizes().size() == 1) {
      depends_ = true;
      return absl::StrCat("torch.randperm(", sizes()[0], dtype, ")");
    }
    const int64_t rows = TableRows(program_, id_);
    if (low >= 0 && rows > high) return absl::StrCat("torch.randint(0, ", rows, ", ", Tuple(), dtype, ")");
    if (low == high) return absl::StrCat("torch.full(", Tuple(), ", ", low, dtype, ")");
    return absl::StrCat("torch.randint(", low, ", ", high + 1, ", ", Tuple(), dtype, ")");
  }

  std::string Mask() {
    if (domain().known && domain().min == domain().max) {
      return absl::StrCat("torch.", domain().max != 0 ? "ones" : "zeros", "(", sizes_, ", dtype=torch.bool)");
    }
    if (HasData()) {
      if (const char* triangle = Triangle())
        return absl::StrCat("torch.ones(", sizes_, ", dtype=torch.bool).", triangle);
      if (Count() <= 64) {
        depends_ = true;
        size_t next = 0;
        return absl::StrCat("torch.tensor(", Nested(0, next), ")");
      }
    } else if (sizes().size() >= 2 && sizes()[sizes().size() - 2] == sizes().back()) {
      // A large square mask whose content was not kept: causal, so that no row is empty.
      return absl::StrCat("torch.ones(", sizes_, ", dtype=torch.bool).tril()");
    }
    return absl::StrCat("torch.rand(", sizes_, ") > 0.5");
  }

  const char* Triangle() const {
    if (sizes().size() < 2) return nullptr;
    const int64_t rows = sizes()[sizes().size() - 2], columns = sizes().back();
    const struct {
      const char* text;
      bool lower;
      int64_t diagonal;
    } kinds[] = {{"tril()", true, 0}, {"triu(1)", false, 1}, {"triu()", false, 0}, {"tril(-1)", true, -1}};
    for (const auto& kind : kinds) {
      bool fits = true;
      for (size_t i = 0; i < Count() && fits; ++i) {
        const int64_t r = static_cast<int64_t>(i) / columns % rows, c = static_cast<int64_t>(i) % columns;
        fits = (At(i) != 0) == (kind.lower ? c - r <= kind.diagonal : c - r >= kind.diagonal);
      }
      if (fits) return kind.text;
    }
    return nullptr;
  }

  std::string Nested(size_t dim, size_t& next) const {
    if (dim == sizes().size()) return At(next++) != 0 ? "True" : "False";
    std::vector<std::string> items;
    for (int64_t i = 0; i < sizes()[dim]; ++i) items.push_back(Nested(dim + 1, next));
    return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
  }

  std::string Floats() const {
    const std::string dtype = DtypeArgument(value_.type.dtype, DType::kFloat32);
    if (!domain().known) return absl::StrCat("torch.randn(", sizes_, dtype, ")");
    const bool flat = domain().min == domain().max;
    if (domain().has_neg_inf && sizes().size() >= 2) {
      // An additive mask: nothing above the diagonal.
      const std::string mask = absl::StrCat("torch.full(", Tuple(), ", float(\"-inf\")", dtype, ").triu(1)");
      return flat ? mask : absl::StrCat("torch.randn(", sizes_, dtype, ") + ", mask);
    }
    if (flat) return absl::StrCat("torch.full(", Tuple(), ", ", PythonFloat(domain().min), dtype, ")");
    if (domain().is_binary)
      return absl::StrCat("torch.randint(0, 2, ", Tuple(), ", dtype=", program::TorchName(value_.type.dtype),
                          ")");
    if (domain().min < 0) {
      if (domain().min >= -1.001 && domain().max <= 1.001 && domain().min < -0.9) {
        return absl::StrCat("torch.rand(", sizes_, dtype, ") * 2 - 1");
      }
      return absl::StrCat("torch.randn(", sizes_, dtype, ")");
    }
    std::string text = absl::StrCat("torch.rand(", sizes_, dtype, ")");
    const double span = domain().max - domain().min;
    if (span > 1.5 || span < 0.5) absl::StrAppend(&text, " * ", Rounded(span));
    // 0.0003 as the least of many uniform numbers is chance, not a bound.
    if (domain().min > 0.02 * span) absl::StrAppend(&text, " + ", Rounded(domain().min));
    return text;
  }

  const Program& program_;
  const ValueId id_;
  const Value& value_;
  const std::string sizes_;
  bool depends_ = false;
};

std::string Sizes(const Program& program, ValueId id) {
  return absl::StrJoin(program.value(id).type.sizes, ", ");
}

Lines ShapeFunction(const Program& program, const plan::Component& component) {
  const auto shapes = [&](const plan::Workload& workload) {
    std::vector<std::string> out;
    for (const ValueId id : workload.outputs) out.push_back(PythonTuple(program.value(id).type.sizes));
    return absl::StrCat("[", absl::StrJoin(out, ", "), "]");
  };
  if (component.workloads.size() <= 1) {
    return {"def get_expected_output_shape():", "    return " + shapes(component.workloads.at(0))};
  }
  Lines lines = {"def get_expected_output_shape(workload=0):", "    return ["};
  for (const plan::Workload& workload : component.workloads)
    lines.push_back(absl::StrCat("        ", shapes(workload), ","));
  lines.push_back("    ][workload]");
  return lines;
}

std::string DrawTree(const Program& program, const program::Tree& tree) {
  using Kind = program::Tree::Kind;
  std::vector<std::string> items;
  switch (tree.kind) {
    case Kind::kTensor: {
      bool depends = false;
      return DrawInput(program, tree.value, Sizes(program, tree.value), &depends);
    }
    case Kind::kLiteral:
      return tree.text;
    case Kind::kTuple:
    case Kind::kList:
      for (const program::Tree& item : tree.items) items.push_back(DrawTree(program, item));
      if (tree.kind == Kind::kList) return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
      return absl::StrCat("(", absl::StrJoin(items, ", "), items.size() == 1 ? ",)" : ")");
    case Kind::kDict:
      for (size_t i = 0; i < tree.items.size(); ++i) {
        items.push_back(absl::StrCat(tree.keys[i], ": ", DrawTree(program, tree.items[i])));
      }
      return absl::StrCat("{", absl::StrJoin(items, ", "), "}");
    default:
      return "None";
  }
}

Lines ReturnList(const std::vector<std::string>& items) { return WrapList("return [", items, "]", 92); }

}  // namespace

std::string DrawInput(const Program& program, ValueId id, const std::string& sizes, bool* depends_on_shape) {
  if (program.value(id).type.sizes.empty() && program::IsFloating(program.value(id).type.dtype)) {
    const Domain& domain = program.value(id).domain;
    return absl::StrCat("torch.tensor(", PythonFloat(domain.known ? domain.max : 1.0),
                        DtypeArgument(program.value(id).type.dtype, DType::kFloat32), ")");
  }
  Drawer drawer(program, id, sizes);
  std::string text = drawer.Text();
  *depends_on_shape = drawer.depends_on_shape();
  return text;
}

Lines ModelInputFunctions(const plan::Plan& plan) {
  const program::Invocation& call = plan.program.invocations.at(0);
  std::vector<std::string> items;
  for (const program::Tree& tree : call.args) items.push_back(DrawTree(plan.program, tree));
  Lines lines = {"def get_inputs():"};
  Append(lines, Indented(ReturnList(items)));
  if (!call.kwargs.empty()) {
    items.clear();
    for (const auto& [name, tree] : call.kwargs) {
      items.push_back(absl::StrCat(PythonString(name), ": ", DrawTree(plan.program, tree)));
    }
    Append(lines, {"", "", "def get_input_kwargs():"});
    Append(lines, Indented(WrapList("return {", items, "}", 92)));
  }
  Append(lines, {"", "", "def get_init_inputs():", "    return []"});
  return lines;
}

Lines InputFunctions(const plan::Plan& plan, const plan::Component& component,
                     const std::vector<std::string>& names, const std::vector<std::string>& init_values) {
  const Program& program = plan.program;
  Lines lines;
  const auto literal = [&](const plan::Workload& workload) {
    std::vector<std::string> items;
    for (const ValueId id : workload.inputs) {
      bool depends = false;
      items.push_back(DrawInput(program, id, Sizes(program, id), &depends));
    }
    return items;
  };
  if (component.workloads.size() <= 1) {
    lines = {"def get_inputs():"};
    Append(lines, Indented(ReturnList(literal(component.workloads.at(0)))));
  } else {
    lines = {"# Every set of input shapes at which the model runs this component, the largest first.",
             "WORKLOADS = ["};
    bool general = true;
    std::vector<std::string> first;
    for (const plan::Workload& workload : component.workloads) {
      std::vector<std::string> shapes, draws;
      for (size_t i = 0; i < workload.inputs.size(); ++i) {
        shapes.push_back(absl::StrCat(PythonString(names[i]), ": ",
                                      PythonTuple(program.value(workload.inputs[i]).type.sizes)));
        bool depends = false;
        draws.push_back(DrawInput(program, workload.inputs[i],
                                  absl::StrCat("*shapes[", PythonString(names[i]), "]"), &depends));
        general = general && !depends;
      }
      if (first.empty()) first = draws;
      lines.push_back(absl::StrCat("    {", absl::StrJoin(shapes, ", "), "},"));
    }
    lines.push_back("]");
    Append(lines, {"", "", "def get_inputs(workload=0):"});
    if (general) {
      lines.push_back("    shapes = WORKLOADS[workload]");
      Append(lines, Indented(ReturnList(first)));
    } else {
      for (size_t w = 0; w < component.workloads.size(); ++w) {
        lines.push_back(absl::StrCat("    if workload == ", w, ":"));
        Append(lines, Indented(ReturnList(literal(component.workloads[w])), 2));
      }
      lines.push_back("    raise IndexError(workload)");
    }
  }
  Append(lines, {"", "", "def get_init_inputs():"});
  Append(lines, Indented(ReturnList(init_values)));
  Append(lines, {"", ""});
  Append(lines, ShapeFunction(program, component));
  return lines;
}

}  // namespace strata::emit
