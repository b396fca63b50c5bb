#include "worker/engine/emit/index_chain.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace strata::emit {
namespace {

using Entry = IndexChain::Entry;
using program::Argument;
using program::Call;

// Position among the entries of dimension `dim` of the current result; the entries are padded as needed.
size_t EntryOf(IndexChain& chain, int64_t dim) {
  int64_t seen = 0;
  for (size_t i = 0;; ++i) {
    if (i == chain.entries.size()) chain.entries.emplace_back(Entry::kFull, ":");
    if (chain.entries[i].first == Entry::kInt) continue;
    if (seen++ == dim) return i;
  }
}

// Python applies indices left to right; a later operator may only touch what stands right of the last one.
bool MayExtend(const IndexChain& chain, size_t position) {
  for (size_t i = position; i < chain.entries.size(); ++i) {
    if (chain.entries[i].first != Entry::kFull) return false;
  }
  return true;
}

void Trim(IndexChain& chain) {
  while (!chain.entries.empty() && chain.entries.back().first == Entry::kFull) chain.entries.pop_back();
}

int64_t IntOf(const Call& call, const char* name, int64_t otherwise) {
  const program::NamedArgument* argument = FindArgument(call, name);
  return argument != nullptr && argument->value.kind == Argument::Kind::kInt ? argument->value.integer
                                                                             : otherwise;
}

std::string Bound(const Call& call, const SpellingContext& context, const char* name, int64_t value) {
  const std::string said = context.size ? context.size(call, name, 0, value) : "";
  return said.empty() ? absl::StrCat(value) : said;
}

std::string SliceText(const Call& call, const SpellingContext& context, int64_t size) {
  const int64_t start = IntOf(call, "start", 0);
  const int64_t end = IntOf(call, "end", std::numeric_limits<int64_t>::max());
  const int64_t step = IntOf(call, "step", 1);
  std::string text = start == 0 ? "" : Bound(call, context, "start", start);
  text += ":";
  if (end < size) {
    text += Bound(call, context, "end", end);
  } else if (end == size && context.size) {
    text += context.size(call, "end", 0, end);  // a stop that cuts nothing, said where it has a name
  }
  if (step != 1) absl::StrAppend(&text, ":", step);
  return text;
}

}  // namespace

std::string IndexText(const IndexChain& chain) {
  std::vector<std::string> texts;
  for (const auto& entry : chain.entries) texts.push_back(entry.second);
  if (texts.empty()) return chain.base;
  // x[:, :, :, :n] with only the last dimension cut reads x[..., :n].
  const size_t used = static_cast<size_t>(std::count_if(
      chain.entries.begin(), chain.entries.end(), [](const auto& e) { return e.first != Entry::kNewAxis; }));
  const bool only_last = used == chain.rank && texts.size() > 2 &&
                         std::all_of(chain.entries.begin(), chain.entries.end() - 1,
                                     [](const auto& e) { return e.first == Entry::kFull; });
  if (only_last) return absl::StrCat(chain.base, "[..., ", texts.back(), "]");
  return absl::StrCat(chain.base, "[", absl::StrJoin(texts, ", "), "]");
}

Spelled SpellIndexing(const Call& call, const SpellingContext& context) {
  const program::ValueId self = call.args[0].value.value;
  const Spelled operand = context.operand(self);
  const program::TensorType& type = context.program.value(self).type;
  const std::string name = program::OperatorName(call.op);
  const auto rank = static_cast<int64_t>(type.sizes.size());
  int64_t dim = IntOf(call, "dim", 0);
  if (dim < 0) dim += rank + (name == "unsqueeze" ? 1 : 0);

  IndexChain chain;
  if (operand.index) chain = *operand.index;
  size_t position = EntryOf(chain, dim);
  bool merged = operand.index != nullptr && MayExtend(chain, position);
  if (!merged) {
    chain = IndexChain{Operand(operand.expr, kAtom), {}, static_cast<size_t>(rank)};
    position = EntryOf(chain, dim);
  }
  if (name == "unsqueeze") {
    chain.entries.insert(chain.entries.begin() + static_cast<int64_t>(position), {Entry::kNewAxis, "None"});
  } else if (name == "select") {
    chain.entries[position] = {Entry::kInt, Bound(call, context, "index", IntOf(call, "index", 0))};
  } else {
    chain.entries[position] = {Entry::kSlice, SliceText(call, context, type.sizes[static_cast<size_t>(dim)])};
  }
  Trim(chain);
  Spelled out;
  const bool brackets = merged || name != "unsqueeze";
  out.expr.text =
      brackets ? IndexText(chain) : absl::StrCat(chain.base, ".unsqueeze(", IntOf(call, "dim", 0), ")");
  out.index = std::make_shared<IndexChain>(std::move(chain));
  return out;
}

Spelled SpellAdvancedIndexing(const Call& call, const SpellingContext& context) {
  const program::NamedArgument* indices = FindArgument(call, "indices");
  std::vector<std::string> texts;
  for (const Argument& item : indices->value.items) {
    texts.push_back(item.kind == Argument::Kind::kValue ? context.operand(item.value).expr.text : ":");
  }
  const Expr base = context.operand(call.args[0].value.value).expr;
  Spelled out;
  out.expr.text = absl::StrCat(Operand(base, kAtom), "[", absl::StrJoin(texts, ", "), "]");
  return out;
}

}  // namespace strata::emit
