#include "worker/engine/plan/levels.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/plan/blocks.h"
#include "worker/engine/plan/fusions.h"
#include "worker/engine/plan/names.h"
#include "worker/engine/plan/operators.h"
#include "worker/engine/plan/reasons.h"
#include "worker/engine/plan/text.h"
#include "worker/engine/program/plumbing.h"

namespace strata::plan {
namespace {

using program::InvocationId;
using program::kNoId;
using program::Module;
using program::OpClass;

// More residual adds than this in the model's own forward, and it is no single block.
constexpr size_t kMaxAddsOfOneBlock = 2;

// Calls and kernels only.
void Flatten(const std::vector<Part>& parts, std::vector<Part>* flat) {
  for (const Part& part : parts) {
    if (part.kind == Part::Kind::kCall || part.kind == Part::Kind::kKernel) {
      flat->push_back(part);
    } else {
      Flatten(part.parts, flat);
    }
  }
}

bool IsLayer(const Part& part) { return part.settled && part.level == Level::kLayer; }

// The layers among `parts` give way to what they hold.
std::vector<Part> DissolveLayers(std::vector<Part> parts) {
  std::vector<Part> dissolved;
  for (Part& part : parts) {
    if (!IsLayer(part)) {
      dissolved.push_back(std::move(part));
      continue;
    }
    for (Part& inner : part.parts) dissolved.push_back(std::move(inner));
  }
  return dissolved;
}

// The dotted path without its last name.
std::string ParentPath(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

class Settler {
 public:
  Settler(const PartContext& context, std::vector<LogEntry>* log) : context_(context), log_(log) {
    std::map<std::pair<std::string, std::string>, std::set<program::ModuleId>> elements;
    const auto& program = context.program;
    std::set<std::string> containers;
    for (const Module& module : program.modules) {
      if (!module.is_container) continue;
      containers.insert(module.paths.begin(), module.paths.end());
    }
    for (const program::Invocation& invocation : program.invocations) {
      const Module& module = ModuleOf(program, invocation.id);
      ++runs_[module.qualified_class];
      const std::string parent = ParentPath(ModulePath(program, invocation.id));
      if (containers.contains(parent)) elements[{parent, module.qualified_class}].insert(module.id);
    }
    for (const auto& [key, modules] : elements) {
      if (modules.size() < 2) continue;
      for (program::ModuleId id : modules) in_container_.insert(id);
    }
  }

  Part Run(const Part& root) {
    // Levels are per class: a class that is a layer or a stage once is one everywhere.
    Part settled;
    for (int round = 0; round < 4; ++round) {
      const size_t known = layer_classes_.size() + stage_classes_.size();
      dissolved_.clear();
      settled = SettleRoot(root);
      if (known == layer_classes_.size() + stage_classes_.size()) break;
    }
    GroupBelow(&settled);
    LogDissolved();
    return settled;
  }

 private:
  const Module& ModuleAt(const Part& part) const { return ModuleOf(context_.program, part.scope); }

  // The parts of a scope with every inner scope settled or spliced in.
  std::vector<Part> SettleInner(const Part& scope) {
    std::vector<Part> parts;
    for (const Part& part : scope.parts) {
      if (part.kind != Part::Kind::kScope) {
        parts.push_back(part);
        continue;
      }
      Part inner = Settle(part);
      if (inner.settled) {
        parts.push_back(std::move(inner));
      } else {
        for (Part& piece : inner.parts) parts.push_back(std::move(piece));
      }
    }
    SortParts(context_, &parts);
    return parts;
  }

  bool MakeFusion(Part* scope, const std::vector<Part>& flat) {
    const Wiring wiring(context_, flat);
    size_t kernels = 0;
    for (const Part& part : flat) kernels += part.is_unit();
    std::optional<Region> whole = WholeFusion(wiring);
    if (!whole && kernels == 1 && HasArithmetic(flat) && wiring.Joins().empty()) {
      whole = Region{{}, "", "One kernel with the arithmetic around it, which its own forward executes."};
      for (size_t i = 0; i < flat.size(); ++i) whole->members.push_back(i);
      whole->operation = OperatorsName(wiring, whole->members);
    }
    if (!whole) return false;
    const Module& module = ModuleAt(*scope);
    scope->parts = flat;
    scope->settled = true;
    scope->level = Level::kFusion;
    scope->operation = module.is_container ? whole->operation : SnakeCase(module.class_name);
    scope->reason = whole->reason;
    return true;
  }

  bool HasArithmetic(const std::vector<Part>& parts) const {
    return std::any_of(parts.begin(), parts.end(), [&](const Part& part) {
      return part.kind == Part::Kind::kCall &&
             program::Classify(context_.program, context_.program.call(part.call)) == OpClass::kArithmetic;
    });
  }

  void MakeLayer(Part* scope, std::vector<Part> parts, std::string reason) {
    const Module& module = ModuleAt(*scope);
    scope->parts = DissolveLayers(std::move(parts));
    SortParts(context_, &scope->parts);
    scope->settled = true;
    scope->level = Level::kLayer;
    scope->operation = SnakeCase(module.class_name);
    scope->reason = std::move(reason);
    layer_classes_.insert(module.qualified_class);
  }

  // Two or more layers that are elements of one container and of one class.
  bool IsStage(const std::vector<Part>& parts) const {
    std::map<std::pair<std::string, std::string>, int> count;
    for (const Part& part : parts) {
      if (!IsLayer(part) || part.kind != Part::Kind::kScope) continue;
      const Module& module = ModuleAt(part);
      if (!in_container_.contains(module.id)) continue;
      if (++count[{ParentPath(ModulePath(context_.program, part.scope)), module.qualified_class}] > 1)
        return true;
    }
    return false;
  }

  Part Settle(const Part& scope) {
    Part result = scope;
    result.parts = SettleInner(scope);
    const Module& module = ModuleAt(scope);
    const std::string& kind = module.qualified_class;
    const bool has_layer = std::any_of(result.parts.begin(), result.parts.end(), IsLayer);
    const bool forced = layer_classes_.contains(kind) && !module.is_container;
    if (!has_layer && !forced) {
      std::vector<Part> flat;
      Flatten(result.parts, &flat);
      if (MakeFusion(&result, flat)) return result;
    }
    if (module.is_container) return Dissolve(std::move(result), "is a container");
    if (has_layer && (stage_classes_.contains(kind) || IsStage(result.parts))) {
      stage_classes_.insert(kind);
      return Dissolve(std::move(result),
                      "only holds repeated blocks: its blocks are what the model is made of");
    }
    std::string reason = LayerReason(result.parts, module, has_layer);
    if (reason.empty() && forced) {
      reason = absl::StrCat("No residual here, but other ", module.class_name,
                            " modules of this model carry one: the level is that of the class.");
    }
    if (reason.empty())
      return Dissolve(std::move(result), "is neither a straight line nor a block of its own");
    MakeLayer(&result, std::move(result.parts), std::move(reason));
    return result;
  }

  // Why these parts are a layer; empty where they are none.
  std::string LayerReason(const std::vector<Part>& parts, const Module& module, bool has_layer) const {
    size_t units = 0;
    for (const Part& part : parts) units += part.is_unit();
    const std::vector<Join> joins = Wiring(context_, parts).Joins();
    if (!joins.empty()) return JoinReason(joins);
    const bool repeated = runs_.at(module.qualified_class) > 1;
    if (units < 2 || !repeated) return "";
    if (has_layer && !in_container_.contains(module.id)) return "";
    return absl::StrCat("A repeated block: ", module.class_name, " runs ", runs_.at(module.qualified_class),
                        " times, and it is more than one straight line with one contraction.");
  }

  static std::string JoinReason(const std::vector<Join>& joins) {
    std::vector<std::string> texts;
    for (const Join& join : joins) {
      if (texts.size() < 3) texts.push_back(join.text);
    }
    std::string reason = joins[0].residual ? "Carries a residual: " : "Rejoins branches: ";
    absl::StrAppend(&reason, Enumerate(texts));
    if (joins.size() > texts.size()) absl::StrAppend(&reason, ", and ", joins.size() - texts.size(), " more");
    return absl::StrCat(reason, ".");
  }

  Part Dissolve(Part scope, const std::string& why) {
    size_t units = 0;
    for (const Part& part : scope.parts) units += part.is_unit();
    if (units > 0) dissolved_.push_back({scope.scope, why, units});
    scope.settled = false;
    return scope;
  }

  Part SettleRoot(const Part& root) {
    Part model = root;
    model.parts = SettleInner(root);
    // A wrapper round one component is that component.
    while (model.parts.size() == 1 && model.parts[0].kind == Part::Kind::kScope) {
      const Part only = model.parts[0];
      dissolved_.push_back({only.scope, "is all that the model runs", 1});
      model.parts = only.parts;
    }
    model.settled = true;
    std::vector<Part> flat;
    Flatten(model.parts, &flat);
    size_t units = 0;
    for (const Part& part : flat) units += part.is_unit();
    const std::string name = ModelName(context_.program.source_file);
    model.operation = name;
    if (units == 0 || (units == 1 && !HasArithmetic(flat))) {
      MakeKernelModel(&model, flat);
      return model;
    }
    const bool has_layer = std::any_of(model.parts.begin(), model.parts.end(), IsLayer);
    if (!has_layer && MakeFusion(&model, flat)) {
      model.operation = name;
      return model;
    }
    model.level = Level::kModel;
    const std::vector<Join> joins = Wiring(context_, model.parts).Joins();
    const auto residuals = static_cast<size_t>(
        std::count_if(joins.begin(), joins.end(), [](const Join& join) { return join.residual; }));
    if (!has_layer && residuals <= kMaxAddsOfOneBlock && IsOneBlock(Wiring(context_, model.parts), joins)) {
      model.level = Level::kLayer;
      model.reason = absl::StrCat("One block, no layer inside. ", JoinReason(joins));
      return model;
    }
    GroupRegions(context_, FindInlineBlocks(Wiring(context_, model.parts), joins), Level::kLayer,
                 &model.parts);
    model.reason = ModelReason(model.parts, joins);
    return model;
  }

  void MakeKernelModel(Part* model, const std::vector<Part>& flat) {
    model->level = Level::kKernel;
    model->reason = "The whole model is one kernel.";
    if (flat.size() == 1 && flat[0].kind == Part::Kind::kKernel) {
      model->operation = flat[0].operation;
    } else {
      for (const Part& part : flat) {
        if (part.kind == Part::Kind::kKernel) model->operation = part.operation;
      }
    }
    if (std::none_of(flat.begin(), flat.end(), [](const Part& part) { return part.is_unit(); })) {
      model->operation.clear();
      for (const Part& part : flat) {
        const program::Call& call = context_.program.call(part.call);
        const bool arithmetic = program::Classify(context_.program, call) == OpClass::kArithmetic;
        if (model->operation.empty() || arithmetic) model->operation = NameOf(call);
      }
    }
    model->parts = flat;
  }

  std::string ModelReason(const std::vector<Part>& parts, const std::vector<Join>& joins) const {
    size_t layers = 0, kernels = 0;
    int contractions = 0;
    for (const Part& part : parts) layers += IsLayer(part);
    if (layers > 0) return absl::StrCat("A model: it holds ", layers, layers == 1 ? " layer." : " layers.");
    if (!joins.empty())
      return absl::StrCat("A model: branches join in ", joins.size(), " places, which is no single block.");
    std::vector<Part> flat;
    Flatten(parts, &flat);
    for (const Part& part : flat) {
      kernels += part.is_unit();
      contractions += TraitsOf(context_, part).contraction;
    }
    return absl::StrCat("A model: ", kernels, " kernels with ", contractions,
                        " contractions, no residual and no block that repeats.");
  }

  void GroupBelow(Part* part) {
    if (part->level == Level::kLayer || part->level == Level::kModel) GroupFusions(context_, &part->parts);
    if (part->level != Level::kKernel) ExplainKernels(context_, part);
    for (Part& inner : part->parts) {
      if (inner.kind == Part::Kind::kScope || inner.kind == Part::Kind::kSlice) GroupBelow(&inner);
    }
  }

  void LogDissolved() {
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> by_kind;
    std::vector<std::pair<std::string, std::string>> order;
    for (const Dissolved& d : dissolved_) {
      const Module& module = ModuleOf(context_.program, d.scope);
      if (d.units < 2 && !module.is_container) continue;
      const std::pair<std::string, std::string> key = {module.class_name, d.why};
      if (!by_kind.contains(key)) order.push_back(key);
      by_kind[key].push_back(ModulePath(context_.program, d.scope));
    }
    for (const auto& key : order) {
      std::vector<std::string> paths = by_kind[key];
      const size_t count = paths.size();
      if (count > 6) paths.resize(6);
      log_->push_back(
          {"plan", "decision", absl::StrCat("Dissolved ", key.first, " ", paths[0]),
           absl::StrCat(Enumerate(paths), count > 6 ? absl::StrCat(" and ", count - 6, " more") : "",
                        count > 1 ? " (each): " : ": ", "this ", key.first, " ", key.second,
                        ". What it holds stands in its parent under the same names."),
           ""});
    }
  }

  struct Dissolved {
    InvocationId scope;
    std::string why;
    size_t units;
  };

  const PartContext& context_;
  std::vector<LogEntry>* log_;
  std::map<std::string, int> runs_;           // invocations per class
  std::set<program::ModuleId> in_container_;  // has a sibling of its class in a container
  std::set<std::string> layer_classes_, stage_classes_;
  std::vector<Dissolved> dissolved_;
};

}  // namespace

Part SettleLevels(const PartContext& context, Part root, std::vector<LogEntry>* log) {
  return Settler(context, log).Run(root);
}

}  // namespace strata::plan
