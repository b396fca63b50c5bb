#pragma once
// The table of what may stand in a refactored forward (docs/plumbing.md, from bundle_format.md "What
// may stand in a refactored forward"). plan/ uses it to decide what stays in a parent, verify/ to judge what
// ran there; a test pins it against the page.

#include <cstdint>
#include <span>
#include <string_view>

#include "worker/engine/program/program.h"

namespace strata::program {

enum class OpClass : uint8_t {
  kPlumbing,    // shape, view, data movement, casts, factories: never counted by coverage
  kArithmetic,  // add sub rsub mul div neg (reciprocal from a / x): allowed in a parent, counted
  kCompute,     // everything else: must be in a child
};

// `call` and not only the name, because some operators are plumbing only with some arguments
// (index by numbers and slices, repeat_interleave by a number, to() of dtype and device).
OpClass Classify(const Program& program, const Call& call);
// By name alone, without overload or underscore; for operators whose class depends on arguments the
// stricter answer.
OpClass ClassifyName(std::string_view operator_name);

// What the judge lets pass besides, in anybody's work: docs/plumbing.md, "What passes besides".
enum class Besides : uint8_t {
  kNothing,
  kMaskLogic,   // not, and, or, xor of bool masks
  kMaskedFill,  // by a mask, with a constant
  kPower,       // with a constant whole exponent
  kIndexing,    // reading and writing by a mask or an index
  kComparison,  // its result may select, be returned or go to a child; not take part in arithmetic
};
Besides ClassifyBesides(const Program& program, const Call& call);

// Every name of a class, sorted; none for kCompute, which is everything else.
std::span<const std::string_view> NamesOf(OpClass op_class);
std::span<const std::string_view> NamesOf(Besides besides);

}  // namespace strata::program
