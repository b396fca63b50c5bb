// Rule `results` for data_flow: every tensor that crosses a child's border, recomputed from what the steps'
// refactored models recorded. In the bundles of others, whose edges are free, shape and dtype of an edge that
// ends in one component are held against what that component takes.
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/verify/bundle_compare.h"
#include "worker/engine/verify/bundle_json.h"
#include "worker/engine/verify/plumbing_check.h"

namespace strata::verify {
namespace {

using nlohmann::ordered_json;
using program::InvocationId;
using program::Program;
using program::ValueId;

using Edges = std::map<std::string, int>;  // "a/input -> a/relu_fp32#0 fp32[2,3]" -> how often

std::string TypeText(const Program& program, ValueId id) {
  const program::TensorType& type = program.value(id).type;
  return absl::StrCat(program::ShortName(type.dtype), "[", absl::StrJoin(type.sizes, ","), "]");
}

// Each once, in the order of their first place.
std::vector<ValueId> Unique(const std::vector<ValueId>& ids) {
  std::vector<ValueId> unique;
  for (const ValueId id : ids) {
    if (std::find(unique.begin(), unique.end(), id) == unique.end()) unique.push_back(id);
  }
  return unique;
}

// One parent's tensors between its borders and its children's. A tensor that plumbing makes from others flows
// from all that it was made of.
class ParentFlow {
 public:
  ParentFlow(const std::string& parent, const ClaimFacts& claim)
      : parent_(parent), program_(claim.refactored), scopes_(claim.refactored, claim.children_dir) {}

  Edges Run() {
    for (const ValueId id : InputsOf(program_)) sources_[id] = {End("input")};
    size_t next = 0;
    const auto& runs = scopes_.runs();
    for (size_t i = 0; i <= program_.calls.size(); ++i) {
      // A child that runs no operator begins and ends before the next call.
      while (next < runs.size() && Begin(runs[next]) <= static_cast<program::CallId>(i)) Enter(runs[next++]);
      if (i < program_.calls.size() && !scopes_.Inside(program_.calls[i].scope)) Pass(program_.calls[i]);
    }
    for (const ValueId id : Unique(program::Tensors(program_.invocations[0].output))) Add(id, End("output"));
    return std::move(edges_);
  }

 private:
  std::string End(const std::string& what) const { return absl::StrCat(parent_, "/", what); }
  const program::Invocation& InvocationOf(const ChildScopes::ChildRun& run) const {
    return program_.invocations[static_cast<size_t>(run.invocation)];
  }
  program::CallId Begin(const ChildScopes::ChildRun& run) const { return InvocationOf(run).begin; }

  void Enter(const ChildScopes::ChildRun& run) {
    const program::Invocation& invocation = InvocationOf(run);
    const std::string end = End(absl::StrCat(run.stem, "#", count_[run.stem]++));
    for (const ValueId id : Unique(program::TensorsOfArguments(invocation))) Add(id, end);
    std::vector<ValueId> given = program::Tensors(invocation.output);
    for (program::CallId c = invocation.begin; c < invocation.end; ++c) {
      const program::Call& call = program_.call(c);
      given.insert(given.end(), call.results.begin(), call.results.end());
      given.insert(given.end(), call.mutated_to.begin(), call.mutated_to.end());
    }
    for (const ValueId id : given) sources_[id] = {end};
  }

  void Pass(const program::Call& call) {
    std::set<std::string> from;
    for (const ValueId id : program::Reads(call)) {
      const auto it = sources_.find(id);
      if (it != sources_.end()) from.insert(it->second.begin(), it->second.end());
    }
    for (const ValueId id : call.results) sources_[id] = from;
    for (const ValueId id : call.mutated_to) sources_[id] = from;
  }

  void Add(ValueId id, const std::string& to) {
    const auto it = sources_.find(id);
    const bool known = it != sources_.end() && !it->second.empty();
    for (const std::string& from : known ? it->second : std::set<std::string>{End("state")})
      ++edges_[absl::StrCat(from, " -> ", to, " ", TypeText(program_, id))];
  }

  const std::string parent_;
  const Program& program_;
  const ChildScopes scopes_;
  std::map<ValueId, std::set<std::string>> sources_;
  std::map<std::string, int> count_;
  Edges edges_;
};

std::string StatedType(const ordered_json& edge) {
  std::vector<std::string> numbers;
  const ordered_json& shape = At(edge, "shape");
  if (shape.is_array()) {
    for (const ordered_json& size : shape) numbers.push_back(size.dump());
  }
  return absl::StrCat(ShortDType(TextOf(At(edge, "dtype"))), "[", absl::StrJoin(numbers, ","), "]");
}

void CompareOwn(const BundleIndex& index, const ordered_json& flow, StatedFile* file) {
  Edges recomputed, stated;
  std::set<std::string> parents;
  for (const StepFolder& step : index.files().steps) {
    const ClaimFacts* claim = index.FactsOf(step);
    const ComponentFile* parent = index.ParentOf(step);
    if (claim == nullptr || parent == nullptr || claim->refactored.invocations.empty()) continue;
    parents.insert(parent->stem);
    recomputed.merge(ParentFlow(parent->stem, *claim).Run());
  }
  for (const ordered_json& edge : flow) {
    const std::string from = TextOf(At(edge, "from")), to = TextOf(At(edge, "to"));
    if (!parents.contains(to.substr(0, to.find('/')))) continue;
    ++stated[absl::StrCat(from, " -> ", to, " ", StatedType(edge))];
  }
  for (const auto& [edge, count] : recomputed) {
    if (const auto it = stated.find(edge); it == stated.end() || it->second < count)
      file->Differs(absl::StrCat("data_flow lacks ", edge));
  }
  for (const auto& [edge, count] : stated) {
    if (const auto it = recomputed.find(edge); it == recomputed.end() || it->second < count)
      file->Differs(absl::StrCat("data_flow has ", edge.substr(0, 200), ", which did not happen"));
  }
}

void CompareOthers(const BundleIndex& index, const ordered_json& flow, StatedFile* file) {
  for (const ordered_json& edge : flow) {
    const std::string to = TextOf(At(edge, "to"));
    const ComponentFile* component = index.ComponentOf(to);
    const ComponentFacts* known = component == nullptr ? nullptr : index.FactsOf(*component);
    if (known == nullptr || known->programs.empty()) continue;
    const std::string stated = StatedType(edge);
    bool taken = false;
    for (const Program& program : known->programs) {
      for (const ValueId id : InputsOf(program)) taken |= TypeText(program, id) == stated;
    }
    if (!taken)
      file->Differs(absl::StrCat("data_flow passes ", stated, " to ", to.substr(0, 80), ", which takes ",
                                 InputShapes(known->programs[0])));
  }
}

}  // namespace

void CheckDataFlow(const BundleIndex& index, Report* report) {
  const ordered_json& flow = At(index.files().tree.value, "data_flow");
  if (!flow.is_array()) return;
  StatedFile file("decomposition_tree.json", index.is_own(), report);
  if (index.is_own()) {
    CompareOwn(index, flow, &file);
  } else {
    CompareOthers(index, flow, &file);
  }
}

}  // namespace strata::verify
