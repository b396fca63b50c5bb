#include "worker/engine/verify/weight_transfer.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/status.h"
#include "worker/engine/host/tensor_header.h"
#include "worker/engine/verify/bundle_json.h"

namespace strata::verify {
namespace {

using nlohmann::ordered_json;
using program::Program;

void AddKeys(const Program& program, const program::Module& module,
             const std::vector<std::pair<std::string, program::ValueId>>& own, bool buffers,
             std::map<program::ValueId, std::vector<std::string>>& groups,
             std::vector<program::ValueId>& order) {
  for (const auto& [name, value] : own) {
    if (value < 0 || (buffers && !program.value(value).persistent)) continue;
    std::vector<std::string>& keys = groups[value];
    if (keys.empty()) order.push_back(value);
    for (const std::string& path : module.paths) {
      const std::string key = path.empty() ? name : path + "." + name;
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
    }
  }
}

constexpr int64_t kMaxMapBytes = int64_t{64} << 20;

std::vector<std::string> Targets(const WeightMap& map, const std::string& key) {
  const auto found = map.find(key);
  return found == map.end() ? std::vector<std::string>{key} : found->second;
}

// Key -> position of its group.
std::map<std::string, size_t> GroupOf(const std::vector<std::vector<std::string>>& groups) {
  std::map<std::string, size_t> group_of;
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const std::string& key : groups[i]) group_of[key] = i;
  }
  return group_of;
}

// The last `length` names of a dotted key, "" where it has fewer.
std::string EndOf(const std::string& key, std::ptrdiff_t length) {
  const std::vector<std::string> names = absl::StrSplit(key, '.');
  if (std::ssize(names) < length) return "";
  return absl::StrJoin(names.end() - length, names.end(), ".");
}

}  // namespace

absl::StatusOr<WeightMap> ReadWeightMap(const std::string& path) {
  STRATA_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxMapBytes));
  const ParsedJson parsed = ParseHostileJson(text);
  if (!parsed.value.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("it is no JSON object {original key: refactored key}",
                     parsed.error.empty() ? "" : absl::StrCat(": ", parsed.error)));
  }
  WeightMap map;
  for (const auto& [key, value] : parsed.value.items()) {
    std::vector<std::string>& targets = map[key];
    for (const ordered_json& target : value.is_array() ? value : ordered_json::array({value})) {
      if (!target.is_string())
        return absl::InvalidArgumentError(
            absl::StrCat("the value of '", key, "' is neither a key nor a list of keys"));
      targets.push_back(target.get<std::string>());
    }
  }
  return map;
}

std::string ToText(const WeightMap& map) {
  ordered_json object = ordered_json::object();
  for (const auto& [key, targets] : map) {
    if (targets.size() == 1)
      object[key] = targets[0];
    else
      object[key] = targets;
  }
  return object.dump();
}

absl::StatusOr<std::vector<Weight>> ReadWeights(const std::string& path) {
  STRATA_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  STRATA_ASSIGN_OR_RETURN(const host::Header header, host::ParseHeader(bytes));
  std::vector<Weight> weights;
  for (const host::TensorHeader& tensor : header.tensors) {
    weights.push_back({tensor.name, absl::StrCat(tensor.dtype, "[", absl::StrJoin(tensor.sizes, ","), "]")});
  }
  return weights;
}

WeightMap GuessWeightMap(const std::vector<Weight>& original, const std::vector<Weight>& refactored) {
  std::map<std::string, std::string> type_of;
  for (const Weight& weight : refactored) type_of[weight.key] = weight.type;
  WeightMap map;
  std::map<std::string, std::vector<std::string>> left;  // type -> original keys
  std::set<std::string> taken;
  for (const Weight& weight : original) {
    const auto same = type_of.find(weight.key);
    if (same != type_of.end() && same->second == weight.type)
      taken.insert(weight.key);
    else
      left[weight.type].push_back(weight.key);
  }
  std::map<std::string, size_t> next;
  for (const Weight& weight : refactored) {
    if (taken.contains(weight.key)) continue;
    const std::vector<std::string>& candidates = left[weight.type];
    size_t& index = next[weight.type];
    if (index < candidates.size()) map[candidates[index++]] = {weight.key};
  }
  return map;
}

WeightMap MapWrapper(const std::vector<Weight>& original, const std::vector<Weight>& wrapper,
                     WeightMap given) {
  WeightMap map = std::move(given);
  std::set<std::string> taken;
  for (const auto& [key, targets] : map) taken.insert(targets.begin(), targets.end());
  // Of both sides what is not mapped yet and ends so, by that end and the type.
  const auto pair_by = [&](const auto& end_of) {
    std::map<std::string, std::vector<std::string>> ours, theirs;
    for (const Weight& weight : original) {
      if (!map.contains(weight.key)) ours[end_of(weight.key) + " " + weight.type].push_back(weight.key);
    }
    for (const Weight& weight : wrapper) {
      if (!taken.contains(weight.key)) theirs[end_of(weight.key) + " " + weight.type].push_back(weight.key);
    }
    for (const auto& [end, keys] : ours) {
      const std::vector<std::string>& targets = theirs[end];
      if (end[0] == ' ' || keys.size() != 1 || targets.size() != 1) continue;
      map[keys[0]] = targets;
      taken.insert(targets[0]);
    }
  };
  pair_by([](const std::string& key) { return key; });
  std::ptrdiff_t length = 0;
  for (const Weight& weight : original)
    length = std::max(length, std::count(weight.key.begin(), weight.key.end(), '.') + 1);
  for (; length > 0; --length) pair_by([length](const std::string& key) { return EndOf(key, length); });
  for (const Weight& weight : original) map.try_emplace(weight.key);
  return map;
}

