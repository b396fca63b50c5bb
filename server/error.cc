#include "server/error.h"

#include <nlohmann/json.hpp>

namespace strata {
namespace {

constexpr char kPayload[] = "strata/error";

}  // namespace

absl::Status WithDetails(absl::Status status, const ErrorDetails& details) {
  nlohmann::json json = {
      {"reason", details.reason}, {"fields", details.fields}, {"metadata", details.metadata}};
  if (details.retry_after) json["retry_ms"] = absl::ToInt64Milliseconds(*details.retry_after);
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  status.SetPayload(kPayload, absl::Cord(text));
  return status;
}

ErrorDetails DetailsOf(const absl::Status& status) {
  ErrorDetails details;
  const auto payload = status.GetPayload(kPayload);
  if (!payload) return details;
  const auto json = nlohmann::json::parse(std::string(*payload), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return details;
  details.reason = json.value("reason", "");
  details.fields = json.value("fields", details.fields);
  details.metadata = json.value("metadata", details.metadata);
  if (json.contains("retry_ms")) details.retry_after = absl::Milliseconds(json["retry_ms"].get<int64_t>());
  return details;
}

absl::Status BadField(const std::string& reason, const std::string& field, const std::string& message) {
  return WithDetails(absl::InvalidArgumentError(field + ": " + message),
                     {.reason = reason, .fields = {{field, message}}});
}

absl::Status NotFound(const std::string& reason, const std::string& message) {
  return WithDetails(absl::NotFoundError(message), {.reason = reason});
}

absl::Status NotNow(const std::string& reason, const std::string& message,
                    std::optional<absl::Duration> retry_after) {
  return WithDetails(absl::FailedPreconditionError(message), {.reason = reason, .retry_after = retry_after});
}

absl::Status OverLimit(const std::string& reason, const std::string& message) {
  return WithDetails(absl::ResourceExhaustedError(message), {.reason = reason});
}

absl::Status TryAgain(const std::string& reason, const std::string& message, absl::Duration retry_after) {
  return WithDetails(absl::UnavailableError(message), {.reason = reason, .retry_after = retry_after});
}

}  // namespace strata
