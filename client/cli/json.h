#pragma once
// API messages as JSON: proto field names, every plain field even if empty, whole numbers as numbers,
// enum values without their type's prefix ("SUCCEEDED"), times in RFC 3339, bytes as text.

#include <nlohmann/json.hpp>

#include "google/protobuf/message.h"

namespace strata::cli {

nlohmann::ordered_json ToJson(const google::protobuf::Message& message);

// For standard output: indented, with bytes that are no UTF-8 replaced.
std::string Dump(const nlohmann::ordered_json& json, bool indented = true);

// "SUCCEEDED" of STATE_SUCCEEDED, "layer" of LEVEL_LAYER when `lower`.
std::string ShortEnumName(const google::protobuf::EnumValueDescriptor* value, bool lower = false);

}  // namespace strata::cli
