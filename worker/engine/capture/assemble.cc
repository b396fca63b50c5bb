#include "worker/engine/capture/assemble.h"

#include <functional>
#include <set>
#include <unordered_map>

#include "worker/engine/capture/places.h"

namespace strata::capture {
namespace {

using program::Argument;
using program::Call;
using program::CallId;
using program::kNoId;
using program::Program;
using program::Tree;
using program::Value;
using program::ValueId;
using program::ValueKind;

using Visit = std::function<void(ValueId&)>;

void VisitArgument(Argument& argument, const Visit& visit) {
  if (argument.kind == Argument::Kind::kValue) visit(argument.value);
  for (Argument& item : argument.items) VisitArgument(item, visit);
}

void VisitTree(Tree& tree, const Visit& visit) {
  if (tree.kind == Tree::Kind::kTensor) visit(tree.value);
  for (Tree& item : tree.items) VisitTree(item, visit);
}

void VisitCall(Call& call, const Visit& visit) {
  for (auto& argument : call.args) VisitArgument(argument.value, visit);
  for (ValueId& id : call.results) visit(id);
  for (ValueId& id : call.mutated) visit(id);
  for (ValueId& id : call.mutated_to) visit(id);
}

// Every mention of a value, in the order in which people read a Program.
void VisitProgram(Program& program, const Visit& visit) {
  for (size_t i = 0; i < program.values.size(); ++i) {
    ValueId id = program.values[i].id;
    if (program.values[i].kind == ValueKind::kInput) visit(id);
  }
  for (auto& module : program.modules) {
    for (auto& [name, id] : module.parameters) visit(id);
  }
  for (auto& module : program.modules) {
    for (auto& [name, id] : module.buffers) visit(id);
  }
  for (Call& call : program.init_calls) VisitCall(call, visit);
  for (Call& call : program.calls) VisitCall(call, visit);
  for (auto& invocation : program.invocations) {
    for (Tree& tree : invocation.args) VisitTree(tree, visit);
    for (auto& [name, tree] : invocation.kwargs) VisitTree(tree, visit);
    VisitTree(invocation.output, visit);
  }
}

// A formula is what replays to the same elements: nothing random or custom, no weights, no memory that
// was filled where the recorder could not see.
bool IsFormula(const Program& program, const std::vector<CallId>& slice, const std::vector<bool>& unseen) {
  for (CallId id : slice) {
    const Call& call = program.init_calls[static_cast<size_t>(id)];
    if (call.marks & (program::kRandom | program::kOpaque | program::kDataDependent)) return false;
    for (ValueId read : Reads(call)) {
      const Value& value = program.value(read);
      const bool made_here = value.init_producer != kNoId && value.kind != ValueKind::kParameter;
      if (!made_here && (value.kind != ValueKind::kConstant || value.data.empty())) return false;
    }
    const bool makes_memory = program::OperatorName(call.op).find("empty") != std::string::npos;
    for (ValueId result : call.results) {
      if (makes_memory && result != kNoId && unseen[static_cast<size_t>(program.value(result).storage)])
        return false;
    }
  }
  return true;
}

std::set<CallId> KeepFormulas(Program& program, const std::vector<bool>& unseen) {
  std::set<CallId> kept;
  std::set<ValueId> read, of_torch;
  for (const auto& module : program.modules) {
    if (!module.is_torch_nn) continue;  // its constructor makes its buffers
    for (const auto& [name, id] : module.buffers) of_torch.insert(id);
  }
  for (const Call& call : program.calls) {
    for (ValueId id : Reads(call)) read.insert(id);
  }
  for (Value& value : program.values) {
    const bool leaf =
        value.kind == ValueKind::kBuffer || (value.kind == ValueKind::kConstant && read.contains(value.id));
    if (!leaf || value.init_producer == kNoId || of_torch.contains(value.id)) continue;
    const std::vector<CallId> slice = InitSlice(program, value.id);
    if (IsFormula(program, slice, unseen)) kept.insert(slice.begin(), slice.end());
  }
  // Decided for all before any is cut: a formula may pass through another buffer.
  for (Value& value : program.values) {
    if (!kept.contains(value.init_producer)) value.init_producer = kNoId;
  }
  return kept;
}

void RenumberInitCalls(Program& program, const std::set<CallId>& kept) {
  std::unordered_map<CallId, CallId> renumbered;
  std::vector<Call> calls;
  for (CallId id : kept) {
    renumbered[id] = static_cast<CallId>(calls.size());
    Call& call = program.init_calls[static_cast<size_t>(id)];
    call.id = renumbered[id];
    calls.push_back(std::move(call));
  }
  program.init_calls = std::move(calls);
  for (Value& value : program.values) {
    if (value.init_producer != kNoId) value.init_producer = renumbered.at(value.init_producer);
  }
}

void RenumberValues(Program& program) {
  std::unordered_map<ValueId, ValueId> renumbered;
  std::vector<Value> values;
  VisitProgram(program, [&](ValueId& id) {
    if (id == kNoId || renumbered.contains(id)) return;
    renumbered[id] = static_cast<ValueId>(values.size());
    values.push_back(program.value(id));
  });
  VisitProgram(program, [&](ValueId& id) {
    if (id != kNoId) id = renumbered.at(id);
  });
  std::unordered_map<int32_t, int32_t> storages;
  for (size_t i = 0; i < values.size(); ++i) {
    values[i].id = static_cast<ValueId>(i);
    values[i].storage =
        storages.emplace(values[i].storage, static_cast<int32_t>(storages.size())).first->second;
  }
  program.values = std::move(values);
}

// torch.tensor() leaves a trail of calls on memory that it fills unseen; what reads the tensor reads a
// constant instead. The trail goes.
void DropUnseenTrails(Program& program, const std::vector<bool>& unseen) {
  std::set<ValueId> used;
  for (auto& invocation : program.invocations) {
    const Visit use = [&](ValueId& id) { used.insert(id); };
    for (Tree& tree : invocation.args) VisitTree(tree, use);
    for (auto& [name, tree] : invocation.kwargs) VisitTree(tree, use);
    VisitTree(invocation.output, use);
  }
  const auto is_trail = [&](const Call& call) {
    if (call.results.empty() || !call.mutated.empty()) return false;
    for (ValueId id : call.results) {
      if (id == kNoId || used.contains(id)) return false;
      if (!unseen[static_cast<size_t>(program.value(id).storage)]) return false;
    }
    return true;
  };
  std::vector<bool> dropped(program.calls.size());
  for (size_t i = program.calls.size(); i-- > 0;) {
    dropped[i] = is_trail(program.calls[i]);
    if (dropped[i]) continue;
    for (ValueId id : Reads(program.calls[i])) used.insert(id);
  }
  std::vector<CallId> renumbered(program.calls.size() + 1);
  std::vector<Call> kept;
  for (size_t i = 0; i < program.calls.size(); ++i) {
    renumbered[i] = static_cast<CallId>(kept.size());
    if (dropped[i]) continue;
    program.calls[i].id = renumbered[i];
    kept.push_back(std::move(program.calls[i]));
  }
  renumbered.back() = static_cast<CallId>(kept.size());
  program.calls = std::move(kept);
  for (Value& value : program.values) {
    if (value.producer != kNoId) value.producer = renumbered[static_cast<size_t>(value.producer)];
  }
  for (auto& invocation : program.invocations) {
    invocation.begin = renumbered[static_cast<size_t>(invocation.begin)];
    invocation.end = renumbered[static_cast<size_t>(invocation.end)];
  }
}

void FinishFrames(Program& program, const LineTargets& targets) {
  std::unordered_map<int32_t, int32_t> serials;
  const auto finish = [&](std::vector<Call>& calls) {
    for (Call& call : calls) {
      for (program::Frame& frame : call.frames) {
        frame.serial = serials.emplace(frame.serial, static_cast<int32_t>(serials.size())).first->second;
        const auto found = targets.find({frame.file, frame.line});
        if (found != targets.end()) frame.targets = found->second;
      }
    }
  };
  finish(program.calls);
  serials.clear();  // construction and forward are numbered apart
  finish(program.init_calls);
}

void NoteReads(Program& program) {
  std::set<std::string> seen;
  for (const Call& call : program.calls) {
    if (!(call.marks & program::kDataDependent)) continue;
    const std::string note = "data-dependent: " + PlaceOf(call) +
                             ": Python reads the elements of a tensor (" + program::OperatorName(call.op) +
                             "); what follows was recorded for these inputs";
    if (seen.insert(note).second) program.notes.push_back(note);
  }
}

}  // namespace

Program Assemble(Program raw, const std::vector<bool>& unseen, const LineTargets& targets) {
  RenumberInitCalls(raw, KeepFormulas(raw, unseen));
  for (Value& value : raw.values) {
    if (value.kind == ValueKind::kParameter) value.init_producer = kNoId;
  }
  DropUnseenTrails(raw, unseen);
  RenumberValues(raw);
  FinishFrames(raw, targets);
  NoteReads(raw);
  return raw;
}

}  // namespace strata::capture
