#pragma once
// The rules that hold for a bundle as a whole (docs/judge.md, "A bundle"): chain, levels, kernels, fusions,
// layers, names, duplicates, dimensions, files alone, composition, coverage, ties, and that its JSON files
// say what was recomputed. Pure: the same files and facts give the same violations in the same order.
//
// A bundle of our own (metadata.format_version) is held to every definition to the letter; of one made by
// others only what is clearly broken is a violation.

#include <vector>

#include "worker/engine/verify/bundle_facts.h"
#include "worker/engine/verify/bundle_files.h"
#include "worker/engine/verify/prices.h"
#include "worker/engine/verify/violation.h"

namespace strata::verify {

// At most this many violations of one rule in one file; the last of them says how many more there are.
inline constexpr size_t kMaxViolationsPerFile = 20;

// `files.violations` come first. A rule that needs facts which are not there says nothing.
// `prices`: what each rule costs, where somebody counts.
std::vector<Violation> CheckBundle(const BundleFiles& files, const BundleFacts& facts,
                                   Prices* prices = nullptr);

}  // namespace strata::verify
