// Rule `results` for decomposition_tree.json: metadata and nodes.
#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/plan/names.h"
#include "worker/engine/verify/bundle_compare.h"
#include "worker/engine/verify/bundle_json.h"

namespace strata::verify {
namespace {

using nlohmann::ordered_json;
using plan::Level;
using program::Program;

// "[2,3] i64" of every tensor, in order, so that stated and recorded ones compare.
std::string Tensors(const Program& program, const std::vector<program::ValueId>& ids) {
  std::vector<std::string> texts;
  for (const program::ValueId id : ids) {
    const program::TensorType& type = program.value(id).type;
    texts.push_back(absl::StrCat(program::ShortName(type.dtype), "[", absl::StrJoin(type.sizes, ","), "]"));
  }
  return absl::StrJoin(texts, " ");
}

// The same of input_shapes and input_dtypes; dtype "" where the tree does not state it.
std::string StatedTensors(const ordered_json& shapes, const ordered_json& dtypes) {
  std::vector<std::string> texts;
  if (!shapes.is_object()) return "";
  for (const auto& [name, sizes] : shapes.items()) {
    std::vector<std::string> numbers;
    if (sizes.is_array()) {
      for (const ordered_json& size : sizes) numbers.push_back(size.dump());
    }
    texts.push_back(
        absl::StrCat(ShortDType(TextOf(At(dtypes, name))), "[", absl::StrJoin(numbers, ","), "]"));
  }
  return absl::StrJoin(texts, " ");
}

std::string WithoutDTypes(const std::string& tensors) {
  std::string text;
  bool inside = false;
  for (const char c : tensors) {
    inside = c == '[' || (inside && c != ' ');
    if (inside || c == ' ') text += c;
  }
  return text;
}

class Tree {
 public:
  Tree(const BundleIndex& index, Report* report)
      : index_(index), file_("decomposition_tree.json", index.is_own(), report) {}

  void Run() {
    if (!index_.files().tree.value.is_object()) return;
    Metadata();
    std::set<std::string> paths;
    for (const TreeNode& node : index_.nodes()) {
      const ComponentFile* component = index_.files().Find(node.path);
      if (component == nullptr) {
        file_.Differs(
            absl::StrCat("nodes.", node.id, ": path ", node.path.substr(0, 80), " is no component file"));
        continue;
      }
      paths.insert(node.path);
      Node(node, *component);
    }
    for (const ComponentFile& component : index_.files().components) {
      if (!paths.contains(component.path)) file_.Differs(absl::StrCat("nodes has none for ", component.path));
    }
  }

 private:
  void Metadata() {
    const ordered_json& metadata = At(index_.files().tree.value, "metadata");
    const auto& components = index_.files().components;
    std::map<Level, int64_t> count;
    for (const ComponentFile& component : components) ++count[component.level];
    file_.Equal("metadata.total_components", At(metadata, "total_components"), components.size());
    for (const Level level : {Level::kModel, Level::kLayer, Level::kFusion, Level::kKernel}) {
      const std::string name = absl::StrCat("metadata.by_level.", plan::LevelName(level));
      file_.Equal(name, AtPath(metadata, absl::StrCat("by_level.", plan::LevelName(level))), count[level]);
    }
    if (index_.is_own())
      file_.Equal("metadata.unique_kernels", At(metadata, "unique_kernels"), count[Level::kKernel]);
    const std::optional<bool> passed = AllPassed();
    if (passed) {
      file_.Status("metadata.verification_status", At(metadata, "verification_status"),
                   *passed ? "PASS" : "FAIL");
    }
    if (!index_.is_own()) return;
    const std::string source = TextOf(At(metadata, "source_file"));
    const bool there = source.size() > 7 && index_.files().source.contains(source.substr(7));
    if (!index_.files().source.empty() && !there)
      file_.Differs(
          absl::StrCat("metadata.source_file names ", source.substr(0, 80), ", which is not there"));
    if (there) file_.Equal("metadata.model_name", At(metadata, "model_name"), plan::ModelName(source));
  }

  // Every file, step and the composition; nullopt where one of them was not judged.
  std::optional<bool> AllPassed() const {
    bool pass = true;
    for (const ComponentFile& component : index_.files().components) {
      const ComponentFacts* known = index_.FactsOf(component);
      if (known == nullptr || !known->ran) return std::nullopt;
      pass &= known->passed;
    }
    for (const StepFolder& step : index_.files().steps) {
      const ClaimFacts* claim = index_.FactsOf(step);
      if (claim == nullptr) return std::nullopt;
      pass &= claim->pass;
    }
    if (!index_.facts().composition.judged) return std::nullopt;
    return pass && index_.facts().composition.pass;
  }

