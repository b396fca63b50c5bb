#pragma once
// Who is whose child in a bundle, by what its files say, and how often each component runs. Shared by the
// rules.

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "worker/engine/verify/bundle_facts.h"
#include "worker/engine/verify/bundle_files.h"
#include "worker/engine/verify/bundle_program.h"

namespace strata::verify {

// One node of decomposition_tree.json; several may stand for one file in the bundles of others.
struct TreeNode {
  std::string id, level, path;
  std::vector<std::string> children;  // ids
  const nlohmann::ordered_json* json = nullptr;
};

// Where and at what one component runs in a forward of the submitted model.
struct Instance {
  std::string scope;   // "blocks.0.attn.q_proj": the paths of the children's modules that lead to it
  std::string shapes;  // of its arguments, as SortedShapes spells them
  auto operator<=>(const Instance&) const = default;
};
using Runs = std::map<Instance, int64_t>;

class BundleIndex {
 public:
  // Both outlive the index.
  BundleIndex(const BundleFiles& files, const BundleFacts& facts);

  const BundleFiles& files() const { return files_; }
  const BundleFacts& facts() const { return facts_; }
  bool is_own() const { return files_.is_own(); }

  const std::vector<TreeNode>& nodes() const { return nodes_; }
  const TreeNode* NodeOf(const ComponentFile& component) const;  // the first that names its path
  const ComponentFile* ComponentOf(const std::string& node_id) const;

  // The component that nothing else holds; nullptr where there is none. Of several the highest.
  const ComponentFile* root() const { return root_; }
  // The component whose file a step takes apart: by its bytes, else by the step's name or its children.
  const ComponentFile* ParentOf(const StepFolder& step) const;
  // The file of a level folder that a child of a step is: the one of its bytes, else of its stem.
  const ComponentFile* ChildOf(const StepFolder& step, const std::string& stem) const;
  std::vector<const StepFolder*> StepsOf(const ComponentFile& component) const;
  // By its step, else by the tree; each once.
  std::vector<const ComponentFile*> ChildrenOf(const ComponentFile& component) const;

  const ComponentFacts* FactsOf(const ComponentFile& component) const;
  const ClaimFacts* FactsOf(const StepFolder& step) const;  // nullptr unless judged
  // What the component executed at its first workload; nullptr where no one recorded it.
  const ExecutedComponent* Executed(const ComponentFile& component) const;

  // How often it runs in one forward of the submitted model, as the steps' recorded calls multiply. Empty
  // where a step on the way was not judged or runs at shapes unknown.
  const Runs& RunsOf(const ComponentFile& component) const;

 private:
  void ReadTree();
  void FindParents();
  void FindRoot();
  void CountRuns();
  bool Multiply(const ComponentFile& parent);

  const BundleFiles& files_;
  const BundleFacts& facts_;
  std::vector<TreeNode> nodes_;
  std::map<std::string, size_t> node_at_;               // id -> nodes_
  std::map<std::string, size_t> component_at_;          // path -> files.components
  std::map<std::string, const ComponentFile*> parent_;  // step name -> component
  const ComponentFile* root_ = nullptr;
  std::map<std::string, Runs> runs_;  // by path
  std::map<std::string, std::unique_ptr<ExecutedComponent>> executed_;
};

}  // namespace strata::verify
