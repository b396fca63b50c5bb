#include "worker/engine/verify/weight_transfer.h"

#include <algorithm>
#include <set>

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

}  // namespace

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

ordered_json WeightTransferJson(const Program& original, const Program& refactored,
                                const std::map<std::string, std::string>& weight_map) {
  const auto target = [&](const std::string& key) {
    const auto it = weight_map.find(key);
    return it == weight_map.end() ? key : it->second;
  };
  std::set<std::string> refactored_keys;
  for (const auto& group : StateDictKeys(refactored)) refactored_keys.insert(group.begin(), group.end());

  std::set<std::string> reached;
  ordered_json unmapped_original = ordered_json::array(), unmapped_refactored = ordered_json::array();
  ordered_json used = ordered_json::object();
  for (const auto& group : StateDictKeys(original)) {
    bool mapped = false;
    for (const std::string& key : group) {
      if (!refactored_keys.contains(target(key))) continue;
      mapped = true;
      used[key] = target(key);
      reached.insert(target(key));
    }
    if (!mapped) unmapped_original.push_back(group[0]);
  }
  for (const auto& group : StateDictKeys(refactored)) {
    const bool mapped =
        std::any_of(group.begin(), group.end(), [&](const auto& key) { return reached.contains(key); });
    if (!mapped) unmapped_refactored.push_back(group[0]);
  }
  return {{"status", unmapped_refactored.empty() ? "OK" : "FAIL"},
          {"mapped_count", used.size()},
          {"unmapped_original", unmapped_original},
          {"unmapped_refactored", unmapped_refactored},
          {"weight_map", used}};
}

}  // namespace strata::verify
