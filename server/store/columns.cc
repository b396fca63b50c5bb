#include "server/store/columns.h"

#include <nlohmann/json.hpp>

namespace strata::store {
namespace {

using nlohmann::json;

std::string Dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

// Columns are written by this file; what does not parse is an empty value.
json Load(const std::string& column) { return json::parse(column, nullptr, /*allow_exceptions=*/false); }

}  // namespace

std::string ListColumn(const std::vector<std::string>& texts) { return Dump(json(texts)); }

std::vector<std::string> ListFromColumn(const std::string& column) {
  const json value = Load(column);
  return value.is_array() ? value.get<std::vector<std::string>>() : std::vector<std::string>();
}

std::string NumbersColumn(const std::vector<int64_t>& numbers) { return Dump(json(numbers)); }

std::vector<int64_t> NumbersFromColumn(const std::string& column) {
  const json value = Load(column);
  return value.is_array() ? value.get<std::vector<int64_t>>() : std::vector<int64_t>();
}

std::string FailureColumn(const std::optional<jobs::Failure>& failure) {
  if (!failure) return "";
  return Dump(json{{"kind", static_cast<int>(failure->kind)},
                   {"message", failure->message},
                   {"component", failure->component},
                   {"file", failure->file},
                   {"line", failure->line},
                   {"traceback", failure->traceback},
                   {"task", failure->task}});
}

std::optional<jobs::Failure> FailureFromColumn(const std::string& column) {
  const json value = Load(column);
  if (!value.is_object()) return std::nullopt;
  jobs::Failure failure;
  failure.kind = static_cast<jobs::FailureKind>(value.value("kind", 4));
  failure.message = value.value("message", "");
  failure.component = value.value("component", "");
  failure.file = value.value("file", "");
  failure.line = value.value("line", 0u);
  failure.traceback = value.value("traceback", "");
  failure.task = value.value("task", "");
  return failure;
}

v1::Failure ToMessage(const jobs::Failure& failure) {
  v1::Failure message;
  message.set_kind(static_cast<v1::FailureKind>(failure.kind));
  message.set_message(failure.message);
  message.set_component(failure.component);
  message.set_file(failure.file);
  message.set_line(failure.line);
  message.set_traceback(failure.traceback);
  message.set_task_id(failure.task);
  return message;
}

jobs::Failure FromMessage(const v1::Failure& message) {
  jobs::Failure failure;
  const bool known = message.kind() >= v1::FAILURE_KIND_USER && message.kind() <= v1::FAILURE_KIND_OURS;
  failure.kind = known ? static_cast<jobs::FailureKind>(message.kind()) : jobs::FailureKind::kOurs;
  failure.message = message.message();
  failure.component = message.component();
  failure.file = message.file();
  failure.line = message.line();
  failure.traceback = message.traceback();
  return failure;
}

google::protobuf::Timestamp ToMessage(absl::Time time) {
  const int64_t micros = absl::ToUnixMicros(time);
  google::protobuf::Timestamp out;
  out.set_seconds(micros / 1000000);
  out.set_nanos(static_cast<int32_t>(micros % 1000000) * 1000);
  return out;
}

}  // namespace strata::store
