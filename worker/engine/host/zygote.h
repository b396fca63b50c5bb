#pragma once
// host/: the embedded interpreter and the processes that run user code.
//
// The Zygote is the engine's main process: CPython started, torch imported once, no CUDA, no threads, no
// user code, ever. Run() forks a *runner*, a process of its own session that loads one Python file, does
// what the request says and leaves its results as files in `out_dir`. What a runner reports is a claim by
// a process that has run user code: parse it as hostile.
// RunTrusted() forks too, but for our own C++ (the judge's tensor work), so that the zygote itself never
// starts torch's thread pool. Such a child has one thread until it calls at::set_num_threads.
//
// The zygote is a subreaper: whatever a runner leaves behind becomes its child and is killed before Run()
// returns. It must therefore have no children of its own.
//
// Threading: one thread; Run blocks.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace strata::host {

struct Limits {
  std::chrono::seconds wall{120};
  int64_t memory_bytes = int64_t{16} << 30;  // resident set of the runner's whole process group
  int64_t output_bytes = int64_t{16} << 20;  // stdout + stderr; past it the runner is killed
  int64_t file_bytes = int64_t{64} << 30;    // one file it writes (RLIMIT_FSIZE)
  int open_files = 1024;
  int processes = 256;  // at one time, below one runner
};

// The one numeric setting of runners, replay and standalone scripts (docs/bundle_format.md).
struct NumericSetting {
  int threads = 1;  // of torch, intra-op
};

struct Trial {
  int64_t seed = 42;  // torch.manual_seed before get_inputs (or before forward when inputs are given)
  // A component that runs at several input shapes has `get_inputs(workload=0)`; 0 is the largest and is
  // also what a plain get_inputs() draws. The runner passes the number only where it is not 0.
  int workload = 0;
  // Tensor file to take args and kwargs from; empty: call get_inputs() and get_input_kwargs().
  std::string inputs_path;
  // Tensor file of weights that this trial begins with; empty: what the model has then.
  std::string weights_path;
  bool inputs_only = false;  // draw them, save them, call nothing
  // Call the model once more on the same inputs and generator state, not recorded. Where that does not raise,
  // out_dir/again_SEED_WORKLOAD.bin has the tree "output".
  bool again = false;
};

// One call of a child, alone: the module is made afresh, given these weights and called once.
struct ChildCall {
  std::string name;                                // of the files it leaves behind
  std::string class_name = "Model";                // "Outer.Inner" where it is nested
  nlohmann::json init = nlohmann::json::object();  // trees "args" and "kwargs" of its constructor, no tensors
  std::string weights_path;                        // "" where it holds nothing
  nlohmann::json weight_map = nlohmann::json::object();  // key in that file -> [keys of this child]
  std::string inputs_path;                               // trees "args" and "kwargs"
  std::string generator_path;  // tensor "state" of the default generator; "" : seeded
  int64_t seed = 42;
};

