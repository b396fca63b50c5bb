#include "worker/engine/verify/verify.h"

namespace strata::verify {

nlohmann::ordered_json EnvironmentJson(const Context& context) {
  nlohmann::ordered_json environment = nlohmann::ordered_json::object();
  for (const auto& [name, value] : context.zygote.Environment()) {
    if (name == "torch" || name == "python" || name == "cuda" || name == "isolation")
      environment[name] = value;
  }
  environment["device"] = context.device;
  // What host/ sets in every runner before user code is loaded.
  environment["numeric"] = {{"threads", context.numeric.threads},   {"tf32", false},
                            {"cudnn_deterministic", true},          {"cudnn_benchmark", false},
                            {"cublas_workspace_config", ":4096:8"}, {"mha_fastpath", false},
                            {"default_dtype", "torch.float32"}};
  environment["engine_version"] = STRATA_VERSION;
  return environment;
}

}  // namespace strata::verify
