#include "worker/engine/verify/dataflow_check.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/verify/bundle_program.h"
#include "worker/engine/verify/counting.h"
#include "worker/engine/verify/places.h"

namespace strata::verify {
namespace {

using program::Call;
using program::DType;
using program::Program;
using program::Value;
using program::ValueId;
using program::ValueKind;

constexpr char kRefactored[] = "refactored.py";

// Results have the shape of their arguments and none of their values.
bool TakesShapesOnly(const std::string& op) {
  return absl::EndsWith(op, "_like") || absl::StartsWith(op, "new_") || absl::StartsWith(op, "sym_");
}

// Which inputs' values go where.
class Reach {
 public:
  explicit Reach(const Program& program) : program_(program), from_(program.values.size()) {
    const std::vector<ValueId> inputs = InputsOf(program);
    for (size_t i = 0; i < inputs.size(); ++i) {
      from_[static_cast<size_t>(inputs[i])].insert(i);
    }
    for (const Call& call : program.calls) Visit(call);
    for (const ValueId id : OutputsOf(program)) Add(id, reached_);
  }

  // Positions of the inputs that the output depends on, that Python read, or that changed what outlives the
  // call.
  const std::set<size_t>& reached() const { return reached_; }

 private:
  void Add(ValueId id, std::set<size_t>& out) const {
    if (id < 0) return;
    const std::set<size_t>& own = from_[static_cast<size_t>(id)];
    out.insert(own.begin(), own.end());
    const auto written = written_.find(program_.value(id).storage);
    if (written != written_.end()) out.insert(written->second.begin(), written->second.end());
  }

  void Visit(const Call& call) {
    if (TakesShapesOnly(program::OperatorName(call.op))) return;
    std::set<size_t> sources;
    for (const ValueId id : program::Reads(call)) Add(id, sources);
    if ((call.marks & program::kDataDependent) != 0 || IsReadByPython(program_, call))
      reached_.insert(sources.begin(), sources.end());
    for (const ValueId id : call.results) {
      if (id >= 0) from_[static_cast<size_t>(id)].insert(sources.begin(), sources.end());
    }
    for (const ValueId id : call.mutated_to) {
      if (id >= 0) written_[program_.value(id).storage].insert(sources.begin(), sources.end());
    }
    for (const ValueId id : call.mutated) {
      const bool outlives = id >= 0 && program_.value(id).kind != ValueKind::kConstant &&
                            program_.value(id).producer == program::kNoId;
      if (outlives) reached_.insert(sources.begin(), sources.end());
    }
  }

  const Program& program_;
  std::vector<std::set<size_t>> from_;           // by ValueId
  std::map<int32_t, std::set<size_t>> written_;  // by storage
  std::set<size_t> reached_;
};

std::set<int32_t> WrittenStorages(const Program& program) {
  std::set<int32_t> written;
  for (const Call& call : program.calls) {
    for (const ValueId id : call.mutated) {
      if (id >= 0) written.insert(program.value(id).storage);
    }
  }
  return written;
}

int Bits(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
    case DType::kInt64:
      return 64;
    case DType::kFloat32:
    case DType::kInt32:
      return 32;
    case DType::kFloat16:
    case DType::kBFloat16:
    case DType::kInt16:
      return 16;
    default:
      return 8;
  }
}

bool IsNarrower(DType from, DType to) {
  if (program::IsFloating(from))
    return program::IsIntegral(to) || (program::IsFloating(to) && Bits(to) < Bits(from));
  return program::IsIntegral(from) && program::IsIntegral(to) && Bits(to) < Bits(from);
}

// Casts to a narrower type, and back of what was just narrowed, by pair of types.
std::map<std::pair<DType, DType>, const Call*> Narrowing(const Program& program) {
  std::map<std::pair<DType, DType>, const Call*> casts;
  for (const Call& call : program.calls) {
    const std::vector<ValueId> reads = program::Reads(call);
    const std::string op = program::OperatorName(call.op);
    const bool cast = op == "to" || op == "_to_copy" || op == "type_as";
    if (!cast || reads.empty() || call.results.size() != 1 || call.results[0] < 0) continue;
    const DType from = program.value(reads[0]).type.dtype, to = program.value(call.results[0]).type.dtype;
    const program::CallId maker = program.value(reads[0]).producer;
    const std::vector<ValueId> before =
        maker == program::kNoId ? std::vector<ValueId>() : program::Reads(program.call(maker));
    const bool is_back =
        before.size() == 1 && IsNarrower(program.value(before[0]).type.dtype, from) && !IsNarrower(from, to);
    if (IsNarrower(from, to) || is_back) casts.emplace(std::pair(from, to), &call);
  }
  return casts;
}

// For each output what it shares memory with: "an input", "a weight", "output 0", or nothing.
std::vector<std::string> AliasesOf(const Program& program) {
  std::map<int32_t, std::string> owners;
  for (const Value& value : program.values) {
    if (value.kind == ValueKind::kInput) owners[value.storage] = "an input";
    if (value.kind == ValueKind::kParameter || value.kind == ValueKind::kBuffer)
      owners[value.storage] = "a weight";
  }
  std::vector<std::string> aliases;
  for (const ValueId id : OutputsOf(program)) {
    const auto [owner, is_first] =
        owners.emplace(program.value(id).storage, absl::StrCat("output ", aliases.size()));
    aliases.push_back(is_first ? "" : owner->second);
  }
  return aliases;
}

}  // namespace

