#pragma once
// plan/: Program -> Plan, pure. Decides what is a kernel, a fusion, a layer, what stays in parents, and
// which occurrences are one component. No torch, no Python, no files.
//
// A Plan is a tree of *nodes*: one node per occurrence in the execution (four transformer blocks are four
// nodes). Nodes with equal digest form one *component* = one file. Emit writes a component from its first
// node and maps the others onto it by position.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/program/program.h"

namespace strata::plan {

enum class Level : uint8_t { kKernel = 0, kFusion = 1, kLayer = 2, kModel = 3 };
const char* LevelName(Level level);    // "kernel", "fusion", "layer", "model"
const char* LevelFolder(Level level);  // "level_0_kernel", ...

using NodeId = int32_t;
using ComponentId = int32_t;

// What a parent's forward does, in order.
struct Item {
  bool is_child = false;
  int32_t index = 0;  // is_child ? NodeId : CallId
};

enum class NodeForm : uint8_t {
  kModule,  // exactly one module invocation: `scope` is it
  kSlice,   // some calls inside `scope` (part of a Sequential, an inline formula, one operator)
};

struct Node {
  NodeId id = 0;
  NodeId parent = -1;
  ComponentId component = -1;
  Level level = Level::kKernel;
  NodeForm form = NodeForm::kSlice;
  program::InvocationId scope = 0;  // innermost invocation that holds all its calls
  // Its calls, ascending, descendants' included. Empty for a kernel that only returns a parameter which
  // plumbing reads ("parameter_1x1x768_fp32"): no inputs, and its output is that parameter's value.
  std::vector<program::CallId> calls;
  // Children and plumbing, in execution order. Empty for kernels.
  std::vector<Item> body;
  // Tensors that enter and leave, in order of first use / of production; parameters, buffers and
  // constants it holds itself are not inputs. A value mutated inside and read outside is an output.
  // A buffer or constant that more than one child reads is an input of the children and owned by the
  // nearest common ancestor (`owned`). A module's inputs and outputs are in the order of its own forward; the
  // model's are all tensors it is given and returns.
  std::vector<program::ValueId> inputs;
  std::vector<program::ValueId> outputs;
  // Parameters, buffers and constants that this node or its descendants hold, in order of first use.
  // The position in this list is how instances of one component map onto each other.
  std::vector<program::ValueId> owned;
  // Those of `owned` that this node holds itself (kernels: all of them; parents: own buffers, constants).
  std::vector<program::ValueId> held;
  // "linear", "rms_norm", "rotary_embedding", "attention", "conv_bn_relu", class name in snake case, ...
  std::string operation;
  // Name in the parent, from the model's own paths ("attn", "blocks.2", "q_proj"), else what it does ("relu",
  // "matmul_scores"); "" for the model. Children of one parent with equal attributes are ONE instance called
  // several times: the same module, or a component without weights. No attribute is a dotted prefix of
  // another.
  std::string attribute;
  std::string reason;  // one sentence about THIS model: why this level, what cut the chain here
};

// One distinct set of input shapes at which a component runs.
struct Workload {
  std::vector<program::ValueId> inputs;  // of the first node that has it
  std::vector<program::ValueId> outputs;
  NodeId node = 0;
  int64_t count = 0;  // runs in one forward of the submitted model
};

struct Component {
  ComponentId id = 0;
  std::string stem;  // file stem, unique over all levels: "linear_64x128_fp32", "block"
  Level level = Level::kKernel;
  std::string digest;
  std::vector<NodeId> nodes;          // ascending; nodes[0] is what emit writes from
  std::vector<ComponentId> children;  // distinct, in order of first call
  std::vector<int64_t> calls;         // parallel: how often one run of this component calls each child
  int64_t instance_count = 0;         // runs in one forward of the submitted model
  std::vector<Workload> workloads;    // largest first
  int32_t step = 0;                   // number of its step, 0 for kernels
  std::string step_name;              // "step_2_block_to_fusions"
};

struct LogEntry {
  std::string step;  // step_name, or "plan"
  std::string type;  // "decision", "difficulty", "deviation"
  std::string title, description, resolution;
};

struct Plan {
  program::Program program;           // after the normalising passes; node call ids refer to it
  std::vector<Node> nodes;            // nodes[0] is the submitted model
  std::vector<Component> components;  // [0] is the submitted model; tree order (pre-order, first visit)
  std::string model_name;             // "mini_gpt_block"
  std::vector<LogEntry> log;
};

// InvalidArgument where the program cannot be a model (no calls, output is no tensor tree ...), with the
// source line where there is one.
absl::StatusOr<Plan> MakePlan(program::Program program);

// For people and golden tests; deterministic.
std::string Print(const Plan& plan);

}  // namespace strata::plan
