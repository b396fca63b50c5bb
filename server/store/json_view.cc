#include "server/store/json_view.h"

#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace strata::store {
namespace {

const Json kNull;
constexpr size_t kMaxMembers = 20000;

// Builds the document from nlohmann's parser events; stops it where the document is too deep.
class Builder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  bool null() { return Put(Json{nullptr}); }
  bool boolean(bool v) { return Put(Json{v}); }
  bool number_integer(int64_t v) { return Put(Json{v}); }
  bool number_unsigned(uint64_t v) { return Put(Json{v}); }
  bool number_float(double v, const std::string&) { return Put(Json{v}); }
  bool string(std::string& v) { return Put(Json{std::move(v)}); }
  bool binary(binary_t&) { return false; }
  bool start_object(size_t) { return Open(Json{Json::Object()}); }
  bool start_array(size_t) { return Open(Json{Json::List()}); }
  bool key(std::string& key) {
    key_ = std::move(key);
    return true;
  }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) { return false; }

  Json Take() { return std::move(root_); }
  bool too_deep() const { return too_deep_; }

 private:
  struct Level {
    std::string key;
    Json json;
  };
  bool Put(Json json) {
    if (stack_.empty()) {
      root_ = std::move(json);
    } else if (auto* list = std::get_if<Json::List>(&stack_.back().json.value)) {
      list->push_back(std::move(json));
    } else {
      std::get<Json::Object>(stack_.back().json.value).emplace_back(std::move(key_), std::move(json));
    }
    return true;
  }
  bool Open(Json json) {
    too_deep_ = stack_.size() >= kMaxJsonDepth;
    stack_.push_back({std::move(key_), std::move(json)});
    return !too_deep_;
  }
  bool Close() {
    Level level = std::move(stack_.back());
    stack_.pop_back();
    key_ = std::move(level.key);
    return Put(std::move(level.json));
  }

  Json root_;
  std::vector<Level> stack_;
  std::string key_;
  bool too_deep_ = false;
};

std::string Quote(const std::string& text) { return nlohmann::json(text).dump(); }

std::string DumpJson(const Json& json) {
  struct Visitor {
    std::string operator()(std::nullptr_t) const { return "null"; }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(int64_t v) const { return absl::StrCat(v); }
    std::string operator()(uint64_t v) const { return absl::StrCat(v); }
    std::string operator()(double v) const { return nlohmann::json(v).dump(); }
    std::string operator()(const std::string& v) const { return Quote(v); }
    std::string operator()(const Json::List& v) const {
      std::string out;
      for (const Json& item : v) absl::StrAppend(&out, out.empty() ? "" : ",", DumpJson(item));
      return "[" + out + "]";
    }
    std::string operator()(const Json::Object& v) const {
      std::string out;
      for (const auto& [key, item] : v)
        absl::StrAppend(&out, out.empty() ? "" : ",", Quote(key), ":", DumpJson(item));
      return "{" + out + "}";
    }
  };
  return std::visit(Visitor{}, json.value);
}

template <typename T>
const T* As(const Json* json) {
  return std::get_if<T>(&json->value);
}
bool IsNull(const Json* json) { return As<std::nullptr_t>(json) != nullptr; }

}  // namespace

absl::StatusOr<Json> ParseHostileJson(const std::string& text) {
  if (text.size() > kMaxJsonBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", text.size(), " bytes, over the limit of ", kMaxJsonBytes));
  }
  Builder builder;
  const bool parsed = nlohmann::json::sax_parse(text, &builder);
  if (builder.too_deep())
    return absl::InvalidArgumentError(absl::StrCat("is nested deeper than ", kMaxJsonDepth));
  if (!parsed) return absl::InvalidArgumentError("is no JSON");
  Json json = builder.Take();
  if (As<Json::Object>(&json) == nullptr) return absl::InvalidArgumentError("is no JSON object");
  return json;
}

bool IsUtf8(const std::string& text) {
  // The JSON library is the one judge of UTF-8 here; its scanner knows overlong forms and surrogates.
  std::string quoted = "\"";
  for (char c : text) quoted.push_back(static_cast<unsigned char>(c) >= 0x80 ? c : 'x');
  return nlohmann::json::accept(quoted + "\"");
}

void JsonView::Complain(const std::string& what) const {
  if (error_->empty()) *error_ = absl::StrCat(where_, " ", what);
}

const Json* JsonView::Find(const std::string& key) const {
  if (const auto* object = As<Json::Object>(json_)) {
    for (const auto& [name, value] : *object) {
      if (name == key) return &value;
    }
  }
  return nullptr;
}

