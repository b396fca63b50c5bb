#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/engine/program/codec.h"

namespace strata::program {
namespace {

constexpr int kMaxDepth = 1000;

// Collects the first id that points outside its table.
class Checker {
 public:
  explicit Checker(const Program& program) : p_(program) {}

  absl::Status Run() {
    for (size_t i = 0; i < p_.values.size(); ++i) CheckValue(p_.values[i], i);
    for (size_t i = 0; i < p_.modules.size(); ++i) CheckModule(p_.modules[i], i);
    for (size_t i = 0; i < p_.calls.size(); ++i) CheckCall(p_.calls[i], i, /*init=*/false);
    for (size_t i = 0; i < p_.init_calls.size(); ++i) CheckCall(p_.init_calls[i], i, /*init=*/true);
    for (size_t i = 0; i < p_.invocations.size(); ++i) CheckInvocation(p_.invocations[i], i);
    return error_.empty() ? absl::OkStatus() : absl::DataLossError(absl::StrCat("program: ", error_));
  }

 private:
  void Require(bool ok, const char* table, size_t index, const char* field, int64_t id) {
    if (!ok && error_.empty())
      error_ = absl::StrCat(table, " ", index, ": ", field, " is ", id, ", which cannot be");
  }
  static bool In(int64_t id, size_t count) { return id >= 0 && static_cast<uint64_t>(id) < count; }
  bool MaybeValue(ValueId id) const { return id == kNoId || In(id, p_.values.size()); }

  void CheckValue(const Value& v, size_t i) {
    Require(v.id == static_cast<int64_t>(i), "value", i, "id", v.id);
    Require(v.storage == kNoId || In(v.storage, p_.values.size()), "value", i, "storage", v.storage);
    CheckProducer(v, i, p_.calls, v.producer, v.result_index, "producer");
    CheckProducer(v, i, p_.init_calls, v.init_producer, v.init_result_index, "init_producer");
    Require(v.type.strides.size() == v.type.sizes.size(), "value", i, "strides",
            static_cast<int64_t>(v.type.strides.size()));
    for (int64_t size : v.type.sizes) Require(size >= 0, "value", i, "size", size);
  }

  // An in-place call makes its value among `mutated_to`, so that result_index may point past `results`.
  void CheckProducer(const Value&, size_t i, const std::vector<Call>& calls, CallId producer, int32_t index,
                     const char* field) {
    if (producer == kNoId) return;
    Require(In(producer, calls.size()), "value", i, field, producer);
    if (!In(producer, calls.size())) return;
    const Call& call = calls[static_cast<size_t>(producer)];
    Require(In(index, std::max<size_t>(1, call.results.size() + call.mutated_to.size())), "value", i,
            "result_index", index);
  }

  void CheckModule(const Module& m, size_t i) {
    Require(m.id == static_cast<int64_t>(i), "module", i, "id", m.id);
    Require(!m.paths.empty(), "module", i, "path", 0);
    for (const auto& [name, id] : m.parameters)
      Require(In(id, p_.values.size()), "module", i, "parameter", id);
    for (const auto& [name, id] : m.buffers) Require(In(id, p_.values.size()), "module", i, "buffer", id);
    for (const auto& [name, id] : m.children) Require(In(id, p_.modules.size()), "module", i, "child", id);
  }

  void CheckArgument(const Argument& a, const char* table, size_t i) {
    if (a.kind == Argument::Kind::kValue)
      Require(In(a.value, p_.values.size()), table, i, "argument", a.value);
    for (const Argument& item : a.items) CheckArgument(item, table, i);
  }

  void CheckCall(const Call& c, size_t i, bool init) {
    const char* table = init ? "init call" : "call";
    Require(c.id == static_cast<int64_t>(i), table, i, "id", c.id);
    for (const NamedArgument& a : c.args) CheckArgument(a.value, table, i);
    for (ValueId id : c.results) Require(MaybeValue(id), table, i, "result", id);
    for (ValueId id : c.mutated) Require(In(id, p_.values.size()), table, i, "mutated", id);
    for (ValueId id : c.mutated_to) Require(In(id, p_.values.size()), table, i, "mutated_to", id);
    Require(c.mutated.size() == c.mutated_to.size(), table, i, "mutated_to",
            static_cast<int64_t>(c.mutated_to.size()));
    if (init && c.scope == kNoId) return;
    Require(In(c.scope, p_.invocations.size()), table, i, "scope", c.scope);
    if (init || !In(c.scope, p_.invocations.size())) return;
    const Invocation& scope = p_.invocations[static_cast<size_t>(c.scope)];
    Require(scope.begin <= c.id && c.id < scope.end, table, i, "scope", c.scope);
  }

  void CheckTree(const Tree& t, size_t i) {
    if (t.kind == Tree::Kind::kTensor)
      Require(In(t.value, p_.values.size()), "invocation", i, "tensor", t.value);
    const bool keyed =
        t.kind == Tree::Kind::kDict || t.kind == Tree::Kind::kDataclass || t.kind == Tree::Kind::kNamedTuple;
    if (keyed)
      Require(t.keys.size() == t.items.size(), "invocation", i, "keys", static_cast<int64_t>(t.keys.size()));
    for (const Tree& item : t.items) CheckTree(item, i);
  }

  // Inside the parent's calls, and no deeper than recursion over scopes can go.
  void CheckNesting(const Invocation& v, size_t i) {
    depths_.push_back(0);
    if (!In(v.parent, i)) return;
    const Invocation& parent = p_.invocations[static_cast<size_t>(v.parent)];
    Require(parent.begin <= v.begin && v.end <= parent.end, "invocation", i, "parent", v.parent);
    depths_[i] = depths_[static_cast<size_t>(v.parent)] + 1;
    Require(depths_[i] <= kMaxDepth, "invocation", i, "depth", depths_[i]);
  }

  void CheckInvocation(const Invocation& v, size_t i) {
    Require(v.id == static_cast<int64_t>(i), "invocation", i, "id", v.id);
    // Parents come first: this also rules out cycles.
    Require(i == 0 ? v.parent == kNoId : In(v.parent, i), "invocation", i, "parent", v.parent);
    Require(In(v.module, p_.modules.size()), "invocation", i, "module", v.module);
    Require(v.begin >= 0 && v.begin <= v.end && static_cast<size_t>(v.end) <= p_.calls.size(), "invocation",
            i, "end", v.end);
    CheckNesting(v, i);
    for (const Tree& t : v.args) CheckTree(t, i);
    for (const auto& [name, t] : v.kwargs) CheckTree(t, i);
    CheckTree(v.output, i);
  }

  const Program& p_;
  std::vector<int> depths_;  // of the invocations so far
  std::string error_;
};

}  // namespace

absl::Status CheckIds(const Program& program) { return Checker(program).Run(); }

}  // namespace strata::program
