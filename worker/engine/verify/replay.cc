#include "worker/engine/verify/replay.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include "ATen/ATen.h"
#include "ATen/core/grad_mode.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "worker/engine/verify/boxed_call.h"

namespace strata::verify {
namespace {

using nlohmann::json;
using program::Call;
using program::Invocation;
using program::kNoId;
using program::Tree;
using program::Value;
using program::ValueId;
using program::ValueKind;

// The recorded tree and the one of a tensor file, walked together.
absl::Status Bind(const Tree& tree, const json& stored, const host::TensorFile& file,
                  std::vector<at::Tensor>& tensors) {
  if (tree.kind == Tree::Kind::kTensor) {
    const auto index = stored.value("kind", "") == "tensor" ? stored.value("index", size_t{0}) : SIZE_MAX;
    if (index >= file.tensors.size() || tree.value < 0)
      return absl::InvalidArgumentError("the recorded arguments are not those that the model was given");
    tensors[static_cast<size_t>(tree.value)] = file.tensors[index].second;
    return absl::OkStatus();
  }
  if (tree.items.empty()) return absl::OkStatus();
  const json items = stored.value("items", json::array());
  if (items.size() != tree.items.size())
    return absl::InvalidArgumentError("the recorded arguments are not those that the model was given");
  for (size_t i = 0; i < tree.items.size(); ++i) {
    STRATA_RETURN_IF_ERROR(Bind(tree.items[i], items[i], file, tensors));
  }
  return absl::OkStatus();
}

const char* KindName(Tree::Kind kind) {
  switch (kind) {
    case Tree::Kind::kTensor:
      return "tensor";
    case Tree::Kind::kNone:
      return "none";
    case Tree::Kind::kTuple:
    case Tree::Kind::kNamedTuple:
      return "tuple";
    case Tree::Kind::kList:
      return "list";
    case Tree::Kind::kDict:
      return "dict";
    case Tree::Kind::kDataclass:
      return "dataclass";
    case Tree::Kind::kLiteral:
      return "literal";
    case Tree::Kind::kOpaque:
      break;
  }
  return "opaque";
}

// "model.Output" -> "Output", as host/trees.py names classes
std::string ShortClass(const std::string& qualified) { return qualified.substr(qualified.rfind('.') + 1); }

class Collector {
 public:
  explicit Collector(Replay& replay) : replay_(replay) {}

  absl::StatusOr<json> Walk(const Tree& tree) {
    json out = {{"kind", KindName(tree.kind)}};
    if (tree.kind == Tree::Kind::kTensor) {
      STRATA_ASSIGN_OR_RETURN(out["index"], IndexOf(tree.value));
      return out;
    }
    if (tree.kind == Tree::Kind::kLiteral) out["value"] = tree.text;
    if (tree.kind == Tree::Kind::kNone || tree.kind == Tree::Kind::kLiteral) return out;
    out["class"] = ShortClass(tree.text);
    if (tree.kind == Tree::Kind::kOpaque) return out;
    if (tree.kind == Tree::Kind::kDict || tree.kind == Tree::Kind::kDataclass) out["keys"] = tree.keys;
    out["items"] = json::array();
    for (const Tree& item : tree.items) {
      STRATA_ASSIGN_OR_RETURN(json child, Walk(item));
      out["items"].push_back(std::move(child));
    }
    return out;
  }

  host::TensorFile file;

 private:
  absl::StatusOr<size_t> IndexOf(ValueId id) {
    const auto known = index_.find(id);
    if (known != index_.end()) return known->second;
    STRATA_ASSIGN_OR_RETURN(const at::Tensor tensor, replay_.Read(id));
    file.tensors.emplace_back(absl::StrCat("%", id), tensor);
    return index_[id] = file.tensors.size() - 1;
  }

