#pragma once
// JSON that somebody else wrote: a broken file is a sentence, never an exception or a deep recursion. Pure.

#include <string>

#include "nlohmann/json.hpp"

namespace strata::verify {

inline constexpr int kMaxJsonDepth = 64;

struct ParsedJson {
  nlohmann::ordered_json value;  // null where `error` is set
  std::string error;             // "" if it is JSON: no duplicate keys, not nested deeper than kMaxJsonDepth
};
ParsedJson ParseHostileJson(const std::string& text);

// json[key], null where `json` is no object or has no such key.
const nlohmann::ordered_json& At(const nlohmann::ordered_json& json, const std::string& key);
// "weight_transfer.status": At, dot by dot.
const nlohmann::ordered_json& AtPath(const nlohmann::ordered_json& json, const std::string& dotted);

// "" where it is no string; 0 where it is no whole number.
std::string TextOf(const nlohmann::ordered_json& json);
int64_t WholeOf(const nlohmann::ordered_json& json);

// The value as a sentence may hold it: cut after 80 characters.
std::string Shown(const nlohmann::ordered_json& json);

}  // namespace strata::verify
