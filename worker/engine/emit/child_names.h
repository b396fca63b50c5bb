#pragma once
// By which attributes a parent's file holds its children: `self.attn`, `self.blocks[2]`.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "worker/engine/plan/plan.h"

namespace strata::emit {

// One attribute of the class that holds a child.
struct ChildInstance {
  std::string attribute;       // as planned: "blocks.2"
  std::string name;            // "attn", or the list's name
  int64_t index = -1;          // in a list
  bool in_sequential = false;  // the list is an nn.Sequential
  const plan::Node* node = nullptr;

  std::string path() const;  // of its module: "attn", "blocks.2"
};

class ChildNames {
 public:
  // Of the children of `node`, from which its component's file is written. Both outlive the names.
  ChildNames(const plan::Plan& plan, const plan::Node& node);

  // In order of their first call.
  const std::vector<ChildInstance>& instances() const { return instances_; }
  const ChildInstance& Of(plan::NodeId child) const;
  // Of the list that holds the instance; not of an nn.Sequential.
  int64_t ListSize(const ChildInstance& instance) const;
  // Items [first, second) of the node's body that one nn.Sequential runs.
  const std::map<size_t, size_t>& sequentials() const { return sequentials_; }

 private:
  void CollectInstances();
  void FindSequentials();
  size_t ChainEnd(size_t begin) const;
  bool IsSequential(const std::string& prefix) const;
  int64_t Readers(program::ValueId id) const;
  void NameInstances();
  const plan::Node& NodeOf(plan::NodeId id) const;

  const plan::Plan& plan_;
  const program::Program& program_;
  const plan::Node& node_;
  std::vector<ChildInstance> instances_;
  std::map<plan::NodeId, size_t> instance_of_;
  std::map<size_t, size_t> sequentials_;
  std::map<std::string, std::string> list_names_;  // planned prefix -> attribute
  std::map<std::string, int64_t> list_sizes_;
};

}  // namespace strata::emit
