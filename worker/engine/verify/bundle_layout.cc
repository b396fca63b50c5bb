// Rule `layout`: the files that must exist, and the fields that every JSON file has.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/engine/verify/bundle_check.h"
#include "worker/engine/verify/bundle_json.h"

namespace strata::verify {
namespace {

using Fields = std::vector<const char*>;
using nlohmann::ordered_json;

// Top-level names once more with a dot: a missing object is one missing field, not five.
const Fields kTree = {"metadata",
                      "metadata.source_file",
                      "metadata.source_level",
                      "metadata.model_name",
                      "metadata.timestamp",
                      "metadata.total_components",
                      "metadata.by_level",
                      "metadata.unique_kernels",
                      "metadata.verification_status",
                      "nodes",
                      "data_flow"};
const Fields kNode = {"id",           "name",          "level",        "path",         "children",
                      "input_shapes", "output_shapes", "input_dtypes", "output_dtypes"};
const Fields kOwnNode = {"calls", "instance_count", "instances", "workloads"};
const Fields kLog = {"entries"};
const Fields kVerification = {"timestamp",
                              "original_file",
                              "refactored_file",
                              "status",
                              "anticheat",
                              "anticheat.status",
                              "anticheat.violations",
                              "anticheat.source_violations",
                              "anticheat.parameter_violations",
                              "weight_transfer",
                              "weight_transfer.status",
                              "weight_transfer.mapped_count",
                              "weight_transfer.unmapped_original",
                              "weight_transfer.unmapped_refactored",
                              "weight_transfer.weight_map",
                              "numerical_comparison",
                              "numerical_comparison.status",
                              "numerical_comparison.rtol",
                              "numerical_comparison.atol",
                              "numerical_comparison.input_dtype",
                              "numerical_comparison.num_trials",
                              "numerical_comparison.max_diff_across_trials",
                              "numerical_comparison.trials"};
const Fields kOwnVerification = {"anticheat.executed_violations", "numerical_comparison.bit_exact",
                                 "environment"};
const Fields kCoverage = {"timestamp",
                          "model_file",
                          "status",
                          "extraction_method",
                          "coverage",
                          "coverage.total_original_ops",
                          "coverage.total_decomposed_ops",
                          "coverage.covered_op_count",
                          "coverage.coverage_pct",
                          "coverage.missing_op_types",
                          "coverage.extra_op_types",
                          "coverage.op_details"};
const Fields kOwnCoverage = {"plumbing"};
const Fields kOwnSummary = {"unique_op_types_original", "unique_op_types_kernels", "kernels"};
const Fields kSteps = {"timestamp", "decomp_dir", "status",  "total_steps",
                       "passed",    "failed",     "skipped", "steps"};
const Fields kTests = {"timestamp",        "total_components", "passed",           "failed",
                       "composition_test", "max_difference",   "component_results"};

void AddMissing(const ordered_json& json, const Fields& fields, const std::string& prefix,
                std::vector<std::string>* missing) {
  for (const char* field : fields) {
    const std::string name = field;
    const size_t dot = name.rfind('.');
    const ordered_json& parent = dot == std::string::npos ? json : AtPath(json, name.substr(0, dot));
    const std::string last = dot == std::string::npos ? name : name.substr(dot + 1);
    if (parent.is_null() && dot != std::string::npos) continue;
    if (!parent.is_object() || !parent.contains(last)) missing->push_back(prefix + name);
  }
}

class Layout {
 public:
  Layout(const BundleIndex& index, Report* report) : index_(index), report_(report) {}

