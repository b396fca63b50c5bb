// Rule `dimensions`: the model is the source's size, and children are drawn at the sizes at which they run.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/plan/text.h"
#include "worker/engine/verify/bundle_check.h"

namespace strata::verify {
namespace {

using program::Program;

std::multiset<std::string> WeightShapes(const Program& program) {
  std::multiset<std::string> shapes;
  for (const program::Value& value : program.values) {
    if (value.kind == program::ValueKind::kParameter)
      shapes.insert(
          absl::StrCat(program::ShortName(value.type.dtype), "[", plan::Dims(value.type.sizes), "]"));
  }
  return shapes;
}

std::string OutputShapes(const Program& program) {
  std::string text;
  for (const program::ValueId id : OutputsOf(program)) {
    const program::TensorType& type = program.value(id).type;
    absl::StrAppend(&text, text.empty() ? "" : " ", program::ShortName(type.dtype), "[",
                    absl::StrJoin(type.sizes, ","), "]");
  }
  return text;
}

class Dimensions {
 public:
  Dimensions(const BundleIndex& index, Report* report) : index_(index), report_(report) {}

  void Run() {
    Model();
    for (const ComponentFile& component : index_.files().components) {
      if (&component != index_.root()) Child(component);
    }
  }

 private:
  void Add(const std::string& file, const std::string& what, const std::string& advice) {
    report_->Add(rules::kDimensions, file, what, advice);
  }

  void Model() {
    const ComponentFile* root = index_.root();
    const ComponentFacts* known = root == nullptr ? nullptr : index_.FactsOf(*root);
    const Program& source = index_.facts().source;
    if (known == nullptr || known->programs.empty() || source.invocations.empty()) return;
    const Program& model = known->programs[0];
    const auto compare = [&](const char* what, const std::string& stated, const std::string& original) {
      if (stated == original) return;
      Add(root->path,
          absl::StrCat(root->path, " has ", what, " ", stated, "; those of source/ are ", original),
          "keep every dimension and dtype of the submission");
    };
    compare("inputs", SortedShapes(InputShapes(model)), SortedShapes(InputShapes(source)));
    compare("outputs", OutputShapes(model), OutputShapes(source));
    const auto ours = WeightShapes(model), theirs = WeightShapes(source);
    std::vector<std::string> only;
    std::set_symmetric_difference(ours.begin(), ours.end(), theirs.begin(), theirs.end(),
                                  std::back_inserter(only));
    if (only.size() > 6) only.resize(6);
    if (!only.empty())
      Add(root->path,
          absl::StrCat(root->path, " has other weights than source/: ", absl::StrJoin(only, ", ")),
          "keep every dimension and dtype of the submission");
  }

  // The shapes with which all its parents call it.
  std::set<std::string> CalledWith(const ComponentFile& component) const {
    std::set<std::string> shapes;
    for (const StepFolder& step : index_.files().steps) {
      const ClaimFacts* claim = index_.FactsOf(step);
      if (claim == nullptr) continue;
      for (const auto& calls : claim->calls) {
        for (const ChildCall& call : calls) {
          if (index_.ChildOf(step, call.stem) == &component) shapes.insert(SortedShapes(call.shapes));
        }
      }
    }
    return shapes;
  }

  // Every parent that the tree or a step names has been judged: all calls are known.
  bool AreParentsJudged(const ComponentFile& component) const {
    const auto judged = [&](const ComponentFile* parent) {
      const auto steps = parent == nullptr ? std::vector<const StepFolder*>() : index_.StepsOf(*parent);
      return !steps.empty() && index_.FactsOf(*steps[0]) != nullptr;
    };
    for (const TreeNode& node : index_.nodes()) {
      for (const std::string& id : node.children) {
        if (index_.ComponentOf(id) == &component && !judged(index_.ComponentOf(node.id))) return false;
      }
    }
    return std::all_of(index_.files().steps.begin(), index_.files().steps.end(), [&](const StepFolder& step) {
      const bool holds =
          step.children.contains(component.stem) && index_.ChildOf(step, component.stem) == &component;
      return !holds || index_.FactsOf(step) != nullptr;
    });
  }

  void Child(const ComponentFile& component) {
    const ComponentFacts* known = index_.FactsOf(component);
    const std::set<std::string> called = CalledWith(component);
    if (known == nullptr || known->programs.empty() || called.empty() || !AreParentsJudged(component)) return;
    std::set<std::string> drawn;
    for (const Program& program : known->programs) {
      const std::string shapes = SortedShapes(InputShapes(program));
      drawn.insert(shapes);
      if (called.contains(shapes)) continue;
      Add(component.path,
          absl::StrCat(component.path, " draws ", shapes, "; its parents call it with ",
                       absl::StrJoin(called, " and ")),
          "let get_inputs() draw the shapes and dtypes at which the model runs it");
      return;
    }
    const std::string first = SortedShapes(InputShapes(known->programs[0]));
    for (const std::string& shapes : called) {
      if (VolumeOf(shapes) > VolumeOf(first)) {
        Add(component.path,
            absl::StrCat(component.path, " draws ", first, " first; it also runs at ", shapes,
                         ", which is larger"),
            "let get_inputs() draw the largest");
        return;
      }
      if (index_.is_own() && !drawn.contains(shapes)) {
        Add(component.path, absl::StrCat(component.path, " runs at ", shapes, ", which it never draws"),
            "list every shape in WORKLOADS");
        return;
      }
    }
  }

  const BundleIndex& index_;
  Report* report_;
};

}  // namespace

void CheckDimensions(const BundleIndex& index, Report* report) { Dimensions(index, report).Run(); }

}  // namespace strata::verify
