#include "worker/engine/verify/source_scan.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/status.h"
#include "worker/engine/host/interpreter.h"
#include "worker/engine/program/plumbing.h"

namespace strata::embedded {
extern const char kSourceNamesPy[];
extern const char kSourceScanPy[];
extern const char kSourceSettingsPy[];
}  // namespace strata::embedded

namespace strata::verify {
namespace {

using nlohmann::json;

const char* RoleName(TextRole role) {
  switch (role) {
    case TextRole::kParent:
      return "parent";
    case TextRole::kChild:
      return "child";
    case TextRole::kScript:
      break;
  }
  return "script";
}

// Runs in a trusted fork; the interpreter is the zygote's. One line of JSON for each text.
absl::StatusOr<std::string> RunScans(const std::vector<SourceText>& texts) {
  STRATA_RETURN_IF_ERROR(host::DefineModule("strata_source_names", embedded::kSourceNamesPy));
  STRATA_RETURN_IF_ERROR(host::DefineModule("strata_source_settings", embedded::kSourceSettingsPy));
  STRATA_RETURN_IF_ERROR(host::DefineModule("strata_source_scan", embedded::kSourceScanPy));
  std::string lines;
  for (const SourceText& text : texts) {
    // A file may be bytes of any kind; what is no UTF-8 shows as a replacement character.
    const json request = {{"source", text.text},
                          {"class", text.class_name},
                          {"role", RoleName(text.role)},
                          {"imports", text.imports}};
    STRATA_ASSIGN_OR_RETURN(const std::string line,
                            host::CallText("strata_source_scan", "scan",
                                           request.dump(-1, ' ', true, json::error_handler_t::replace), 0));
    absl::StrAppend(&lines, line, "\n");
  }
  return lines + "\n";
}

// "ops.aten.add.Tensor" and "add_" are both the operator add.
std::string OperatorOf(const std::string& name) {
  std::string op = name.starts_with("ops.aten.") ? name.substr(9) : name;
  op = op.substr(0, op.find('.'));
  return program::OperatorName(op);
}

bool IsCompute(const std::string& name) {
  // Of these the text does not tell; the recorded calls do.
  static const std::set<std::string> kUndecided = {"repeat_interleave",
                                                   "tensor",
                                                   "as_tensor",
                                                   "no_grad",
                                                   "is_tensor",
                                                   "device",
                                                   "Size",
                                                   "finfo",
                                                   "iinfo",
                                                   "result_type",
                                                   "get_default_dtype",
                                                   "return_types"};
  const std::string op = OperatorOf(name);
  using program::Besides;
  for (const Besides besides : {Besides::kMaskLogic, Besides::kMaskedFill, Besides::kPower,
                                Besides::kIndexing, Besides::kComparison}) {
    const auto names = program::NamesOf(besides);
    if (std::find(names.begin(), names.end(), op) != names.end()) return false;
  }
  return !kUndecided.contains(op) && program::ClassifyName(op) == program::OpClass::kCompute;
}

// What a model may do where the original does: ask how the process is set up, catch what is raised, leave
// something on an argument.
bool MayFollow(const std::string& kind) { return kind == "setting" || kind == "catch" || kind == "argument"; }

// Settings by name, for one is not another.
std::set<std::string> Followed(const SourceScan& scan) {
  std::set<std::string> uses;
  for (const json& use : scan.uses) {
    const std::string kind = use.value("kind", "");
    if (MayFollow(kind)) uses.insert(kind == "setting" ? use.value("name", "") : kind + "()");
  }
  return uses;
}

struct Why {
  const char* what = nullptr;  // null where the use is allowed
  const char* advice = "";
};

Why Reason(const std::string& kind, const std::string& name, bool in_init) {
  if (kind == "construct")
    return {"a module or parameter made outside the children", "import it from a file of children/"};
  if (kind == "import")
    return {"an import beyond torch, the children and the standard library's basics", "do without it"};
  if (kind == "builtin" || kind == "reach")
    return {"it reaches beyond the model", "a model computes from its arguments and its weights only"};
  if (kind == "catch")
    return {"it goes on where a computation fails, and the original does not",
            "compute what the original does"};
  if (kind == "argument")
    return {"it leaves something on an argument, and the original does not", "return it"};
  if (kind == "setting")
    return {"it asks how the process is set up, and the original does not", "do without it"};
  if (kind == "state")
    return {"it keeps something from call to call outside the module", "hand tensors on as arguments"};
  if (kind == "coding") return {"a coding by which Python reads other text than stands there", "write utf-8"};
  if (kind == "depth") return {"it is nested too deeply to be read", "write it in several statements"};
  if (kind == "patch") return {"it changes what is not its own", "write the model as it is meant to run"};
  if (in_init) return {};  // the original's own buffers, by the source's formula
  const bool compute = kind == "functional" || ((kind == "torch" || kind == "method") && IsCompute(name));
  return compute ? Why{"a compute operator outside the children", "move it into a child"} : Why{};
}

}  // namespace

absl::StatusOr<std::vector<SourceScan>> ScanSources(host::Zygote& zygote, const host::Limits& limits,
                                                    const std::vector<SourceText>& texts) {
  STRATA_ASSIGN_OR_RETURN(const std::string output,
                          zygote.RunTrusted([&]() { return RunScans(texts); }, limits));
  const std::vector<std::string> lines = absl::StrSplit(output, '\n');
  std::vector<SourceScan> scans;
  for (size_t i = 0; i < texts.size(); ++i) {
    const json parsed =
        i < lines.size() ? json::parse(lines[i], nullptr, /*allow_exceptions=*/false) : json();
    if (!parsed.is_object()) return absl::InternalError("the source scan returned no JSON");
    scans.push_back({.has_class = parsed.value("has_class", false),
                     .has_main = parsed.value("has_main", false),
                     .syntax_error = parsed.value("error", ""),
                     .line = parsed.value("line", 0),
                     .uses = parsed.value("uses", json::array()),
                     .workloads = std::clamp(parsed.value("workloads", 1), 1, kMaxWorkloads),
                     .keeps = parsed.value("keeps", json::array()),
                     .children = parsed.value("children", json::object()),
                     .maps = parsed.value("maps", json::array())});
  }
  return scans;
}

absl::StatusOr<SourceScan> ScanSource(host::Zygote& zygote, const host::Limits& limits,
                                      const std::string& text, const std::string& class_name, TextRole role,
                                      const std::vector<std::string>& imports) {
  STRATA_ASSIGN_OR_RETURN(const std::vector<SourceScan> scans,
                          ScanSources(zygote, limits, {{text, class_name, role, imports}}));
  return scans[0];
}

std::vector<Violation> SourceViolations(const SourceScan& scan, const std::string& file,
                                        const SourceScan& original) {
  std::vector<Violation> violations;
  const std::set<std::string> followed = Followed(original);
  for (const json& use : scan.uses) {
    const std::string name = use.value("name", ""), location = use.value("location", "");
    const std::string kind = use.value("kind", "");
    if (MayFollow(kind) && followed.contains(kind == "setting" ? name : kind + "()")) continue;
    const Why why = Reason(kind, name, location == "__init__()");
    if (why.what == nullptr) continue;
    violations.push_back(
        {rules::kSource, file, use.value("line", 0), absl::StrCat(name, ": ", why.what), why.advice});
  }
  for (const json& kept : scan.keeps) {
    if (!original.keeps.empty()) break;
    violations.push_back(
        {rules::kSource, file, kept.value("line", 0),
         absl::StrCat("self.", kept.value("name", ""),
                      ": it is set in the forward; the original keeps nothing from call to call"),
         "hand tensors on as arguments"});
  }
  return violations;
}

absl::StatusOr<std::vector<int>> CountWorkloads(host::Zygote& zygote, const host::Limits& limits,
                                                const std::vector<std::string>& files) {
  std::vector<SourceText> texts;
  for (const std::string& file : files) {
    STRATA_ASSIGN_OR_RETURN(std::string text, ReadFile(file));
    texts.push_back({std::move(text), "Model", TextRole::kChild, {}});
  }
  STRATA_ASSIGN_OR_RETURN(const std::vector<SourceScan> scans, ScanSources(zygote, limits, texts));
  std::vector<int> counts;
  for (const SourceScan& scan : scans) counts.push_back(scan.workloads);
  return counts;
}

}  // namespace strata::verify
