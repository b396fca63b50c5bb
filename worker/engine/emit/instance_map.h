#pragma once
// Which value of one instance of a component stands where in another instance.

#include <map>
#include <utility>

#include "worker/engine/plan/plan.h"

namespace strata::emit {

// Maps weights of `from` onto `to`, two nodes of one component: by their position in `owned`; state that
// forward does not read (num_batches_tracked) by the module that holds it.
class InstanceMap {
 public:
  InstanceMap(const plan::Plan& plan, const plan::Node& from, const plan::Node& to);
  program::ValueId operator()(program::ValueId id) const;  // kNoId where it has no counterpart

 private:
  const program::Program& program_;
  std::map<program::ValueId, program::ValueId> owned_;
};

}  // namespace strata::emit
