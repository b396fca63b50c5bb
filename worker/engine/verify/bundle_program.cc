#include "worker/engine/verify/bundle_program.h"

#include <algorithm>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "worker/engine/plan/digests.h"
#include "worker/engine/plan/text.h"
#include "worker/engine/program/plumbing.h"

namespace strata::verify {
namespace {

using plan::Part;
using program::CallId;
using program::Program;
using program::ValueId;

void Flatten(const std::vector<Part>& parts, std::vector<Part>* flat) {
  for (const Part& part : parts) {
    if (part.kind == Part::Kind::kCall || part.kind == Part::Kind::kKernel) {
      flat->push_back(part);
    } else {
      Flatten(part.parts, flat);
    }
  }
}

}  // namespace

ExecutedComponent::ExecutedComponent(const Program& recorded) : recorded_(recorded) {
  absl::StatusOr<plan::Plan> plan = plan::MakePlan(recorded);
  if (!plan.ok()) {
    error_ = std::string(plan.status().message());
    return;
  }
  plan_ = *std::move(plan);
  flow_ = std::make_unique<plan::Dataflow>(plan_.program);
  kernels_ = plan::FindKernels(plan_.program, *flow_);
  std::vector<bool> claimed(plan_.program.calls.size(), false);
  for (const plan::Kernel& kernel : kernels_) {
    for (const CallId call : kernel.calls) claimed[static_cast<size_t>(call)] = true;
  }
  for (const program::Call& call : plan_.program.calls) {
    const bool free = !claimed[static_cast<size_t>(call.id)];
    if (free && program::Classify(plan_.program, call) == program::OpClass::kArithmetic)
      arithmetic_.push_back(call.id);
  }
}

std::set<std::string> ExecutedComponent::PlannedStems() const {
  std::set<std::string> stems;
  for (const plan::Component& component : plan_.components) stems.insert(component.stem);
  return stems;
}

plan::Node ExecutedComponent::WholeAs(plan::Level level) const {
  plan::Node node = plan_.nodes[0];
  node.level = level;
  node.body.clear();
  node.held = node.owned;
  return node;
}

std::vector<Part> ExecutedComponent::FlatParts() const {
  std::vector<Part> flat;
  Flatten(plan::BuildParts(context()).parts, &flat);
  plan::SortParts(context(), &flat);
  return flat;
}

ValueId ExecutedComponent::returned_parameter() const {
  const std::vector<ValueId> outputs = OutputsOf(recorded_);
  const bool only = outputs.size() == 1 && recorded_.calls.empty();
  return only && recorded_.value(outputs[0]).kind == program::ValueKind::kParameter ? outputs[0]
                                                                                    : program::kNoId;
}

std::string ExecutedComponent::Identity() const {
  if (!ok()) {
    const ValueId parameter = returned_parameter();
    if (parameter == program::kNoId) return "";
    const program::TensorType& type = recorded_.value(parameter).type;
    return absl::StrCat("returns ", program::ShortName(type.dtype), "[", plan::Dims(type.sizes), "]");
  }
  return plan::Identity(*flow_, plan_.nodes, WholeAs(plan::Level::kKernel), {});
}

std::vector<ValueId> InputsOf(const Program& program) {
  return program.invocations.empty() ? std::vector<ValueId>{}
                                     : program::TensorsOfArguments(program.invocations[0]);
}

std::vector<ValueId> OutputsOf(const Program& program) {
  return program.invocations.empty() ? std::vector<ValueId>{}
                                     : program::Tensors(program.invocations[0].output);
}

std::string InputShapes(const Program& program) {
  std::vector<std::string> shapes;
  for (const ValueId id : InputsOf(program)) {
    const program::TensorType& type = program.value(id).type;
    shapes.push_back(absl::StrCat(program::ShortName(type.dtype), "[", absl::StrJoin(type.sizes, ","), "]"));
  }
  return absl::StrJoin(shapes, " ");
}

std::string SortedShapes(const std::string& shapes) {
  std::vector<std::string> tokens = absl::StrSplit(shapes, ' ', absl::SkipEmpty());
  std::sort(tokens.begin(), tokens.end());
  return absl::StrJoin(tokens, " ");
}

int64_t VolumeOf(const std::string& shapes) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max() / 4;
  int64_t sum = 0;
  for (const absl::string_view token : absl::StrSplit(shapes, ' ', absl::SkipEmpty())) {
    const size_t open = token.find('['), close = token.find(']');
    if (open == absl::string_view::npos || close == absl::string_view::npos || close < open) return 0;
    int64_t elements = 1;
    for (const absl::string_view size :
         absl::StrSplit(token.substr(open + 1, close - open - 1), ',', absl::SkipEmpty())) {
      int64_t number = 0;
      if (!absl::SimpleAtoi(size, &number) || number < 0) return 0;
      elements = number != 0 && elements > kMax / number ? kMax : elements * number;
    }
    sum = std::min(kMax, sum + elements);
  }
  return sum;
}

}  // namespace strata::verify