struct RunRequest {
  std::string file;                  // absolute path of the Python file
  std::string import_dir;            // modules are found there too, after the file's own folder; "" nowhere
  std::string class_name = "Model";  // class to build: "Model", "RefactoredModel", "ComposedModel"
  std::string device = "cpu";        // torch's default device while it loads, builds and runs
  NumericSetting numeric;
  int64_t build_seed = 42;  // torch.manual_seed before the module is built
  // Weights: as built when empty, else a tensor file keyed by *original* state_dict keys, and the map
  // original key -> this model's key, or a list of them (identity where absent). Every key of this model
  // must be covered unless `allow_unmapped`. The map holds for Trial::weights_path too.
  std::string weights_path;
  std::string weight_map_path;  // JSON object; empty: identity
  bool allow_unmapped = false;
  std::vector<Trial> trials;
  bool afresh = false;  // build the model anew for each trial, so that nothing it keeps outlives one
  // Record a Program of each trial's forward: out_dir/program_SEED_WORKLOAD.bin.
  bool record = false;
  // Record the construction too (Value::init_producer, Program::init_calls of the first trial's Program).
  bool record_init = false;
  // Folder of child files. Where named, out_dir/children.json says how each module of a class from there was
  // made: {module path: {"args": tree, "kwargs": tree}}.
  std::string children_dir;
  bool save_weights = false;  // state_dict, ties kept by aliasing, as out_dir/weights.bin
  bool save_inputs = false;   // out_dir/inputs_SEED_WORKLOAD.bin, trees "args" and "kwargs"
  bool save_outputs =
      false;  // out_dir/outputs_SEED_WORKLOAD.bin, tree "output"; the inputs after the call:
              // after_SEED_WORKLOAD.bin; the parameters and buffers that it changed, by
              // state_dict key: state_SEED_WORKLOAD.bin, where there are any; what else
              // Python keeps and it changed: kept_SEED_WORKLOAD.json, [{file, name}], likewise
  // After the trials: out_dir/draws.json says what the file's own functions give for the first so many
  // workloads, a row each: {"inputs": ["torch.float32[2, 3]"], "outputs": [[2, 3]]}. null where it has no
  // such function, a text where that raises.
  int draws = 0;
  // Instead of all that: run the file as `python FILE` does (__main__), or with `call_run_tests` import
  // it and call run_tests(), in this runner.
  bool as_main = false;
  bool call_run_tests = false;
  std::vector<std::string> argv;  // as_main only
  // Instead of the trials: these calls, in this order, of classes that `file` defines. Each leaves
  // out_dir/outputs_NAME.bin and out_dir/after_NAME.bin.
  std::vector<ChildCall> calls;
  std::string out_dir;  // exists, empty, writable by the runner
  // Absolute paths that the runner cannot open, see hiding.h; ignored where the kernel cannot hide files
  // (Environment() "isolation" says which it is).
  std::vector<std::string> hidden;
  // It changes and makes files only below out_dir (and devices), where the kernel can see to that.
  bool read_only = false;
};

enum class RunStatus : uint8_t {
  kOk,      // the runner finished its protocol
  kRaised,  // user code raised: `error_type`, `message`, `traceback`, `file`, `line`
  kExited,  // ended before the protocol did: os._exit, sys.exit, abort, signal
  kWallLimit,
  kMemoryLimit,
  kOutputLimit,
  kFileLimit,
  kProcessLimit,
  kInternal,  // ours
};

struct RunOutcome {
  RunStatus status = RunStatus::kInternal;
  std::string
      stage;  // where it stood: "start", "load", "init", "weights", "inputs", "forward", "save", "main"
  std::string error_type;  // "RuntimeError", "SyntaxError"
  std::string message;     // one paragraph for the user: what, which, what to do
  std::string traceback;   // of user code only, capped
  std::string file;        // base name of the user's file where it went wrong, "" unknown
  int line = 0;
  int exit_code = 0;  // kExited; as_main; call_run_tests: 0 when it returned something true
  int signal = 0;
  std::string stdout_text;  // head and tail, capped at 64 KiB each
  std::string stderr_text;
  double seconds = 0;
  int64_t peak_rss_bytes = 0;
};

class Zygote {
 public:
  struct Options {
    std::string python;  // interpreter whose environment has torch ("…/bin/python3")
  };
  // Starts CPython and imports torch. Call once per process, before any thread exists.
  static absl::StatusOr<std::unique_ptr<Zygote>> Start(const Options& options);
  virtual ~Zygote() = default;

  virtual RunOutcome Run(const RunRequest& request, const Limits& limits) = 0;

  // Runs `work` in a forked child that has never seen user code; its returned string comes back.
  virtual absl::StatusOr<std::string> RunTrusted(const std::function<absl::StatusOr<std::string>()>& work,
                                                 const Limits& limits) = 0;

  // {"python": "3.11.7", "torch": "2.13.0+cpu", "cuda": "13.0" or "", "devices": "1", ...}
  virtual std::vector<std::pair<std::string, std::string>> Environment() const = 0;
};

}  // namespace strata::host
