#include "worker/engine/verify/violation.h"

namespace strata::verify {

nlohmann::ordered_json ToJson(const Violation& violation) {
  return {{"rule", violation.rule},
          {"file", violation.file},
          {"line", violation.line},
          {"what", violation.what},
          {"advice", violation.advice}};
}

nlohmann::ordered_json ToJson(const std::vector<Violation>& violations) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Violation& violation : violations) list.push_back(ToJson(violation));
  return list;
}

}  // namespace strata::verify
