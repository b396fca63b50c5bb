#pragma once
// The Program: what one forward of a model executed, as plain data.
//
// It is the only thing that crosses from capture/ (which knows tensors) to plan/ and emit/ (which do
// not). No torch, no Python, no protobuf in here. A Program is a value: copy it, print it, compare it.
//
// Semantics
//  * Calls are the outermost dispatcher calls of one forward, in execution order; `calls[i].id == i`.
//    A composite operator (linear, softmax, scaled_dot_product_attention) is one call.
//  * Values are SSA. An in-place operator (`relu_`, or any schema that mutates an argument) makes a
//    NEW value for each tensor it mutates, with the `storage` of the old one; later readers of the same
//    tensor object refer to the new value. Other views of that storage keep their ids, so a pass that
//    drops an in-place form has to look at `storage` (see plan/functionalize).
//  * A value's `storage` names the memory it lives in: two values with equal storage alias.
//  * Scopes are module *invocations* (one per Module.__call__), not module paths: one module called
//    twice has two invocations. Invocation 0 is the call of the submitted model itself.
//  * Everything a value or call carries is what was observed, never what a name suggests.
//
// Threading: plain data, no synchronisation.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace strata::program {

using ValueId = int32_t;       // index into Program::values
using CallId = int32_t;        // index into Program::calls (or Program::init_calls)
using InvocationId = int32_t;  // index into Program::invocations
using ModuleId = int32_t;      // index into Program::modules
inline constexpr int32_t kNoId = -1;

enum class DType : uint8_t {
  kFloat64,
  kFloat32,
  kFloat16,
  kBFloat16,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUInt8,
  kBool,
  kComplex64,
  kComplex128,
  kOther,
};
// "fp32", "bf16", "i64", "bool", ... as bundle file names spell it.
const char* ShortName(DType dtype);
// "torch.float32", ... as Python spells it.
const char* TorchName(DType dtype);
int64_t ElementSizeBytes(DType dtype);
bool IsFloating(DType dtype);  // fp64 fp32 fp16 bf16
bool IsIntegral(DType dtype);  // i64 i32 i16 i8 u8 (not bool)

struct TensorType {
  DType dtype = DType::kFloat32;
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;  // in elements
  int64_t storage_offset = 0;    // in elements
  std::string device = "cpu";    // device type only: "cpu", "cuda"
  bool operator==(const TensorType&) const = default;
};

enum class ValueKind : uint8_t {
  kInput,      // a tensor among the arguments of the submitted model's forward
  kParameter,  // nn.Parameter owned by some module
  kBuffer,     // registered buffer
  kConstant,   // tensor that came from nowhere the recorder saw (torch.tensor, numpy, a plain attribute)
  kResult,     // produced by a call of this forward
};

// What was seen in a tensor's elements, at its first use. `min`/`max` skip NaN and infinities.
struct Domain {
  bool known = false;
  double min = 0, max = 0;
  bool has_nan = false, has_neg_inf = false, has_pos_inf = false;
  bool is_integral = false;  // every finite element is a whole number
  bool is_binary = false;    // every element is 0 or 1 (or false/true)
  bool is_arange = false;    // 1-d or broadcast of 0,1,2,... along the last dimension
  bool is_permutation = false;
  bool operator==(const Domain&) const = default;
};

struct Value {
  ValueId id = kNoId;
  ValueKind kind = ValueKind::kResult;
  TensorType type;
  int32_t storage = kNoId;
  // kParameter/kBuffer: every dotted path under which the model reaches it, registration order; more
  // than one means tied. kInput: one entry, the forward argument ("x", "mask", "args[2]",
  // "states[0]"). Else empty.
  std::vector<std::string> paths;
  bool persistent = true;          // kBuffer: is in state_dict
  bool is_wrapped_number = false;  // a Python scalar that the dispatcher wrapped; print `data` as a scalar
  // kResult: the call, and the position among its results. A value that a call made only by writing to an
  // argument it does not return has result_index = results.size() + its position in `mutated_to`. A kResult
  // without producer was made while the model was built (init_producer) and is read by init_calls only.
  CallId producer = kNoId;
  int32_t result_index = 0;
  // kBuffer/kConstant: the call of init_calls (recorded while the model was built) that made it, or
  // kNoId. Its backward slice through init_calls is the source's own formula.
  CallId init_producer = kNoId;
  int32_t init_result_index = 0;
  Domain domain;
  // Raw row-major (contiguous) little-endian bytes at first use; empty when not kept. Kept for every
  // constant, every buffer that no torch.nn class owns, and int/bool values up to 2,048 elements.
  std::vector<uint8_t> data;
};

