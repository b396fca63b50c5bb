#include "worker/engine/plan/attributes.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "worker/engine/plan/names.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/text.h"

namespace strata::plan {
namespace {

bool IsNumber(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

std::string LastName(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? path : path.substr(dot + 1);
}

// Names that nn.Module has already.
bool IsTakenByModule(const std::string& name) {
  static const auto* taken = new std::set<std::string>{
      "add_module",   "apply", "buffers",    "children", "compile", "cpu",      "cuda",    "double",
      "dump_patches", "eval",  "extra_repr", "float",    "forward", "half",     "modules", "parameters",
      "share_memory", "to",    "train",      "training", "type",    "zero_grad"};
  return taken->contains(name);
}

class AttributeNamer {
 public:
  AttributeNamer(const Dataflow& flow, std::vector<Node>* nodes) : program_(flow.program()), nodes_(*nodes) {}

  void Run() {
    for (Node& node : nodes_) {
      if (node.level != Level::kKernel) NameChildren(node);
    }
    nodes_[0].attribute = "";
  }

 private:
  struct Wish {
    NodeId child;
    std::vector<std::string> names;  // best first
  };

  void NameChildren(const Node& parent) {
    std::vector<NodeId> children;
    for (const Item& item : parent.body) {
      if (item.is_child) children.push_back(item.index);
    }
    std::map<std::string, NodeId> taken;
    common_.clear();
    std::map<std::string, ComponentId> seen;
    for (NodeId id : children) {
      const Node& child = nodes_[static_cast<size_t>(id)];
      if (child.form == NodeForm::kModule || child.level != Level::kKernel) continue;
      const auto [it, is_new] = seen.emplace(child.operation, child.component);
      if (!is_new && (it->second != child.component || IsContraction(child.operation)))
        common_.insert(child.operation);
    }
    alone_.clear();
    std::map<program::InvocationId, int> in_scope;
    for (NodeId id : children) ++in_scope[nodes_[static_cast<size_t>(id)].scope];
    for (const auto& [scope, count] : in_scope) {
      if (count == 1 && scope != parent.scope) alone_.insert(scope);
    }
    // Modules first: their paths are the author's own names.
    for (bool modules : {true, false}) {
      for (NodeId id : children) {
        Node& child = nodes_[static_cast<size_t>(id)];
        if ((child.form == NodeForm::kModule) != modules) continue;
        child.attribute = Choose(Wishes(parent, child), child, taken);
        taken.emplace(child.attribute, id);
      }
    }
  }

  std::string Choose(const std::vector<std::string>& wishes, const Node& child,
                     const std::map<std::string, NodeId>& taken) const {
    for (const std::string& wish : wishes) {
      if (IsFree(wish, child, taken)) return wish;
    }
    for (int k = 2;; ++k) {
      const std::string name = absl::StrCat(wishes.back(), "_", k);
      if (IsFree(name, child, taken)) return name;
    }
  }

  bool IsFree(const std::string& name, const Node& child, const std::map<std::string, NodeId>& taken) const {
    if (name.empty() || IsTakenByModule(name)) return false;
    for (const auto& [other, id] : taken) {
      if (other == name) return IsSameInstance(nodes_[static_cast<size_t>(id)], child);
      if (absl::StrCat(other, ".").starts_with(absl::StrCat(name, ".")) ||
          absl::StrCat(name, ".").starts_with(absl::StrCat(other, ".")))
        return false;
    }
    return true;
  }

  bool IsSameInstance(const Node& a, const Node& b) const {
    return a.component == b.component && a.owned == b.owned;
  }

  // The child's module path below the parent's, "" where there is none.
  std::string PathBelow(const Node& parent, const Node& child) const {
    const std::string& home = ModulePath(program_, parent.scope);
    const program::Module& module = ModuleOf(program_, child.scope);
    for (const std::string& path : module.paths) {
      if (home.empty()) return path;
      if (path.starts_with(absl::StrCat(home, "."))) return path.substr(home.size() + 1);
    }
    return module.paths.empty() ? "" : LastName(module.paths[0]);
  }

  std::vector<std::string> Wishes(const Node& parent, const Node& child) const {
    std::vector<std::string> wishes;
    if (child.form == NodeForm::kModule) {
      std::string path = PathBelow(parent, child);
      if (parent.form == NodeForm::kSlice && parent.id != 0) path = LastName(path);
      if (!path.empty() && !IsNumber(path)) wishes.push_back(path);
    }
    // All that a dissolved module computes may carry its name.
    if (child.form == NodeForm::kSlice && child.level == Level::kKernel && alone_.contains(child.scope)) {
      const std::string path = PathBelow(parent, child);
      if (!path.empty() && !IsNumber(path)) wishes.push_back(path);
    }
    if (child.level != Level::kKernel && child.form == NodeForm::kSlice) AddSliceWishes(child, &wishes);
    AddOperationWishes(child, &wishes);
    return wishes;
  }

  // Of a fusion that is no module: the container all its modules are in, or their names joined.
  void AddSliceWishes(const Node& child, std::vector<std::string>* wishes) const {
    std::vector<std::string> paths, names;
    bool numbered = false;
    for (const Item& item : child.body) {
      if (!item.is_child) continue;
      const Node& inner = nodes_[static_cast<size_t>(item.index)];
      if (inner.form != NodeForm::kModule) {
        names.push_back(ShortOperation(inner.operation));
        continue;
      }
      paths.push_back(RelativePath(child, inner));
      numbered = numbered || IsNumber(LastName(paths.back()));
      names.push_back(LastName(paths.back()));
    }
    const std::string common = CommonContainer(paths);
    std::string operators;
    for (const Item& item : child.body) {
      if (!item.is_child) continue;
      const Node& inner = nodes_[static_cast<size_t>(item.index)];
      absl::StrAppend(&operators, operators.empty() ? "" : "_", ShortOperation(inner.operation));
    }
    const bool by_operators = operators == child.operation;
    if (!common.empty() && !numbered) wishes->push_back(common);
    if (!by_operators) {
      wishes->push_back(child.operation);
      if (child.level != Level::kLayer) wishes->push_back(absl::StrCat(child.operation, "_block"));
    }
    if (child.level == Level::kLayer) return;
    if (numbered) {
      wishes->push_back(paths[0]);
    } else if (names.size() <= 4) {
      wishes->push_back(absl::StrJoin(names, "_"));
    } else {
      wishes->push_back(absl::StrCat(names.front(), "_to_", names.back()));
    }
  }

  std::string RelativePath(const Node& slice, const Node& inner) const {
    const Node& parent = nodes_[static_cast<size_t>(slice.parent)];
    return PathBelow(parent, inner);
  }

  // "mlp" of "mlp.c_fc" and "mlp.act"; "" where they share none.
  static std::string CommonContainer(const std::vector<std::string>& paths) {
    if (paths.size() < 2) return "";
    std::vector<std::string> common = absl::StrSplit(paths[0], '.');
    common.pop_back();
    for (const std::string& path : paths) {
      const std::vector<std::string> parts = absl::StrSplit(path, '.');
      size_t same = 0;
      while (same < common.size() && same + 1 < parts.size() && common[same] == parts[same]) ++same;
      common.resize(same);
    }
    return absl::StrJoin(common, ".");
  }

  // "out_proj" of "attn.out_proj.weight" and "in_proj" of "attn.in_proj_weight"; "add_pos" of "pos".
  void AddWeightWishes(const Node& child, const std::string& path, const std::string& operation,
                       std::vector<std::string>* wishes) const {
    std::string name = LastName(path);
    const std::string& home = ModulePath(program_, child.scope);
    const bool inner = name == "weight" && path.size() > home.size() + name.size() + 1;
    if (inner) name = LastName(path.substr(0, path.size() - name.size() - 1));
    if ((name == "weight" || name == "bias") && child.held.size() > 1) return;
    const bool named_weight = name.size() > 7 && name.ends_with("_weight");
    if (named_weight) name.resize(name.size() - 7);
    name = Identifier(name, "weight");
    const bool plain = inner || named_weight || child.operation == "parameter";
    wishes->push_back(plain ? name : absl::StrCat(operation, "_", name));
  }

  void AddOperationWishes(const Node& child, std::vector<std::string>* wishes) const {
    const std::string operation = Identifier(ShortOperation(child.operation), "part");
    // A weight without a module of its own gives its name.
    if (child.form == NodeForm::kSlice && child.level == Level::kKernel) {
      for (program::ValueId value : child.held) {
        const program::Value& v = program_.value(value);
        if (v.kind != program::ValueKind::kParameter || v.paths.empty()) continue;
        AddWeightWishes(child, v.paths[0], operation, wishes);
        break;
      }
    }
    if (!common_.contains(child.operation)) wishes->push_back(operation);
    if (!child.calls.empty()) {
      const program::Call& call = program_.call(child.calls.back());
      if (!call.frames.empty()) {
        // The name in the forward that called, not one inside a helper function.
        for (const std::string& target : call.frames[0].targets)
          wishes->push_back(absl::StrCat(operation, "_", Identifier(target, "part")));
      }
    }
    const std::string path = ModulePath(program_, child.scope);
    if (!path.empty() && !IsNumber(LastName(path)))
      wishes->push_back(absl::StrCat(operation, "_", Identifier(LastName(path), "part")));
    wishes->push_back(operation);
  }

  const program::Program& program_;
  std::vector<Node>& nodes_;
  std::set<program::InvocationId> alone_;  // dissolved modules that hold one child of the parent at hand
  std::set<std::string> common_;           // operations that need more than their name in the parent at hand
};

}  // namespace

void NameAttributes(const Dataflow& flow, std::vector<Node>* nodes) { AttributeNamer(flow, nodes).Run(); }

}  // namespace strata::plan
