#include "client/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace strata::cli {
namespace {

bool IsInteractive(FILE* out) {
  const char* term = std::getenv("TERM");
  return isatty(fileno(out)) == 1 && term != nullptr && std::strcmp(term, "dumb") != 0;
}

bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

// Of the UTF-8 sequence in front; 0: there is none. REQUIRES: !text.empty().
size_t SequenceBytes(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(0), second = byte(1);
  const size_t size = first < 0x80   ? 1
                      : first < 0xc2 ? 0
                      : first < 0xe0 ? 2
                      : first < 0xf0 ? 3
                      : first < 0xf5 ? 4
                                     : 0;
  for (size_t i = 1; i < size; ++i) {
    if (!IsContinuation(static_cast<char>(byte(i)))) return 0;
  }
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second > 0x9f;
  const bool past_the_end = first == 0xf4 && second > 0x8f;
  return overlong || surrogate || past_the_end ? 0 : size;
}

bool IsControl(std::string_view sequence) {
  const auto first = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 2) return first == 0xc2 && static_cast<unsigned char>(sequence[1]) < 0xa0;
  return first < 0x20 || first == 0x7f;
}

const char* Code(Style style) {
  switch (style) {
    case Style::kBold:
      return "\033[1m";
    case Style::kDim:
      return "\033[2m";
    case Style::kGood:
      return "\033[32m";
    case Style::kBad:
      return "\033[1;31m";
    case Style::kWarn:
      return "\033[33m";
    case Style::kPlain:
      break;
  }
  return "";
}

}  // namespace

Terminal::Terminal(FILE* out)
    : out_(out),
      interactive_(IsInteractive(out)),
      colours_(interactive_ && std::getenv("NO_COLOR") == nullptr) {}

void Terminal::Print(std::string_view text) {
  absl::MutexLock lock(&mutex_);
  EraseLocked();
  std::fwrite(text.data(), 1, text.size(), out_);
  if (text.empty() || text.back() != '\n') std::fputc('\n', out_);
  DrawLocked();
  std::fflush(out_);
}

void Terminal::SetStatus(std::string_view text) {
  absl::MutexLock lock(&mutex_);
  if (!interactive_ || status_ == text) return;
  EraseLocked();
  status_ = std::string(text);
  DrawLocked();
  std::fflush(out_);
}

void Terminal::EraseLocked() {
  if (!status_.empty()) std::fputs("\r\033[K", out_);
}

void Terminal::DrawLocked() {
  if (status_.empty()) return;
  const std::string line = CutToColumns(status_, Width() - 1);
  std::fwrite(line.data(), 1, line.size(), out_);
}

size_t Terminal::Width() const {
  winsize size{};
  if (ioctl(fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return 80;
}

std::string Terminal::Paint(Style style, std::string_view text) const {
  if (!colours_ || style == Style::kPlain) return std::string(text);
  return absl::StrCat(Code(style), absl::string_view(text.data(), text.size()), "\033[0m");
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t size = SequenceBytes(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

std::string Printable(std::string_view text, bool keep_lines) {
  std::string result;
  while (!text.empty()) {
    const size_t size = SequenceBytes(text);
    const std::string_view sequence = text.substr(0, size == 0 ? 1 : size);
    const bool keep = sequence == "\t" || (keep_lines && sequence == "\n");
    if (keep || (size > 0 && !IsControl(sequence))) {
      result += sequence;
    } else {
      for (unsigned char byte : sequence) absl::StrAppend(&result, "\\x", absl::Hex(byte, absl::kZeroPad2));
    }
    text.remove_prefix(sequence.size());
  }
  return result;
}

size_t Columns(std::string_view text) {
  size_t columns = 0;
  for (char byte : text) columns += IsContinuation(byte) ? 0 : 1;
  return columns;
}

std::string CutToColumns(std::string_view text, size_t columns) {
  if (Columns(text) <= columns) return std::string(text);
  std::string cut;
  size_t taken = 0;
  for (char byte : text) {
    if (!IsContinuation(byte) && ++taken == columns) break;
    cut.push_back(byte);
  }
  return cut + "…";
}

}  // namespace strata::cli
