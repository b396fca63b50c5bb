#pragma once
// Rule `results`: a stated field against the recomputed one. Shared by the files that hold verdicts.

#include <string>

#include "nlohmann/json.hpp"
#include "worker/engine/verify/bundle_check.h"

namespace strata::verify {

// Reports to one JSON file. Fields that are not stated are rule layout's, values that were not recomputed
// (null or absent) are nobody's.
class StatedFile {
 public:
  // `exact`: stated on this machine's terms (our own bundle, same torch and device), so numbers are equal.
  // Otherwise differences of floating point may differ as long as they say the same about the tolerance.
  StatedFile(const std::string& path, bool exact, Report* report)
      : path_(path), exact_(exact), report_(report) {}

  // Field `name`: equal as JSON; lists of words in any order.
  void Equal(const std::string& name, const nlohmann::ordered_json& stated,
             const nlohmann::ordered_json& recomputed);
  // A largest difference. Null is a difference that is no number.
  void Difference(const std::string& name, const nlohmann::ordered_json& stated,
                  const nlohmann::ordered_json& recomputed, double atol);
  // PASS and PASSED, OK and ok are one word.
  void Status(const std::string& name, const nlohmann::ordered_json& stated,
              const nlohmann::ordered_json& recomputed);
  void Differs(const std::string& name, const nlohmann::ordered_json& stated,
               const nlohmann::ordered_json& recomputed);
  void Differs(const std::string& what);  // a sentence of its own

  bool exact() const { return exact_; }

 private:
  const std::string path_;
  const bool exact_;
  Report* report_;
};

// The bundle's verdicts and the recomputed ones hold for one setting: a bundle of ours, judged with the
// torch, on the device and under the numeric setting that made it.
bool IsSamePlace(const BundleIndex& index);
bool IsSamePlace(const nlohmann::ordered_json& stated, const nlohmann::ordered_json& recomputed);

// What a file states as a step's or the composition's verdict (the schema of verification_result.json)
// against the recomputed one. `prefix` is where in the file it stands: "composition.".
void CompareVerdict(const JsonFile& in, const nlohmann::ordered_json& stated,
                    const nlohmann::ordered_json& own, const std::string& prefix, bool is_own,
                    Report* report);

// coverage_report.json or coverage_summary.json against the recomputed one.
void CompareCoverage(const JsonFile& stated, const nlohmann::ordered_json& own, bool is_own, Report* report);

// "fp32" of "torch.float32", "float32" and "fp32".
std::string ShortDType(const std::string& name);

}  // namespace strata::verify
