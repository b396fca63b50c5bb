#pragma once
// Output of unknown size, kept as its head and its tail.

#include <cstdint>
#include <string>
#include <string_view>

namespace strata {

class CappedText {
 public:
  // Keeps the first and the last `half_bytes`.
  explicit CappedText(size_t half_bytes = 64 << 10) : half_bytes_(half_bytes) {}

  void Append(std::string_view data);
  int64_t total_bytes() const { return total_bytes_; }
  // Head and tail with a line between that says how much is missing; always valid UTF-8.
  std::string Text() const;

 private:
  size_t half_bytes_;
  int64_t total_bytes_ = 0;
  std::string head_;
  std::string tail_;  // up to twice half_bytes_, trimmed as it grows
};

// `text` with every byte that is not part of valid UTF-8 replaced by U+FFFD.
std::string ValidUtf8(std::string_view text);

}  // namespace strata
