#include "server/api/grpc_status.h"

#include <grpcpp/support/error_details.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/error.h"

namespace strata::api {
namespace {

constexpr size_t kMaxMessageBytes = 4096;  // trailers have a limit of their own

const char* ReasonOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case absl::StatusCode::kNotFound:
      return "NOT_FOUND";
    case absl::StatusCode::kUnavailable:
      return "TRY_AGAIN";
    case absl::StatusCode::kAborted:
      return "ABORTED";
    case absl::StatusCode::kCancelled:
      return "CANCELLED";
    default:
      return "INTERNAL";
  }
}

google::rpc::RetryInfo RetryAfter(absl::Duration duration) {
  google::rpc::RetryInfo info;
  const int64_t ms = absl::ToInt64Milliseconds(duration);
  info.mutable_retry_delay()->set_seconds(ms / 1000);
  info.mutable_retry_delay()->set_nanos(static_cast<int32_t>(ms % 1000) * 1000000);
  return info;
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  ErrorDetails details = DetailsOf(status);
  if (status.code() == absl::StatusCode::kUnavailable && !details.retry_after)
    details.retry_after = absl::Seconds(1);
  google::rpc::Status rpc;
  rpc.set_code(static_cast<int>(status.code()));
  rpc.set_message(std::string(status.message().substr(0, kMaxMessageBytes)));
  google::rpc::ErrorInfo info;
  info.set_domain("strata");
  info.set_reason(details.reason.empty() ? ReasonOf(status.code()) : details.reason);
  for (const auto& [key, value] : details.metadata) (*info.mutable_metadata())[key] = value;
  rpc.add_details()->PackFrom(info);
  if (!details.fields.empty()) {
    google::rpc::BadRequest bad;
    for (const auto& [field, description] : details.fields) {
      auto* violation = bad.add_field_violations();
      violation->set_field(field);
      violation->set_description(description);
    }
    rpc.add_details()->PackFrom(bad);
  }
  if (details.retry_after) rpc.add_details()->PackFrom(RetryAfter(*details.retry_after));
  grpc::Status out;
  grpc::SetErrorDetails(rpc, &out);
  return out;
}

}  // namespace strata::api
