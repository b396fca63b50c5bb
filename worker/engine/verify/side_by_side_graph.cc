#include "worker/engine/verify/side_by_side_graph.h"

#include "worker/engine/verify/bundle_program.h"
#include "worker/engine/verify/counting.h"

namespace strata::verify {

using program::Call;
using program::CallId;
using program::Program;
using program::Value;
using program::ValueId;
using program::ValueKind;

std::vector<ValueId> MadeBy(const Call& call) {
  std::vector<ValueId> made = call.results;
  made.insert(made.end(), call.mutated_to.begin(), call.mutated_to.end());
  std::erase_if(made, [](ValueId id) { return id < 0; });
  return made;
}

Graph::Graph(const Program& program)
    : program_(program), maker_(program.values.size(), program::kNoId), depends_(program.values.size()) {
  for (const Value& value : program.values) depends_[Index(value.id)] = value.kind == ValueKind::kInput;
  for (const Call& call : program.calls) {
    bool depends = false;
    for (const ValueId id : program::Reads(call)) depends |= id >= 0 && depends_[Index(id)];
    for (const ValueId id : MadeBy(call)) {
      maker_[Index(id)] = call.id;
      depends_[Index(id)] = depends;
    }
  }
  const std::vector<bool> live = LiveCalls(program);
  for (const Call& call : program.calls) {
    if (!live[Index(call.id)]) continue;
    for (const ValueId id : program::Reads(call)) {
      if (id >= 0) readers_[id].push_back(call.id);
    }
  }
  for (const ValueId id : OutputsOf(program)) outputs_.insert(id);
}

const std::vector<CallId>& Graph::readers(ValueId id) const {
  static const std::vector<CallId> kNone;
  const auto found = readers_.find(id);
  return found == readers_.end() ? kNone : found->second;
}

std::optional<CallSet> Graph::Slice(const std::vector<ValueId>& wanted,
                                    const std::set<ValueId>& given) const {
  CallSet calls;
  std::vector<ValueId> pending = wanted;
  while (!pending.empty()) {
    const ValueId id = pending.back();
    pending.pop_back();
    if (id < 0 || given.contains(id)) continue;
    const CallId maker = maker_[Index(id)];
    if (maker == program::kNoId) {
      if (program_.value(id).kind == ValueKind::kInput && is_float(id)) return std::nullopt;
      continue;
    }
    if (!calls.insert(maker).second) continue;
    for (const ValueId read : program::Reads(program_.call(maker))) pending.push_back(read);
  }
  return calls;
}

}  // namespace strata::verify