std::vector<std::vector<std::string>> StateDictKeys(const Program& program) {
  std::map<program::ValueId, std::vector<std::string>> groups;
  std::vector<program::ValueId> order;
  for (const program::Module& module : program.modules) {
    AddKeys(program, module, module.parameters, false, groups, order);
    AddKeys(program, module, module.buffers, true, groups, order);
  }
  std::vector<std::vector<std::string>> keys;
  for (const program::ValueId id : order) keys.push_back(groups[id]);
  return keys;
}

std::map<std::string, std::string> WeightSources(const Program& original, const Program& refactored,
                                                 const WeightMap& map) {
  const auto groups = StateDictKeys(refactored);
  const std::map<std::string, size_t> group_of = GroupOf(groups);
  std::map<std::string, std::string> sources;
  for (const auto& keys : StateDictKeys(original)) {
    for (const std::string& key : keys) {
      for (const std::string& target : Targets(map, key)) {
        const auto group = group_of.find(target);
        if (group == group_of.end()) continue;
        for (const std::string& tied : groups[group->second]) sources.emplace(tied, key);
      }
    }
  }
  return sources;
}

ordered_json WeightTransferJson(const Program& original, const Program& refactored, const WeightMap& map) {
  const std::map<std::string, std::string> sources = WeightSources(original, refactored, map);
  ordered_json unmapped_original = ordered_json::array(), unmapped_refactored = ordered_json::array();
  ordered_json used = ordered_json::object();  // in order of registration
  for (const auto& group : StateDictKeys(original)) {
    bool mapped = false;
    for (const std::string& key : group) {
      ordered_json targets = ordered_json::array();
      for (const std::string& target : Targets(map, key)) {
        if (sources.contains(target)) targets.push_back(target);
      }
      if (targets.empty()) continue;
      mapped = true;
      used[key] = targets.size() == 1 ? targets[0] : targets;
    }
    if (!mapped) unmapped_original.push_back(group[0]);
  }
  for (const auto& group : StateDictKeys(refactored)) {
    if (!sources.contains(group[0])) unmapped_refactored.push_back(group[0]);
  }
  return {{"status", unmapped_refactored.empty() ? "OK" : "FAIL"},
          {"mapped_count", used.size()},
          {"unmapped_original", unmapped_original},
          {"unmapped_refactored", unmapped_refactored},
          {"weight_map", used}};
}

std::vector<Violation> UnknownKeys(const std::vector<Weight>& weights, const Program& original,
                                   const WeightMap& map) {
  std::set<std::string> known;
  for (const Weight& weight : weights) known.insert(weight.key);
  for (const program::Value& value : original.values) known.insert(value.paths.begin(), value.paths.end());
  std::vector<Violation> violations;
  for (const auto& [key, targets] : map) {
    if (known.contains(key)) continue;
    violations.push_back({rules::kWeights, "weight_map.json", 0,
                          absl::StrCat("maps '", key, "', which the original does not have"),
                          "name the original's keys as its state_dict does"});
  }
  return violations;
}

std::vector<Violation> WeightViolations(const Program& original, const Program& refactored,
                                        const WeightMap& map) {
  std::vector<Violation> violations;
  const auto groups = StateDictKeys(refactored);
  const std::map<std::string, std::string> sources = WeightSources(original, refactored, map);
  for (const auto& group : groups) {
    if (sources.contains(group[0])) continue;
    violations.push_back({rules::kWeights, "weight_map.json", 0,
                          absl::StrCat("no weight of the original goes to '", group[0], "'"),
                          "map an original key to it, or take it out of the child"});
  }
  return violations;
}

std::vector<Violation> TieViolations(const Program& original, const Program& refactored,
                                     const WeightMap& map) {
  std::vector<Violation> violations;
  const std::map<std::string, size_t> group_of = GroupOf(StateDictKeys(refactored));
  for (const auto& keys : StateDictKeys(original)) {
    std::set<size_t> reached;
    for (const std::string& key : keys) {
      for (const std::string& target : Targets(map, key)) {
        if (group_of.contains(target)) reached.insert(group_of.at(target));
      }
    }
    // A map may say one key's name for several copies of it; two names of one weight may not part.
    if (keys.size() < 2 || reached.size() < 2) continue;
    violations.push_back({rules::kTies, "refactored.py", 0,
                          absl::StrCat("'", absl::StrJoin(keys, "' and '"),
                                       "' are one weight in the original and ", reached.size(), " here"),
                          "tie them in __init__: self.head.linear.weight = self.embedding.weight"});
  }
  return violations;
}

std::vector<Violation> FewMapped(const Program& wrapper, const std::map<std::string, std::string>& sources) {
  size_t all = 0;
  std::vector<std::string> unmapped;
  for (const program::Value& value : wrapper.values) {
    if (value.kind != program::ValueKind::kParameter || value.paths.empty()) continue;
    ++all;
    if (!sources.contains(value.paths[0])) unmapped.push_back(value.paths[0]);
  }
  if (unmapped.size() * 20 < all || unmapped.empty()) return {};
  return {{rules::kWeights, "weight_map.json", 0,
           absl::StrCat(unmapped.size(), " of the wrapper's ", all,
                        " parameters get no weight of source/; the first is '", unmapped[0], "'"),
           "name them as source/ names them, or map its keys to them"}};
}

}  // namespace strata::verify
