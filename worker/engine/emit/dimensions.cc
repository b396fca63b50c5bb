#include "worker/engine/emit/dimensions.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace strata::emit {
namespace {

bool IsInputSetting(const std::string& setting) {
  return absl::StartsWith(setting, "in_") || setting == "normalized_shape" || setting == "input_size" ||
         setting == "embed_dim" || setting == "dim";
}

bool IsOutputSetting(const std::string& setting) {
  return absl::StartsWith(setting, "out_") || setting == "hidden_size" || setting == "embedding_dim";
}

std::vector<const ConstructorArgument*> DimensionsOf(const Constructor& constructor) {
  std::vector<const ConstructorArgument*> out;
  for (const ConstructorArgument& argument : constructor.arguments) {
    if (argument.dimension) out.push_back(&argument);
  }
  return out;
}

// What it writes is as large as what it reads, and has no other size.
bool IsNorm(const Constructor& constructor) {
  return absl::StrContains(constructor.callee, "Norm") && DimensionsOf(constructor).size() == 1;
}

// The size on the side of `carrier` that a norm before or after it sees, nullptr where none has that value.
const ConstructorArgument* Side(const Constructor& carrier, const std::string& value, bool after) {
  const std::vector<const ConstructorArgument*> sizes = DimensionsOf(carrier);
  const ConstructorArgument* found = nullptr;
  for (const ConstructorArgument* size : sizes) {
    if (size->value != value) continue;
    if (after ? IsOutputSetting(size->name) : IsInputSetting(size->name)) return size;
    if (found == nullptr) found = size;
  }
  return found;
}

}  // namespace

Dimensions::Dimensions(const std::vector<const Constructor*>& constructors) {
  // Linear, or Conv2d with its BatchNorm2d: the names of torch.nn say it best.
  if (!NameBySetting(constructors)) NameByValue(constructors);
}

// False, and nothing done, where more than one constructor has sizes of its own.
bool Dimensions::NameBySetting(const std::vector<const Constructor*>& constructors) {
  const Constructor* carrier = nullptr;
  size_t position = 0;
  for (size_t i = 0; i < constructors.size(); ++i) {
    if (IsNorm(*constructors[i]) || DimensionsOf(*constructors[i]).empty()) continue;
    if (carrier != nullptr) return false;
    carrier = constructors[i];
    position = i;
  }
  std::map<std::string, std::string> values;
  if (carrier != nullptr) {
    for (const ConstructorArgument* size : DimensionsOf(*carrier)) {
      // Two lone parameters of different lengths.
      if (values.emplace(size->name, size->value).first->second != size->value) return false;
    }
    for (const ConstructorArgument* size : DimensionsOf(*carrier)) {
      by_setting_[size] = size->name;
      if (!names_.IsFree(size->name)) continue;
      list_.push_back({names_.Unique(size->name), size->value});
    }
  }
  for (size_t i = 0; i < constructors.size(); ++i) {
    if (!IsNorm(*constructors[i])) continue;
    const ConstructorArgument* size = DimensionsOf(*constructors[i])[0];
    const ConstructorArgument* side =
        carrier == nullptr ? nullptr : Side(*carrier, size->value, /*after=*/i > position);
    std::string name = side == nullptr ? NameFor(size->value) : side->name;
    if (name.empty()) {
      name = names_.Unique(size->name);
      list_.push_back({name, size->value});
    }
    by_setting_[size] = name;
  }
  return true;
}

void Dimensions::NameByValue(const std::vector<const Constructor*>& constructors) {
  for (const Constructor* constructor : constructors) {
    for (const ConstructorArgument* size : DimensionsOf(*constructor)) {
      requests_.emplace_back(size->name, size->value);
    }
  }
  for (const auto& [setting, value] : requests_) Choose(setting, value);
}

bool Dimensions::IsInput(const std::string& value) const {
  return std::any_of(requests_.begin(), requests_.end(),
                     [&](const auto& r) { return r.second == value && IsInputSetting(r.first); });
}

std::string Dimensions::FirstName(const std::string& setting, const std::string& value) const {
  if (setting == "in_features" || setting == "normalized_shape" || setting == "embedding_dim" ||
      setting == "embed_dim" || setting == "input_size") {
    return "dim";
  }
  if (setting == "num_embeddings") return "vocab_size";
  if (setting == "num_features" || setting == "num_channels") return "channels";
  // One number for what enters and what leaves.
  const bool leaves = std::any_of(requests_.begin(), requests_.end(), [&](const auto& r) {
    return r.first == "out_channels" && r.second == value;
  });
  return setting == "in_channels" && leaves ? "channels" : setting;
}

std::string Dimensions::NameFor(const std::string& value) const {
  for (const Dimension& dimension : list_) {
    if (dimension.value == value) return dimension.name;
  }
  for (const auto& [number, text] : multiples_) {
    if (number == value) return text;
  }
  return "";
}

void Dimensions::Choose(const std::string& setting, const std::string& value) {
  if (!NameFor(value).empty()) return;
  if (list_.empty()) {
    list_.push_back({names_.Unique(FirstName(setting, value)), value});
    return;
  }
  int64_t number = 0, first = 0;
  const bool numbers =
      absl::SimpleAtoi(value, &number) && absl::SimpleAtoi(list_[0].value, &first) && first > 1;
  const bool output = setting == "out_features" || setting == "out_channels";
  if (output && numbers && setting == "out_features" && number % first == 0 && number / first >= 2 &&
      number / first <= 4 && !IsInput(value)) {
    multiples_.emplace_back(value, absl::StrCat(number / first, " * ", list_[0].name));
    return;
  }
  std::string name = FirstName(setting, value);
  if (output) {
    const std::string kind = setting == "out_features" ? "dim" : "channels";
    // What leaves last is the output, whatever else reads it on the way.
    std::string last;
    for (const auto& [other, number_text] : requests_) {
      if (absl::StartsWith(other, "out_")) last = number_text;
    }
    name = absl::StrCat(IsInput(value) && last != value ? "hidden_" : "out_", kind);
  }
  list_.push_back({names_.Unique(name), value});
}

std::string Dimensions::Text(const std::string& name, const std::string& value) const {
  for (const Dimension& dimension : list_) {
    if (dimension.name == name && dimension.value == value) return name;
  }
  const std::string said = NameFor(value);
  return said.empty() ? value : said;
}

std::string Dimensions::Text(const Constructor& constructor) const {
  std::vector<std::string> args;
  for (const ConstructorArgument& argument : constructor.arguments) {
    std::string value = argument.value;
    if (argument.dimension) {
      const auto said = by_setting_.find(&argument);
      value = said == by_setting_.end() ? Text(argument.name, argument.value) : said->second;
    }
    args.push_back(argument.positional ? value : absl::StrCat(argument.name, "=", value));
  }
  return absl::StrCat(constructor.callee, "(", absl::StrJoin(args, ", "), ")");
}

}  // namespace strata::emit
