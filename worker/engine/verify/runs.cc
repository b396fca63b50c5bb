#include "worker/engine/verify/runs.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "worker/engine/program/codec.h"

namespace strata::verify {
namespace {

// Constants and buffers are in it.
constexpr int64_t kMaxProgramBytes = int64_t{8} << 30;

Executed ExecutedBy(const program::Program& program) {
  return {.shapes = ArgumentShapes(program, program.invocations.at(0)),
          .counted = CountOperators(program).counted};
}

}  // namespace

absl::StatusOr<TempDir> MakeScratch(const Context& context) {
  if (absl::Status made = MakeDirs(context.scratch_dir); !made.ok()) return made;
  return TempDir::Create("run_", context.scratch_dir);
}

std::string Subfolder(const TempDir& scratch, const std::string& name) {
  const std::string folder = JoinPath(scratch.path(), name);
  MakeDirs(folder).IgnoreError();  // what is to be written there fails with the path
  return folder;
}

std::vector<std::string> ChildFiles(const std::string& children_dir) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(children_dir, error)) {
    const bool text =
        entry.path().extension() == ".py" && !entry.is_symlink(error) && entry.is_regular_file(error);
    if (text) files.push_back(entry.path().filename().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

host::RunRequest MakeRequest(const Context& context, const std::string& file, const std::string& class_name,
                             const std::string& out_dir) {
  host::RunRequest request;
  request.file = file;
  request.class_name = class_name;
  request.device = context.device;
  request.numeric = context.numeric;
  request.out_dir = out_dir;
  request.read_only = true;
  return request;
}

host::Limits JudgingLimits(const Context& context) {
  host::Limits limits = context.limits;
  limits.wall *= 10;
  return limits;
}

std::string TrialFile(const std::string& out_dir, const char* prefix, int64_t seed, int workload) {
  return absl::StrCat(out_dir, "/", prefix, "_", seed, "_", workload, ".bin");
}

absl::StatusOr<program::Program> ReadProgram(const std::string& out_dir, int64_t seed, int workload) {
  absl::StatusOr<std::string> bytes =
      ReadFile(TrialFile(out_dir, "program", seed, workload), kMaxProgramBytes);
  if (!bytes.ok()) return bytes.status();
  return program::Decode(*bytes);
}

absl::StatusOr<Recorded> Record(const Context& context, const std::string& file, int workload) {
  absl::StatusOr<TempDir> scratch = MakeScratch(context);
  if (!scratch.ok()) return scratch.status();
  host::RunRequest request = MakeRequest(context, file, "Model", Subfolder(*scratch, "out"));
  request.record = true;
  request.trials = {{.seed = kSeeds[0], .workload = workload}};
  Recorded recorded;
  recorded.outcome = context.zygote.Run(request, context.limits);
  if (recorded.outcome.status != host::RunStatus::kOk) return recorded;
  absl::StatusOr<program::Program> program = ReadProgram(request.out_dir, kSeeds[0], workload);
  if (!program.ok()) return program.status();
  recorded.program = *std::move(program);
  if (context.findings != nullptr)
    context.findings->NoteExecuted(Findings::Key(context, file), workload, ExecutedBy(recorded.program));
  return recorded;
}

absl::StatusOr<Counted> CountAlone(const Context& context, const std::string& file, int workload) {
  Counted counted{.outcome = {.status = host::RunStatus::kOk}, .executed = {}};
  const Executed* known = context.findings == nullptr
                              ? nullptr
                              : context.findings->FindExecuted(Findings::Key(context, file), workload);
  if (known != nullptr) {
    counted.executed = *known;
    return counted;
  }
  absl::StatusOr<Recorded> recorded = Record(context, file, workload);
  if (!recorded.ok()) return recorded.status();
  counted.outcome = recorded->outcome;
  if (counted.outcome.status == host::RunStatus::kOk) counted.executed = ExecutedBy(recorded->program);
  return counted;
}

std::string ArgumentShapes(const program::Program& program, const program::Invocation& invocation) {
  std::vector<std::string> shapes;
  for (const program::ValueId id : program::TensorsOfArguments(invocation)) {
    const program::TensorType& type = program.value(id).type;
    shapes.push_back(absl::StrCat(program::ShortName(type.dtype), "[", absl::StrJoin(type.sizes, ","), "]"));
  }
  return absl::StrJoin(shapes, " ");
}

std::string Timestamp() { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()); }

std::string Describe(const host::RunOutcome& outcome) {
  std::string where = outcome.file.empty() ? "" : absl::StrCat(" (", outcome.file, ":", outcome.line, ")");
  const std::string type = outcome.error_type.empty() ? "" : outcome.error_type + ": ";
  return absl::StrCat("stage ", outcome.stage, where, ": ", type, outcome.message);
}

}  // namespace strata::verify
