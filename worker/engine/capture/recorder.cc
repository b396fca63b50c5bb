#include <Python.h>

#include "worker/engine/capture/recorder.h"

#include <algorithm>
#include <exception>

#include "ATen/core/dispatch/Dispatcher.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/alias.h"
#include "worker/engine/capture/arguments.h"
#include "worker/engine/capture/frames.h"
#include "worker/engine/capture/operator_facts.h"
#include "worker/engine/program/plumbing.h"

namespace strata::capture {
namespace {

using program::Argument;
using program::Call;
using program::CallId;
using program::kNoId;
using program::ValueId;
using program::ValueKind;

Recorder* current = nullptr;

void Replace(Argument& argument, ValueId from, ValueId to) {
  if (argument.kind == Argument::Kind::kValue && argument.value == from) argument.value = to;
  for (Argument& item : argument.items) Replace(item, from, to);
}

// Inside vmap and func.grad an operator runs twice: on wrapped tensors, which end with the transform, and
// within that on the real ones. Only the second says what is computed.
bool IsOnWrappedTensors(const at::RecordFunction& fn) {
  constexpr c10::DispatchKeySet kWrapped({c10::DispatchKey::FuncTorchBatched,
                                          c10::DispatchKey::FuncTorchGradWrapper,
                                          c10::DispatchKey::Functionalize});
  bool wrapped = false;
  for (const c10::IValue& input : fn.inputs()) {
    ForEachTensor(input, [&](const at::Tensor& t) { wrapped = wrapped || t.key_set().has_any(kWrapped); });
  }
  return wrapped;
}

// elu's schema says alpha=1 and F.elu passes 1.0.
bool SameSetting(const Argument& a, const Argument& b) {
  const auto number = [](const Argument& x) -> std::optional<double> {
    if (x.kind == Argument::Kind::kInt) return static_cast<double>(x.integer);
    if (x.kind == Argument::Kind::kDouble) return x.real;
    return std::nullopt;
  };
  return a == b || (number(a) && number(a) == number(b));
}

int64_t VersionOf(const at::Tensor& tensor) {
  return tensor.is_inference() ? 0 : static_cast<int64_t>(tensor._version());
}

}  // namespace

// A tensor argument between start and end of a call.
struct Recorder::Touched {
  WeakTensor impl;
  ValueId id;
  bool writes;     // the schema says so
  bool undecided;  // unwritten memory through an aliasing argument: a read only if the result is a copy
  int64_t version;
};

struct Recorder::Pending {
  Call call;
  std::vector<Touched> touched;
  bool makes_unwritten = false;
  bool only_metadata = false;
  bool drop = false;  // says nothing: the tensor goes on meaning what it means
  int exceptions = 0;
};

struct Recorder::Context : at::ObserverContext {
  bool outermost = false;
};

Recorder::Recorder() = default;
Recorder::~Recorder() { Stop(); }

bool Recorder::Recording() const { return active_ && std::this_thread::get_id() == thread_; }

void Recorder::Start(Phase phase) {
  phase_ = phase;
  if (phase == Phase::kForward) table_.Settle();
  thread_ = std::this_thread::get_id();
  depth_ = 0;
  current = this;
  active_ = true;
  frames::Install();
  callback_ = at::addThreadLocalCallback(at::RecordFunctionCallback(&OnStart, &OnEnd)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
}

void Recorder::Stop() {
  if (!active_) return;
  at::removeCallback(callback_);
  frames::Uninstall();
  active_ = false;
  current = nullptr;
  pending_.reset();
  scopes_.clear();
}

std::unique_ptr<at::ObserverContext> Recorder::OnStart(const at::RecordFunction& fn) {
  Recorder* self = current;
  if (!self || !self->Recording()) return nullptr;
  // A FUNCTION record without a name is autograd.Function.apply: what it calls is still outermost.
  const auto name = fn.operator_name();
  if (!name || (self->depth_ == 0 && IsOnWrappedTensors(fn))) return nullptr;
  auto context = std::make_unique<Context>();
  context->outermost = self->depth_++ == 0;
  if (context->outermost) {
    try {
      self->Begin(fn, *name);
    } catch (const std::exception& e) {
      self->pending_.reset();
      self->program_.notes.push_back(name->name + " was not recorded: " + e.what());
    }
  }
  return context;
}

void Recorder::OnEnd(const at::RecordFunction& fn, at::ObserverContext* context) {
  Recorder* self = current;
  if (!self || !context || !self->Recording()) return;
  if (static_cast<Context*>(context)->outermost && self->pending_) {
    try {
      self->End(fn);
    } catch (const std::exception& e) {
      self->program_.notes.push_back(self->pending_->call.op + " was not recorded: " + e.what());
    }
    self->pending_.reset();
  }
  --self->depth_;
}

void Recorder::Begin(const at::RecordFunction& fn, const c10::OperatorName& name) {
  const auto handle = c10::Dispatcher::singleton().findSchema(name);
  if (!handle) return;
  pending_ = std::make_unique<Pending>();
  Call& call = pending_->call;
  call.op = name.name;
  call.overload = name.overload_name;
  if (phase_ == Phase::kForward) {
    call.scope = scopes_.empty() ? kNoId : scopes_.back().first;
    call.frames = frames::Since(scopes_.empty() ? 0 : scopes_.back().second);
  } else {
    call.frames = frames::Since(0);
  }
  pending_->makes_unwritten = MakesUnwrittenMemory(call.op);
  pending_->only_metadata = ChangesOnlyMetadata(call.op);
  pending_->exceptions = std::uncaught_exceptions();

  const auto& schema = handle->schema();
  const auto inputs = fn.inputs();
  for (size_t i = 0; i < inputs.size() && i < schema.arguments().size(); ++i) {
    const c10::Argument& argument = schema.arguments()[i];
    const bool write_only = argument.is_out() || (i == 0 && OverwritesSelf(call.op));
    const IdentifyTensor read = [&](const at::Tensor& t) { return ReadArgument(t, argument, write_only); };
    program::NamedArgument named;
    named.name = argument.name();
    named.schema_type = SchemaType(argument);
    named.kwarg_only = argument.kwarg_only();
    named.value = ToArgument(inputs[i], *argument.real_type(), read);
    if (argument.default_value()) {
      named.is_default =
          SameSetting(ToArgument(*argument.default_value(), *argument.real_type(), read), named.value);
    }
    call.args.push_back(std::move(named));
  }
  call.marks = MarksOf(*handle, call);
  call.autocast = AutocastOf(inputs);
}

ValueId Recorder::ReadArgument(const at::Tensor& tensor, const c10::Argument& schema, bool write_only) {
  ValueId id = Identify(tensor);
  const bool writes = schema.alias_info() && schema.alias_info()->isWrite();
  // Without a graph to detach from it changes nothing.
  if (pending_->call.op == "aten::detach_" && !tensor.requires_grad()) pending_->drop = true;
  const bool aliases = schema.alias_info() && (!writes || pending_->only_metadata);
  bool undecided = false;
  if (table_.IsUnwritten(tensor) && program_.value(id).kind != ValueKind::kConstant && !write_only) {
    if (EndsTensorFactory(pending_->call.op)) {
      id = MakeConstant(tensor);
      table_.SetMemory(tensor, TensorTable::Memory::kFilledUnseen);
      pending_->drop = true;
    } else if (aliases) {
      undecided = true;
    } else {
      id = MakeConstant(tensor);
    }
  }
  const bool constant = program_.value(id).kind == ValueKind::kConstant;
  if ((!write_only || constant) && !undecided) {
    if (phase_ == Phase::kForward) {
      table_.Observe(id, tensor);
    } else if (constant && program_.value(id).data.empty()) {
      table_.Snapshot(id, tensor);
    }
  }
  pending_->touched.push_back(
      Touched{WeakTensor(tensor.getIntrusivePtr()), id, writes, undecided, VersionOf(tensor)});
  return id;
}

ValueId Recorder::MakeConstant(const at::Tensor& tensor) {
  const ValueId id = table_.Add(tensor, ValueKind::kConstant);
  table_.Snapshot(id, tensor);
  return id;
}

void Recorder::End(const at::RecordFunction& fn) {
  if (std::uncaught_exceptions() > pending_->exceptions) return;  // the operator raised
  if (pending_->drop || (phase_ == Phase::kForward && pending_->call.scope == kNoId)) return;
  Call& call = pending_->call;
  call.id = static_cast<CallId>(calls().size());

  std::vector<at::Tensor> results;
  for (const c10::IValue& output : fn.outputs()) {
    if (output.isList()) call.result_is_list = true;
    // A result that is undefined (an optional one) keeps its place.
    if (output.isTensor()) {
      results.push_back(output.toTensor());
    } else {
      ForEachTensor(output, [&](const at::Tensor& t) { results.push_back(t); });
    }
  }
  if (call.op == "aten::lift_fresh" && table_.Find(results.at(0)) != kNoId) return;
  call.result_is_tuple = !call.result_is_list && results.size() > 1;
  std::vector<int32_t> storages;
  for (const at::Tensor& t : results) {
    if (t.defined() && t.has_storage()) storages.push_back(table_.StorageOf(t));
  }
  call.results.assign(results.size(), kNoId);
  EndArguments(storages);
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].defined()) call.results[i] = ResultValue(results[i], static_cast<int32_t>(i));
  }
  calls().push_back(std::move(call));
}