std::vector<Violation> IgnoredInputs(const Program& original, const Program& refactored) {
  const std::vector<ValueId> inputs = InputsOf(original);
  if (inputs.size() != InputsOf(refactored).size()) return {};
  const Reach ours(original), theirs(refactored);
  std::vector<Violation> violations;
  for (const size_t i : ours.reached()) {
    if (theirs.reached().contains(i)) continue;
    violations.push_back(
        {rules::kInputs, kRefactored, 0,
         absl::StrCat("the values of input ", i, " reach no output; in the original they do"),
         "hand it to the child that needs it"});
  }
  return violations;
}

std::vector<Violation> LostWeights(const Program& original, const Program& refactored, const WeightMap& map) {
  std::set<std::string> keys;
  for (const std::vector<std::string>& group : StateDictKeys(refactored))
    keys.insert(group.begin(), group.end());
  const auto is_mapped = [&](const std::string& key) {
    const auto found = map.find(key);
    if (found == map.end()) return keys.contains(key);
    return std::any_of(found->second.begin(), found->second.end(),
                       [&](const std::string& target) { return keys.contains(target); });
  };
  std::set<ValueId> read;
  const std::vector<bool> live = LiveCalls(original);
  for (const Call& call : original.calls) {
    if (!live[static_cast<size_t>(call.id)]) continue;
    for (const ValueId id : program::Reads(call)) read.insert(id);
  }
  std::vector<Violation> violations;
  for (const Value& value : original.values) {
    if (value.kind != ValueKind::kParameter || value.paths.empty() || !read.contains(value.id)) continue;
    if (std::any_of(value.paths.begin(), value.paths.end(), is_mapped)) continue;
    violations.push_back({rules::kWeights, "weight_map.json", 0,
                          absl::StrCat("the original computes with '", value.paths[0],
                                       "', and no weight of the refactored model gets it"),
                          "hold it in the child that computes with it, and map it"});
  }
  return violations;
}

std::vector<Violation> WrittenState(const Program& original, const Program& refactored,
                                    const std::map<std::string, std::string>& sources) {
  const std::set<int32_t> ours = WrittenStorages(original), theirs = WrittenStorages(refactored);
  std::map<std::string, bool> written;  // original key -> whether the original writes it
  for (const Value& value : original.values) {
    if (value.kind != ValueKind::kParameter && value.kind != ValueKind::kBuffer) continue;
    for (const std::string& path : value.paths) written[path] = ours.contains(value.storage);
  }
  std::vector<Violation> violations;
  for (const Value& value : refactored.values) {
    if ((value.kind != ValueKind::kParameter && value.kind != ValueKind::kBuffer) || value.paths.empty())
      continue;
    const auto source = sources.find(value.paths[0]);
    if (source == sources.end()) continue;
    const auto wanted = written.find(source->second);
    const bool is = theirs.contains(value.storage);
    if (wanted == written.end() || wanted->second == is) continue;
    violations.push_back(
        {rules::kBuffers, kRefactored, 0,
         is ? absl::StrCat("the forward writes '", value.paths[0], "'; the original does not")
            : absl::StrCat("the forward does not write '", value.paths[0], "'; the original writes '",
                           source->second, "'"),
         "leave behind what the original leaves behind"});
  }
  return violations;
}

std::vector<Violation> NarrowingCasts(const Program& original, const Program& refactored) {
  const auto ours = Narrowing(original);
  std::vector<Violation> violations;
  for (const auto& [pair, call] : Narrowing(refactored)) {
    if (ours.contains(pair)) continue;
    violations.push_back({rules::kOperators, FileOf(refactored, *call), LineOf(refactored, *call),
                          absl::StrCat("a cast from ", program::ShortName(pair.first), " to ",
                                       program::ShortName(pair.second), ", which the original never does"),
                          "keep the original's types"});
  }
  return violations;
}

std::vector<Violation> OutputAliases(const Program& original, const Program& refactored) {
  const std::vector<std::string> ours = AliasesOf(original), theirs = AliasesOf(refactored);
  std::vector<Violation> violations;
  for (size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
    if (ours[i] == theirs[i]) continue;
    const auto said = [](const std::string& owner) {
      return owner.empty() ? std::string("is memory of its own")
                           : absl::StrCat("shares the memory of ", owner);
    };
    violations.push_back(
        {rules::kOutputs, kRefactored, 0,
         absl::StrCat("output ", i, " ", said(theirs[i]), ", in the original it ", said(ours[i])),
         "return what the original returns"});
  }
  return violations;
}

}  // namespace strata::verify
