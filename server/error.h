#pragma once
// Errors inside the server: absl::Status with what the API border needs beside code and message. Each builder
// names the code for whose fault it is: the caller's, nobody's (try again), ours.
//
// A reason is a stable UPPER_SNAKE_CASE word that clients branch on; it is part of the API.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace strata {

struct ErrorDetails {
  std::string reason;
  std::vector<std::pair<std::string, std::string>> fields;    // field path → what it must be
  std::vector<std::pair<std::string, std::string>> metadata;  // key → value
  std::optional<absl::Duration> retry_after;
};

// `status` with `details` attached. REQUIRES: !status.ok().
absl::Status WithDetails(absl::Status status, const ErrorDetails& details);

// What WithDetails attached; an empty reason if nothing was.
ErrorDetails DetailsOf(const absl::Status& status);

// INVALID_ARGUMENT about one field of the request.
absl::Status BadField(const std::string& reason, const std::string& field, const std::string& message);
// NOT_FOUND, about the named thing.
absl::Status NotFound(const std::string& reason, const std::string& message);
// FAILED_PRECONDITION; with `retry_after`, waiting is enough.
absl::Status NotNow(const std::string& reason, const std::string& message,
                    std::optional<absl::Duration> retry_after = std::nullopt);
// RESOURCE_EXHAUSTED by a fixed limit.
absl::Status OverLimit(const std::string& reason, const std::string& message);
// UNAVAILABLE: nothing was recorded, try again.
absl::Status TryAgain(const std::string& reason, const std::string& message, absl::Duration retry_after);

}  // namespace strata