// One operator argument, as structured as the schema has it.
struct Argument {
  enum class Kind : uint8_t {
    kNone,
    kValue,
    kBool,
    kInt,
    kDouble,
    kComplex,
    kString,
    kDType,
    kLayout,
    kDevice,
    kMemoryFormat,
    kGenerator,
    kList,
  };
  Kind kind = Kind::kNone;
  ValueId value = kNoId;        // kValue
  bool boolean = false;         // kBool
  int64_t integer = 0;          // kInt
  double real = 0, imag = 0;    // kDouble, kComplex
  DType dtype = DType::kOther;  // kDType
  std::string text;             // kString, kLayout ("torch.strided"), kDevice ("cpu", "cuda"),
                                // kMemoryFormat ("torch.channels_last")
  std::vector<Argument> items;  // kList

  bool operator==(const Argument&) const = default;
  static Argument None() { return {}; }
  static Argument OfValue(ValueId id);
  static Argument OfBool(bool b);
  static Argument OfInt(int64_t i);
  static Argument OfDouble(double d);
  static Argument OfString(std::string s);
  static Argument OfDType(DType d);
  static Argument OfList(std::vector<Argument> items);
};

struct NamedArgument {
  std::string name;         // schema name: "input", "dim", ...
  std::string schema_type;  // "Tensor", "Tensor?", "int[]", "ScalarType?", "float", "Scalar", ...
  Argument value;
  bool is_default = false;  // equals the schema's default
  bool kwarg_only = false;
};

// One Python function between the module's forward and the operator, outermost first. frames[0] is the
// innermost enclosing module forward itself; of an init call, the model's __init__.
struct Frame {
  std::string function;              // "forward", "apply_rotary", ...
  std::string file;                  // as Python gives it
  int32_t line = 0;                  // where it stood when the operator ran
  int32_t serial = 0;                // one number per function *activation*
  std::vector<std::string> targets;  // names assigned by the statement at `line`: {"q"}, {"q","k","v"}, {}
};

enum Mark : uint32_t {
  kRandom = 1,         // draws from a generator (dropout in eval does not)
  kMutates = 2,        // writes to at least one argument
  kDataDependent = 4,  // its result was read by Python (.item(), bool()), or the second capture differs
  kOpaque = 8,         // custom operator: no public spelling
};

struct Call {
  CallId id = kNoId;
  std::string op;        // "aten::linear" (name without overload)
  std::string overload;  // "", "Tensor", "int", ...
  std::vector<NamedArgument> args;
  std::vector<ValueId> results;  // kNoId where undefined; a Tensor[] result is flattened
  bool result_is_list = false;   // the schema returns Tensor[]
  bool result_is_tuple = false;  // the schema returns more than one tensor
  std::vector<ValueId> mutated;  // old ids that it wrote; parallel to `mutated_to`
  std::vector<ValueId> mutated_to;
  InvocationId scope = kNoId;  // innermost module invocation it ran in; kNoId only in init_calls
  std::vector<Frame> frames;
  uint32_t marks = 0;
  // The dtype that autocast was set to, kOther where it was off. Its casts happen inside the call.
  DType autocast = DType::kOther;
};

// The arguments or the result of a forward, as the tree they are.
struct Tree {
  enum class Kind : uint8_t {
    kTensor,
    kNone,
    kTuple,
    kList,
    kDict,
    kDataclass,
    kNamedTuple,
    kLiteral,
    kOpaque
  };
  Kind kind = Kind::kNone;
  ValueId value = kNoId;          // kTensor
  std::string text;               // kLiteral: Python literal; containers and kOpaque: qualified class name
  std::vector<std::string> keys;  // kDict, kDataclass, kNamedTuple: parallel to items (dict keys as literals)
  std::vector<Tree> items;
};

