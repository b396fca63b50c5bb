#include "worker/engine/verify/trials.h"

#include <algorithm>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "worker/engine/program/plumbing.h"
#include "worker/engine/verify/compare.h"
#include "worker/engine/verify/draws.h"
#include "worker/engine/verify/runs.h"

namespace strata::verify {
namespace {

constexpr int kJudgesSeeds = 2;
constexpr char kNaN[] = "gives NaN", kInf[] = "gives Inf";

// The changes of the inputs that a draw of ranges does not make: tried when the ranges are settled, all at
// once, then one after the other, each beside those that the original has borne.
struct Changes {
  int count = -1;  // not yet known
  int next = -1;   // -1: all of them
  std::set<int> borne, tried;
  TrialRun best;  // with what it has borne
  program::Program best_program;
};

// Large inputs in one of the judge's trials, small ones in the other.
struct Draft {
  TrialRun run;
  bool mostly_large = false;
  int step = 0;          // how often it was drawn again
  bool careful = false;  // what Python branches on stays as it comes
  std::string why;       // and the last reason
  program::Program program;
  bool settled = false;  // its ranges
  bool done = false;
  Changes changes;
};

// More than these are not tried one by one.
constexpr int kMostChanges = 12;

// From far to near; the last is what the model comes with.
constexpr std::pair<Reach, Reach> kContractSteps[] = {
    {Reach::kWide, Reach::kAsBuilt}, {Reach::kNarrow, Reach::kAsBuilt}, {Reach::kAsBuilt, Reach::kAsBuilt}};
constexpr std::pair<Reach, Reach> kJudgesSteps[] = {
    {Reach::kWide, Reach::kWide},     {Reach::kWide, Reach::kNarrow},    {Reach::kWide, Reach::kAsBuilt},
    {Reach::kNarrow, Reach::kNarrow}, {Reach::kNarrow, Reach::kAsBuilt}, {Reach::kAsBuilt, Reach::kAsBuilt}};

bool SetStep(Draft& draft, int step) {
  const bool judges = draft.run.by_judge;
  if (step >= static_cast<int>(judges ? std::size(kJudgesSteps) : std::size(kContractSteps))) return false;
  draft.step = step;
  std::tie(draft.run.weights, draft.run.inputs) = judges ? kJudgesSteps[step] : kContractSteps[step];
  return true;
}

std::vector<Draft> MakeDrafts(int workloads) {
  std::random_device device;
  std::vector<Draft> drafts;
  for (int workload = 0; workload < workloads; ++workload) {
    for (const int64_t seed : kSeeds) {
      drafts.push_back({.run = {.seed = seed, .workload = workload}});
      if (seed != kSeeds[0]) SetStep(drafts.back(), 0);
    }
    for (int i = 0; i < kJudgesSeeds; ++i) {
      // Never one of the contract's, never negative.
      const auto seed = static_cast<int64_t>(device() % 2'000'000'000u) + 1000 + workload * kJudgesSeeds + i;
      drafts.push_back(
          {.run = {.seed = seed, .workload = workload, .by_judge = true, .again = i + 1 == kJudgesSeeds},
           .mostly_large = i == 0});
      SetStep(drafts.back(), 0);
    }
  }
  return drafts;
}

class Original {
 public:
  Original(const Context& context, const std::string& file, bool afresh, const TempDir& scratch,
           const std::string& import_dir)
      : context_(context), file_(file), afresh_(afresh), scratch_(scratch), import_dir_(import_dir) {}

  absl::StatusOr<OriginalRuns> Run(int workloads) {
    drafts_ = MakeDrafts(workloads);
    STRATA_RETURN_IF_ERROR(RunAsBuilt());
    while (runs_.outcome.status == host::RunStatus::kOk && Pending() > 0) {
      STRATA_RETURN_IF_ERROR(Draw());
      STRATA_RETURN_IF_ERROR(RunPending());
    }
    for (Draft& draft : drafts_) {
      if (std::string note = Note(draft); !note.empty()) runs_.notes.push_back(std::move(note));
      runs_.trials.push_back(std::move(draft.run));
      runs_.programs.push_back(std::move(draft.program));
    }
    return std::move(runs_);
  }

 private:
  int64_t Pending() const {
    return std::count_if(drafts_.begin(), drafts_.end(), [](const Draft& d) { return !d.done; });
  }

  static std::string Note(const Draft& draft) {
    std::string note = draft.why.empty() ? "" : RangesNote(draft);
    const Changes& changes = draft.changes;
    if (changes.count > static_cast<int>(changes.borne.size())) {
      absl::StrAppend(
          &note, note.empty() ? absl::StrCat("seed ", draft.run.seed, ": ") : "; ", "of ", changes.count,
          " single changes of the inputs (equal ones apart, other numbers) it bears ", changes.borne.size());
    }
    return note;
  }

  static std::string RangesNote(const Draft& draft) {
    const bool all = !draft.careful || draft.run.weights == Reach::kAsBuilt;
    return absl::StrCat("seed ", draft.run.seed, ": weights ", ReachName(draft.run.weights),
                        all ? "" : " but for those that lead to a branch", ", inputs ",
                        ReachName(draft.run.inputs), ", because farther out the original ", draft.why);
  }

  // Seed 42 on the weights as built; the inputs of all.
  absl::Status RunAsBuilt() {
    built_dir_ = Subfolder(scratch_, "original");
    host::RunRequest request = MakeRequest(context_, file_, "Model", built_dir_);
    request.import_dir = import_dir_;
    request.record = request.save_weights = request.save_inputs = request.save_outputs = true;
    request.afresh = afresh_;
    request.draws = 1 + drafts_.back().run.workload;
    for (const Draft& draft : drafts_) {
      request.trials.push_back({.seed = draft.run.seed,
                                .workload = draft.run.workload,
                                .inputs_only = draft.run.seed != kSeeds[0]});
    }
    runs_.outcome = context_.zygote.Run(request, context_.limits);
    if (runs_.outcome.status != host::RunStatus::kOk) return absl::OkStatus();
    runs_.draws = ReadDraws(built_dir_);
    for (Draft& draft : drafts_) {
      draft.run.weights_path = built_dir_ + "/weights.bin";
      draft.run.inputs_path = TrialFile(built_dir_, "inputs", draft.run.seed, draft.run.workload);
      draft.run.original_dir = built_dir_;
      if (draft.run.seed != kSeeds[0]) continue;
      STRATA_ASSIGN_OR_RETURN(draft.program, ReadProgram(built_dir_, kSeeds[0], draft.run.workload));
      draft.done = true;
    }
    return absl::OkStatus();
  }

  std::string DrawnFile(const char* what, const Draft& draft) const {
    return absl::StrCat(scratch_.path(), "/", what, "_", draft.run.seed, "_", draft.run.workload, "_", round_,
                        ".bin");
  }

  absl::Status Draw() {
    const auto roles = WeightRoles(drafts_[0].program);
    for (Draft& draft : drafts_) {
      if (draft.done) continue;
      TrialRun& run = draft.run;
      run.inputs_path = TrialFile(built_dir_, "inputs", run.seed, run.workload);
      if (run.inputs != Reach::kAsBuilt || !draft.changes.tried.empty())
        run.inputs_path = DrawnFile("inputs", draft);
      if (draft.settled) continue;
      run.weights_path = built_dir_ + "/weights.bin";
      if (run.weights != Reach::kAsBuilt) run.weights_path = DrawnFile("weights", draft);
    }
    STRATA_ASSIGN_OR_RETURN(const std::string drawn, context_.zygote.RunTrusted(
                                                         [&]() -> absl::StatusOr<std::string> {
                                                           std::string lines;
                                                           for (const Draft& draft : drafts_) {
                                                             std::string line;
                                                             if (!draft.done) {
                                                               STRATA_ASSIGN_OR_RETURN(line,
                                                                                       DrawOne(draft, roles));
                                                             }
                                                             absl::StrAppend(&lines, line, "\n");
                                                           }
                                                           return lines;
                                                         },
                                                         JudgingLimits(context_)));
    const std::vector<std::string> lines = absl::StrSplit(drawn, '\n');
    if (lines.size() < drafts_.size()) return absl::InternalError("the judge lost a draw");
    for (size_t i = 0; i < drafts_.size(); ++i) {
      Draft& draft = drafts_[i];
      const std::vector<std::string> words = absl::StrSplit(lines[i], ' ');
      if (draft.done || words.size() != 3 || !absl::SimpleAtoi(words[2], &draft.changes.count)) continue;
      draft.run.other_inputs = words[0] == "1";
      draft.run.other_numbers = words[1] == "1";
    }
    return absl::OkStatus();
  }

  // In a trusted fork: "1 0 3": whether tensors among the inputs are other than get_inputs() drew them,
  // whether numbers are, and how many single changes there are.
  absl::StatusOr<std::string> DrawOne(const Draft& draft, std::map<std::string, WeightRole> roles) const {
    const TrialRun& run = draft.run;
    if (draft.careful) {
      for (const std::string& key : BranchingWeights(drafts_[0].program)) roles.erase(key);
    }
    // Two trials of one seed differ in their workload only: the weights are the same.
    if (run.weights != Reach::kAsBuilt && !draft.settled) {
      STRATA_RETURN_IF_ERROR(
          DrawWeights(built_dir_ + "/weights.bin", roles, run.seed, run.weights, run.weights_path));
    }
    if (!run.by_judge) return std::string("0 0 0");
    const std::string given = TrialFile(built_dir_, "inputs", run.seed, run.workload);
    // Wide inputs that are numbers of any size already tell much: there only what nothing else draws.
    const bool one_by_one = run.inputs == Reach::kAsBuilt;
    int count = 0;
    if (one_by_one || !draft.mostly_large) {
      STRATA_ASSIGN_OR_RETURN(count, CountInputChanges(given, one_by_one));
    }
    DrawnInputs any;
    if (run.inputs_path != given) {
      STRATA_ASSIGN_OR_RETURN(any, DrawInputs(given,
                                              {.seed = run.seed,
                                               .reach = run.inputs,
                                               .mostly_large = draft.mostly_large,
                                               .one_by_one = one_by_one,
                                               .changes = draft.changes.tried},
                                              run.inputs_path));
    }
    return absl::StrFormat("%d %d %d", any.tensors, any.numbers, count);
  }

  absl::Status RunPending() {
    const std::string dir = Subfolder(scratch_, absl::StrCat("original_", round_++));
    host::RunRequest request = MakeRequest(context_, file_, "Model", dir);
    request.import_dir = import_dir_;
    request.record = request.save_outputs = true;
    request.afresh = afresh_;
    std::vector<Draft*> pending;
    for (Draft& draft : drafts_) {
      if (draft.done) continue;
      draft.run.original_dir = dir;
      pending.push_back(&draft);
      request.trials.push_back({.seed = draft.run.seed,
                                .workload = draft.run.workload,
                                .inputs_path = draft.run.inputs_path,
                                .weights_path = draft.run.weights_path,
                                .again = draft.run.again});
    }
    host::RunOutcome outcome = context_.zygote.Run(request, context_.limits);
    if (outcome.status != host::RunStatus::kOk && outcome.status != host::RunStatus::kRaised) {
      runs_.outcome = std::move(outcome);
      return absl::OkStatus();
    }
    // It stops at the first trial that raises; those after it are run again.
    const auto stopped = std::find_if(pending.begin(), pending.end(), [&](const Draft* draft) {
      return !FileExists(TrialFile(dir, "after", draft->run.seed, draft->run.workload));
    });
    STRATA_RETURN_IF_ERROR(Settle({pending.begin(), stopped}));
    if (stopped == pending.end()) return absl::OkStatus();
    if (!Judged(**stopped, absl::StrCat("raises ", outcome.error_type))) runs_.outcome = std::move(outcome);
    return absl::OkStatus();
  }

  // Draws nearer to what the model comes with; false where nothing is nearer.
  static bool Nearer(Draft& draft, const std::string& why) {
    draft.why = why;
    if (!draft.careful && why != kNaN && why != kInf) return draft.careful = true;
    return SetStep(draft, draft.step + 1);
  }

  // Those that ran: done, or drawn again.
  absl::Status Settle(const std::vector<Draft*>& ran) {
    STRATA_ASSIGN_OR_RETURN(const std::vector<std::string> numbers, Numbers(ran));
    for (size_t i = 0; i < ran.size(); ++i) {
      Draft& draft = *ran[i];
      STRATA_ASSIGN_OR_RETURN(draft.program,
                              ReadProgram(draft.run.original_dir, draft.run.seed, draft.run.workload));
      std::string why = numbers[i];
      if (why.empty() && OtherBranch(draft.program, AsBuilt(draft.run.workload).program))
        why = "takes another branch";
      // Where nothing nearer is left, this is what the model does.
      if (!Judged(draft, why)) Settled(draft);
    }
    return absl::OkStatus();
  }

  // A run of the draft is over: what is wrong with it ("": nothing) decides what is tried next. False where
  // nothing is left to try.
  static bool Judged(Draft& draft, const std::string& why) {
    if (!draft.settled) {
      if (!why.empty()) return Nearer(draft, why);
      Settled(draft);
      return true;
    }
    Changes& changes = draft.changes;
    if (why.empty()) {
      changes.borne = changes.tried;
      changes.best = draft.run;
      changes.best_program = std::move(draft.program);
    }
    TryNext(draft);
    return true;
  }

  // The ranges are found; single changes of the inputs come next, where there are any.
  static void Settled(Draft& draft) {
    draft.settled = true;
    draft.changes.best = draft.run;
    draft.changes.best_program = std::move(draft.program);
    TryNext(draft);
  }

  static void TryNext(Draft& draft) {
    Changes& changes = draft.changes;
    const int all = std::min(changes.count, kMostChanges);
    const bool bears_all = changes.borne.size() == static_cast<size_t>(changes.count);
    if (changes.tried.empty() && changes.count > 0) {
      for (int i = 0; i < changes.count; ++i) changes.tried.insert(i);
      return;
    }
    // One alone that was not borne is not tried a second time.
    if (++changes.next < all && !bears_all && changes.count > 1) {
      changes.tried = changes.borne;
      changes.tried.insert(changes.next);
      return;
    }
    draft.run = changes.best;
    draft.program = std::move(changes.best_program);
    draft.done = true;
  }

  const Draft& AsBuilt(int workload) const {
    return *std::find_if(drafts_.begin(), drafts_.end(), [workload](const Draft& d) {
      return d.run.workload == workload && d.run.seed == kSeeds[0];
    });
  }

  // What torch moves on its own account depends on sizes that data may decide: `out[rows] = v` views a v of
  // one row.
  static bool OtherBranch(const program::Program& a, const program::Program& b) {
    const auto computed = [](const program::Program& program) {
      std::vector<std::string> operators;
      for (const program::Call& call : program.calls) {
        if (program::Classify(program, call) != program::OpClass::kPlumbing)
          operators.push_back(absl::StrCat(call.op, ".", call.overload));
      }
      return operators;
    };
    return computed(a) != computed(b);
  }

  // For each: what of its outputs is worse than those of seed 42 on the built weights, or "".
  absl::StatusOr<std::vector<std::string>> Numbers(const std::vector<Draft*>& ran) const {
    STRATA_ASSIGN_OR_RETURN(const std::string text, context_.zygote.RunTrusted(
                                                        [&]() -> absl::StatusOr<std::string> {
                                                          std::string lines;
                                                          for (const Draft* draft : ran) {
                                                            STRATA_ASSIGN_OR_RETURN(const std::string line,
                                                                                    NumbersOf(draft->run));
                                                            absl::StrAppend(&lines, line, "\n");
                                                          }
                                                          return lines + "\n";
                                                        },
                                                        JudgingLimits(context_)));
    std::vector<std::string> lines = absl::StrSplit(text, '\n');
    if (lines.size() < ran.size()) return absl::InternalError("the judge lost a trial");
    return lines;
  }

  // In a trusted fork.
  absl::StatusOr<std::string> NumbersOf(const TrialRun& run) const {
    STRATA_ASSIGN_OR_RETURN(const NonFinite now,
                            FindNonFinite(TrialFile(run.original_dir, "outputs", run.seed, run.workload)));
    if (now.nan) return std::string(kNaN);
    STRATA_ASSIGN_OR_RETURN(const NonFinite then,
                            FindNonFinite(TrialFile(built_dir_, "outputs", kSeeds[0], run.workload)));
    return std::string(now.inf && !then.inf ? kInf : "");
  }

  const Context& context_;
  const std::string file_;
  const bool afresh_;
  const TempDir& scratch_;
  const std::string import_dir_;
  std::string built_dir_;
  int round_ = 0;
  std::vector<Draft> drafts_;
  OriginalRuns runs_;
};

}  // namespace

absl::StatusOr<OriginalRuns> RunOriginal(const Context& context, const std::string& file, int workloads,
                                         bool afresh, const TempDir& scratch, const std::string& import_dir) {
  return Original(context, file, afresh, scratch, import_dir).Run(workloads);
}

}  // namespace strata::verify
