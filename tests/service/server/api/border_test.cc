// The borders without a server: addresses, errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/api/address.h"
#include "server/api/grpc_status.h"
#include "server/error.h"
#include "tests/service/server/api/live_server.h"

namespace strata::testing {
namespace {

using ::testing::HasSubstr;

TEST(ListenAddress, OnlyThisMachineMayReachIt) {
  for (const char* ok : {"unix:/tmp/s", "127.0.0.1:0", "127.1.2.3:80", "localhost:7420", "[::1]:7420"}) {
    EXPECT_TRUE(api::CheckListenAddress(ok).ok()) << ok;
  }
  for (const char* bad :
       {"0.0.0.0:7420", "[::]:7420", "10.0.0.1:7420", "example.com:7420", "*:1", "localhost.evil.com:1"}) {
    EXPECT_THAT(std::string(api::CheckListenAddress(bad).message()), HasSubstr("reached from other machines"))
        << bad;
  }
  for (const char* bad : {"", "7420", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x"}) {
    EXPECT_THAT(std::string(api::CheckListenAddress(bad).message()),
                HasSubstr("neither unix:PATH nor HOST:PORT"))
        << bad;
  }
  EXPECT_THAT(std::string(api::CheckListenAddress("unix:/tmp/" + std::string(200, 'x')).message()),
              HasSubstr("shorter"));
  EXPECT_THAT(std::string(api::CheckListenAddress("unix:/no/such/folder/s").message()),
              HasSubstr("no folder"));
}

TEST(ToGrpcStatus, CarriesReasonFieldAndRetryAdvice) {
  const grpc::Status field = api::ToGrpcStatus(BadField("BAD_DIGEST", "digest", "must be hexadecimal"));
  EXPECT_EQ(field.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(InfoOf(field).reason(), "BAD_DIGEST");
  EXPECT_EQ(ViolatedField(field), "digest");
  EXPECT_FALSE(SaysRetry(field));
  const grpc::Status busy = api::ToGrpcStatus(absl::UnavailableError("disk full"));
  EXPECT_EQ(InfoOf(busy).reason(), "TRY_AGAIN");
  EXPECT_TRUE(SaysRetry(busy));
  EXPECT_EQ(InfoOf(api::ToGrpcStatus(absl::InternalError("x"))).reason(), "INTERNAL");
  EXPECT_TRUE(api::ToGrpcStatus(absl::OkStatus()).ok());
}

}  // namespace
}  // namespace strata::testing
