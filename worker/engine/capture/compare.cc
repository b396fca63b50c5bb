#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/capture/capture.h"
#include "worker/engine/capture/places.h"

namespace strata::capture {
namespace {

using program::Argument;
using program::Call;
using program::kNoId;
using program::Program;
using program::Value;
using program::ValueId;
using program::ValueKind;

constexpr size_t kMaxAligned = 3000;  // calls in a differing stretch that are aligned one by one

// What makes two calls the same place in the source: operator, module, lines.
std::string KeyOf(const Program& program, const Call& call) {
  std::string key = absl::StrCat(call.op, ".", call.overload);
  if (call.scope != kNoId) {
    const auto& scope = program.invocations[static_cast<size_t>(call.scope)];
    absl::StrAppend(&key, "|", program.modules[static_cast<size_t>(scope.module)].paths[0]);
  }
  for (const auto& frame : call.frames) absl::StrAppend(&key, "|", frame.function, ":", frame.line);
  return key;
}

using Pairs = std::vector<std::pair<size_t, size_t>>;

// Longest common subsequence of keys[begin, end) of both sides.
void AlignStretch(const std::vector<std::string>& a, const std::vector<std::string>& b, size_t begin,
                  size_t a_end, size_t b_end, Pairs& out) {
  const size_t n = a_end - begin, m = b_end - begin;
  if (n > kMaxAligned || m > kMaxAligned) return;
  std::vector<std::vector<uint16_t>> length(n + 1, std::vector<uint16_t>(m + 1, 0));
  for (size_t i = n; i-- > 0;) {
    for (size_t j = m; j-- > 0;) {
      length[i][j] = a[begin + i] == b[begin + j] ? static_cast<uint16_t>(length[i + 1][j + 1] + 1)
                                                  : std::max(length[i + 1][j], length[i][j + 1]);
    }
  }
  for (size_t i = 0, j = 0; i < n && j < m;) {
    if (a[begin + i] == b[begin + j]) {
      out.emplace_back(begin + i++, begin + j++);
    } else if (length[i + 1][j] >= length[i][j + 1]) {
      ++i;
    } else {
      ++j;
    }
  }
}

Pairs Align(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  Pairs pairs;
  size_t begin = 0, a_end = a.size(), b_end = b.size();
  while (begin < a_end && begin < b_end && a[begin] == b[begin]) pairs.emplace_back(begin, begin), ++begin;
  Pairs tail;
  while (a_end > begin && b_end > begin && a[a_end - 1] == b[b_end - 1]) tail.emplace_back(--a_end, --b_end);
  AlignStretch(a, b, begin, a_end, b_end, pairs);
  pairs.insert(pairs.end(), tail.rbegin(), tail.rend());
  return pairs;
}

class Comparison {
 public:
  Comparison(Program& first, const Program& second) : first_(first), second_(second) {}

  void Run() {
    std::vector<std::string> a, b;
    for (const Call& call : first_.calls) a.push_back(KeyOf(first_, call));
    for (const Call& call : second_.calls) b.push_back(KeyOf(second_, call));
    std::vector<bool> shared_a(a.size()), shared_b(b.size());
    for (const auto& [i, j] : Align(a, b)) {
      shared_a[i] = shared_b[j] = true;
      if (const auto what = Difference(first_.calls[i], second_.calls[j])) Mark(first_.calls[i], *what);
    }
    for (size_t i = 0; i < a.size(); ++i) {
      if (!shared_a[i]) Mark(first_.calls[i], "ran with the first inputs only");
    }
    for (size_t j = 0; j < b.size(); ++j) {
      if (!shared_b[j]) Note(second_.calls[j], "ran with the second inputs only");
    }
  }

 private:
  void Mark(Call& call, const std::string& what) {
    call.marks |= program::kDataDependent;
    Note(call, what);
  }

  // One note a place: a loop would repeat it.
  void Note(const Call& call, const std::string& what) {
    const std::string note =
        absl::StrCat("specialised: ", PlaceOf(call), ": ", program::OperatorName(call.op), " ", what);
    if (seen_.insert(note).second) first_.notes.push_back(note);
  }

  std::optional<std::string> Difference(const Call& a, const Call& b) const {
    if (a.results.size() != b.results.size()) return "gives another number of results";
    for (size_t i = 0; i < a.args.size() && i < b.args.size(); ++i) {
      if (auto what = Difference(a.args[i].value, b.args[i].value)) {
        return absl::StrCat("has another ", a.args[i].name, " (", *what, ")");
      }
    }
    for (size_t i = 0; i < a.results.size(); ++i) {
      if ((a.results[i] == kNoId) != (b.results[i] == kNoId)) return "gives an undefined result";
      if (a.results[i] == kNoId) continue;
      const auto& left = first_.value(a.results[i]).type;
      const auto& right = second_.value(b.results[i]).type;
      if (left.sizes != right.sizes || left.dtype != right.dtype) return "gives another shape or dtype";
    }
    return std::nullopt;
  }

  std::optional<std::string> Difference(const Argument& a, const Argument& b) const {
    if (a.kind != b.kind || a.items.size() != b.items.size()) return "another kind of argument";
    for (size_t i = 0; i < a.items.size(); ++i) {
      if (auto what = Difference(a.items[i], b.items[i])) return what;
    }
    if (a.kind == Argument::Kind::kList) return std::nullopt;
    if (a.kind != Argument::Kind::kValue)
      return a == b ? std::nullopt : std::optional<std::string>("another setting");
    const Value& left = first_.value(a.value);
    const Value& right = second_.value(b.value);
    if (left.kind != right.kind) return "another source";
    if (left.type.sizes != right.type.sizes) return "another shape";
    // A number or table that Python computed from a tensor's elements.
    if (left.kind == ValueKind::kConstant && left.data != right.data) return "a constant with other elements";
    return std::nullopt;
  }

  Program& first_;
  const Program& second_;
  std::set<std::string> seen_;
};

}  // namespace

absl::StatusOr<Program> Compare(Program first, const Program& second) {
  if (first.modules.size() != second.modules.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "two captures of ", first.source_file, " built models of ", first.modules.size(), " and ",
        second.modules.size(), " modules; the model has to be the same each time it is built"));
  }
  Comparison(first, second).Run();
  return first;
}

}  // namespace strata::capture
