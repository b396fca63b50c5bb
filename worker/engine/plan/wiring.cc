#include "worker/engine/plan/wiring.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/pattern_tools.h"
#include "worker/engine/plan/text.h"
#include "worker/engine/program/plumbing.h"

namespace strata::plan {

using program::Call;
using program::CallId;
using program::kNoId;
using program::ValueId;
using program::ValueKind;

namespace {

bool HoldsWeight(const PartContext& context, const Call& call) {
  for (ValueId operand : patterns::Tensors(context.flow, call)) {
    if (context.program.value(operand).kind == ValueKind::kBuffer ||
        patterns::IsWeight(context.flow, operand))
      return true;
  }
  return false;
}

// Reads that a component holds itself and that are therefore no wire.
bool IsOwn(const program::Value& value) {
  return value.kind == ValueKind::kParameter || value.kind == ValueKind::kBuffer ||
         value.kind == ValueKind::kConstant;
}

}  // namespace

Traits TraitsOf(const PartContext& context, const Part& part) {
  Traits traits;
  if (part.kind != Part::Kind::kKernel) return traits;
  for (CallId id : context.kernel(part).calls) {
    const Call& call = context.program.call(id);
    const std::string op = NameOf(call);
    if (IsContraction(op)) {
      traits.contraction = true;
      traits.attention |= IsAttentionOp(op);
      const bool holds = HoldsWeight(context, call);
      traits.projection |= holds && !IsRecurrent(op);
      traits.linear |= holds && (IsLinear(op) || IsMatmul(op));
      traits.mixing |= !holds && !IsRecurrent(op);
    }
    traits.pool |= IsPool(op);
    traits.dropout |= IsDropout(op);
    traits.activation |= IsActivation(op);
    traits.softmax |= IsSoftmax(op);
    traits.norm |= IsNormalisation(op);
  }
  const std::string& operation = part.operation;
  traits.softmax |= operation == "softmax" || operation == "masked_softmax";
  traits.activation |= operation.starts_with("gelu") || operation == "swish" || operation == "mish" ||
                       operation == "quick_gelu" || operation == "hardswish";
  return traits;
}

Wiring::Wiring(const PartContext& context, const std::vector<Part>& parts)
    : context_(context), parts_(parts) {
  Connect();
}

void Wiring::Connect() {
  const size_t count = parts_.size();
  reads_.resize(count);
  makes_.resize(count);
  std::vector<std::vector<CallId>> calls(count);
  std::set<CallId> inside;
  for (size_t i = 0; i < count; ++i) {
    traits_.push_back(TraitsOf(context_, parts_[i]));
    calls[i] = CallsOf(context_, parts_[i]);
    inside.insert(calls[i].begin(), calls[i].end());
    for (CallId call : calls[i]) {
      for (ValueId made : context_.flow.makes(call)) producer_[made] = i;
    }
    for (const Kernel* kernel : KernelsOf(context_, parts_[i])) {
      if (kernel->parameter == kNoId) continue;
      producer_[kernel->parameter] = i;
      makes_[i].push_back(kernel->parameter);
    }
  }
  for (size_t i = 0; i < count; ++i) {
    for (CallId call : calls[i]) {
      for (ValueId read : patterns::Tensors(context_.flow, context_.program.call(call))) {
        const int from = producer(read);
        if (from == static_cast<int>(i) || (from < 0 && IsOwn(context_.program.value(read)))) continue;
        if (std::find(reads_[i].begin(), reads_[i].end(), read) != reads_[i].end()) continue;
        reads_[i].push_back(read);
        readers_[read].push_back(i);
      }
    }
  }
  for (size_t i = 0; i < count; ++i) {
    for (CallId call : calls[i]) {
      for (ValueId made : context_.flow.makes(call)) {
        bool out = context_.flow.is_output(made);
        for (CallId reader : context_.flow.readers(made)) out = out || !inside.contains(reader);
        escapes_[made] = out;
        if (out || readers_.contains(made)) makes_[i].push_back(made);
      }
    }
  }
  reach_.assign(count, std::vector<bool>(count, false));
  for (size_t j = 0; j < count; ++j) {  // parts are in dependency order
    for (ValueId read : reads_[j]) {
      const int i = producer(read);
      if (i < 0) continue;
      reach_[static_cast<size_t>(i)][j] = true;
      for (size_t k = 0; k < j; ++k) {
        if (reach_[k][static_cast<size_t>(i)]) reach_[k][j] = true;
      }
    }
  }
}

int Wiring::producer(ValueId value) const {
  const auto it = producer_.find(value);
  return it == producer_.end() ? -1 : static_cast<int>(it->second);
}

const std::vector<size_t>& Wiring::readers(ValueId value) const {
  static const auto* const kNone = new std::vector<size_t>;
  const auto it = readers_.find(value);
  return it == readers_.end() ? *kNone : it->second;
}

bool Wiring::escapes(ValueId value) const {
  const auto it = escapes_.find(value);
  return it != escapes_.end() && it->second;
}

std::optional<Wiring::Step> Wiring::Straight(size_t i, std::string* cut) const {
  std::string unused;
  std::string& why = cut ? *cut : unused;
  Step step;
  size_t at = i;
  while (true) {
    if (makes_[at].size() != 1) {
      why = makes_[at].empty() ? "the model ends here" : absl::StrCat(Describe(at), " has several results");
      return std::nullopt;
    }
    const ValueId value = makes_[at][0];
    const std::vector<size_t>& next = readers(value);
    if (escapes(value)) {
      why = next.empty() ? std::string("nothing follows it here")
                         : absl::StrCat("the result of ", Describe(at), " leaves the scope and is read on");
      return std::nullopt;
    }
    if (next.size() != 1) {
      std::vector<std::string> names;
      for (size_t reader : next) names.push_back(Describe(reader));
      why = absl::StrCat("the result of ", Describe(at), " branches to ", Enumerate(names));
      return std::nullopt;
    }
    at = next[0];
    for (ValueId read : reads_[at]) {
      if (read == value || (producer(read) < 0 && !is_dependent(read))) continue;
      if (!parts_[at].is_unit() && IsSideInput(read, at)) continue;
      why = absl::StrCat(Describe(at), " also takes ", DescribeSource(read));
      return std::nullopt;
    }
    if (parts_[at].is_unit()) {
      step.next = at;
      return step;
    }
    step.between.push_back(at);
  }
}

int Wiring::Root(ValueId value) const {
  while (true) {
    const int from = producer(value);
    if (from < 0 || parts_[static_cast<size_t>(from)].is_unit()) return from;
    const std::vector<ValueId>& reads = reads_[static_cast<size_t>(from)];
    if (reads.size() != 1) return from;
    value = reads[0];
  }
}

ValueId Wiring::Origin(ValueId value) const {
  for (int from = producer(value); from >= 0; from = producer(value)) {
    const auto i = static_cast<size_t>(from);
    if (parts_[i].is_unit() || reads_[i].size() != 1) break;
    value = reads_[i][0];
  }
  return value;
}

bool Wiring::IsSideInput(ValueId value, size_t reader) const {
  return producer(value) < 0 && readers(value) == std::vector<size_t>{reader};
}

bool Wiring::Close(std::vector<size_t>* members, bool components) const {
  std::set<size_t> all(members->begin(), members->end());
  for (size_t i = 0; i < size(); ++i) {
    if (all.contains(i)) continue;
    const bool above = std::any_of(members->begin(), members->end(), [&](size_t m) { return reach_[m][i]; });
    const bool below = std::any_of(members->begin(), members->end(), [&](size_t m) { return reach_[i][m]; });
    if (!above || !below) continue;
    if (!components && parts_[i].is_unit() && parts_[i].kind != Part::Kind::kKernel) return false;
    all.insert(i);
  }
  members->assign(all.begin(), all.end());
  return true;
}

std::vector<ValueId> Wiring::Operands(size_t i) const {
  std::vector<ValueId> operands;
  for (ValueId read : program::Reads(context_.program.call(parts_[i].call))) {
    if (!context_.program.value(read).is_wrapped_number && is_dependent(read)) operands.push_back(read);
  }
  return operands;
}

// `value` comes from outside and nothing on the way to `other` reads it.
bool Wiring::IsUnrelated(ValueId value, ValueId other) const {
  const ValueId origin = Origin(value);
  if (producer(origin) >= 0) return false;
  const int root = Root(other);
  if (root < 0) return Origin(other) != origin;
  const auto r = static_cast<size_t>(root);
  const auto& read_by = readers(origin);
  return std::none_of(read_by.begin(), read_by.end(), [&](size_t i) { return i == r || reach_[i][r]; });
}

std::optional<Join> Wiring::JoinAt(size_t i) const {
  const Call& call = context_.program.call(parts_[i].call);
  const std::string op = NameOf(call);
  const std::vector<ValueId> operands = Operands(i);
  const auto has_unit = [&](int root) {
    if (root < 0) return false;
    const auto r = static_cast<size_t>(root);
    if (parts_[r].is_unit()) return true;
    for (size_t k = 0; k < r; ++k) {
      if (parts_[k].is_unit() && reach_[k][r]) return true;
    }
    return false;
  };
  if (op == "add" && operands.size() == 2 && operands[0] != operands[1]) {
    const auto& left = context_.program.value(operands[0]).type.sizes;
    if (left != context_.program.value(operands[1]).type.sizes) return std::nullopt;
    const int a = Root(operands[0]), b = Root(operands[1]);
    if (a == b || (!has_unit(a) && !has_unit(b))) return std::nullopt;
    if (IsUnrelated(operands[0], operands[1]) || IsUnrelated(operands[1], operands[0])) return std::nullopt;
    const bool outside = a < 0 || b < 0;
    const bool ancestor = !outside && (reach_[static_cast<size_t>(a)][static_cast<size_t>(b)] ||
                                       reach_[static_cast<size_t>(b)][static_cast<size_t>(a)]);
    return Join{i, outside || ancestor,
                absl::StrCat("the add at ", Place(call), " joins ", DescribeSource(operands[0]), " and ",
                             DescribeSource(operands[1]))};
  }
  if (op == "cat" || op == "stack" || op == "concat" || op == "hstack" || op == "vstack") {
    std::set<int> roots;
    bool any_unit = false;
    std::vector<std::string> sources;
    for (ValueId operand : operands) {
      const int root = Root(operand);
      const bool unrelated = std::none_of(operands.begin(), operands.end(), [&](ValueId other) {
        return other != operand && !IsUnrelated(operand, other);
      });
      if (unrelated || !roots.insert(root).second) continue;
      any_unit = any_unit || has_unit(root);
      sources.push_back(DescribeSource(operand));
    }
    if (roots.size() < 2 || !any_unit) return std::nullopt;
    return Join{i, false, absl::StrCat("the ", op, " at ", Place(call), " rejoins ", Enumerate(sources))};
  }
  return std::nullopt;
}

std::vector<Join> Wiring::Joins() const {
  std::vector<Join> joins;
  for (size_t i = 0; i < size(); ++i) {
    if (parts_[i].is_unit()) continue;
    if (std::optional<Join> join = JoinAt(i)) joins.push_back(*std::move(join));
  }
  return joins;
}

std::string Wiring::Describe(size_t i) const {
  const Part& part = parts_[i];
  if (part.kind == Part::Kind::kCall) {
    const Call& call = context_.program.call(part.call);
    return absl::StrCat("the ", NameOf(call), " at ", Place(call));
  }
  if (part.kind == Part::Kind::kScope ||
      (part.kind == Part::Kind::kKernel && context_.kernel(part).module != kNoId)) {
    const std::string& path = ModulePath(context_.program, part.scope);
    if (!path.empty()) return path;
  }
  if (part.kind == Part::Kind::kKernel && !context_.kernel(part).calls.empty()) {
    const std::string place = Place(context_.program.call(context_.kernel(part).calls.back()));
    return place.empty() ? part.operation : absl::StrCat(part.operation, " at ", place);
  }
  return part.operation;
}

std::string Wiring::DescribeSource(ValueId value) const {
  const int root = Root(value);
  if (root >= 0) return absl::StrCat("the result of ", Describe(static_cast<size_t>(root)));
  const program::InvocationId scope = parts_.empty() ? 0 : ScopeOf(context_, parts_);
  const program::Invocation& invocation = context_.program.invocations[static_cast<size_t>(scope)];
  while (producer(value) >= 0) value = reads_[static_cast<size_t>(producer(value))][0];
  for (size_t k = 0; k < invocation.args.size() && k < invocation.parameter_names.size(); ++k) {
    const std::vector<ValueId> tensors = program::Tensors(invocation.args[k]);
    if (std::find(tensors.begin(), tensors.end(), value) != tensors.end())
      return invocation.parameter_names[k];
  }
  const program::Value& v = context_.program.value(value);
  if (!v.paths.empty()) return v.paths[0];
  return "a value from outside";
}

}  // namespace strata::plan
