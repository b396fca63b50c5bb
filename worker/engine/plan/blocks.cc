#include "worker/engine/plan/blocks.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/plan/pattern_tools.h"

namespace strata::plan {
namespace {

using program::ValueId;

// `root` and everything it is made from; nothing for a value from outside.
std::set<size_t> Ancestry(const Wiring& wiring, int root) {
  std::set<size_t> parts;
  if (root < 0) return parts;
  parts.insert(static_cast<size_t>(root));
  for (size_t i = 0; i < static_cast<size_t>(root); ++i) {
    if (wiring.reaches(i, static_cast<size_t>(root))) parts.insert(i);
  }
  return parts;
}

bool HasLayer(const Wiring& wiring, const std::vector<size_t>& members) {
  return std::any_of(members.begin(), members.end(), [&](size_t i) {
    return wiring.part(i).settled && wiring.part(i).level == Level::kLayer;
  });
}

size_t Units(const Wiring& wiring, const std::vector<size_t>& members) {
  return static_cast<size_t>(
      std::count_if(members.begin(), members.end(), [&](size_t i) { return wiring.part(i).is_unit(); }));
}

int Contractions(const Wiring& wiring, size_t i) {
  int count = 0;
  for (const Kernel* kernel : KernelsOf(wiring.context(), wiring.part(i))) {
    Part part;
    part.kind = Part::Kind::kKernel;
    part.kernel = static_cast<int>(kernel - wiring.context().kernels.data());
    part.operation = kernel->operation;
    count += TraitsOf(wiring.context(), part).contraction;
  }
  return count;
}

}  // namespace

std::vector<size_t> BranchesOf(const Wiring& wiring, const Join& join) {
  std::set<size_t> some, all;
  bool first = true;
  const program::Call& call = wiring.context().program.call(wiring.part(join.part).call);
  for (ValueId operand : patterns::Tensors(wiring.context().flow, call)) {
    if (!wiring.is_dependent(operand)) continue;
    const std::set<size_t> ancestry = Ancestry(wiring, wiring.Root(operand));
    some.insert(ancestry.begin(), ancestry.end());
    std::set<size_t> both;
    std::set_intersection(all.begin(), all.end(), ancestry.begin(), ancestry.end(),
                          std::inserter(both, both.begin()));
    all = first ? ancestry : both;
    first = false;
  }
  std::vector<size_t> members;
  std::set_difference(some.begin(), some.end(), all.begin(), all.end(), std::back_inserter(members));
  members.push_back(join.part);
  wiring.Close(&members, /*components=*/true);
  return members;
}

bool IsOneBlock(const Wiring& wiring, const std::vector<Join>& joins) {
  std::set<size_t> inside;
  for (const Join& join : joins) {
    const std::vector<size_t> members = BranchesOf(wiring, join);
    inside.insert(members.begin(), members.end());
  }
  int outside = 0;
  for (size_t i = 0; i < wiring.size(); ++i) {
    if (!inside.contains(i)) outside += Contractions(wiring, i);
  }
  return !joins.empty() && outside <= 1;
}

std::vector<Region> FindInlineBlocks(const Wiring& wiring, const std::vector<Join>& joins) {
  std::vector<Region> blocks;
  for (const Join& join : joins) {
    if (!join.residual) continue;
    std::vector<size_t> members = BranchesOf(wiring, join);
    const std::optional<Wiring::Step> step = wiring.Straight(join.part);
    if (step && step->between.empty() && wiring.traits(step->next).activation) members.push_back(step->next);
    if (HasLayer(wiring, members) || Units(wiring, members) < 2) continue;
    blocks.push_back(
        {members, "residual_block", absl::StrCat("Carries a residual inline: ", join.text, ".")});
  }
  // The smallest first: what is inside another block keeps its own border.
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const Region& a, const Region& b) { return a.members.size() < b.members.size(); });
  return blocks;
}

}  // namespace strata::plan
