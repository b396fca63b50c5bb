// The part of Recorder that is no callback: leaves and scopes.
#include <Python.h>

#include "worker/engine/capture/frames.h"
#include "worker/engine/capture/recorder.h"

namespace strata::capture {

using program::kNoId;
using program::Value;
using program::ValueId;
using program::ValueKind;

ValueId Recorder::AddInput(const at::Tensor& tensor, const std::string& path) {
  ValueId id = table_.Find(tensor);
  if (id == kNoId || program_.value(id).paths.empty()) {
    id = table_.Add(tensor, ValueKind::kInput);
    program_.values[static_cast<size_t>(id)].paths = {path};
  }
  return id;
}

ValueId Recorder::AddParameter(const at::Tensor& tensor, const std::string& path) {
  ValueId id = table_.Find(tensor);
  if (id == kNoId) id = table_.Add(tensor, ValueKind::kParameter);
  Value& value = program_.values[static_cast<size_t>(id)];
  value.kind = ValueKind::kParameter;
  value.paths.push_back(path);
  return id;
}

ValueId Recorder::AddBuffer(const at::Tensor& tensor, const std::string& path, bool persistent,
                            bool keep_data) {
  ValueId id = table_.Find(tensor);
  const auto built = built_.find(path);
  if (id == kNoId) {
    id = table_.Add(tensor, ValueKind::kBuffer);
    // Module.to() makes new buffers: by the path it is the one that was built, if the elements are.
    if (built != built_.end()) {
      Value& value = program_.values[static_cast<size_t>(id)];
      value.init_producer = program_.value(built->second).init_producer;
      value.init_result_index = program_.value(built->second).init_result_index;
    }
  }
  const bool first = program_.value(id).paths.empty();
  if (first) {
    const std::vector<uint8_t> remembered =
        built == built_.end() ? std::vector<uint8_t>{} : program_.value(built->second).data;
    table_.Snapshot(id, tensor);
    Value& value = program_.values[static_cast<size_t>(id)];
    value.kind = ValueKind::kBuffer;
    value.persistent = persistent;
    if (built == built_.end() || remembered != value.data) value.init_producer = kNoId;
    if (!keep_data) value.data.clear();
  }
  program_.values[static_cast<size_t>(id)].paths.push_back(path);
  return id;
}

void Recorder::RememberBuffer(const at::Tensor& tensor, const std::string& path) {
  const ValueId id = table_.Find(tensor);
  if (id == kNoId) return;
  table_.Snapshot(id, tensor);
  built_[path] = id;
}

void Recorder::Enter(program::Invocation invocation) {
  invocation.id = static_cast<program::InvocationId>(program_.invocations.size());
  invocation.parent = scopes_.empty() ? kNoId : scopes_.back().first;
  invocation.begin = invocation.end = static_cast<program::CallId>(program_.calls.size());
  scopes_.emplace_back(invocation.id, frames::Depth());
  program_.invocations.push_back(std::move(invocation));
}

void Recorder::Leave(program::Tree output) {
  if (scopes_.empty()) return;
  program::Invocation& invocation = program_.invocations[static_cast<size_t>(scopes_.back().first)];
  invocation.end = static_cast<program::CallId>(program_.calls.size());
  invocation.output = std::move(output);
  scopes_.pop_back();
}

void Recorder::Abandon() { Leave({}); }

}  // namespace strata::capture
