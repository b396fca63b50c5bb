#pragma once
// What is a fusion: attention, gated MLP, squeeze-excite, MLP, and straight lines of two to five kernels with
// at most one contraction (docs/bundle_format.md, "What is a kernel, a fusion, a layer").

#include <optional>
#include <string>
#include <vector>

#include "worker/engine/plan/wiring.h"

namespace strata::plan {

// One group that is a fusion: its members among some siblings, ascending.
struct Region {
  std::vector<size_t> members;
  std::string operation;  // "attention", "swiglu", "mlp", "conv_bn_relu"
  std::string reason;     // why this is one, about this model
};

// Free of the numbers that bind straight lines.
std::vector<Region> FindAttention(const Wiring& wiring);
std::vector<Region> FindGatedMlp(const Wiring& wiring);
std::vector<Region> FindSqueezeExcite(const Wiring& wiring);
// The maximal straight lines, longest possible, each two or more units.
struct Line {
  std::vector<size_t> units;
  std::vector<std::vector<size_t>> between;  // plumbing after units[k], before units[k + 1]
  std::string cut;                           // why it ends where it ends
};
std::vector<Line> FindLines(const Wiring& wiring);
// One line cut into fusions: MLP, or before each contraction and after each pool.
std::vector<Region> CutLine(const Wiring& wiring, const Line& line);

// Where all kernels of a scope are one fusion. `parts` is flat.
std::optional<Region> WholeFusion(const Wiring& wiring);

// Puts each region into one settled slice of that level; one that overlaps an earlier one is skipped.
void GroupRegions(const PartContext& context, const std::vector<Region>& regions, Level level,
                  std::vector<Part>* parts);

// Groups what is a fusion among the children of a layer or model into slices.
void GroupFusions(const PartContext& context, std::vector<Part>* parts);

// "conv_bn_relu" of the kernels among the members.
std::string OperatorsName(const Wiring& wiring, const std::vector<size_t>& members);

}  // namespace strata::plan