JsonView JsonView::At(const std::string& key) const {
  const Json* value = Find(key);
  return {value == nullptr ? &kNull : value, absl::StrCat(where_, ".", key), error_};
}

void JsonView::Require(const std::string& key) const {
  if (Find(key) == nullptr) Complain(absl::StrCat("has no '", key, "'"));
}

std::string JsonView::AsText() const {
  if (IsNull(json_)) return "";
  const auto* text = As<std::string>(json_);
  if (text == nullptr) return Complain("is no text"), "";
  return *text;
}

uint64_t JsonView::AsCount() const {
  if (IsNull(json_)) return 0;
  const auto* count = As<uint64_t>(json_);
  // SQLite's integers are signed.
  if (count == nullptr || *count > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return Complain("is no whole number from 0 on"), 0;
  }
  return *count;
}

double JsonView::AsReal() const {
  if (IsNull(json_)) return std::nan("");
  if (const auto* v = As<double>(json_)) return *v;
  if (const auto* v = As<int64_t>(json_)) return static_cast<double>(*v);
  if (const auto* v = As<uint64_t>(json_)) return static_cast<double>(*v);
  const auto* text = As<std::string>(json_);
  if (text != nullptr && (*text == "nan" || *text == "NaN")) return std::nan("");
  if (text != nullptr && (*text == "inf" || *text == "Infinity"))
    return std::numeric_limits<double>::infinity();
  if (text != nullptr && (*text == "-inf" || *text == "-Infinity"))
    return -std::numeric_limits<double>::infinity();
  return Complain("is no number"), 0;
}

std::vector<int64_t> JsonView::AsWhole() const {
  std::vector<int64_t> numbers;
  if (IsNull(json_)) return numbers;
  const auto* list = As<Json::List>(json_);
  if (list == nullptr) return Complain("is no list"), numbers;
  for (const Json& item : *list) {
    const auto* negative = As<int64_t>(&item);
    const auto* positive = As<uint64_t>(&item);
    if (negative == nullptr && positive == nullptr) return Complain("is no list of whole numbers"), numbers;
    numbers.push_back(negative != nullptr ? *negative : static_cast<int64_t>(*positive));
  }
  return numbers;
}

std::string JsonView::Text(const std::string& key) const { return At(key).AsText(); }
uint64_t JsonView::Count(const std::string& key) const { return At(key).AsCount(); }
double JsonView::Real(const std::string& key) const { return At(key).AsReal(); }
std::vector<int64_t> JsonView::Whole(const std::string& key) const { return At(key).AsWhole(); }

bool JsonView::Bool(const std::string& key) const {
  const JsonView value = At(key);
  if (IsNull(value.json_)) return false;
  const auto* truth = As<bool>(value.json_);
  if (truth == nullptr) return value.Complain("is not true or false"), false;
  return *truth;
}

std::vector<std::string> JsonView::Texts(const std::string& key) const {
  std::vector<std::string> texts;
  for (const JsonView& item : Items(key)) texts.push_back(item.AsText());
  return texts;
}

JsonView JsonView::Object(const std::string& key) const {
  JsonView value = At(key);
  if (!IsNull(value.json_) && As<Json::Object>(value.json_) == nullptr) {
    value.Complain("is no object");
    value.json_ = &kNull;
  }
  return value;
}

std::vector<JsonView> JsonView::Items(const std::string& key) const {
  const JsonView value = At(key);
  std::vector<JsonView> items;
  if (IsNull(value.json_)) return items;
  const auto* list = As<Json::List>(value.json_);
  if (list == nullptr) return value.Complain("is no list"), items;
  for (size_t i = 0; i < list->size(); ++i) {
    items.emplace_back(&(*list)[i], absl::StrCat(value.where_, "[", i, "]"), error_);
  }
  return items;
}

std::vector<std::pair<std::string, JsonView>> JsonView::Members() const {
  std::vector<std::pair<std::string, JsonView>> members;
  const auto* object = As<Json::Object>(json_);
  if (object == nullptr) return members;
  if (object->size() > kMaxMembers)
    return Complain(absl::StrCat("has more than ", kMaxMembers, " members")), members;
  for (const auto& [key, value] : *object) {
    members.emplace_back(key, JsonView(&value, absl::StrCat(where_, ".", key), error_));
  }
  return members;
}

std::string JsonView::Dump() const { return IsNull(json_) ? "" : DumpJson(*json_); }

}  // namespace strata::store
