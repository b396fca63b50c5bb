#include "worker/engine/emit/sizes.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/emit/spelling.h"

namespace strata::emit {
namespace {

using program::Argument;
using program::Call;
using program::OperatorName;

bool IsViewLike(const std::string& name) { return name == "view" || name == "reshape" || name == "expand"; }

bool IsFactory(const std::string& name) {
  return name == "arange" || name == "ones" || name == "zeros" || name == "full" || name == "eye";
}

bool TouchesImages(const program::Program& program, const Function& function) {
  return std::any_of(function.steps.begin(), function.steps.end(), [&](const Step& step) {
    if (step.apply)
      return absl::StrContains(step.apply->callee, "conv") || absl::StrContains(step.apply->callee, "pool");
    const std::string& op = program.call(step.call).op;
    return absl::StrContains(op, "conv") || absl::StrContains(op, "pool") ||
           absl::StrContains(op, "batch_norm");
  });
}

std::vector<std::string> Letters(size_t rank, bool integers, bool images) {
  switch (rank) {
    case 1:
      return {"N"};
    case 2:
      return integers ? std::vector<std::string>{"B", "T"} : std::vector<std::string>{"B", "C"};
    case 3:
      return images ? std::vector<std::string>{"B", "C", "L"} : std::vector<std::string>{"B", "T", "C"};
    case 4:
      return images ? std::vector<std::string>{"B", "C", "H", "W"}
                    : std::vector<std::string>{"B", "H", "T", "D"};
    case 5:
      return {"B", "C", "D", "H", "W"};
    default:
      break;
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < rank; ++i) names.push_back(absl::StrCat("D", i));
  return names;
}

// The number at that place of another call of the same shape.
bool IntAt(const Call& call, const std::string& argument, size_t item, int64_t* out) {
  const program::NamedArgument* found = FindArgument(call, argument);
  if (found == nullptr) return false;
  const Argument* value = &found->value;
  if (value->kind == Argument::Kind::kList) {
    if (item >= value->items.size()) return false;
    value = &value->items[item];
  }
  if (value->kind != Argument::Kind::kInt) return false;
  *out = value->integer;
  return true;
}

}  // namespace

SizeNames::SizeNames(const program::Program& program, const Function& function)
    : program_(program), function_(function) {
  for (size_t i = 0; i < function.parameters.size(); ++i) {
    const std::vector<int64_t>* sizes = SizesOf(i);
    if (sizes == nullptr || sizes->empty()) continue;
    main_parameter_ = i;
    const program::DType dtype = program.value(function.parameters[i].second).type.dtype;
    letters_ = Letters(sizes->size(), program::IsIntegral(dtype), TouchesImages(program, function));
    break;
  }
}

const std::vector<int64_t>* SizeNames::SizesOf(size_t parameter) const {
  if (parameter >= function_.parameters.size()) return nullptr;
  const program::ValueId id = function_.parameters[parameter].second;
  return id == program::kNoId ? nullptr : &program_.value(id).type.sizes;
}

std::string SizeNames::NameOf(const Dimension& d) const {
  if (d.parameter == main_parameter_) return letters_[d.dim];
  return absl::StrCat(function_.parameters[d.parameter].first, "_dim", d.dim);
}

bool SizeNames::VariesInTwins(const Call& call, const std::string& argument, size_t item,
                              int64_t value) const {
  return std::any_of(function_.twins.begin(), function_.twins.end(), [&](const Twin& twin) {
    const auto found = twin.calls.find(call.id);
    int64_t other = value;
    return found != twin.calls.end() && IntAt(program_.call(found->second), argument, item, &other) &&
           other != value;
  });
}

bool SizeNames::HoldsInTwins(const Call& call, const std::string& argument, size_t item,
                             const Dimension& d) const {
  return std::all_of(function_.twins.begin(), function_.twins.end(), [&](const Twin& twin) {
    const auto found = twin.calls.find(call.id);
    const auto input = twin.values.find(function_.parameters[d.parameter].second);
    if (found == twin.calls.end() || input == twin.values.end()) return false;
    int64_t other = 0;
    if (!IntAt(program_.call(found->second), argument, item, &other)) return false;
    const auto& sizes = program_.value(input->second).type.sizes;
    return d.dim < sizes.size() && sizes[d.dim] == other;
  });
}

// Whether a person would have written a name here although the number never varies.
bool SizeNames::WantsName(const Call& call, const std::string& argument, size_t item, int64_t value) const {
  const std::string name = OperatorName(call.op);
  if (value <= 1) return false;
  if (name == "slice") {
    if (argument != "end" || call.args[0].value.kind != Argument::Kind::kValue) return false;
    // Of a table that the model keeps: self.bias[:, :, :T, :T].
    const program::Value* operand = &program_.value(call.args[0].value.value);
    while (operand->kind == program::ValueKind::kResult && operand->producer != program::kNoId) {
      const Call& maker = program_.call(operand->producer);
      if (OperatorName(maker.op) != "slice") return false;
      operand = &program_.value(maker.args[0].value.value);
    }
    return true;
  }
  if (IsFactory(name)) return true;
  if (!IsViewLike(name)) return false;
  const auto& from = program_.value(call.args[0].value.value).type.sizes;
  const Argument& list = call.args[1].value;
  for (size_t i = 0; i <= item; ++i) {
    int64_t size = 0;
    if (!IntAt(call, argument, i, &size)) return false;
    if (i < from.size() && from[i] == size) continue;
    // The last of view(B, T, C) after the heads are merged again.
    const std::vector<int64_t>* main = SizesOf(main_parameter_);
    return i == item && i > 0 && item + 1 == list.items.size() && main != nullptr &&
           main->size() == list.items.size() && main->back() == value && main->size() == 3;
  }
  return item + 1 < list.items.size();
}

std::string SizeNames::Use(const Dimension& dimension) {
  used_.insert(dimension);
  return NameOf(dimension);
}

std::string SizeNames::Say(const Call& call, const std::string& argument, size_t item, int64_t value) {
  if (argument == "size" || argument == "shape" || argument == "split_size") {
    const auto said = function_.sizes_said.find({call.id, item});
    if (said != function_.sizes_said.end()) return said->second;
  }
  const bool varies = VariesInTwins(call, argument, item, value);
  if (!varies && !WantsName(call, argument, item, value)) return "";
  std::vector<std::pair<int, Dimension>> candidates;
  const bool slice = OperatorName(call.op) == "slice";
  for (size_t p = 0; p < function_.parameters.size(); ++p) {
    const std::vector<int64_t>* sizes = SizesOf(p);
    if (sizes == nullptr) continue;
    if (!varies && p != main_parameter_) continue;
    for (size_t d = 0; d < sizes->size(); ++d) {
      if ((*sizes)[d] != value || !HoldsInTwins(call, argument, item, {p, d})) continue;
      const bool last = d + 1 == sizes->size() && sizes->size() > 2;
      int rank = static_cast<int>(d);
      if (slice) rank = d == 0 ? 9 : last ? 8 : sizes->size() == 4 && d == 2 ? 0 : rank;
      if (!slice && d == item) rank = -1;
      if (!slice && argument != "size" && argument != "shape" && d == 0) rank = 7;
      candidates.emplace_back(static_cast<int>(p) * 100 + rank, Dimension{p, d});
    }
  }
  if (candidates.empty()) return "";
  return Use(std::min_element(candidates.begin(), candidates.end())->second);
}

Lines SizeNames::Header() const {
  Lines lines;
  std::vector<size_t> main;
  for (const Dimension& d : used_) {
    if (d.parameter == main_parameter_) main.push_back(d.dim);
  }
  const std::string name = function_.parameters.empty() ? "" : function_.parameters[main_parameter_].first;
  if (main.size() == 1) {
    lines.push_back(absl::StrCat(letters_[main[0]], " = ", name, ".shape[", main[0], "]"));
  } else if (main.size() > 1) {
    std::vector<std::string> names = letters_;
    for (size_t i = 0; i < names.size(); ++i) {
      if (std::find(main.begin(), main.end(), i) == main.end()) names[i] = "_";
    }
    lines.push_back(absl::StrCat(absl::StrJoin(names, ", "), " = ", name, ".shape"));
  }
  for (const Dimension& d : used_) {
    if (d.parameter == main_parameter_) continue;
    lines.push_back(
        absl::StrCat(NameOf(d), " = ", function_.parameters[d.parameter].first, ".shape[", d.dim, "]"));
  }
  return lines;
}

std::set<std::string> SizeNames::Reserved() const {
  std::set<std::string> names(letters_.begin(), letters_.end());
  for (const Dimension& d : used_) names.insert(NameOf(d));
  return names;
}

}  // namespace strata::emit
