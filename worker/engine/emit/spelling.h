#pragma once
// One operator call as a Python expression, the way a person writes it: infix arithmetic, methods, index
// brackets, F.NAME, torch.NAME, and torch.ops.aten.NAME.OVERLOAD where nothing nicer is exact.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/engine/emit/python_text.h"
#include "worker/engine/program/program.h"

namespace strata::emit {

// An index expression under construction: base[entries]. Chains of select, slice and unsqueeze merge into
// one pair of brackets as long as Python would run the same operators in the same order.
struct IndexChain {
  enum class Entry : uint8_t { kFull, kSlice, kInt, kNewAxis };
  std::string base;
  std::vector<std::pair<Entry, std::string>> entries;  // leading dimensions; trailing full ones left out
  size_t rank = 0;                                     // of base
};

// A spelled expression and what later calls may fold into it.
struct Spelled {
  Expr expr;
  std::shared_ptr<const IndexChain> index;    // select / slice / unsqueeze
  std::shared_ptr<const Expr> reciprocal_of;  // 1 / this
};

struct SpellingContext {
  const program::Program& program;
  std::function<Spelled(program::ValueId)> operand;
  // How a number that is a size is said: item `item` of argument `argument`. "" where it is a plain number.
  std::function<std::string(const program::Call& call, const std::string& argument, size_t item,
                            int64_t value)>
      size;
  std::string device;  // "x.device"; "" where no tensor is at hand and torch's default device serves
};

// The readable spelling.
Spelled Spell(const program::Call& call, const SpellingContext& context);
// The exact one, which always exists.
Spelled SpellAten(const program::Call& call, const SpellingContext& context);

// Where the call must stand as a statement of its own: it writes into an argument (`x[idx] = v`,
// `x.add_(y)`). Returns "" where it is an expression. `self` reads the written tensor by name.
std::string SpellStatement(const program::Call& call, const SpellingContext& context);

// A tensor that is a wrapped Python number as Python writes it ("2.0", "3", "math.sqrt(32)"); nullopt where
// it is none.
std::optional<Expr> NumberLiteral(const program::Value& value);

// Argument of `call` by schema name, nullptr where it has none.
const program::NamedArgument* FindArgument(const program::Call& call, const std::string& name);

}  // namespace strata::emit