void Recorder::EndArguments(const std::vector<int32_t>& result_storages) {
  Call& call = pending_->call;
  for (Touched& touched : pending_->touched) {
    const auto impl = touched.impl.lock();
    if (!impl) continue;
    const at::Tensor tensor{impl};
    if (touched.undecided && tensor.has_storage()) {
      const bool copied = std::find(result_storages.begin(), result_storages.end(),
                                    table_.StorageOf(tensor)) == result_storages.end();
      if (copied) {
        const ValueId constant = MakeConstant(tensor);
        for (auto& argument : call.args) Replace(argument.value, touched.id, constant);
        touched.id = constant;
      }
    }
    const bool wrote = touched.writes || VersionOf(tensor) != touched.version;
    if (!wrote || std::find(call.mutated.begin(), call.mutated.end(), touched.id) != call.mutated.end())
      continue;
    if (!pending_->only_metadata) table_.SetMemory(tensor, TensorTable::Memory::kWritten);
    call.marks |= program::kMutates;
    call.mutated.push_back(touched.id);
    const auto index = static_cast<int32_t>(call.results.size() + call.mutated_to.size());
    call.mutated_to.push_back(NewResult(tensor, index, /*repoint=*/true));
  }
}

ValueId Recorder::NewResult(const at::Tensor& tensor, int32_t index, bool repoint) {
  const ValueId id =
      repoint ? table_.Add(tensor, ValueKind::kResult) : table_.AddBeside(tensor, ValueKind::kResult);
  program::Value& value = program_.values[static_cast<size_t>(id)];
  (phase_ == Phase::kInit ? value.init_producer : value.producer) = pending_->call.id;
  (phase_ == Phase::kInit ? value.init_result_index : value.result_index) = index;
  return id;
}

