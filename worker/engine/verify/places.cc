#include "worker/engine/verify/places.h"

#include "base/files.h"

namespace strata::verify {
namespace {

struct Place {
  std::string file;
  int line = 0;
};

bool IsTorch(const std::string& file) { return file.find("/torch/") != std::string::npos; }

Place PlaceOf(const program::Program& program, const program::Call& call) {
  for (auto frame = call.frames.rbegin(); frame != call.frames.rend(); ++frame) {
    if (!IsTorch(frame->file) && frame->line > 0) return {frame->file, frame->line};
  }
  for (program::InvocationId id = call.scope; id >= 0;) {
    const program::Invocation& invocation = program.invocations[static_cast<size_t>(id)];
    const program::Module& module = program.modules[static_cast<size_t>(invocation.module)];
    if (!module.file.empty() && !IsTorch(module.file)) return {module.file, module.line};
    id = invocation.parent;
  }
  return {};
}

}  // namespace

std::string FileOf(const program::Program& program, const program::Call& call) {
  const Place place = PlaceOf(program, call);
  const std::string name = BaseName(place.file);
  return BaseName(DirName(place.file)) == "children" ? "children/" + name : name;
}

int LineOf(const program::Program& program, const program::Call& call) { return PlaceOf(program, call).line; }

}  // namespace strata::verify
