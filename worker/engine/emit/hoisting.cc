#include "worker/engine/emit/hoisting.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "worker/engine/emit/spelling.h"

namespace strata::emit {
namespace {

using program::Argument;
using program::Call;
using program::ValueId;

std::optional<double> FloatNumber(const program::Value& value) {
  if (!value.is_wrapped_number || value.type.dtype != program::DType::kFloat64 || value.data.size() != 8)
    return std::nullopt;
  double out = 0;
  std::memcpy(&out, value.data.data(), sizeof out);
  return out;
}

class Hoister {
 public:
  Hoister(const program::Program& program, Function& function, ClassText& text)
      : program_(program), function_(function), text_(text) {}

  void Run() {
    Epsilon();
    Heads();
    Splits();
    text_.init.insert(text_.init.begin(), lines_.begin(), lines_.end());
  }

 private:
  // The small number added under a root.
  void Epsilon() {
    bool has_root = false;
    std::set<double> values;
    std::vector<ValueId> ids;
    for (const Step& step : function_.steps) {
      if (step.apply) continue;
      const Call& call = program_.call(step.call);
      const std::string name = program::OperatorName(call.op);
      has_root = has_root || name == "rsqrt" || name == "sqrt";
      if (name != "add" || call.args.size() < 2 || call.args[1].value.kind != Argument::Kind::kValue)
        continue;
      const auto number = FloatNumber(program_.value(call.args[1].value.value));
      if (!number || *number <= 0 || *number > 1e-2) continue;
      values.insert(*number);
      ids.push_back(call.args[1].value.value);
    }
    if (!has_root || values.size() != 1 || Taken("eps")) return;
    text_.dimensions.push_back({"eps", PythonFloat(*values.begin()), /*is_setting=*/true});
    lines_.push_back("self.eps = eps");
    for (const ValueId id : ids) function_.attributes[id] = "self.eps";
  }

  // view(B, T, heads, head_dim), where heads * head_dim is a dimension of the class.
  void Heads() {
    int64_t heads = 0, head_dim = 0;
    std::string width;
    const auto each_pair = [&](const auto& visit) {
      for (const Step& step : function_.steps) {
        if (step.apply) continue;
        const Call& call = program_.call(step.call);
        const std::string name = program::OperatorName(call.op);
        if ((name != "view" && name != "reshape") || call.args.size() < 2) continue;
        const auto& items = call.args[1].value.items;
        for (size_t i = 1; items.size() >= 4 && i + 1 < items.size(); ++i) {
          if (items[i].kind == Argument::Kind::kInt && items[i + 1].kind == Argument::Kind::kInt) {
            visit(call, i, items[i].integer, items[i + 1].integer);
          }
        }
      }
    };
    each_pair([&](const Call&, size_t, int64_t a, int64_t b) {
      if (heads != 0 || a < 2 || b < 2) return;
      for (const Dimension& d : text_.dimensions) {
        int64_t value = 0;
        if (!d.is_setting && absl::SimpleAtoi(d.value, &value) && value == a * b && IsIdentifier(d.name)) {
          heads = a;
          head_dim = b;
          width = d.name;
        }
      }
    });
    if (heads == 0 || Taken("num_heads")) return;
    text_.dimensions.push_back({"num_heads", absl::StrCat(heads), true});
    lines_.push_back("self.num_heads = num_heads");
    lines_.push_back(absl::StrCat("self.head_dim = ", width, " // num_heads"));
    each_pair([&](const Call& call, size_t i, int64_t a, int64_t b) {
      if (a != heads || b != head_dim) return;
      function_.sizes_said[{call.id, i}] = "self.num_heads";
      function_.sizes_said[{call.id, i + 1}] = "self.head_dim";
    });
    RootOf(head_dim);
  }

  // Scores divided by the root of the head's width.
  void RootOf(int64_t head_dim) {
    const double root = std::sqrt(static_cast<double>(head_dim));
    if (root == std::floor(root) && head_dim < 16) return;
    for (const Step& step : function_.steps) {
      if (step.apply) continue;
      for (const ValueId id : program::Reads(program_.call(step.call))) {
        const auto number = FloatNumber(program_.value(id));
        if (!number) continue;
        if (*number == root) function_.attributes[id] = "math.sqrt(self.head_dim)";
        if (*number == 1.0 / root) function_.attributes[id] = "(1.0 / math.sqrt(self.head_dim))";
      }
    }
  }

  // c_attn(x).split(dim, dim=2)
  void Splits() {
    for (const Step& step : function_.steps) {
      if (step.apply) continue;
      const Call& call = program_.call(step.call);
      if (call.op != "aten::split" || call.args.size() < 2 || call.args[1].value.kind != Argument::Kind::kInt)
        continue;
      for (const Dimension& d : text_.dimensions) {
        if (d.is_setting || d.value != absl::StrCat(call.args[1].value.integer) || !IsIdentifier(d.name))
          continue;
        if (std::find(lines_.begin(), lines_.end(), absl::StrCat("self.", d.name, " = ", d.name)) ==
            lines_.end()) {
          if (Taken(d.name)) continue;
          lines_.push_back(absl::StrCat("self.", d.name, " = ", d.name));
        }
        function_.sizes_said[{call.id, 0}] = "self." + d.name;
        break;
      }
    }
  }

  // Some member has the name already.
  bool Taken(const std::string& name) const {
    return std::any_of(text_.init.begin(), text_.init.end(), [&](const std::string& line) {
      return line.rfind("self." + name + " ", 0) == 0 || line.find("\"" + name + "\"") != std::string::npos;
    });
  }

  const program::Program& program_;
  Function& function_;
  ClassText& text_;
  Lines lines_;
};

}  // namespace

void HoistNumbers(const program::Program& program, Function& function, ClassText& text) {
  Hoister(program, function, text).Run();
}

}  // namespace strata::emit
