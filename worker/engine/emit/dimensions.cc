#include "worker/engine/emit/dimensions.h"

#include <algorithm>
#include <set>

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

std::string FirstName(const std::string& setting) {
  if (setting == "in_features" || setting == "normalized_shape" || setting == "embedding_dim" ||
      setting == "embed_dim" || setting == "input_size") {
    return "dim";
  }
  if (setting == "num_embeddings") return "vocab_size";
  if (setting == "num_features" || setting == "num_channels") return "channels";
  return setting;
}

}  // namespace

Dimensions::Dimensions(const std::vector<const Constructor*>& constructors) {
  std::set<std::string> with_dimensions;
  for (const Constructor* constructor : constructors) {
    for (const ConstructorArgument& argument : constructor->arguments) {
      if (!argument.dimension) continue;
      requests_.emplace_back(argument.name, argument.value);
      with_dimensions.insert(constructor->callee);
    }
  }
  // Linear, or Conv2d with its BatchNorm2d: the names of torch.nn say it best.
  size_t carriers = 0;
  for (const Constructor* constructor : constructors) {
    const bool norm = absl::StrContains(constructor->callee, "Norm");
    carriers += !norm && std::any_of(constructor->arguments.begin(), constructor->arguments.end(),
                                     [](const auto& a) { return a.dimension; });
  }
  by_setting_ = carriers <= 1;
  for (const auto& [setting, value] : requests_) Choose(setting, value);
}

bool Dimensions::IsInput(const std::string& value) const {
  return std::any_of(requests_.begin(), requests_.end(),
                     [&](const auto& r) { return r.second == value && IsInputSetting(r.first); });
}

std::string Dimensions::NameFor(const std::string& setting, const std::string& value) const {
  for (const Dimension& dimension : list_) {
    if (dimension.value == value && (!by_setting_ || dimension.name == setting || !IsInputSetting(setting))) {
      return dimension.name;
    }
  }
  for (const auto& [number, text] : multiples_) {
    if (number == value) return text;
  }
  return "";
}

void Dimensions::Choose(const std::string& setting, const std::string& value) {
  if (by_setting_) {
    const bool known = std::any_of(list_.begin(), list_.end(), [&](const Dimension& d) {
      return d.name == setting ||
             (d.value == value &&
              (setting == "num_features" || setting == "num_channels" || setting == "normalized_shape"));
    });
    if (!known) list_.push_back({names_.Unique(setting), value});
    return;
  }
  if (!NameFor(setting, value).empty()) return;
  if (list_.empty()) {
    list_.push_back({names_.Unique(FirstName(setting)), value});
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
  std::string name = FirstName(setting);
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
  const std::string said = NameFor(name, value);
  return said.empty() ? value : said;
}

std::string Dimensions::Text(const Constructor& constructor) const {
  std::vector<std::string> args;
  for (const ConstructorArgument& argument : constructor.arguments) {
    std::string value = argument.value;
    if (argument.dimension) {
      if (by_setting_) {
        for (const Dimension& d : list_) {
          if (d.name == argument.name) value = d.name;
        }
      }
      if (value == argument.value) value = Text(argument.name, argument.value);
    }
    args.push_back(argument.positional ? value : absl::StrCat(argument.name, "=", value));
  }
  return absl::StrCat(constructor.callee, "(", absl::StrJoin(args, ", "), ")");
}

}  // namespace strata::emit
