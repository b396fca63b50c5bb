#include "worker/engine/verify/source_scan.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "worker/engine/host/interpreter.h"
#include "worker/engine/program/plumbing.h"

namespace strata::embedded {
extern const char kSourceScanPy[];
}

namespace strata::verify {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// Runs in a trusted fork; the interpreter is the zygote's.
absl::StatusOr<std::string> RunScan(const std::string& text, const std::string& class_name,
                                    const std::vector<std::string>& imports) {
  if (absl::Status s = host::DefineModule("strata_source_scan", embedded::kSourceScanPy); !s.ok()) return s;
  // The submission may be bytes of any kind; what is no UTF-8 shows as a replacement character.
  const json request = {{"source", text}, {"class", class_name}, {"imports", imports}};
  return host::CallText("strata_source_scan", "scan",
                        request.dump(-1, ' ', true, json::error_handler_t::replace), 0);
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
  return !kUndecided.contains(op) && program::ClassifyName(op) == program::OpClass::kCompute;
}

// "" where the use is allowed.
std::string Reason(const std::string& kind, const std::string& name, bool in_init) {
  if (kind == "construct") return "modules and parameters must come from children/";
  if (kind == "import")
    return "a refactored file imports torch, its children and the standard library's basics only";
  if (kind == "builtin") return "not allowed in a refactored file";
  if (in_init) return "";  // the original's own buffers, by the source's formula
  if (kind == "functional") return "a compute operator must be in a child";
  if ((kind == "torch" || kind == "method") && IsCompute(name))
    return "a compute operator must be in a child";
  return "";
}

}  // namespace

absl::StatusOr<SourceScan> ScanSource(host::Zygote& zygote, const host::Limits& limits,
                                      const std::string& text, const std::string& class_name,
                                      const std::vector<std::string>& imports) {
  absl::StatusOr<std::string> output = zygote.RunTrusted(
      [&]() -> absl::StatusOr<std::string> { return RunScan(text, class_name, imports); }, limits);
  if (!output.ok()) return output.status();
  const json parsed = json::parse(*output, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return absl::InternalError("the source scan returned no JSON");
  SourceScan scan;
  scan.syntax_error = parsed.value("error", "");
  scan.line = parsed.value("line", 0);
  scan.has_class = parsed.value("has_class", false);
  scan.has_main = parsed.value("has_main", false);
  scan.uses = parsed.value("uses", json::array());
  return scan;
}

ordered_json SourceViolations(const SourceScan& scan, const std::string& class_name) {
  ordered_json violations = ordered_json::array();
  if (!scan.syntax_error.empty()) {
    violations.push_back(
        {{"pattern", "syntax"}, {"line_number", scan.line}, {"location", ""}, {"reason", scan.syntax_error}});
    return violations;
  }
  if (!scan.has_class) {
    violations.push_back({{"pattern", class_name},
                          {"line_number", 0},
                          {"location", ""},
                          {"reason", "the class is not defined"}});
  }
  for (const json& use : scan.uses) {
    const std::string location = use.value("location", ""), name = use.value("name", "");
    const std::string reason = Reason(use.value("kind", ""), name, location == "__init__()");
    if (reason.empty()) continue;
    violations.push_back({{"pattern", name},
                          {"line_number", use.value("line", 0)},
                          {"location", location},
                          {"reason", reason}});
  }
  return violations;
}

}  // namespace strata::verify
