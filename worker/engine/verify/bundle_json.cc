#include "worker/engine/verify/bundle_json.h"

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"

namespace strata::verify {
namespace {

using nlohmann::ordered_json;

// Watches the parser: readers disagree about which of two equal keys counts, so neither does.
class Watch {
 public:
  bool operator()(int depth, ordered_json::parse_event_t event, ordered_json& parsed) {
    using Event = ordered_json::parse_event_t;
    switch (event) {
      case Event::object_start:
        keys_.emplace_back();
        return CheckDepth(depth);
      case Event::array_start:
        return CheckDepth(depth);
      case Event::object_end:
        if (!keys_.empty()) keys_.pop_back();
        return true;
      case Event::key:
        if (!keys_.empty() && !keys_.back().insert(parsed.get<std::string>()).second && error_.empty())
          error_ =
              absl::StrCat("the key \"", parsed.get<std::string>().substr(0, 80), "\" stands there twice");
        return true;
      default:
        return true;
    }
  }
  const std::string& error() const { return error_; }

 private:
  // Pruning at the limit keeps what is built shallow.
  bool CheckDepth(int depth) {
    if (depth < kMaxJsonDepth) return true;
    if (error_.empty()) error_ = absl::StrCat("nested deeper than ", kMaxJsonDepth);
    return false;
  }

  std::vector<std::set<std::string>> keys_;
  std::string error_;
};

}  // namespace

ParsedJson ParseHostileJson(const std::string& text) {
  Watch watch;
  ParsedJson parsed;
  parsed.value = ordered_json::parse(text, std::ref(watch), /*allow_exceptions=*/false);
  parsed.error = watch.error();
  if (parsed.error.empty() && parsed.value.is_discarded()) parsed.error = "no JSON";
  if (!parsed.error.empty()) parsed.value = nullptr;
  return parsed;
}

const ordered_json& At(const ordered_json& json, const std::string& key) {
  static const auto* const kNull = new ordered_json(nullptr);
  if (!json.is_object()) return *kNull;
  const auto it = json.find(key);
  return it == json.end() ? *kNull : *it;
}

const ordered_json& AtPath(const ordered_json& json, const std::string& dotted) {
  const size_t dot = dotted.find('.');
  if (dot == std::string::npos) return At(json, dotted);
  return AtPath(At(json, dotted.substr(0, dot)), dotted.substr(dot + 1));
}

std::string TextOf(const ordered_json& json) { return json.is_string() ? json.get<std::string>() : ""; }

int64_t WholeOf(const ordered_json& json) { return json.is_number_integer() ? json.get<int64_t>() : 0; }

std::string Shown(const ordered_json& json) {
  const std::string text = json.dump(-1, ' ', true, ordered_json::error_handler_t::replace);
  return text.size() <= 80 ? text : absl::StrCat(text.substr(0, 77), "...");
}

}  // namespace strata::verify
