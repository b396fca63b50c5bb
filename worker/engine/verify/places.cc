#include "worker/engine/verify/places.h"

#include "base/files.h"

namespace strata::verify {
namespace {

const program::Frame* AuthorsFrame(const program::Call& call) {
  for (auto frame = call.frames.rbegin(); frame != call.frames.rend(); ++frame) {
    const bool is_torch = frame->file.find("/torch/") != std::string::npos;
    if (!is_torch && frame->line > 0) return &*frame;
  }
  return nullptr;
}

}  // namespace

std::string FileOf(const program::Call& call) {
  const program::Frame* frame = AuthorsFrame(call);
  if (frame == nullptr) return "";
  const std::string name = BaseName(frame->file);
  return BaseName(DirName(frame->file)) == "children" ? "children/" + name : name;
}

int LineOf(const program::Call& call) {
  const program::Frame* frame = AuthorsFrame(call);
  return frame == nullptr ? 0 : frame->line;
}

}  // namespace strata::verify
