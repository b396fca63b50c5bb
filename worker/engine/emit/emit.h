#pragma once
// emit/: Plan -> text. Pure: no torch, no Python, no files; it returns what is to be written.
//
// Texts are deterministic: the same Plan gives the same bytes. docs/bundle_format.md says what each file
// must hold.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "worker/engine/plan/plan.h"
#include "worker/engine/program/program.h"

namespace strata::emit {

struct File {
  std::string path;  // relative to the bundle: "level_0_kernel/linear_64x128_fp32.py"
  std::string content;
};

// Which rung of the ladder each call is spelled on. Default: torch.nn / functional spelling; calls in
// `aten` are spelled torch.ops.aten.NAME.OVERLOAD exactly as recorded. Buffers and constants are said by the
// source's formula; those in `literal` by their elements.
struct Spelling {
  std::set<program::CallId> aten;
  std::set<program::ValueId> literal;

  bool empty() const { return aten.empty() && literal.empty(); }
};

// Those of the components that have one other than the default.
using Spellings = std::map<plan::ComponentId, Spelling>;
Spelling SpellingOf(const Spellings& spellings, plan::ComponentId id);

struct Emission {
  std::vector<File> files;
  std::vector<plan::LogEntry> log;
};

// The component file of the submitted model: the bytes of `source`, then what the template asks for and
// the source lacks. For every other component: written from its first node.
absl::StatusOr<std::string> ComponentText(const plan::Plan& plan, plan::ComponentId id,
                                          const std::string& source, const Spelling& spelling = {});

// Where the component's file lies: "level_1_fusion/attention.py".
std::string ComponentPath(const plan::Plan& plan, plan::ComponentId id);

// steps/STEP/{original.py,refactored.py,children/*.py,weight_map.json} and the children's own files in
// their level folders (same bytes). Kernels have no step: InvalidArgument.
absl::StatusOr<Emission> StepFiles(const plan::Plan& plan, plan::ComponentId id, const std::string& source,
                                   const Spellings& spellings = {});

// verification/composition_test.py.
absl::StatusOr<std::string> CompositionText(const plan::Plan& plan, const Spellings& spellings = {});
// state_dict key of the submitted model -> key of ComposedModel, the map inside the composition test.
std::map<std::string, std::string> CompositionWeightMap(const plan::Plan& plan,
                                                        const Spellings& spellings = {});

// decomposition_tree.json without verification_status and timestamp filled in ("PENDING", "").
nlohmann::ordered_json TreeJson(const plan::Plan& plan);
// decomposition_analysis.md
std::string AnalysisText(const plan::Plan& plan);

// The emitted text of `id`, captured again, against the slice it was written from: one line per
// difference and the plan's call or held value it belongs to (kNoId where it has no counterpart). Empty: it
// says what was recorded, operator by operator, settings, dtypes, shapes and the elements of its buffers and
// constants included.
struct Difference {
  program::CallId call = program::kNoId;
  program::ValueId value = program::kNoId;  // a buffer or constant
  std::string what;
};
std::vector<Difference> CompareWithSlice(const plan::Plan& plan, plan::ComponentId id,
                                         const program::Program& recaptured);
// A buffer or constant whose elements the Program has; those are compared.
bool IsKept(const program::Value& value);

}  // namespace strata::emit
