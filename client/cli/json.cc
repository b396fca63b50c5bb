#include "client/cli/json.h"

#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace strata::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Json = nlohmann::ordered_json;

// `index` < 0: the field is no list.
Json Value(const Message& message, const FieldDescriptor* field, int index) {
  const auto* reflection = message.GetReflection();
  const bool repeated = index >= 0;
#define STRATA_GET(TYPE) \
  (repeated ? reflection->GetRepeated##TYPE(message, field, index) : reflection->Get##TYPE(message, field))
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return STRATA_GET(Bool);
    case FieldDescriptor::CPPTYPE_INT32:
      return STRATA_GET(Int32);
    case FieldDescriptor::CPPTYPE_INT64:
      return STRATA_GET(Int64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return STRATA_GET(UInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return STRATA_GET(UInt64);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return STRATA_GET(Float);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return STRATA_GET(Double);
    case FieldDescriptor::CPPTYPE_ENUM:
      return ShortEnumName(STRATA_GET(Enum));
    case FieldDescriptor::CPPTYPE_STRING:
      return STRATA_GET(String);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
#undef STRATA_GET
  return ToJson(repeated ? reflection->GetRepeatedMessage(message, field, index)
                         : reflection->GetMessage(message, field));
}

Json List(const Message& message, const FieldDescriptor* field) {
  const int size = message.GetReflection()->FieldSize(message, field);
  Json list = Json::array();
  std::map<std::string, Json> entries;  // protobuf's own order of a map changes from run to run
  for (int i = 0; i < size; ++i) {
    Json item = Value(message, field, i);
    if (field->is_map()) {
      entries[item["key"].get<std::string>()] = item["value"];
    } else {
      list.push_back(std::move(item));
    }
  }
  return field->is_map() ? Json(entries) : list;
}

}  // namespace

std::string ShortEnumName(const google::protobuf::EnumValueDescriptor* value, bool lower) {
  // TASK_STATE_PASSED of enum TaskState: as many words of the name as the type has go away.
  absl::string_view name = value->name();
  for (char c : value->type()->name()) {
    if (absl::ascii_isupper(c)) name.remove_prefix(std::min(name.find('_') + 1, name.size()));
  }
  return lower ? absl::AsciiStrToLower(name) : std::string(name);
}

Json ToJson(const Message& message) {
  if (message.GetDescriptor() == google::protobuf::Timestamp::descriptor()) {
    return google::protobuf::util::TimeUtil::ToString(
        dynamic_cast<const google::protobuf::Timestamp&>(message));
  }
  Json json = Json::object();
  const auto* descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (field->is_repeated()) {
      json[field->name()] = List(message, field);
    } else if (!field->has_presence() || message.GetReflection()->HasField(message, field)) {
      json[field->name()] = Value(message, field, -1);
    }
  }
  return json;
}

std::string Dump(const Json& json, bool indented) {
  return json.dump(indented ? 2 : -1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace strata::cli
