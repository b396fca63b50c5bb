#pragma once
// Reading JSON that a process which ran user code may have written: bounded in size and depth, types checked,
// every complaint names file and place. Nothing throws.

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace strata::store {

// A parsed document. Objects keep the order of the file, which is the order of forward's arguments in shapes;
// nlohmann's own ordered objects would take quadratic time for many keys.
struct Json {
  using List = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;
  std::variant<std::nullptr_t, bool, int64_t, uint64_t, double, std::string, List, Object> value = nullptr;
};

constexpr size_t kMaxJsonBytes = 64 << 20;
constexpr size_t kMaxJsonDepth = 48;

// InvalidArgument, with the reason, for what is too large, too deep or no JSON object.
absl::StatusOr<Json> ParseHostileJson(const std::string& text);

bool IsUtf8(const std::string& text);

// A place in a document. The first complaint about the document sticks (in `error`, shared by all views of
// it); after it all reads give defaults.
class JsonView {
 public:
  JsonView(const Json* json, std::string where, std::string* error)
      : json_(json), where_(std::move(where)), error_(error) {}

  // The value of a key. Absent and null are the default, another type is a complaint.
  std::string Text(const std::string& key) const;
  uint64_t Count(const std::string& key) const;  // a whole number ≥ 0
  double Real(const std::string& key) const;     // null or "nan": NaN; "inf", "Infinity", "-inf"
  bool Bool(const std::string& key) const;
  std::vector<std::string> Texts(const std::string& key) const;
  std::vector<int64_t> Whole(const std::string& key) const;
  JsonView Object(const std::string& key) const;              // empty where absent
  std::vector<JsonView> Items(const std::string& key) const;  // of a list

  // Keys and views of this object's members, in file order. More than 20000 are a complaint.
  std::vector<std::pair<std::string, JsonView>> Members() const;

  // This value itself.
  std::string AsText() const;
  uint64_t AsCount() const;
  double AsReal() const;
  std::vector<int64_t> AsWhole() const;  // a list of whole numbers
  std::string Dump() const;

  // Complains unless the key is there.
  void Require(const std::string& key) const;
  void Complain(const std::string& what) const;

 private:
  const Json* Find(const std::string& key) const;
  JsonView At(const std::string& key) const;

  const Json* json_;  // null value where absent
  std::string where_;
  std::string* error_;
};

}  // namespace strata::store