  Replay& replay_;
  std::map<ValueId, size_t> index_;
};

// Whether the strides are those of a contiguous tensor with its dimensions in another order.
bool IsPermuted(const program::TensorType& type) {
  if (type.strides.size() != type.sizes.size()) return false;
  std::vector<std::pair<int64_t, int64_t>> order;
  for (size_t i = 0; i < type.sizes.size(); ++i) {
    if (type.sizes[i] != 1) order.emplace_back(type.strides[i], type.sizes[i]);
  }
  std::sort(order.begin(), order.end());
  int64_t expected = 1;
  for (const auto& [stride, size] : order) {
    if (stride != expected) return false;
    expected *= size;
  }
  return true;
}

// When invocations begin and end, in execution order.
struct Border {
  program::CallId at;
  bool enters;
  program::InvocationId invocation;
};

std::vector<Border> Borders(const program::Program& program) {
  std::vector<Border> borders;
  // Nested ones are inside: recorded in the order of their entry, left in the reverse.
  std::vector<const Invocation*> open;
  const auto close_until = [&](program::InvocationId parent) {
    for (; !open.empty() && open.back()->id != parent; open.pop_back()) {
      borders.push_back({open.back()->end, false, open.back()->id});
    }
  };
  for (const Invocation& invocation : program.invocations) {
    close_until(invocation.parent);
    borders.push_back({invocation.begin, true, invocation.id});
    open.push_back(&invocation);
  }
  close_until(kNoId);
  return borders;
}

}  // namespace

std::string Describe(const Call& call) {
  std::string text = absl::StrCat("#", call.id, " ", call.op);
  if (!call.frames.empty())
    absl::StrAppend(&text, " at ", BaseName(call.frames.back().file), ":", call.frames.back().line);
  return text;
}

std::vector<std::pair<std::string, Tree>> ArgumentTrees(const Invocation& invocation) {
  Tree args, kwargs;
  args.kind = Tree::Kind::kTuple;
  args.items = invocation.args;
  kwargs.kind = Tree::Kind::kDict;
  for (const auto& [name, tree] : invocation.kwargs) {
    kwargs.keys.push_back(absl::StrCat("'", name, "'"));
    kwargs.items.push_back(tree);
  }
  return {{"args", args}, {"kwargs", kwargs}};
}

absl::StatusOr<at::Tensor> TensorOf(const Value& value) {
  const at::ScalarType dtype = ToScalarType(value.type.dtype);
  int64_t count = 1;
  for (const int64_t size : value.type.sizes) {
    if (size < 0 || __builtin_mul_overflow(count, size, &count))
      return absl::InvalidArgumentError(absl::StrCat("%", value.id, " has an impossible shape"));
  }
  int64_t bytes = 0;
  if (dtype == at::ScalarType::Undefined ||
      __builtin_mul_overflow(count, static_cast<int64_t>(c10::elementSize(dtype)), &bytes) ||
      bytes != static_cast<int64_t>(value.data.size())) {
    return absl::InvalidArgumentError(absl::StrCat("the elements of %", value.id, " were not recorded (",
                                                   program::ShortName(value.type.dtype), ", ", count,
                                                   " elements)"));
  }
  at::Tensor plain = at::empty(value.type.sizes, dtype);
  if (bytes > 0) std::memcpy(plain.mutable_data_ptr(), value.data.data(), static_cast<size_t>(bytes));
  if (value.is_wrapped_number && value.type.sizes.empty()) {
    plain.unsafeGetTensorImpl()->set_wrapped_number(true);
    return plain;
  }
  // In memory as it was, because some operators add up in memory order.
  if (IsPermuted(value.type)) {
    plain = at::empty_strided(value.type.sizes, value.type.strides, plain.options()).copy_(plain);
  }
  return value.type.device == "cpu" ? plain : plain.to(at::Device(value.type.device));
}

Replay::Replay(const program::Program& program, Leaves leaves)
    : program_(program), leaves_(std::move(leaves)), tensors_(program.values.size()) {}

absl::Status Replay::BindInputs() {
  if (program_.invocations.empty()) return absl::InvalidArgumentError("no forward was recorded");
  for (const auto& [name, tree] : ArgumentTrees(program_.invocations[0])) {
    STRATA_RETURN_IF_ERROR(
        Bind(tree, leaves_.inputs.trees.value(name, json::object()), leaves_.inputs, tensors_));
  }
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> Replay::MakeLeaf(const Value& value) {
  if (value.kind == ValueKind::kParameter || value.kind == ValueKind::kBuffer) {
    for (const std::string& path : value.paths) {
      const auto found = leaves_.weights.find(path);
      if (found == leaves_.weights.end()) continue;
      const bool gradients = value.kind == ValueKind::kParameter &&
                             (found->second.is_floating_point() || found->second.is_complex());
      if (gradients && found->second.is_leaf()) found->second.requires_grad_(true);
      return found->second;
    }
    return TensorOf(value);
  }
  if (value.kind == ValueKind::kConstant) return TensorOf(value);
  return absl::InvalidArgumentError(absl::StrCat("%", value.id, " is read before anything made it"));
}

absl::StatusOr<at::Tensor> Replay::Read(ValueId id) {
  if (id < 0 || static_cast<size_t>(id) >= tensors_.size())
    return absl::InvalidArgumentError(absl::StrCat("there is no value %", id));
  at::Tensor& tensor = tensors_[static_cast<size_t>(id)];
  if (!tensor.defined()) {
    STRATA_ASSIGN_OR_RETURN(tensor, MakeLeaf(program_.value(id)));
  }
  return tensor;
}

absl::Status Replay::Execute(const Call& call) {
  const absl::StatusOr<std::vector<at::Tensor>> results =
      CallBoxed(call, [this](ValueId id) { return Read(id); });
  if (!results.ok()) return results.status();
  if (results->size() != call.results.size())
    return absl::InvalidArgumentError("it gives another number of results than was recorded");
  for (size_t i = 0; i < call.mutated.size() && i < call.mutated_to.size(); ++i) {
    if (call.mutated[i] < 0 || call.mutated_to[i] < 0) continue;
    STRATA_ASSIGN_OR_RETURN(const at::Tensor written, Read(call.mutated[i]));
    Set(call.mutated_to[i], written);
  }
  for (size_t i = 0; i < results->size(); ++i) {
    if (call.results[i] >= 0) Set(call.results[i], (*results)[i]);
  }
  return absl::OkStatus();
}

absl::Status Replay::Run(int64_t seed, const Hooks& hooks) {
  const at::NoGradGuard no_grad;
  STRATA_RETURN_IF_ERROR(BindInputs());
  at::manual_seed(static_cast<uint64_t>(seed));
  const std::vector<Border> borders = Borders(program_);
  size_t next = 0;
  const auto cross = [&](program::CallId at) -> absl::Status {
    for (; next < borders.size() && borders[next].at <= at; ++next) {
      const Invocation& invocation = program_.invocations[static_cast<size_t>(borders[next].invocation)];
      const auto& hook = borders[next].enters ? hooks.enter : hooks.leave;
      if (hook) STRATA_RETURN_IF_ERROR(hook(invocation));
    }
    return absl::OkStatus();
  };
  for (const Call& call : program_.calls) {
    STRATA_RETURN_IF_ERROR(cross(call.id));
    if (!hooks.before_call || hooks.before_call(call)) {
      if (absl::Status done = Execute(call); !done.ok())
        return absl::InvalidArgumentError(absl::StrCat(Describe(call), ": ", done.message()));
    }
    if (hooks.after_call) hooks.after_call(call);
  }
  return cross(static_cast<program::CallId>(program_.calls.size()));
}

absl::StatusOr<host::TensorFile> Replay::Collect(const std::vector<std::pair<std::string, Tree>>& trees) {
  Collector collector(*this);
  for (const auto& [name, tree] : trees) {
    STRATA_ASSIGN_OR_RETURN(collector.file.trees[name], collector.Walk(tree));
  }
  return std::move(collector.file);
}

absl::StatusOr<host::TensorFile> Replay::Outputs() {
  return Collect({{"output", program_.invocations.at(0).output}});
}

}  // namespace strata::verify
