#include "worker/engine/capture/places.h"

namespace strata::capture {

std::string PlaceOf(const program::Call& call) {
  for (size_t i = call.frames.size(); i-- > 0;) {
    const program::Frame& frame = call.frames[i];
    if (i > 0 && frame.file.find("/torch/") != std::string::npos) continue;
    const size_t slash = frame.file.rfind('/');
    return (slash == std::string::npos ? frame.file : frame.file.substr(slash + 1)) + ":" +
           std::to_string(frame.line);
  }
  return "";
}

}  // namespace strata::capture
