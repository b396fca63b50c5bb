// Rules `alone`, `composition` and `coverage`.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/verify/bundle_check.h"
#include "worker/engine/verify/bundle_imports.h"
#include "worker/engine/verify/bundle_json.h"
#include "worker/engine/verify/counting.h"
#include "worker/engine/verify/plumbing_check.h"

namespace strata::verify {
namespace {

using nlohmann::ordered_json;
using plan::Level;

constexpr char kScript[] = "verification/composition_test.py";

// What a script needs to find and compare files; nothing that computes.
bool IsBasic(const std::string& module) {
  static const auto* const kBasic = new std::set<std::string>{
      "__future__", "argparse", "collections", "contextlib", "copy",      "dataclasses", "functools",
      "importlib",  "io",       "itertools",   "json",       "logging",   "math",        "os",
      "pathlib",    "random",   "sys",         "time",       "traceback", "typing",      "types",
      "unittest",   "warnings", "torch",       "numpy"};
  return kBasic->contains(module.substr(0, module.find('.')));
}

class Composition {
 public:
  Composition(const BundleIndex& index, Report* report) : index_(index), report_(report) {}

  void Run() {
    Imports();
    const ClaimFacts& facts = index_.facts().composition;
    if (!facts.judged) return;
    for (const Violation& v : facts.violations)
      report_->Add(v.rule.c_str(), v.file, v.line, v.what, v.advice);
    if (!facts.pass && facts.violations.empty())
      Add(0, "ComposedModel is not the submitted model", "compose the kernels as the model runs them");
    Runs(facts);
  }

 private:
  void Add(int line, const std::string& what, const std::string& advice) {
    report_->Add(rules::kComposition, kScript, line, absl::StrCat(kScript, " ", what), advice);
  }

  void Imports() {
    const auto& script = index_.files().composition_script;
    if (!script) return;
    std::set<std::string> allowed, parents;
    for (const ComponentFile& component : index_.files().components) {
      const bool kernel = component.level == Level::kKernel || &component == index_.root();
      (kernel ? allowed : parents).insert(component.stem);
    }
    for (const auto& [path, text] : index_.files().source) {
      const size_t slash = path.rfind('/') + 1;  // npos + 1 is 0
      allowed.insert(path.substr(slash, path.rfind('.') - slash));
    }
    for (const Import& import : ImportsOf(*script)) {
      const std::string stem = import.module.substr(import.module.rfind('.') + 1);
      if (IsBasic(import.module) || allowed.contains(stem)) continue;
      Add(import.line,
          absl::StrCat(
              "imports ", import.module,
              parents.contains(stem) ? ", which is no kernel" : ", which is neither kernel nor model"),
          "import the submitted model and files of level_0_kernel/ only");
    }
    for (const char* folder : {"level_1_fusion", "level_2_layer"}) {
      if (index_.root() != nullptr && plan::LevelFolder(index_.root()->level) == std::string(folder))
        continue;
      for (const int line : LinesWith(*script, folder))
        Add(line, absl::StrCat("takes files of ", folder), "compose kernels alone");
    }
  }

  // Every kernel runs there, and as often as the steps multiply.
  void Runs(const ClaimFacts& facts) {
    if (facts.calls.empty()) return;
    std::map<std::string, int64_t> runs;
    for (const ChildCall& call : facts.calls[0]) ++runs[call.stem];
    for (const ComponentFile& component : index_.files().components) {
      if (component.level != Level::kKernel) continue;
      const int64_t here = runs[component.stem];
      int64_t by_steps = 0;
      for (const auto& [instance, count] : index_.RunsOf(component)) by_steps += count;
      if (here == 0) {
        Add(0, absl::StrCat("never runs ", component.path),
            "use every kernel, and remove what the model lacks");
      } else if (by_steps != 0 && by_steps != here && &component != index_.root()) {
        Add(0, absl::StrCat("runs ", component.path, " ", here, " times; by the steps it runs ", by_steps),
            "let composition and steps be one decomposition");
      }
    }
  }

