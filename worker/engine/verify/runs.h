#pragma once
// What the judge needs around a runner: scratch folders, requests, and the files it leaves behind.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/files.h"
#include "worker/engine/host/zygote.h"
#include "worker/engine/program/program.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {

inline constexpr int64_t kSeeds[] = {42, 43, 44};

// A new folder below the context's scratch folder, removed with all its content by the destructor.
absl::StatusOr<TempDir> MakeScratch(const Context& context);
// Creates an empty folder in it and returns its path.
std::string Subfolder(const TempDir& scratch, const std::string& name);

// The names of the Python files directly below a step's children/, sorted; none where there is no such
// folder.
std::vector<std::string> ChildFiles(const std::string& children_dir);

// Device, numeric setting and names filled in, nothing but out_dir writable; trials and what to save are the
// caller's.
host::RunRequest MakeRequest(const Context& context, const std::string& file, const std::string& class_name,
                             const std::string& out_dir);

// The context's, for a trusted fork of the judge: it runs a model many times, so it has ten times a runner's
// wall time.
host::Limits JudgingLimits(const Context& context);

// "PREFIX_SEED_WORKLOAD.bin" below out_dir, as host/ names what it saves.
std::string TrialFile(const std::string& out_dir, const char* prefix, int64_t seed, int workload);

// What a runner recorded in one trial. The bytes come from a process that has run user code.
absl::StatusOr<program::Program> ReadProgram(const std::string& out_dir, int64_t seed, int workload);

// Runs `file`'s Model at one workload, recorded, nothing else kept.
struct Recorded {
  host::RunOutcome outcome;
  program::Program program;  // valid if outcome.status is kOk
};
absl::StatusOr<Recorded> Record(const Context& context, const std::string& file, int workload);

// The same where only the operators matter: what Record has already found is not run again.
struct Counted {
  host::RunOutcome outcome;
  Executed executed;  // valid if outcome.status is kOk
};
absl::StatusOr<Counted> CountAlone(const Context& context, const std::string& file, int workload);

// dtype and sizes of every tensor among the arguments of one invocation, in order: "fp32[2,3] i64[4]".
std::string ArgumentShapes(const program::Program& program, const program::Invocation& invocation);

// "2026-01-31T12:00:00Z"
std::string Timestamp();

// One sentence: what stopped the runner, where.
std::string Describe(const host::RunOutcome& outcome);

}  // namespace strata::verify
