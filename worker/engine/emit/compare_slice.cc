// The emitted text, run again, against what it was written from. Expressions may be evaluated in another
// order than the source did, so calls are compared as a graph: every call has a canonical text made of its
// operator, settings, result types and the canonical texts of its operands, and the two multisets of texts
// must be equal. Which of several equal-shaped weights a call reads is not told apart here; the gates, which
// compare numbers on distinct weights, do.
#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/engine/emit/emit.h"
#include "worker/engine/plan/dataflow.h"
#include "worker/engine/plan/dead_code.h"
#include "worker/engine/plan/fold_constants.h"
#include "worker/engine/plan/functionalise.h"

namespace strata::emit {
namespace {

using program::Argument;
using program::Call;
using program::CallId;
using program::Program;
using program::ValueId;

std::string TypeText(const program::TensorType& type) {
  return absl::StrCat(program::ShortName(type.dtype), "[", absl::StrJoin(type.sizes, ","), "]");
}

class Canonical {
 public:
  // Two that are compared share `numbers`.
  Canonical(const Program& program, const std::vector<ValueId>& inputs,
            std::map<std::string, int64_t>& numbers)
      : program_(program), numbers_(numbers) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      texts_[inputs[i]] = Hashed(absl::StrCat("input ", i, TypeText(program.value(inputs[i]).type)));
    }
  }

  // Operator and settings for people; `*key` gets what is compared.
  std::string Describe(const Call& call, std::string* key) {
    std::vector<std::string> settings, operands;
    for (const program::NamedArgument& argument : call.args) {
      if (argument.is_default) continue;
      // Where a factory puts its tensor, and how it is laid out, is the device's matter and not the model's.
      if (argument.name == "device" || argument.name == "layout" || argument.name == "pin_memory") continue;
      settings.push_back(absl::StrCat(argument.name, "=", ArgumentText(argument.value, /*operands=*/false)));
      operands.push_back(absl::StrCat(argument.name, "=", ArgumentText(argument.value, /*operands=*/true)));
    }
    std::vector<std::string> types;
    for (const ValueId id : call.results)
      types.push_back(id < 0 ? "none" : TypeText(program_.value(id).type));
    const std::string name = program::OperatorName(call.op);
    *key = Hashed(absl::StrCat(name, "(", absl::StrJoin(operands, ";"), ")", absl::StrJoin(types, ",")));
    for (size_t i = 0; i < call.results.size(); ++i) texts_[call.results[i]] = absl::StrCat(*key, ".", i);
    for (size_t i = 0; i < call.mutated_to.size(); ++i)
      texts_[call.mutated_to[i]] = absl::StrCat(*key, "!", i);
    return absl::StrCat(name, "(", absl::StrJoin(settings, ", "), ") : ", absl::StrJoin(types, ", "));
  }

 private:
  // Texts nest once per call; a number per distinct text keeps them short and the comparison exact.
  std::string Hashed(std::string text) {
    const auto next = static_cast<int64_t>(numbers_.size());
    return absl::StrCat("#", numbers_.emplace(std::move(text), next).first->second);
  }

  std::string ValueText(ValueId id) {
    const auto found = texts_.find(id);
    if (found != texts_.end()) return found->second;
    const program::Value& value = program_.value(id);
    if (value.kind == program::ValueKind::kConstant && !value.data.empty()) {
      return absl::StrCat("constant ", TypeText(value.type),
                          std::string(value.data.begin(), value.data.end()));
    }
    return absl::StrCat("state ", TypeText(value.type));
  }

  std::string ArgumentText(const Argument& a, bool operands) {
    switch (a.kind) {
      case Argument::Kind::kNone:
        return "None";
      case Argument::Kind::kValue:
        if (operands || program_.value(a.value).is_wrapped_number)
          return operands ? ValueText(a.value) : "number";
        return TypeText(program_.value(a.value).type);
      case Argument::Kind::kBool:
        return a.boolean ? "True" : "False";
      case Argument::Kind::kInt:
        return absl::StrCat(a.integer);
      case Argument::Kind::kDouble:
        return absl::StrFormat("%.17g", a.real);
      case Argument::Kind::kComplex:
        return absl::StrFormat("%.17g+%.17gj", a.real, a.imag);
      case Argument::Kind::kDType:
        return program::TorchName(a.dtype);
      case Argument::Kind::kGenerator:
        return "generator";
      case Argument::Kind::kList: {
        std::vector<std::string> items;
        for (const Argument& item : a.items) items.push_back(ArgumentText(item, operands));
        return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
      }
      default:
        return a.text;
    }
  }

