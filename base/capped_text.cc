#include "base/capped_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace strata {
namespace {

// Length of the valid UTF-8 sequence at the start of `text`; 0 if there is none.
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what lies past U+10FFFF.
  if (first == 0xE0 && byte(1) < 0xA0) return 0;
  if (first == 0xED && byte(1) > 0x9F) return 0;
  if (first == 0xF0 && byte(1) < 0x90) return 0;
  if (first == 0xF4 && byte(1) > 0x8F) return 0;
  return length;
}

}  // namespace

void CappedText::Append(std::string_view data) {
  total_bytes_ += static_cast<int64_t>(data.size());
  const size_t to_head = std::min(data.size(), half_bytes_ - head_.size());
  head_.append(data.substr(0, to_head));
  data.remove_prefix(to_head);
  if (data.size() > half_bytes_) data.remove_prefix(data.size() - half_bytes_);
  tail_.append(data);
  if (tail_.size() > 2 * half_bytes_) tail_.erase(0, tail_.size() - half_bytes_);
}

std::string CappedText::Text() const {
  const std::string_view tail =
      std::string_view(tail_).substr(tail_.size() - std::min(tail_.size(), half_bytes_));
  const int64_t missing = total_bytes_ - static_cast<int64_t>(head_.size() + tail.size());
  if (missing == 0) return ValidUtf8(absl::StrCat(head_, std::string(tail)));
  return absl::StrCat(ValidUtf8(head_), "\n[... ", missing, " bytes left out ...]\n", ValidUtf8(tail));
}

std::string ValidUtf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    if (length == 0) {
      result += "\xEF\xBF\xBD";
      text.remove_prefix(1);
    } else {
      result += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return result;
}

}  // namespace strata
