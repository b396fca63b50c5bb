#include "worker/engine/verify/draws.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace strata::verify {
namespace {

using nlohmann::json;

constexpr int64_t kMaxDrawsBytes = int64_t{16} << 20;

json OutputShapes(const program::Program& program) {
  json shapes = json::array();
  for (const program::ValueId id : program::Tensors(program.invocations.at(0).output))
    shapes.push_back(program.value(id).type.sizes);
  return shapes;
}

std::string Shortened(const json& value) {
  const std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() > 300 ? text.substr(0, 300) + " …" : text;
}

json Field(const json& rows, size_t workload, const char* name) {
  if (!rows.is_array() || workload >= rows.size() || !rows[workload].is_object()) return nullptr;
  return rows[workload].value(name, json());
}

Violation Differs(const char* function, size_t workload, const json& theirs, const json& wanted) {
  const std::string call =
      absl::StrCat(function, workload == 0 ? "()" : absl::StrCat("(workload=", workload, ")"));
  return {rules::kDimensions, "refactored.py", 0,
          theirs.is_string()
              ? absl::StrCat(call, " raises ", Shortened(theirs))
              : absl::StrCat(call, " says ", Shortened(theirs), ", original.py ", Shortened(wanted)),
          "take it over from original.py"};
}

}  // namespace

json ReadDraws(const std::string& out_dir) {
  const absl::StatusOr<std::string> text = ReadFile(out_dir + "/draws.json", kMaxDrawsBytes);
  return text.ok() ? json::parse(*text, nullptr, /*allow_exceptions=*/false) : json();
}

std::vector<Violation> DrawViolations(const json& original, const json& refactored,
                                      const std::vector<const program::Program*>& recorded) {
  std::vector<Violation> violations;
  for (size_t workload = 0; workload < recorded.size(); ++workload) {
    const json inputs = Field(original, workload, "inputs"), drawn = Field(refactored, workload, "inputs");
    if (!drawn.is_null() && inputs.is_array() && drawn != inputs)
      violations.push_back(Differs("get_inputs", workload, drawn, inputs));
    const json said = Field(refactored, workload, "outputs"), wanted = Field(original, workload, "outputs"),
               real = OutputShapes(*recorded[workload]);
    if (!said.is_null() && said != wanted && said != real)
      violations.push_back(
          Differs("get_expected_output_shape", workload, said, wanted.is_array() ? wanted : real));
  }
  return violations;
}

}  // namespace strata::verify
