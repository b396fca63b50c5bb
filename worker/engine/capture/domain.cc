#include "worker/engine/capture/domain.h"

#include <cmath>
#include <vector>

namespace strata::capture {
namespace {

bool RowsCountUp(std::span<const double> elements, int64_t width) {
  for (size_t i = 0; i < elements.size(); ++i) {
    if (elements[i] != static_cast<double>(static_cast<int64_t>(i) % width)) return false;
  }
  return true;
}

bool RowsPermute(std::span<const double> elements, int64_t width) {
  std::vector<int64_t> seen_in_row(static_cast<size_t>(width), -1);
  for (size_t i = 0; i < elements.size(); ++i) {
    const auto row = static_cast<int64_t>(i) / width;
    if (!(elements[i] >= 0 && elements[i] < static_cast<double>(width))) return false;
    int64_t& seen = seen_in_row[static_cast<size_t>(elements[i])];
    if (seen == row) return false;
    seen = row;
  }
  return true;
}

}  // namespace

program::Domain Summarise(std::span<const double> elements, int64_t last_dimension) {
  program::Domain domain;
  if (elements.empty()) return domain;
  domain.known = true;
  domain.is_integral = domain.is_binary = true;
  bool any_finite = false;
  for (double v : elements) {
    if (std::isnan(v)) {
      domain.has_nan = true;
    } else if (std::isinf(v)) {
      (v < 0 ? domain.has_neg_inf : domain.has_pos_inf) = true;
    } else {
      if (!any_finite) domain.min = domain.max = v;
      any_finite = true;
      if (v < domain.min) domain.min = v;
      if (v > domain.max) domain.max = v;
      if (domain.is_integral && v != std::floor(v)) domain.is_integral = false;
      if (v != 0 && v != 1) domain.is_binary = false;
    }
  }
  const bool all_finite = !domain.has_nan && !domain.has_neg_inf && !domain.has_pos_inf;
  domain.is_integral = domain.is_integral && any_finite;
  domain.is_binary = domain.is_binary && all_finite;
  if (domain.is_integral && all_finite && domain.min == 0 && last_dimension > 1) {
    domain.is_arange = RowsCountUp(elements, last_dimension);
    domain.is_permutation = domain.is_arange || RowsPermute(elements, last_dimension);
  }
  return domain;
}

}  // namespace strata::capture
