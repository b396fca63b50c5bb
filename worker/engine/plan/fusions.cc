#include "worker/engine/plan/fusions.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

namespace strata::plan {
namespace {

size_t CountKernels(const Wiring& wiring) {
  size_t count = 0;
  for (size_t i = 0; i < wiring.size(); ++i) count += wiring.part(i).is_unit();
  return count;
}

// Every contraction is in one of the regions or only feeds them (a bias for the scores), and little else is
// left over.
bool Covers(const Wiring& wiring, const std::vector<Region>& regions) {
  std::set<size_t> covered;
  for (const Region& region : regions) covered.insert(region.members.begin(), region.members.end());
  const auto only_feeds = [&](size_t i) {
    bool feeds = false;
    for (program::ValueId made : wiring.makes(i)) {
      if (wiring.is_dependent(made)) return false;
    }
    for (size_t m : covered) feeds = feeds || wiring.reaches(i, m);
    return feeds;
  };
  int left_over = 0;
  for (size_t i = 0; i < wiring.size(); ++i) {
    if (covered.contains(i) || !wiring.part(i).is_unit() || only_feeds(i)) continue;
    if (wiring.traits(i).contraction) return false;
    ++left_over;
  }
  return !regions.empty() && left_over <= 2;
}

std::optional<Region> WholeRegion(const Wiring& wiring, const std::vector<Region>& regions) {
  if (regions.empty() || !Covers(wiring, regions)) return std::nullopt;
  Region whole = regions[0];
  whole.members.clear();
  for (size_t i = 0; i < wiring.size(); ++i) whole.members.push_back(i);
  return whole;
}

bool IsBetweenLinears(const Wiring& wiring, const Line& line, size_t k) {
  const auto linear = [&](size_t unit) { return wiring.traits(unit).linear; };
  const auto at = line.units.begin() + static_cast<std::ptrdiff_t>(k);
  return std::any_of(line.units.begin(), at, linear) && std::any_of(at, line.units.end(), linear);
}

std::optional<Region> WholeLine(const Wiring& wiring, size_t kernels) {
  const std::vector<Line> lines = FindLines(wiring);
  if (lines.size() != 1 || lines[0].units.size() != kernels) return std::nullopt;
  int contractions = 0, linears = 0, counted = 0;
  for (size_t unit : lines[0].units) {
    contractions += wiring.traits(unit).contraction;
    linears += wiring.traits(unit).linear;
    counted += !wiring.traits(unit).dropout;
  }
  const std::vector<Region> regions = CutLine(wiring, lines[0]);
  // Beyond the linears an MLP may end in its dropout, norm or activation, in nothing else.
  bool others = false;
  for (size_t k = 0; k < lines[0].units.size(); ++k) {
    const Traits& traits = wiring.traits(lines[0].units[k]);
    others |= !(traits.linear || traits.dropout || traits.norm || traits.activation) &&
              !IsBetweenLinears(wiring, lines[0], k);
  }
  const bool mlp =
      linears == 2 && !others && contractions == 2 &&
      std::any_of(regions.begin(), regions.end(), [](const Region& r) { return r.operation == "mlp"; });
  if (!mlp && (counted < 2 || counted > 5 || contractions > 1)) return std::nullopt;
  Region whole;
  for (size_t i = 0; i < wiring.size(); ++i) whole.members.push_back(i);
  whole.operation = mlp ? "mlp" : OperatorsName(wiring, whole.members);
  std::vector<std::string> names;
  for (size_t unit : lines[0].units) names.push_back(wiring.Describe(unit));
  std::string chain;
  for (const std::string& name : names) absl::StrAppend(&chain, chain.empty() ? "" : " -> ", name);
  whole.reason = mlp ? absl::StrCat("An MLP: the straight line ", chain, " with exactly two linears.")
                     : absl::StrCat("A straight line of ", counted, " kernels with ",
                                    contractions == 0 ? "no contraction" : "one contraction", ": ", chain,
                                    ", no branch or residual inside.");
  return whole;
}

}  // namespace

std::optional<Region> WholeFusion(const Wiring& wiring) {
  const size_t kernels = CountKernels(wiring);
  if (kernels == 0) return std::nullopt;
  for (size_t i = 0; i < wiring.size(); ++i) {
    if (wiring.part(i).is_unit() && wiring.part(i).kind != Part::Kind::kKernel) return std::nullopt;
  }
  const std::vector<Join> joins = wiring.Joins();
  const bool residual = std::any_of(joins.begin(), joins.end(), [](const Join& j) { return j.residual; });
  if (residual) return std::nullopt;
  if (auto whole = WholeRegion(wiring, FindAttention(wiring))) return whole;
  if (auto whole = WholeRegion(wiring, FindSqueezeExcite(wiring))) return whole;
  if (auto whole = WholeRegion(wiring, FindGatedMlp(wiring))) return whole;
  if (!joins.empty()) return std::nullopt;
  return WholeLine(wiring, kernels);
}

void GroupRegions(const PartContext& context, const std::vector<Region>& regions, Level level,
                  std::vector<Part>* parts) {
  std::set<size_t> taken;
  std::vector<Part> slices;
  for (const Region& region : regions) {
    const auto is_taken = [&](size_t m) { return taken.contains(m); };
    if (std::any_of(region.members.begin(), region.members.end(), is_taken)) continue;
    Part slice;
    slice.kind = Part::Kind::kSlice;
    for (size_t m : region.members) slice.parts.push_back((*parts)[m]);
    slice.scope = ScopeOf(context, slice.parts);
    slice.settled = true;
    slice.level = level;
    slice.operation = region.operation;
    slice.reason = region.reason;
    slices.push_back(std::move(slice));
    taken.insert(region.members.begin(), region.members.end());
  }
  if (slices.empty()) return;
  std::vector<Part> rest;
  for (size_t i = 0; i < parts->size(); ++i) {
    if (!taken.contains(i)) rest.push_back(std::move((*parts)[i]));
  }
  for (Part& slice : slices) rest.push_back(std::move(slice));
  *parts = std::move(rest);
  SortParts(context, parts);
}

void GroupFusions(const PartContext& context, std::vector<Part>* parts) {
  GroupRegions(context, FindAttention(Wiring(context, *parts)), Level::kFusion, parts);
  GroupRegions(context, FindSqueezeExcite(Wiring(context, *parts)), Level::kFusion, parts);
  GroupRegions(context, FindGatedMlp(Wiring(context, *parts)), Level::kFusion, parts);
  const Wiring wiring(context, *parts);
  std::vector<Region> chunks;
  for (const Line& line : FindLines(wiring)) {
    const std::vector<Region> cut = CutLine(wiring, line);
    chunks.insert(chunks.end(), cut.begin(), cut.end());
  }
  GroupRegions(context, chunks, Level::kFusion, parts);
}

}  // namespace strata::plan
