#include "worker/engine/emit/class_builder.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "worker/engine/emit/application.h"
#include "worker/engine/emit/forward_writer.h"
#include "worker/engine/emit/helper_functions.h"
#include "worker/engine/emit/hoisting.h"
#include "worker/engine/emit/input_names.h"
#include "worker/engine/emit/members.h"
#include "worker/engine/emit/refactored_class.h"
#include "worker/engine/emit/slice.h"

namespace strata::emit {
namespace {

using program::Call;
using program::CallId;
using program::Invocation;
using program::InvocationId;
using program::kNoId;
using program::Module;
using program::Tree;
using program::Value;
using program::ValueId;
using program::ValueKind;

bool IsHeldKind(const Value& value) {
  return value.kind == ValueKind::kParameter || value.kind == ValueKind::kBuffer ||
         (value.kind == ValueKind::kConstant && !value.is_wrapped_number);
}

// What all classes of one file share.
struct Shared {
  const Slice& slice;
  const Spelling& spelling;
  std::vector<Helper> helpers;
  std::vector<ClassText> nested;
  bool packed = false;
  std::vector<std::string> packed_notes;
};

class ClassBuilder {
 public:
  ClassBuilder(Shared& shared, InvocationId scope, std::string module_path)
      : shared_(shared),
        slice_(shared.slice),
        program_(shared.slice.program()),
        scope_(scope),
        module_path_(std::move(module_path)) {}

  absl::StatusOr<ClassText> Build(const std::vector<CallId>& calls,
                                  const std::vector<std::pair<std::string, ValueId>>& inputs,
                                  const std::vector<ValueId>& outputs);

 private:
  void Start(const std::vector<std::pair<std::string, ValueId>>& inputs, const std::vector<ValueId>& outputs);
  absl::Status Walk(InvocationId scope, const std::vector<CallId>& calls);
  size_t WalkHelper(const std::vector<CallId>& calls, size_t begin);
  absl::StatusOr<bool> TryApply(InvocationId id);
  absl::StatusOr<std::optional<Member>> MakeMember(InvocationId id);
  std::optional<Member> LeafMember(const Invocation& invocation) const;
  absl::StatusOr<std::optional<Member>> SequentialMember(const Invocation& invocation);
  absl::StatusOr<std::optional<Member>> NestedMember(const Invocation& invocation);
  bool LoneLeaf(const std::vector<CallId>& calls);

  void Place(const Module& module, Member& member);
  size_t Register(Member member);
  void HoldValues();
  void NameCallees();

