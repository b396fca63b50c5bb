#include "worker/engine/plan/dataflow.h"

#include <algorithm>
#include <map>
#include <set>

namespace strata::plan {

using program::Call;
using program::CallId;
using program::kNoId;
using program::Value;
using program::ValueId;
using program::ValueKind;

Dataflow::Dataflow(const program::Program& program)
    : program_(program),
      readers_(program.values.size()),
      producer_(program.values.size(), kNoId),
      is_output_(program.values.size(), false),
      needs_(program.calls.size()),
      independent_(program.calls.size(), false) {
  for (const Call& call : program.calls) {
    for (ValueId value : program::Reads(call)) {
      auto& readers = readers_[Index(value)];
      if (readers.empty() || readers.back() != call.id) readers.push_back(call.id);
      const CallId producer = producer_[Index(value)];
      if (producer != kNoId) needs_[Index(call.id)].push_back(producer);
    }
    bool independent = !(call.marks & program::kRandom);
    for (ValueId value : program::Reads(call)) independent = independent && independent_value(value);
    independent_[Index(call.id)] = independent;
    for (ValueId value : makes(call.id)) producer_[Index(value)] = call.id;
  }
  if (!program.invocations.empty()) {
    for (const ValueId value : program::Tensors(program.invocations[0].output))
      is_output_[Index(value)] = true;
  }
  AddHazards();
  for (auto& needs : needs_) {
    std::sort(needs.begin(), needs.end());
    needs.erase(std::unique(needs.begin(), needs.end()), needs.end());
  }
}

bool Dataflow::independent_value(ValueId id) const {
  const Value& value = program_.value(id);
  if (value.kind == ValueKind::kInput) return false;
  if (value.kind != ValueKind::kResult) return true;
  const CallId producer = producer_[Index(id)];
  return producer != kNoId && independent_[Index(producer)];
}

std::vector<ValueId> Dataflow::makes(CallId id) const {
  const Call& call = program_.call(id);
  std::vector<ValueId> made;
  for (ValueId value : call.results) {
    if (value != kNoId) made.push_back(value);
  }
  for (ValueId value : call.mutated_to) {
    if (value != kNoId && std::find(made.begin(), made.end(), value) == made.end()) made.push_back(value);
  }
  return made;
}

// A write to memory runs after every earlier use of that memory, and before every later one.
void Dataflow::AddHazards() {
  std::set<int32_t> written;
  for (const Call& call : program_.calls) {
    for (ValueId value : call.mutated) written.insert(program_.value(value).storage);
  }
  written.erase(kNoId);
  if (written.empty()) return;
  std::map<int32_t, CallId> last_write;
  std::map<int32_t, std::vector<CallId>> uses;
  for (const Call& call : program_.calls) {
    std::set<int32_t> writes, touches;
    for (ValueId value : call.mutated) writes.insert(program_.value(value).storage);
    for (ValueId value : program::Reads(call)) touches.insert(program_.value(value).storage);
    for (ValueId value : makes(call.id)) touches.insert(program_.value(value).storage);
    auto& needs = needs_[Index(call.id)];
    for (int32_t storage : touches) {
      if (!written.contains(storage)) continue;
      if (auto it = last_write.find(storage); it != last_write.end()) needs.push_back(it->second);
      if (writes.contains(storage)) {
        needs.insert(needs.end(), uses[storage].begin(), uses[storage].end());
        uses[storage].clear();
        last_write[storage] = call.id;
      } else {
        uses[storage].push_back(call.id);
      }
    }
  }
}

bool IsConvex(const Dataflow& flow, const std::vector<CallId>& calls) {
  if (calls.size() < 2) return true;
  const std::set<CallId> members(calls.begin(), calls.end());
  // Calls outside that depend on the set; a member that needs one of them closes a loop.
  std::set<CallId> below;
  for (CallId id = calls.front() + 1; id <= calls.back(); ++id) {
    const bool member = members.contains(id);
    for (CallId needed : flow.needs(id)) {
      if (below.contains(needed) && member) return false;
      if (!member && (below.contains(needed) || members.contains(needed))) below.insert(id);
    }
  }
  return true;
}

}  // namespace strata::plan
