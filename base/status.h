#pragma once
// Small helpers around absl::Status.

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace strata {

// The same code with "PREFIX: " before the message; ok stays ok.
inline absl::Status Annotate(const absl::Status& status, absl::string_view prefix) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(prefix, ": ", status.message()));
}

namespace status_internal {
inline absl::Status AsStatus(absl::Status status) { return status; }
template <typename T>
absl::Status AsStatus(const absl::StatusOr<T>& value) {
  return value.status();
}
}  // namespace status_internal
}  // namespace strata

// Returns from the enclosing function if `expr`, a Status or StatusOr, is an error.
#define STRATA_RETURN_IF_ERROR(expr)                                        \
  do {                                                                      \
    absl::Status strata_status = ::strata::status_internal::AsStatus(expr); \
    if (!strata_status.ok()) return strata_status;                          \
  } while (false)

// `lhs = value of expr`, or returns its error. `lhs` may declare a variable.
#define STRATA_ASSIGN_OR_RETURN(lhs, expr) \
  STRATA_ASSIGN_OR_RETURN_IMPL(STRATA_CONCAT(strata_statusor_, __LINE__), lhs, expr)
#define STRATA_CONCAT_INNER(a, b) a##b
#define STRATA_CONCAT(a, b) STRATA_CONCAT_INNER(a, b)
#define STRATA_ASSIGN_OR_RETURN_IMPL(var, lhs, expr) \
  auto var = (expr);                                 \
  if (!var.ok()) return std::move(var).status();     \
  lhs = std::move(var).value()