  const BundleIndex& index_;
  Report* report_;
};

// One kernel over all its runs, at the workload of the same shapes; false where it never draws one.
bool Cover(const ComponentFacts& known, const std::vector<ChildCall>& runs, CoveringFile* file) {
  std::map<std::string, OperatorCounts> at;
  for (const program::Program& program : known.programs)
    at.emplace(SortedShapes(InputShapes(program)), CountOperators(program));
  bool all = true;
  for (const ChildCall& run : runs) {
    // Elementwise kernels of others draw one shape and run at many.
    auto counts = at.find(SortedShapes(run.shapes));
    if (counts == at.end() && at.size() == 1) counts = at.begin();
    all &= counts != at.end();
    if (counts == at.end()) continue;
    for (const auto& [op, count] : counts->second.counted) file->executed[op] += count;
    ++file->runs;
  }
  return all;
}

}  // namespace

void CheckAlone(const BundleIndex& index, Report* report) {
  for (const ComponentFile& component : index.files().components) {
    const ComponentFacts* known = index.FactsOf(component);
    if (known == nullptr || !known->ran || known->passed) continue;
    report->Add(rules::kAlone, component.path,
                absl::StrCat("`python ", component.path, "` does not pass: ", known->message.substr(0, 400)),
                "let the file run by itself, print PASS and exit 0");
  }
}

void CheckComposition(const BundleIndex& index, Report* report) { Composition(index, report).Run(); }

ordered_json RecomputedCoverage(const BundleIndex& index) {
  const ClaimFacts& facts = index.facts().composition;
  const ComponentFile* root = index.root();
  const ComponentFacts* known = root == nullptr ? nullptr : index.FactsOf(*root);
  const bool kernel_only = root != nullptr && root->level == Level::kKernel;
  const program::Program* model = known == nullptr || known->programs.empty() ? nullptr : &known->programs[0];
  if (kernel_only && !index.facts().source.invocations.empty()) model = &index.facts().source;
  if (model == nullptr || facts.calls.empty() || facts.refactored.invocations.empty()) return nullptr;

  const ChildScopes scopes(facts.refactored, facts.children_dir);
  CoverageInput input{.timestamp = "",
                      .model_file = kernel_only && !index.files().source.empty()
                                        ? "source/" + index.files().source.begin()->first
                                        : root->path,
                      .original = CountOperators(*model),
                      .parent_arithmetic = ArithmeticOutside(
                          facts.refactored, [&](program::InvocationId id) { return scopes.Inside(id); }),
                      .files = {}};
  for (const ComponentFile& component : index.files().components) {
    if (component.level != Level::kKernel) continue;
    const ComponentFacts* kernel = index.FactsOf(component);
    if (kernel == nullptr || kernel->programs.empty()) return nullptr;
    std::vector<ChildCall> runs;
    for (const ChildCall& call : facts.calls[0]) {
      if (call.stem == component.stem) runs.push_back(call);
    }
    CoveringFile file{.path = component.path, .executed = {}};
    if (!Cover(*kernel, runs, &file)) return nullptr;
    input.files.push_back(std::move(file));
  }
  return CoverageJson(input, /*summary=*/true);
}

void CheckCoverage(const BundleIndex& index, Report* report) {
  const ordered_json coverage = RecomputedCoverage(index);
  for (const ordered_json& detail : AtPath(coverage, "coverage.op_details")) {
    const int64_t original = WholeOf(At(detail, "original_count")),
                  decomposed = WholeOf(At(detail, "decomposed_count"));
    if (original == decomposed) continue;
    const std::string op = TextOf(At(detail, "op_type"));
    const bool missing = original > decomposed;
    report->Add(
        rules::kCoverage, "level_0_kernel/",
        absl::StrCat("the kernels execute ", op, " ", decomposed, " times, the model ", original, " times"),
        missing ? absl::StrCat("add the kernel that executes ", op, ", or run it as often")
                : absl::StrCat("remove what executes ", op, " beyond the model"));
  }
}

}  // namespace strata::verify