ValueId Recorder::ResultValue(const at::Tensor& tensor, int32_t index) {
  Call& call = pending_->call;
  const ValueId before = table_.Find(tensor);
  if (before == kNoId) {
    const ValueId id = NewResult(tensor, index, /*repoint=*/true);
    if (pending_->makes_unwritten) table_.SetMemory(tensor, TensorTable::Memory::kUnwritten);
    return id;
  }
  if (std::find(call.mutated_to.begin(), call.mutated_to.end(), before) != call.mutated_to.end()) {
    program::Value& value = program_.values[static_cast<size_t>(before)];
    (phase_ == Phase::kInit ? value.init_result_index : value.result_index) = index;
    return before;
  }
  // The operator handed an argument back. Plumbing (contiguous, to) then did nothing and its result is
  // nobody's; of anything else (dropout in eval) later readers read the result.
  const bool repoint = program::ClassifyName(program::OperatorName(call.op)) != program::OpClass::kPlumbing;
  const ValueId after = NewResult(tensor, index, repoint);
  if (repoint) renamed_[tensor.unsafeGetTensorImpl()] = {before, after, call.id};
  return after;
}

ValueId Recorder::Identify(const at::Tensor& tensor) {
  const ValueId known = table_.Find(tensor);
  if (known == kNoId) return table_.Add(tensor, ValueKind::kConstant);
  program::Value& value = program_.values[static_cast<size_t>(known)];
  const bool from_construction = value.kind == ValueKind::kResult && value.producer == kNoId;
  // A plain attribute, made while the model was built.
  if (phase_ == Phase::kForward && from_construction) value.kind = ValueKind::kConstant;
  return known;
}

ValueId Recorder::IdentifyOutput(const at::Tensor& tensor) {
  ValueId id = Identify(tensor);
  if (table_.IsUnwritten(tensor) && program_.value(id).kind != ValueKind::kConstant)
    id = MakeConstant(tensor);
  table_.Observe(id, tensor);
  return id;
}

std::optional<at::Tensor> Recorder::Separate(const at::Tensor& tensor) {
  const auto found = renamed_.find(tensor.unsafeGetTensorImpl());
  if (found == renamed_.end() || scopes_.empty()) return std::nullopt;
  const Rename rename = found->second;
  const bool inside = rename.call >= program_.invocations[static_cast<size_t>(scopes_.back().first)].begin;
  if (!inside || table_.Find(tensor) != rename.after) return std::nullopt;
  renamed_.erase(found);
  const at::DisableRecordFunctionGuard quiet;
  at::Tensor twin = at::alias(tensor);
  table_.Point(twin, rename.after);
  table_.Point(tensor, rename.before);
  return twin;
}

}  // namespace strata::capture
