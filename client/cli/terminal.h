#pragma once
// Where human output goes: colours and one updating line on a terminal, plain lines elsewhere.
//
// Threading: all methods from any thread.

#include <cstdio>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace strata::cli {

enum class Style { kPlain, kBold, kDim, kGood, kBad, kWarn };

class Terminal {
 public:
  // Writes to `out`, which it does not own. Colours and the status line need a terminal that is not
  // "dumb"; NO_COLOR in the environment takes the colours.
  explicit Terminal(FILE* out);
  ~Terminal() { ClearStatus(); }

  // One or more finished lines, above the status line.
  void Print(std::string_view text);

  // What the updating line says from now on; cut to the terminal's width. Nothing where there is none.
  void SetStatus(std::string_view text);
  void ClearStatus() { SetStatus(""); }

  std::string Paint(Style style, std::string_view text) const;
  bool interactive() const { return interactive_; }

 private:
  void EraseLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DrawLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t Width() const;

  FILE* const out_;
  const bool interactive_;
  const bool colours_;
  absl::Mutex mutex_;
  std::string status_ ABSL_GUARDED_BY(mutex_);
};

bool IsUtf8(std::string_view text);

// Control characters, and bytes that are no UTF-8, as \xNN: a name that somebody chose does not steer the
// terminal. Tabs stay, with `keep_lines` ends of lines too.
std::string Printable(std::string_view text, bool keep_lines = false);

// The text's first `columns` columns (UTF-8, one column a code point), with "…" where something was cut.
std::string CutToColumns(std::string_view text, size_t columns);
size_t Columns(std::string_view text);

}  // namespace strata::cli