  const Program& program_;
  std::map<std::string, int64_t>& numbers_;
  std::map<ValueId, std::string> texts_;
};

std::vector<ValueId> InputsOf(const Program& program) {
  return program::TensorsOfArguments(program.invocations.at(0));
}

// Buffers and constants that a call reads and whose elements were kept, by type and elements. No gate sees
// them wrong below the first step: there the original is an emitted file itself.
std::multimap<std::string, ValueId> HeldBy(const Program& program, const std::vector<CallId>& calls) {
  std::set<ValueId> held;
  for (const CallId call : calls) {
    for (const ValueId id : program::Reads(program.call(call))) {
      if (IsKept(program.value(id))) held.insert(id);
    }
  }
  std::multimap<std::string, ValueId> by_elements;
  for (const ValueId id : held) {
    const program::Value& value = program.value(id);
    by_elements.emplace(absl::StrCat(TypeText(value.type), std::string(value.data.begin(), value.data.end())),
                        id);
  }
  return by_elements;
}

std::vector<Difference> HeldDifferences(const Program& recorded, const std::vector<CallId>& calls,
                                        const Program& emitted) {
  std::vector<CallId> all;
  for (const Call& call : emitted.calls) all.push_back(call.id);
  const std::multimap<std::string, ValueId> found = HeldBy(emitted, all);
  std::vector<Difference> differences;
  for (const auto& [elements, id] : HeldBy(recorded, calls)) {
    if (found.contains(elements)) continue;
    const program::Value& value = recorded.value(id);
    differences.push_back(
        {program::kNoId, id,
         absl::StrCat("recorded ", value.paths.empty() ? "a constant" : value.paths[0], " : ",
                      TypeText(value.type), ", whose elements the emitted file does not hold")});
  }
  return differences;
}

}  // namespace

bool IsKept(const program::Value& value) {
  const bool is_state =
      value.kind == program::ValueKind::kBuffer || value.kind == program::ValueKind::kConstant;
  return is_state && !value.is_wrapped_number && !value.data.empty();
}

std::vector<Difference> CompareWithSlice(const plan::Plan& plan, plan::ComponentId id,
                                         const Program& recaptured) {
  if (recaptured.invocations.empty())
    return {{program::kNoId, program::kNoId, "the emitted file ran no module"}};
  const plan::Component& component = plan.components.at(static_cast<size_t>(id));
  const plan::Node& node = plan.nodes.at(static_cast<size_t>(component.nodes.at(0)));
  // The passes that the recorded program went through, so that both say the same thing the same way.
  const Program emitted = plan::Functionalise(plan::RemoveDeadCode(plan::FoldConstants(recaptured)));

  std::map<std::string, int64_t> numbers;
  Canonical expected(plan.program, node.inputs, numbers), found(emitted, InputsOf(emitted), numbers);
  std::map<std::string, std::vector<std::pair<CallId, std::string>>> open;
  for (const CallId call : node.calls) {
    std::string key;
    const std::string text = expected.Describe(plan.program.call(call), &key);
    open[key].emplace_back(call, text);
  }
  std::vector<Difference> extra;
  for (const Call& call : emitted.calls) {
    std::string key;
    const std::string text = found.Describe(call, &key);
    const auto match = open.find(key);
    if (match == open.end()) {
      extra.push_back({program::kNoId, program::kNoId,
                       absl::StrCat("the emitted file runs ", text, ", which was not recorded")});
    } else if (match->second.erase(match->second.begin()); match->second.empty()) {
      open.erase(match);
    }
  }
  std::vector<Difference> differences;
  for (const auto& [key, calls] : open) {
    for (const auto& [call, text] : calls) {
      differences.push_back(
          {call, program::kNoId, absl::StrCat("recorded ", text, ", which the emitted file does not run")});
    }
  }
  // The first wrong call makes all that follow it differ: it is the one to look at, and the one to respell.
  std::sort(differences.begin(), differences.end(),
            [](const Difference& a, const Difference& b) { return a.call < b.call; });
  differences.insert(differences.end(), extra.begin(), extra.end());
  const std::vector<Difference> held = HeldDifferences(plan.program, node.calls, emitted);
  differences.insert(differences.end(), held.begin(), held.end());
  return differences;
}

}  // namespace strata::emit