  void Run() {
    const BundleFiles& files = index_.files();
    if (files.components.empty())
      report_->Add(rules::kLayout, "", "no level folder holds a component",
                   "put one file per component into level_3_model/ to level_0_kernel/");
    if (files.source.empty())
      report_->Add(rules::kLayout, "source/",
                   "source/ is missing: nothing says what the bundle is a decomposition of",
                   "put the submitted file there, byte for byte");
    if (!files.composition_script)
      report_->Add(rules::kLayout, "verification/composition_test.py",
                   "verification/composition_test.py is missing",
                   "write a test that compares ComposedModel with the submitted model");
    Json(files.tree, kTree, {}, true);
    Nodes();
    Json(files.log, kLog, {}, true);
    Json(files.coverage_summary, kCoverage, Joined(kOwnCoverage, kOwnSummary), true);
    Json(files.step_summary, kSteps, {}, index_.is_own());
    Json(files.test_results, kTests, {}, index_.is_own());
    if (!files.step_0.empty()) Json(files.wrapper_result, kVerification, kOwnVerification, index_.is_own());
    for (const StepFolder& step : files.steps) Step(step);
    if (index_.is_own()) StepNames();
  }

 private:
  // Numbered in order from 1, named after the highest level among the children.
  void StepNames() {
    int number = 0;
    for (const StepFolder& step : index_.files().steps) {
      const ComponentFile* parent = index_.ParentOf(step);
      ++number;
      if (parent == nullptr) continue;
      plan::Level highest = plan::Level::kKernel;
      for (const auto& [stem, text] : step.children) {
        const ComponentFile* child = index_.ChildOf(step, stem);
        if (child != nullptr) highest = std::max(highest, child->level);
      }
      const std::string expected =
          absl::StrCat("step_", number, "_", parent->stem, "_to_", plan::LevelName(highest), "s");
      if (step.name == expected) continue;
      report_->Add(rules::kLayout, "steps/" + step.name,
                   absl::StrCat("steps/", step.name, " is step ", number, " and should be named ", expected),
                   "number the steps in tree order and name each after the highest level among its children");
    }
  }

  static Fields Joined(Fields a, const Fields& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }

  void Missing(const std::string& file, const std::vector<std::string>& fields) {
    if (fields.empty()) return;
    std::vector<std::string> shown = fields;
    if (shown.size() > 8) {
      shown.resize(8);
      shown.push_back(absl::StrCat(fields.size() - 8, " more"));
    }
    report_->Add(rules::kLayout, file, absl::StrCat(file, " has no field ", absl::StrJoin(shown, ", ")),
                 "write the fields of docs/bundle_format.md, \"JSON files\"");
  }

  void Json(const JsonFile& file, const Fields& fields, const Fields& own, bool required) {
    if (!file.exists) {
      if (required && file.path != "decomposition_tree.json")
        report_->Add(rules::kLayout, file.path, file.path + " is missing",
                     "write it as docs/bundle_format.md, \"JSON files\", says");
      return;
    }
    if (file.value.is_null()) return;
    std::vector<std::string> missing;
    AddMissing(file.value, fields, "", &missing);
    if (index_.is_own()) AddMissing(file.value, own, "", &missing);
    Missing(file.path, missing);
  }

  void Nodes() {
    std::vector<std::string> missing;
    for (const TreeNode& node : index_.nodes()) {
      AddMissing(*node.json, kNode, absl::StrCat("nodes.", node.id, "."), &missing);
      if (index_.is_own()) AddMissing(*node.json, kOwnNode, absl::StrCat("nodes.", node.id, "."), &missing);
    }
    Missing("decomposition_tree.json", missing);
  }

  void Step(const StepFolder& step) {
    const std::string folder = "steps/" + step.name;
    const auto require = [&](bool there, const char* file, const char* advice) {
      if (!there) report_->Add(rules::kLayout, folder, absl::StrCat(folder, " has no ", file), advice);
    };
    require(step.original.has_value(), "original.py", "copy the parent's component file there");
    require(step.refactored.has_value(), "refactored.py", "write the parent as calls of its children");
    require(!step.children.empty(), "children/", "copy the component files of the children there");
    Json(step.verification_result, kVerification, kOwnVerification, true);
    Json(step.coverage_report, kCoverage, kOwnCoverage, index_.is_own());
    Json(step.weight_map, {}, {}, index_.is_own());
  }

  const BundleIndex& index_;
  Report* report_;
};

}  // namespace

void CheckLayout(const BundleIndex& index, Report* report) { Layout(index, report).Run(); }

}  // namespace strata::verify
