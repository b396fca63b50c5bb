#include "worker/engine/plan/dead_code.h"

#include <algorithm>
#include <set>

#include "worker/engine/plan/dataflow.h"
#include "worker/engine/plan/rewrite.h"

namespace strata::plan {

program::Program RemoveDeadCode(program::Program program) {
  std::set<program::CallId> dead;
  {
    const Dataflow flow(program);
    for (auto call = program.calls.rbegin(); call != program.calls.rend(); ++call) {
      if (!call->mutated.empty() || (call->marks & program::kRandom)) continue;
      bool read = false;
      for (program::ValueId value : flow.makes(call->id)) {
        read = read || flow.is_output(value) ||
               std::any_of(flow.readers(value).begin(), flow.readers(value).end(),
                           [&](program::CallId reader) { return !dead.contains(reader); });
      }
      if (!read) dead.insert(call->id);
    }
  }
  RemoveCalls(&program, dead);
  return program;
}

}  // namespace strata::plan