// One constructor setting of a torch.nn leaf, as a Python literal: {"kernel_size", "3"}.
struct Setting {
  std::string name;
  std::string value;
  bool is_default = false;
  bool operator==(const Setting&) const = default;
};

struct Module {
  ModuleId id = kNoId;
  std::vector<std::string> paths;  // dotted, "" for the model; more than one when shared
  std::string class_name;          // "Linear", "CausalSelfAttention"
  std::string qualified_class;     // "torch.nn.modules.linear.Linear", "model.CausalSelfAttention"
  std::string file;                // where the class is defined ("" for C)
  int32_t line = 0;
  bool is_torch_nn = false;   // the class lives in torch.nn
  bool is_container = false;  // Sequential, ModuleList, ModuleDict (or a subclass without its own forward)
  bool training = false;
  std::vector<std::pair<std::string, ValueId>> parameters;  // own, by attribute name
  std::vector<std::pair<std::string, ValueId>> buffers;     // own, by attribute name
  std::vector<std::pair<std::string, ModuleId>> children;   // own, by attribute name
  // torch.nn leaves only: every constructor argument in signature order, from the per-class table,
  // checked against the module's __dict__. Empty and settings_known=false where the table has no row.
  bool settings_known = false;
  std::vector<Setting> settings;
};

struct Invocation {
  InvocationId id = kNoId;
  InvocationId parent = kNoId;  // kNoId for invocation 0
  ModuleId module = kNoId;
  CallId begin = 0, end = 0;  // its calls are calls[begin, end), nested invocations included
  std::vector<Tree> args;     // positional
  std::vector<std::pair<std::string, Tree>> kwargs;
  std::vector<std::string> parameter_names;  // of forward, without self: {"x", "mask"}
  Tree output;
};

struct Program {
  std::string source_file;    // file name of the submission ("mlp.py"), no directory
  std::string torch_version;  // "2.13.0"
  std::string device;         // "cpu", "cuda"
  std::vector<Value> values;
  std::vector<Call> calls;
  std::vector<Module> modules;          // modules[0] is the submitted model
  std::vector<Invocation> invocations;  // invocations[0] is its forward
  // What ran while the model was built, same value table; only what buffers and constants derive from
  // is kept (backward slice), random producers excluded.
  std::vector<Call> init_calls;
  // Non-fatal observations that belong into the log: {"specialised: branch at model.py:31 ...", ...}
  std::vector<std::string> notes;

  const Value& value(ValueId id) const { return values.at(static_cast<size_t>(id)); }
  const Call& call(CallId id) const { return calls.at(static_cast<size_t>(id)); }
};

// True if `ancestor` is `scope` or encloses it.
bool Encloses(const Program& program, InvocationId ancestor, InvocationId scope);
// "aten::linear" -> "linear"; in-place forms lose the underscore: "aten::relu_" -> "relu".
// Names that end in an underscore by themselves (none in ATen's public set) are not expected.
std::string OperatorName(const std::string& op);
// The source's own formula for a buffer or constant with init_producer: the init calls that made it,
// ascending, those included that wrote to memory it was made from (`pe[:, 0::2] = torch.sin(...)` writes
// through a view). Empty without init_producer.
std::vector<CallId> InitSlice(const Program& program, ValueId value);
// All values that `call` reads, in argument order, lists flattened.
std::vector<ValueId> Reads(const Call& call);
// The tensors of a tree from left to right; one that stands in it twice is there twice.
std::vector<ValueId> Tensors(const Tree& tree);
// The same of what an invocation is given: args, then kwargs.
std::vector<ValueId> TensorsOfArguments(const Invocation& invocation);
// The class of the first object in a tree that is none of its kinds; "" where there is none.
std::string FirstOpaque(const Tree& tree);

}  // namespace strata::program
