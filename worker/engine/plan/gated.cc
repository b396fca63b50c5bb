// Fusions with one branch inside: gate and up projection of an MLP, squeeze-excite.

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/plan/fusions.h"
#include "worker/engine/plan/operators.h"

namespace strata::plan {
namespace {

using program::ValueId;

bool IsLightKernel(const Wiring& wiring, size_t i) {
  return wiring.part(i).kind == Part::Kind::kKernel && !wiring.traits(i).contraction &&
         !wiring.traits(i).pool;
}

// Back over plumbing and light kernels with one input to a contraction; its index, or -1. `light` gets the
// light kernels on the way.
int BackToContraction(const Wiring& wiring, ValueId value, std::vector<size_t>* light) {
  for (int steps = 0; steps < 12; ++steps) {
    const int from = wiring.producer(value);
    if (from < 0) return -1;
    const auto i = static_cast<size_t>(from);
    if (wiring.traits(i).projection) return from;
    if (wiring.part(i).is_unit()) {
      if (!IsLightKernel(wiring, i)) return -1;
      light->push_back(i);
    }
    if (wiring.reads(i).size() != 1) return -1;
    value = wiring.reads(i)[0];
  }
  return -1;
}

bool IsProduct(const Wiring& wiring, size_t i) {
  const Part& part = wiring.part(i);
  return part.kind == Part::Kind::kCall && wiring.reads(i).size() == 2 &&
         NameOf(wiring.context().program.call(part.call)) == "mul";
}

std::string GateName(const Wiring& wiring, const std::vector<size_t>& light) {
  for (size_t i : light) {
    const std::string& op = wiring.part(i).operation;
    if (op == "silu" || op == "swish") return "swiglu";
    if (op.starts_with("gelu") || op == "new_gelu") return "geglu";
    if (op == "relu") return "reglu";
    if (op == "sigmoid") return "glu";
  }
  return "gated_mlp";
}

}  // namespace

std::vector<Region> FindGatedMlp(const Wiring& wiring) {
  std::vector<Region> regions;
  for (size_t i = 0; i < wiring.size(); ++i) {
    if (!IsProduct(wiring, i)) continue;
    std::vector<size_t> light;
    const int a = BackToContraction(wiring, wiring.reads(i)[0], &light);
    const int b = BackToContraction(wiring, wiring.reads(i)[1], &light);
    if (a < 0 || b < 0 || light.empty()) continue;
    const auto left = static_cast<size_t>(a), right = static_cast<size_t>(b);
    if (!wiring.traits(left).linear || !wiring.traits(right).linear) continue;
    if (wiring.reads(left) != wiring.reads(right)) continue;
    std::vector<size_t> members = {left, right, i};
    std::optional<Wiring::Step> step = wiring.Straight(i);
    while (step && IsLightKernel(wiring, step->next)) step = wiring.Straight(step->next);
    if (!step || !wiring.traits(step->next).linear) continue;
    members.push_back(step->next);
    const std::string down = wiring.Describe(step->next);
    step = wiring.Straight(step->next);
    if (step && step->between.empty() && wiring.traits(step->next).dropout) members.push_back(step->next);
    if (!wiring.Close(&members)) continue;
    std::string gates = wiring.Describe(left);
    if (a != b) absl::StrAppend(&gates, " and ", wiring.Describe(right));
    regions.push_back({members, GateName(wiring, light),
                       absl::StrCat("A gated MLP: the results of ", gates, " are multiplied and go through ",
                                    down, "; its one branch stays inside.")});
  }
  return regions;
}

std::vector<Region> FindSqueezeExcite(const Wiring& wiring) {
  std::vector<Region> regions;
  for (size_t i = 0; i < wiring.size(); ++i) {
    if (!IsProduct(wiring, i)) continue;
    for (int side = 0; side < 2; ++side) {
      const ValueId scaled = wiring.reads(i)[static_cast<size_t>(side)];
      std::vector<size_t> light;
      const int expand = BackToContraction(wiring, wiring.reads(i)[static_cast<size_t>(1 - side)], &light);
      if (expand < 0 || light.empty()) continue;
      const auto second = static_cast<size_t>(expand);
      if (wiring.reads(second).size() != 1) continue;
      const int reduce = BackToContraction(wiring, wiring.reads(second)[0], &light);
      if (reduce < 0 || wiring.reads(static_cast<size_t>(reduce)).size() != 1) continue;
      // The squeeze: a pool or mean of the very value that is scaled.
      ValueId value = wiring.reads(static_cast<size_t>(reduce))[0];
      int squeeze = -1;
      while (wiring.producer(value) >= 0 && value != scaled) {
        const auto from = static_cast<size_t>(wiring.producer(value));
        if (wiring.traits(from).pool || wiring.part(from).operation == "mean")
          squeeze = static_cast<int>(from);
        if (wiring.reads(from).size() != 1 || wiring.traits(from).contraction) break;
        value = wiring.reads(from)[0];
      }
      if (squeeze < 0 || value != scaled) continue;
      std::vector<size_t> members = {static_cast<size_t>(squeeze), i};
      if (!wiring.Close(&members)) continue;
      regions.push_back({members, "squeeze_excite",
                         absl::StrCat("A squeeze-excite: ", wiring.Describe(static_cast<size_t>(squeeze)),
                                      " squeezes what ", wiring.Describe(i), " scales.")});
      break;
    }
  }
  return regions;
}

}  // namespace strata::plan
