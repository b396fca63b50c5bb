// Straight lines and where they are cut.

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/plan/fusions.h"
#include "worker/engine/plan/names.h"
#include "worker/engine/plan/text.h"

namespace strata::plan {
namespace {

constexpr int kMaxKernels = 5;

bool IsKernel(const Wiring& wiring, size_t i) { return wiring.part(i).kind == Part::Kind::kKernel; }

// Units and the plumbing between them, from position `begin` to before `end` of the line.
std::vector<size_t> Members(const Line& line, size_t begin, size_t end) {
  std::vector<size_t> members;
  for (size_t k = begin; k < end; ++k) {
    members.push_back(line.units[k]);
    if (k + 1 < end) members.insert(members.end(), line.between[k].begin(), line.between[k].end());
  }
  std::sort(members.begin(), members.end());
  return members;
}

std::vector<std::string> Names(const Wiring& wiring, const Line& line, size_t begin, size_t end) {
  std::vector<std::string> names;
  for (size_t k = begin; k < end; ++k) names.push_back(wiring.Describe(line.units[k]));
  return names;
}

// First and last linear of the line if it has exactly two, with something but dropout between.
bool FindMlp(const Wiring& wiring, const Line& line, size_t* first, size_t* last) {
  std::vector<size_t> linears;
  for (size_t k = 0; k < line.units.size(); ++k) {
    if (wiring.traits(line.units[k]).linear) linears.push_back(k);
  }
  if (linears.size() != 2) return false;
  *first = linears[0];
  *last = linears[1];
  bool between = false;
  for (size_t k = *first + 1; k < *last; ++k) {
    const Traits& traits = wiring.traits(line.units[k]);
    if (traits.contraction || traits.pool) return false;
    between |= !traits.dropout;
  }
  return between;
}

// Where the line is cut, as positions of first units.
std::vector<size_t> Cuts(const Wiring& wiring, const Line& line, size_t begin, size_t end) {
  int linears = 0;
  for (size_t unit : line.units) linears += wiring.traits(unit).linear;
  std::vector<size_t> cuts = {begin};
  int counted = 0;
  bool ends = false, after_linear = false;
  for (size_t k = begin; k < end; ++k) {
    const Traits& traits = wiring.traits(line.units[k]);
    const bool full = counted == kMaxKernels && !traits.dropout;
    const bool cut =
        traits.contraction || (ends && !traits.dropout) || full || !IsKernel(wiring, line.units[k]);
    if (k > cuts.back() && (cut || !IsKernel(wiring, line.units[k - 1]))) {
      cuts.push_back(k);
      counted = 0;
      ends = false;
    }
    counted += !traits.dropout;
    if (traits.contraction) after_linear = traits.linear;
    ends = ends || traits.pool || (linears > 2 && after_linear && traits.activation);
  }
  cuts.push_back(end);
  return cuts;
}

std::optional<Region> Chunk(const Wiring& wiring, const Line& line, size_t begin, size_t end) {
  int counted = 0;
  for (size_t k = begin; k < end; ++k) {
    if (!IsKernel(wiring, line.units[k])) return std::nullopt;
    counted += !wiring.traits(line.units[k]).dropout;
  }
  if (counted < 2 || counted > kMaxKernels) return std::nullopt;
  std::string reason = absl::StrCat("A straight line: ", Enumerate(Names(wiring, line, begin, end)),
                                    " follow one another and nothing else reads what they pass on");
  if (end < line.units.size()) {
    const size_t next = line.units[end];
    absl::StrAppend(&reason, "; cut before ", wiring.Describe(next),
                    wiring.traits(next).contraction ? ", the next contraction." : ".");
  } else {
    absl::StrAppend(&reason, line.cut.empty() ? "." : absl::StrCat("; it ends because ", line.cut, "."));
  }
  const std::vector<size_t> members = Members(line, begin, end);
  return Region{members, OperatorsName(wiring, members), reason};
}

}  // namespace

std::vector<Line> FindLines(const Wiring& wiring) {
  std::vector<int> previous(wiring.size(), -1);
  std::vector<std::optional<Wiring::Step>> steps(wiring.size());
  std::vector<std::string> cuts(wiring.size());
  for (size_t i = 0; i < wiring.size(); ++i) {
    if (!wiring.part(i).is_unit()) continue;
    steps[i] = wiring.Straight(i, &cuts[i]);
    if (steps[i]) previous[steps[i]->next] = static_cast<int>(i);
  }
  std::vector<Line> lines;
  for (size_t i = 0; i < wiring.size(); ++i) {
    if (!wiring.part(i).is_unit() || previous[i] >= 0 || !steps[i]) continue;
    Line line;
    size_t at = i;
    while (true) {
      line.units.push_back(at);
      if (!steps[at]) break;
      line.between.push_back(steps[at]->between);
      at = steps[at]->next;
    }
    line.between.emplace_back();
    line.cut = cuts[at];
    lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<Region> CutLine(const Wiring& wiring, const Line& line) {
  std::vector<Region> regions;
  const auto cut = [&](size_t begin, size_t end) {
    if (begin >= end) return;
    const std::vector<size_t> cuts = Cuts(wiring, line, begin, end);
    for (size_t k = 0; k + 1 < cuts.size(); ++k) {
      if (std::optional<Region> region = Chunk(wiring, line, cuts[k], cuts[k + 1]))
        regions.push_back(*region);
    }
  };
  size_t first = 0, last = 0;
  if (!FindMlp(wiring, line, &first, &last)) {
    cut(0, line.units.size());
    return regions;
  }
  size_t end = last + 1;
  while (end < line.units.size() && wiring.traits(line.units[end]).dropout) ++end;
  cut(0, first);
  regions.push_back({Members(line, first, end), "mlp",
                     absl::StrCat("An MLP: ", Enumerate(Names(wiring, line, first, end)),
                                  " are one straight line with exactly two linears.")});
  cut(end, line.units.size());
  return regions;
}

std::string OperatorsName(const Wiring& wiring, const std::vector<size_t>& members) {
  std::vector<std::string> names;
  for (size_t i : members) {
    const Part& part = wiring.part(i);
    if (part.kind == Part::Kind::kKernel) names.push_back(ShortOperation(part.operation));
  }
  return absl::StrJoin(names, "_");
}

}  // namespace strata::plan
