#pragma once
// pipeline/: the tasks of one job (docs/tasks.md), each a function from one folder to another. Plain
// structs between the wire, the command line and the tasks; no torch, no protobuf.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/engine/host/zygote.h"

namespace strata::verify {
class Findings;
}

namespace strata::pipeline {

enum class TaskKind : uint8_t { kPrepare, kDecompose, kVerify, kCompose, kCoverage, kPublish, kJudge };
const char* TaskName(TaskKind kind);  // "prepare", …

// Whose fault: the submission's, a limit's, a verdict's, a defect of strata.
enum class FailureKind : uint8_t { kUser, kLimits, kGate, kOurs };
const char* FailureName(FailureKind kind);  // "user", "limits", "gate", "ours"

struct Failure {
  FailureKind kind = FailureKind::kOurs;
  std::string message;    // what, which, what to do
  std::string component;  // id of the component, "" where none
  std::string file;       // bundle-relative or the submission's file name, "" where none
  int line = 0;           // 0 where none
  std::string traceback;
};
// How a task ends: nothing, or why not. kGate leaves the verdict in the output folder.
using Ending = std::optional<Failure>;

struct Task {
  TaskKind kind = TaskKind::kPrepare;
  std::string component;   // kDecompose, kVerify: stem of the component
  std::string source;      // below input_dir: "source/mlp.py"; kJudge: the folder
  std::string input_dir;   // absolute
  std::string output_dir;  // absolute, exists; may be input_dir where one process runs the whole job
  std::string device = "cpu";
  host::NumericSetting numeric;
  host::Limits limits;
};

enum class Stream : uint8_t { kStdout, kStderr, kTraceback };

// What a task says while it runs. Called on the task's thread.
class Reporter {
 public:
  virtual ~Reporter() = default;
  virtual void Progress(std::string_view line) = 0;               // one line for people
  virtual void Output(Stream stream, std::string_view text) = 0;  // of user code in a runner
};

struct Outcome {
  Ending failure;
  std::vector<std::string> files;  // written below output_dir, relative, sorted
  double seconds = 0;
  int64_t peak_memory_bytes = 0;  // of the largest runner
};

// Never throws. Writes nothing outside output_dir and a scratch folder of its own.
// `findings`: of this process, see verify/findings.h.
Outcome RunTask(host::Zygote& zygote, verify::Findings& findings, const Task& task, Reporter& reporter);

// A submission larger than this is refused.
inline constexpr int64_t kMaxSourceBytes = int64_t{64} << 20;

}  // namespace strata::pipeline
