#include "worker/engine/plan/rewrite.h"

namespace strata::plan {
namespace {

using program::Argument;
using program::Call;
using program::CallId;
using program::kNoId;
using program::Program;
using program::Tree;
using program::ValueId;

using Replacements = std::map<ValueId, ValueId>;

ValueId Follow(const Replacements& replacements, ValueId value) {
  for (auto it = replacements.find(value); it != replacements.end(); it = replacements.find(value))
    value = it->second;
  return value;
}

void Replace(const Replacements& replacements, Argument* argument) {
  if (argument->kind == Argument::Kind::kValue) argument->value = Follow(replacements, argument->value);
  for (Argument& item : argument->items) Replace(replacements, &item);
}

void Replace(const Replacements& replacements, Tree* tree) {
  if (tree->kind == Tree::Kind::kTensor) tree->value = Follow(replacements, tree->value);
  for (Tree& item : tree->items) Replace(replacements, &item);
}

}  // namespace

void RemoveCalls(Program* program, const std::set<CallId>& calls) {
  if (calls.empty()) return;
  // moved[i]: how many calls before i stay.
  std::vector<CallId> moved(program->calls.size() + 1, 0);
  std::vector<Call> kept;
  for (size_t i = 0; i < program->calls.size(); ++i) {
    moved[i] = static_cast<CallId>(kept.size());
    if (calls.contains(static_cast<CallId>(i))) continue;
    kept.push_back(std::move(program->calls[i]));
    kept.back().id = moved[i];
  }
  moved.back() = static_cast<CallId>(kept.size());
  for (program::Value& value : program->values) {
    if (value.producer == kNoId) continue;
    value.producer = calls.contains(value.producer) ? kNoId : moved[static_cast<size_t>(value.producer)];
  }
  for (program::Invocation& invocation : program->invocations) {
    invocation.begin = moved[static_cast<size_t>(invocation.begin)];
    invocation.end = moved[static_cast<size_t>(invocation.end)];
  }
  program->calls = std::move(kept);
}

void ReplaceValues(Program* program, const Replacements& replacements) {
  if (replacements.empty()) return;
  for (Call& call : program->calls) {
    for (program::NamedArgument& argument : call.args) Replace(replacements, &argument.value);
    for (ValueId& value : call.mutated) value = Follow(replacements, value);
  }
  for (program::Invocation& invocation : program->invocations) {
    for (Tree& tree : invocation.args) Replace(replacements, &tree);
    for (auto& [name, tree] : invocation.kwargs) Replace(replacements, &tree);
    Replace(replacements, &invocation.output);
  }
}

}  // namespace strata::plan
