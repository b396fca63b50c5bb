#pragma once
// Values that take one column: lists and failures as JSON text, times as messages.

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/jobs/types.h"
#include "strata/v1/types.pb.h"

#include <google/protobuf/timestamp.pb.h>

namespace strata::store {

std::string ListColumn(const std::vector<std::string>& texts);
std::vector<std::string> ListFromColumn(const std::string& column);
std::string NumbersColumn(const std::vector<int64_t>& numbers);
std::vector<int64_t> NumbersFromColumn(const std::string& column);

// "" for none.
std::string FailureColumn(const std::optional<jobs::Failure>& failure);
std::optional<jobs::Failure> FailureFromColumn(const std::string& column);

v1::Failure ToMessage(const jobs::Failure& failure);
jobs::Failure FromMessage(const v1::Failure& failure);

// REQUIRES: not infinite.
google::protobuf::Timestamp ToMessage(absl::Time time);

template <typename Repeated>
std::vector<std::string> Texts(const Repeated& repeated) {
  return {repeated.begin(), repeated.end()};
}
template <typename Repeated>
std::vector<int64_t> Numbers(const Repeated& repeated) {
  return {repeated.begin(), repeated.end()};
}

}  // namespace strata::store