  Shared& shared_;
  const Slice& slice_;
  const program::Program& program_;
  const InvocationId scope_;
  const std::string module_path_;
  Function function_;
  std::vector<Member> members_;
  std::vector<int64_t> member_of_step_;  // parallel to function_.steps, -1 for calls
  std::map<program::ModuleId, size_t> member_of_module_;
  std::map<std::string, int64_t> list_sizes_;
  std::set<program::ModuleId> transparent_;  // modules whose invocations do different things
  size_t frame_depth_ = 0;  // how many frames of the author's lie above this class's own statements
  bool restart_ = false;
};

absl::StatusOr<ClassText> ClassBuilder::Build(const std::vector<CallId>& calls,
                                              const std::vector<std::pair<std::string, ValueId>>& inputs,
                                              const std::vector<ValueId>& outputs) {
  do {
    Start(inputs, outputs);
    restart_ = false;
    if (LoneLeaf(calls)) break;
    std::vector<CallId> own;
    std::copy_if(calls.begin(), calls.end(), std::back_inserter(own),
                 [&](CallId c) { return program_.call(c).scope == scope_; });
    frame_depth_ = SharedFrames(program_, own);
    absl::Status walked = Walk(scope_, calls);
    if (!walked.ok()) return walked;
  } while (restart_);
  HoldValues();
  NameMembers(members_, list_sizes_);
  NameCallees();

  absl::StatusOr<InitText> init = WriteInit(program_, members_, shared_.spelling.literal);
  if (!init.ok()) return init.status();
  shared_.packed |= init->packed;
  shared_.packed_notes.insert(shared_.packed_notes.end(), init->packed_notes.begin(),
                              init->packed_notes.end());
  ClassText text;
  text.init = std::move(init->lines);
  text.dimensions = std::move(init->dimensions);
  std::map<ValueId, std::string> first_key;
  for (const Member& member : members_) {
    for (const StateEntry& entry : member.state) {
      const std::string key = entry.key.empty() ? member.name : absl::StrCat(member.name, ".", entry.key);
      const auto [first, is_new] = first_key.emplace(entry.value, key);
      const bool tied = !is_new && program_.value(entry.value).kind == ValueKind::kParameter;
      if (tied) {
        text.init.push_back(
            absl::StrCat("self.", AttributePath(key), " = self.", AttributePath(first->second), "  # tied"));
      }
      text.state.push_back({key, entry.value});
    }
  }
  HoistNumbers(program_, function_, text);
  ForwardOptions options;
  options.aten = shared_.spelling.aten;
  absl::StatusOr<Lines> forward = WriteForward(program_, function_, options);
  if (!forward.ok()) return forward.status();
  text.forward = *std::move(forward);
  return text;
}

void ClassBuilder::Start(const std::vector<std::pair<std::string, ValueId>>& inputs,
                         const std::vector<ValueId>& outputs) {
  function_ = Function();
  function_.parameters = inputs;
  function_.returns = outputs;
  function_.twins = slice_.twins();
  function_.follow_first = slice_.node().form == plan::NodeForm::kSlice && scope_ == slice_.node().scope;
  members_.clear();
  member_of_step_.clear();
  member_of_module_.clear();
}

// A kernel of one operator that torch.nn has a module for: F.linear(x, weight) as nn.Linear.
bool ClassBuilder::LoneLeaf(const std::vector<CallId>& calls) {
  if (calls.size() != 1 || slice_.node().level != plan::Level::kKernel) return false;
  const Call& call = program_.call(calls[0]);
  if (shared_.spelling.aten.count(call.id) > 0 || call.results.empty()) return false;
  if (call.scope != kNoId && call.scope != scope_) return false;
  std::vector<ValueId> operands;
  const std::optional<Leaf> leaf = LeafOfCall(program_, call, &operands);
  if (!leaf) return false;
  Member member;
  member.base = leaf->member;
  member.constructor = leaf->constructor;
  for (const auto& [key, value] : leaf->state) {
    if (slice_.IsInput(value)) return false;
    member.state.push_back({key, value});
  }
  Step step;
  step.apply.emplace();
  step.apply->inputs = operands;
  step.apply->outputs = {call.results[0]};
  function_.steps.push_back(step);
  member_of_step_.push_back(0);
  members_.push_back(std::move(member));
  return true;
}

absl::Status ClassBuilder::Walk(InvocationId scope, const std::vector<CallId>& calls) {
  for (size_t i = 0; i < calls.size();) {
    const InvocationId child = slice_.ChildOf(scope, program_.call(calls[i]).scope);
    if (child == kNoId) {
      if (const size_t end = WalkHelper(calls, i); end > i) {
        i = end;
        continue;
      }
      Step step;
      step.call = calls[i++];
      function_.steps.push_back(step);
      member_of_step_.push_back(-1);
      continue;
    }
    std::vector<CallId> inner;
    while (i < calls.size() && slice_.ChildOf(scope, program_.call(calls[i]).scope) == child)
      inner.push_back(calls[i++]);
    absl::StatusOr<bool> applied = slice_.HasWhole(child) ? TryApply(child) : absl::StatusOr<bool>(false);
    if (!applied.ok()) return applied.status();
    if (restart_) return absl::OkStatus();
    if (*applied) continue;
    absl::Status walked = Walk(child, inner);
    if (!walked.ok()) return walked;
  }
  return absl::OkStatus();
}

// The calls of one helper function as its application; returns where they end, `begin` where there are none.
size_t ClassBuilder::WalkHelper(const std::vector<CallId>& calls, size_t begin) {
  const std::optional<HelperRun> run = FindHelperRun(program_, calls, begin, frame_depth_);
  if (!run) return begin;
  const std::vector<CallId> inner(calls.begin() + static_cast<int64_t>(begin),
                                  calls.begin() + static_cast<int64_t>(run->end));
  for (const CallId c : inner) {
    if (shared_.spelling.aten.count(c) > 0) return begin;
  }
  std::optional<Apply> apply =
      ApplyHelper(slice_, inner, run->function, function_.parameters, shared_.helpers);
  if (!apply) return begin;
  Step step;
  step.apply = std::move(*apply);
  function_.steps.push_back(step);
  member_of_step_.push_back(-1);
  return run->end;
}

// Writes the invocation as one application of a member; false where its calls must stand inline.
absl::StatusOr<bool> ClassBuilder::TryApply(InvocationId id) {
  const Invocation& invocation = program_.invocations.at(static_cast<size_t>(id));
  const Module& module = program_.modules.at(static_cast<size_t>(invocation.module));
  if (transparent_.count(module.id) > 0) return false;
  absl::StatusOr<std::optional<Member>> made = MakeMember(id);
  if (!made.ok()) return made.status();
  if (!made->has_value()) return false;
  Member member = *std::move(*made);

  std::optional<Apply> apply = ApplicationOf(slice_, id, member.state);
  if (!apply) return false;
  const auto known = member_of_module_.find(module.id);
  if (known != member_of_module_.end()) {
    if (members_[known->second].constructor.callee != member.constructor.callee) {
      transparent_.insert(module.id);
      restart_ = true;
      return true;
    }
  } else {
    Place(module, member);
  }
  const size_t position = known != member_of_module_.end() ? known->second : Register(std::move(member));
  Step step;
  step.apply = std::move(*apply);
  function_.steps.push_back(step);
  member_of_step_.push_back(static_cast<int64_t>(position));
  return true;
}

absl::StatusOr<std::optional<Member>> ClassBuilder::MakeMember(InvocationId id) {
  const Invocation& invocation = program_.invocations.at(static_cast<size_t>(id));
  const Module& module = program_.modules.at(static_cast<size_t>(invocation.module));
  absl::StatusOr<std::optional<Member>> member = std::optional<Member>();
  if (module.is_container) {
    member = SequentialMember(invocation);
  } else if (module.is_torch_nn) {
    member = LeafMember(invocation);
  } else {
    member = NestedMember(invocation);
  }
  if (member.ok() && member->has_value()) (*member)->module = module.id;
  return member;
}

std::optional<Member> ClassBuilder::LeafMember(const Invocation& invocation) const {
  const Module& module = program_.modules.at(static_cast<size_t>(invocation.module));
  if (!module.settings_known) return std::nullopt;
  for (const CallId c : slice_.CallsOf(invocation.id)) {
    if (shared_.spelling.aten.count(c) > 0) return std::nullopt;
  }
  const Leaf leaf = LeafOfModule(program_, module);
  Member member;
  member.base = leaf.member;
  member.constructor = leaf.constructor;
  // Weights of modules inside (MultiheadAttention's out_proj).
  const std::function<void(const Module&, const std::string&)> hold = [&](const Module& m,
                                                                          const std::string& prefix) {
    for (const auto& [name, value] : LeafOfModule(program_, m).state)
      member.state.push_back({prefix + name, value});
    for (const auto& [name, child] : m.children)
      hold(program_.modules.at(static_cast<size_t>(child)), absl::StrCat(prefix, name, "."));
  };
  hold(module, "");
  // A weight from elsewhere (weight_norm's product, a functional call) is no nn constructor's business.
  for (const ValueId id : OperandsOf(slice_, invocation.id, member.state)) {
    const Value& value = program_.value(id);
    if (value.kind == ValueKind::kParameter) return std::nullopt;
  }
  return member;
}

// nn.Sequential, if every element runs once, each on what the one before left.
absl::StatusOr<std::optional<Member>> ClassBuilder::SequentialMember(const Invocation& invocation) {
  const Module& module = program_.modules.at(static_cast<size_t>(invocation.module));
  const std::vector<InvocationId> children = slice_.ChildrenOf(invocation.id);
  if (module.class_name != "Sequential" || children.size() != module.children.size())
    return std::optional<Member>();
  Member member;
  member.kind = Member::Kind::kSequential;
  ValueId flowing = kNoId;
  size_t inside = 0;
  for (size_t i = 0; i < children.size(); ++i) {
    const Invocation& child = program_.invocations.at(static_cast<size_t>(children[i]));
    if (child.module != module.children[i].second || module.children[i].first != absl::StrCat(i))
      return std::optional<Member>();
    absl::StatusOr<std::optional<Member>> element = MakeMember(child.id);
    if (!element.ok()) return element.status();
    if (!element->has_value()) return std::optional<Member>();
    const std::vector<CallId> calls = slice_.CallsOf(child.id);
    if (!calls.empty()) {
      const auto in = OperandsOf(slice_, child.id, (*element)->state);
      const auto out = slice_.Outputs(calls);
      if (in.size() != 1 || out.size() != 1 || (flowing != kNoId && in[0] != flowing))
        return std::optional<Member>();
      flowing = out[0];
    }
    inside += calls.size();
    for (const StateEntry& entry : (*element)->state)
      member.state.push_back({absl::StrCat(i, ".", entry.key), entry.value});
    member.elements.push_back(*std::move(*element));
  }
  if (inside != slice_.CallsOf(invocation.id).size()) return std::optional<Member>();
  return std::optional<Member>(std::move(member));
}

// A custom module: a class of its own, shared by all modules that read alike.
absl::StatusOr<std::optional<Member>> ClassBuilder::NestedMember(const Invocation& invocation) {
  const Module& module = program_.modules.at(static_cast<size_t>(invocation.module));
  const std::vector<CallId> calls = slice_.CallsOf(invocation.id);
  const std::string path = module.paths.empty() ? "" : module.paths[0];
  if (path.empty() || calls.empty()) return std::optional<Member>();
  std::vector<StateEntry> nothing;
  const std::vector<ValueId> operands = OperandsOf(slice_, invocation.id, nothing);
  NameScope names;
  names.Reserve("self");
  std::vector<std::pair<std::string, ValueId>> inputs;
  for (const ValueId id : operands) {
    std::string name;
    for (size_t i = 0; i < invocation.args.size() && i < invocation.parameter_names.size(); ++i) {
      if (invocation.args[i].kind == Tree::Kind::kTensor && invocation.args[i].value == id)
        name = invocation.parameter_names[i];
    }
    for (const auto& [keyword, tree] : invocation.kwargs) {
      if (tree.kind == Tree::Kind::kTensor && tree.value == id) name = keyword;
    }
    if (name.empty()) name = SourceName(program_, id);
    if (!IsIdentifier(name)) name = inputs.empty() ? "x" : "y";
    inputs.emplace_back(names.Unique(name), id);
  }
  absl::StatusOr<ClassText> text =
      ClassBuilder(shared_, invocation.id, path).Build(calls, inputs, slice_.Outputs(calls));
  if (!text.ok()) return text.status();

  Member member;
  member.base = ToSnakeCase(module.class_name);
  std::string name = ToIdentifier(module.class_name);
  const auto same = [&](const ClassText& other) {
    const bool names_equal =
        std::equal(text->dimensions.begin(), text->dimensions.end(), other.dimensions.begin(),
                   other.dimensions.end(), [](const auto& a, const auto& b) { return a.name == b.name; });
    return names_equal && other.init == text->init && other.forward == text->forward;
  };
  NameScope taken;
  for (const char* word : {"Model", "RefactoredModel"}) taken.Reserve(word);
  bool found = false;
  for (const ClassText& other : shared_.nested) {
    if (absl::StartsWith(other.name, name) && same(other)) {
      name = other.name;
      found = true;
      break;
    }
    taken.Reserve(other.name);
  }
  if (!found) name = taken.Unique(name);
  member.constructor.callee = name;
  for (const Dimension& dimension : text->dimensions) {
    member.constructor.arguments.push_back(
        {dimension.name, dimension.value, !dimension.is_setting, !dimension.is_setting});
  }
  member.state = text->state;
  if (!found) {
    text->name = name;
    shared_.nested.push_back(*std::move(text));
  }
  return std::optional<Member>(std::move(member));
}

// Which attribute of this class the module is: a list's element, or a name from its path.
void ClassBuilder::Place(const Module& module, Member& member) {
  bool found = false;
  const std::string relative = Slice::RelativePath(module.paths, module_path_, &found);
  if (!found || relative.empty()) return;
  std::vector<std::string> parts = absl::StrSplit(relative, '.');
  int64_t index = 0;
  if (parts.size() == 2 && absl::SimpleAtoi(parts[1], &index)) {
    for (const Module& list : program_.modules) {
      bool below = false;
      if (list.class_name != "ModuleList" ||
          Slice::RelativePath(list.paths, module_path_, &below) != parts[0] || !below)
        continue;
      member.list = parts[0];
      member.index = index;
      list_sizes_[parts[0]] = static_cast<int64_t>(list.children.size());
      return;
    }
  }
  const bool numbered = absl::SimpleAtoi(parts.back(), &index);
  if (!numbered)
    member.base = slice_.node().form == plan::NodeForm::kModule ? absl::StrJoin(parts, "_") : parts.back();
}

size_t ClassBuilder::Register(Member member) {
  member_of_module_[member.module] = members_.size();
  members_.push_back(std::move(member));
  return members_.size() - 1;
}

// Parameters, buffers and constants that this class's own calls read.
void ClassBuilder::HoldValues() {
  std::set<ValueId> passed;
  for (const auto& parameter : function_.parameters) passed.insert(parameter.second);
  std::set<ValueId> held;
  for (const Member& member : members_) {
    for (const StateEntry& entry : member.state) held.insert(entry.value);
  }
  std::set<ValueId> made;
  for (const Step& step : function_.steps) {
    const std::vector<ValueId> reads =
        step.apply ? step.apply->inputs : program::Reads(program_.call(step.call));
    for (const ValueId id : reads) {
      if (id == kNoId || passed.count(id) > 0 || !IsHeldKind(program_.value(id)) || !held.insert(id).second)
        continue;
      const Value& value = program_.value(id);
      Member member;
      member.kind = value.kind == ValueKind::kParameter ? Member::Kind::kParameter : Member::Kind::kBuffer;
      member.value = id;
      const std::string last =
          value.paths.empty() ? "constant" : value.paths[0].substr(value.paths[0].rfind('.') + 1);
      member.base = last;
      if (value.kind == ValueKind::kParameter || (value.kind == ValueKind::kBuffer && value.persistent)) {
        member.state.push_back({"", id});
      }
      members_.push_back(std::move(member));
    }
  }
  for (const ValueId id : function_.returns) {
    // A kernel that hands out a parameter as it is.
    if (passed.count(id) > 0 || !IsHeldKind(program_.value(id)) || !held.insert(id).second) continue;
    Member member;
    member.kind =
        program_.value(id).kind == ValueKind::kParameter ? Member::Kind::kParameter : Member::Kind::kBuffer;
    member.value = id;
    member.base = SourceName(program_, id).empty() ? "weight" : SourceName(program_, id);
    if (program_.value(id).kind == ValueKind::kParameter || program_.value(id).persistent)
      member.state.push_back({"", id});
    members_.push_back(std::move(member));
  }
}

void ClassBuilder::NameCallees() {
  for (size_t i = 0; i < function_.steps.size(); ++i) {
    if (member_of_step_[i] < 0) continue;
    const Member& member = members_.at(static_cast<size_t>(member_of_step_[i]));
    Apply& apply = *function_.steps[i].apply;
    apply.callee = AttributeText(member);
    apply.hint = ResultHint(member.list.empty() ? member.name : Singular(member.list));
    if (member.list.empty()) continue;
    apply.list = "self." + member.list;
    apply.position = member.index;
    apply.list_size = list_sizes_[member.list];
    apply.element = Singular(member.list);
  }
  for (const Member& member : members_) {
    if (member.kind == Member::Kind::kParameter || member.kind == Member::Kind::kBuffer) {
      function_.attributes[member.value] = "self." + member.name;
    }
    for (const StateEntry& entry : member.state) {
      if (entry.key.empty()) continue;
      const std::string key = absl::StrCat(member.name, ".", entry.key);
      function_.attributes.emplace(entry.value, absl::StrCat("self.", AttributePath(key)));
    }
  }
}

}  // namespace

absl::StatusOr<ComponentClasses> BuildClasses(const plan::Plan& plan, const plan::Node& node,
                                              const Spelling& spelling) {
  const Slice slice(plan, node);
  Shared shared{slice, spelling, {}, {}, {}};
  const program::Program& program = plan.program;
  ComponentClasses out;
  out.inputs = InputNames(plan, node);
  std::vector<std::pair<std::string, ValueId>> inputs;
  for (size_t i = 0; i < node.inputs.size(); ++i) inputs.emplace_back(out.inputs[i], node.inputs[i]);
  // A torch.nn leaf is written from outside: as the one member of its kernel.
  InvocationId scope = node.scope;
  const Module& module =
      program.modules.at(static_cast<size_t>(program.invocations.at(static_cast<size_t>(scope)).module));
  const bool leaf = node.form == plan::NodeForm::kModule && module.is_torch_nn && module.settings_known &&
                    !module.is_container;
  if (leaf && program.invocations[static_cast<size_t>(scope)].parent != kNoId) {
    scope = program.invocations[static_cast<size_t>(scope)].parent;
  }
  const Module& holder =
      program.modules.at(static_cast<size_t>(program.invocations.at(static_cast<size_t>(scope)).module));
  const std::string path = holder.paths.empty() ? "" : holder.paths[0];
  // The name of a lone leaf comes from its class, not from where one instance of it stands.
  const std::string base_path =
      leaf && node.calls.size() == slice.CallsOf(node.scope).size() ? "<none>" : path;
  absl::StatusOr<ClassText> model =
      ClassBuilder(shared, scope, base_path).Build(node.calls, inputs, node.outputs);
  if (!model.ok()) return model.status();
  out.model = *std::move(model);
  out.model.name = "Model";
  for (Helper& helper : shared.helpers) out.helpers.push_back(std::move(helper.lines));
  out.nested = std::move(shared.nested);
  out.packed = shared.packed;
  out.packed_notes = std::move(shared.packed_notes);
  return out;
}

Lines ClassLines(const ClassText& text, bool defaults, const Lines& docstring) {
  std::vector<std::string> parameters = {"self"};
  for (const Dimension& d : text.dimensions)
    parameters.push_back(defaults ? absl::StrCat(d.name, "=", d.value) : d.name);
  Lines body = docstring;
  if (!text.init.empty() || !text.dimensions.empty()) {
    if (!body.empty()) body.push_back("");
    Append(body, WrapList("def __init__(", parameters, "):", 96));
    body.push_back("    super().__init__()");
    Append(body, Indented(text.init));
  }
  if (!body.empty()) body.push_back("");
  Append(body, text.forward);
  Lines lines = {absl::StrCat("class ", text.name, "(nn.Module):")};
  Append(lines, Indented(body));
  return lines;
}

absl::StatusOr<std::vector<StateEntry>> StateOf(const plan::Plan& plan, plan::ComponentId id,
                                                const Spelling& spelling) {
  if (id == 0) {
    std::vector<StateEntry> out;
    for (const Value& value : plan.program.values) {
      const bool in_state =
          value.kind == ValueKind::kParameter || (value.kind == ValueKind::kBuffer && value.persistent);
      if (!in_state) continue;
      for (const std::string& path : value.paths) out.push_back({path, value.id});
    }
    return out;
  }
  const plan::Component& component = plan.components.at(static_cast<size_t>(id));
  absl::StatusOr<ComponentClasses> classes =
      BuildClasses(plan, plan.nodes.at(static_cast<size_t>(component.nodes.at(0))), spelling);
  if (!classes.ok()) return classes.status();
  return classes->model.state;
}

}  // namespace strata::emit
