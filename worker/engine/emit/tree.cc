#include "worker/engine/emit/emit.h"
namespace strata::emit {
nlohmann::ordered_json TreeJson(const plan::Plan&) { return nlohmann::ordered_json::object(); }
std::string AnalysisText(const plan::Plan&) { return ""; }
}  // namespace strata::emit