  void Node(const TreeNode& node, const ComponentFile& component) {
    const std::string name = absl::StrCat("nodes.", node.id, ".");
    if (index_.is_own()) {
      file_.Equal(name + "id", At(*node.json, "id"), component.stem);
      if (node.id != component.stem) file_.Differs(absl::StrCat("nodes.", node.id, " is ", component.path));
      Calls(node, component);
      Runs(node, component);
    }
    const ComponentFacts* known = index_.FactsOf(component);
    if (known == nullptr || known->programs.empty()) return;
    const Program& program = known->programs[0];
    Shapes(name + "input", *node.json, "input", Tensors(program, InputsOf(program)));
    Shapes(name + "output", *node.json, "output", Tensors(program, OutputsOf(program)));
  }

  void Shapes(const std::string& name, const ordered_json& node, const std::string& side,
              const std::string& recorded) {
    const ordered_json &shapes = At(node, side + "_shapes"), &dtypes = At(node, side + "_dtypes");
    if (!shapes.is_object()) return;
    const std::string stated = StatedTensors(shapes, dtypes);
    const bool typed = dtypes.is_object();
    const std::string expected = SortedShapes(typed ? recorded : WithoutDTypes(recorded));
    if (SortedShapes(stated) != expected)
      file_.Differs(name + (typed ? "_shapes and dtypes" : "_shapes"), stated, expected);
  }

  void Calls(const TreeNode& node, const ComponentFile& component) {
    const std::vector<const StepFolder*> steps = index_.StepsOf(component);
    const ClaimFacts* claim = steps.empty() ? nullptr : index_.FactsOf(*steps[0]);
    if (claim == nullptr || claim->calls.empty()) return;
    ordered_json calls = ordered_json::object();
    for (const ChildCall& call : claim->calls[0]) calls[call.stem] = WholeOf(At(calls, call.stem)) + 1;
    file_.Equal(absl::StrCat("nodes.", node.id, ".calls"), At(*node.json, "calls"), calls);
  }

  void Runs(const TreeNode& node, const ComponentFile& component) {
    const auto& runs = index_.RunsOf(component);
    int64_t all = 0, by_instance = 0;
    for (const auto& [instance, count] : runs) all += count;
    const ordered_json &stated = At(*node.json, "instance_count"), &instances = At(*node.json, "instances");
    const std::string name = absl::StrCat("nodes.", node.id, ".");
    if (!runs.empty()) file_.Equal(name + "instance_count", stated, all);
    if (instances.is_array()) {
      for (const ordered_json& instance : instances) by_instance += WholeOf(At(instance, "calls"));
      file_.Equal(name + "instance_count", stated, by_instance);
    }
    if (runs.empty()) return;
    Scopes(name, instances, runs);
    Workloads(name, *node.json, runs);
  }

  void Scopes(const std::string& name, const ordered_json& instances, const verify::Runs& runs) {
    if (!instances.is_array()) return;
    std::map<std::string, int64_t> stated, recorded;
    for (const ordered_json& instance : instances)
      stated[TextOf(At(instance, "scope"))] += WholeOf(At(instance, "calls"));
    for (const auto& [instance, count] : runs) recorded[instance.scope] += count;
    if (stated != recorded) file_.Differs(name + "instances", ordered_json(stated), ordered_json(recorded));
  }

  void Workloads(const std::string& name, const ordered_json& node, const verify::Runs& runs) {
    if (!At(node, "workloads").is_array()) return;
    std::map<std::string, int64_t> stated, recorded;
    for (const ordered_json& workload : At(node, "workloads"))
      stated[SortedShapes(StatedTensors(At(workload, "input_shapes"), nullptr))] +=
          WholeOf(At(workload, "count"));
    for (const auto& [instance, count] : runs)
      recorded[SortedShapes(WithoutDTypes(instance.shapes))] += count;
    if (stated != recorded) file_.Differs(name + "workloads", ordered_json(stated), ordered_json(recorded));
  }

  const BundleIndex& index_;
  StatedFile file_;
};

}  // namespace

void CheckTree(const BundleIndex& index, Report* report) { Tree(index, report).Run(); }

}  // namespace strata::verify
