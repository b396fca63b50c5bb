// Attention, from its projections to its output projection.

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/plan/fusions.h"
#include "worker/engine/plan/text.h"

namespace strata::plan {
namespace {

using program::ValueId;

// The scores' product and the product with the values, or one attention operator.
struct Core {
  size_t first = 0, last = 0;
};

bool IsLight(const Wiring& wiring, size_t i) {
  const Part& part = wiring.part(i);
  if (part.kind == Part::Kind::kCall) return true;
  return part.kind == Part::Kind::kKernel && !wiring.traits(i).contraction && !wiring.traits(i).pool;
}

// Forward from a product over light parts to the next product, past at least one softmax or activation.
std::optional<Core> CoreFrom(const Wiring& wiring, size_t product) {
  std::vector<std::pair<size_t, bool>> open = {{product, false}};
  std::set<std::pair<size_t, bool>> seen;
  while (!open.empty()) {
    const auto [at, weighed] = open.back();
    open.pop_back();
    for (ValueId made : wiring.makes(at)) {
      for (size_t next : wiring.readers(made)) {
        const Traits& traits = wiring.traits(next);
        if (traits.mixing && !traits.attention && weighed) return Core{product, next};
        if (!IsLight(wiring, next)) continue;
        const std::pair<size_t, bool> state = {next, weighed || traits.softmax || traits.activation};
        if (seen.insert(state).second) open.push_back(state);
      }
    }
  }
  return std::nullopt;
}

std::vector<Core> FindCores(const Wiring& wiring) {
  std::vector<Core> cores;
  for (size_t i = 0; i < wiring.size(); ++i) {
    if (wiring.traits(i).attention) {
      cores.push_back({i, i});
    } else if (wiring.traits(i).mixing) {
      if (std::optional<Core> core = CoreFrom(wiring, i)) cores.push_back(*core);
    }
  }
  return cores;
}

class Grower {
 public:
  Grower(const Wiring& wiring, const Core& core) : wiring_(wiring), core_(core) {}

  std::optional<Region> Grow() {
    members_ = {core_.first, core_.last};
    std::vector<size_t> closed = Members();
    if (!wiring_.Close(&closed)) return std::nullopt;
    members_.insert(closed.begin(), closed.end());
    for (size_t member : closed) GrowBack(member);
    if (projections_.empty()) return std::nullopt;
    const std::string output = GrowForward();
    closed = Members();
    if (!wiring_.Close(&closed)) return std::nullopt;
    std::vector<std::string> names;
    for (size_t projection : projections_) names.push_back(wiring_.Describe(projection));
    const std::string upto = output.empty() ? "" : absl::StrCat(", up to the output projection ", output);
    return Region{
        closed, "attention",
        absl::StrCat("One attention: ", Enumerate(names), names.size() == 1 ? " projects" : " project",
                     " its operands", upto, "; what stands between belongs to it, branches included.")};
  }

 private:
  std::vector<size_t> Members() const { return {members_.begin(), members_.end()}; }

  void GrowBack(size_t member) {
    for (ValueId read : wiring_.reads(member)) {
      std::vector<size_t> path;
      if (LeadsToProjection(read, &path, 0)) members_.insert(path.begin(), path.end());
    }
  }

  // Collects the way back to the projections; nothing where it leads elsewhere.
  bool LeadsToProjection(ValueId value, std::vector<size_t>* path, int depth) {
    const int from = wiring_.producer(value);
    if (from < 0 || depth > 40) return false;
    const auto i = static_cast<size_t>(from);
    if (members_.contains(i)) return false;
    if (wiring_.traits(i).projection) {
      path->push_back(i);
      projections_.insert(i);
      return true;
    }
    if (!IsLight(wiring_, i)) return false;
    bool leads = false;
    for (ValueId read : wiring_.reads(i)) leads |= LeadsToProjection(read, path, depth + 1);
    if (leads) path->push_back(i);
    return leads;
  }

  // The output projection and the dropout after it; its description.
  std::string GrowForward() {
    std::vector<size_t> way;
    size_t at = core_.last;
    std::string output;
    for (int steps = 0; steps < 6; ++steps) {
      const std::optional<Wiring::Step> step = wiring_.Straight(at);
      if (!step) break;
      const Traits& traits = wiring_.traits(step->next);
      const bool projects = traits.projection && output.empty();
      if (!projects && !(IsLight(wiring_, step->next) && (output.empty() || traits.dropout))) break;
      way.insert(way.end(), step->between.begin(), step->between.end());
      way.push_back(step->next);
      at = step->next;
      if (projects) output = wiring_.Describe(at);
      if (!output.empty()) {
        members_.insert(way.begin(), way.end());
        way.clear();
      }
    }
    return output;
  }

  const Wiring& wiring_;
  const Core core_;
  std::set<size_t> members_, projections_;
};

}  // namespace

std::vector<Region> FindAttention(const Wiring& wiring) {
  std::vector<Region> regions;
  for (const Core& core : FindCores(wiring)) {
    std::optional<Region> region = Grower(wiring, core).Grow();
    if (!region) continue;
    // Cores that share projections (several heads written out) are one attention.
    const bool shares =
        !regions.empty() && std::any_of(region->members.begin(), region->members.end(), [&](size_t m) {
          return std::binary_search(regions.back().members.begin(), regions.back().members.end(), m);
        });
    if (!shares) {
      regions.push_back(*std::move(region));
      continue;
    }
    std::set<size_t> all(regions.back().members.begin(), regions.back().members.end());
    all.insert(region->members.begin(), region->members.end());
    regions.back().members.assign(all.begin(), all.end());
    wiring.Close(&regions.back().members);
  }
  return regions;
}

}  // namespace strata::plan
