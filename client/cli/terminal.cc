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
