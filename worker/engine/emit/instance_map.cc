#include "worker/engine/emit/instance_map.h"

#include <algorithm>

namespace strata::emit {
namespace {

using program::kNoId;
using program::Module;
using program::ValueId;

ValueId OwnByName(const Module& module, const std::string& name) {
  for (const auto* list : {&module.parameters, &module.buffers}) {
    for (const auto& [own, value] : *list) {
      if (own == name) return value;
    }
  }
  return kNoId;
}

// The attribute under which the module itself holds the value, "" if it does not.
std::string NameIn(const Module& module, ValueId id) {
  for (const auto* list : {&module.parameters, &module.buffers}) {
    for (const auto& [name, value] : *list) {
      if (value == id) return name;
    }
  }
  return "";
}

}  // namespace

InstanceMap::InstanceMap(const plan::Plan& plan, const plan::Node& from, const plan::Node& to)
    : program_(plan.program) {
  for (size_t i = 0; i < std::min(from.owned.size(), to.owned.size()); ++i)
    owned_.emplace(from.owned[i], to.owned[i]);
  if (from.id == to.id) {
    for (const program::Value& value : program_.values) owned_.emplace(value.id, value.id);
  }
}

ValueId InstanceMap::operator()(ValueId id) const {
  if (const auto found = owned_.find(id); found != owned_.end()) return found->second;
  // Through a neighbour in the same module that is mapped.
  for (const Module& module : program_.modules) {
    const std::string name = NameIn(module, id);
    if (name.empty()) continue;
    for (const auto& [from, to] : owned_) {
      const std::string neighbour = NameIn(module, from);
      if (neighbour.empty()) continue;
      for (const Module& other : program_.modules) {
        if (OwnByName(other, neighbour) == to && other.class_name == module.class_name)
          return OwnByName(other, name);
      }
    }
  }
  return kNoId;
}

}  // namespace strata::emit
