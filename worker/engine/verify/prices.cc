#include "worker/engine/verify/prices.h"

#include <sys/resource.h>

#include <cmath>
#include <utility>

namespace strata::verify {
namespace {

constexpr char kRest[] = "other";

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

// Of this process and of the children that were waited for, with theirs (getrusage(2)).
double CpuSeconds() {
  double seconds = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    getrusage(who, &usage);
    seconds += Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  }
  return seconds;
}

}  // namespace

Prices::Prices() : current_(kRest), counted_(CpuSeconds()) {}

Prices::Scope::Scope(Prices* prices, const char* rule) : prices_(prices) {
  if (prices_ == nullptr) return;
  prices_->Charge();
  enclosing_ = std::exchange(prices_->current_, rule);
}

Prices::Scope::~Scope() {
  if (prices_ == nullptr) return;
  prices_->Charge();
  prices_->current_ = std::move(enclosing_);
}

void Prices::Charge() {
  const double now = CpuSeconds();
  seconds_[current_] += now - counted_;
  counted_ = now;
}

nlohmann::ordered_json Prices::ToJson() {
  Charge();
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [rule, seconds] : seconds_) json[rule] = std::round(seconds * 1000) / 1000;
  return json;
}

}  // namespace strata::verify
