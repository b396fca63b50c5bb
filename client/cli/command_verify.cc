#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "client/cli/json.h"
#include "client/cli/render.h"
#include "client/cli/run_job.h"
#include "client/cli/status.h"

namespace strata::cli {
namespace {

// The judge's own words; where it came to none, as much as there is to say.
std::string Document(const Results& results) {
  const v1::Decomposition& job = results.decomposition;
  v1::FolderVerdict verdict = results.verdict;
  if (!verdict.verdict_json().empty()) return verdict.verdict_json();
  if (verdict.verdict().empty()) {
    verdict.set_verdict("cannot be judged");
    verdict.set_folder(job.source().entry());
    verdict.set_error(job.has_failure() ? job.failure().message() : job.cancel_reason());
  }
  nlohmann::ordered_json document = ToJson(verdict);
  document.erase("verdict_json");
  return Dump(document);
}

absl::StatusOr<int> RunVerify(const RunOptions& options) {
  // With --json the document alone goes to stdout.
  Terminal terminal(options.json ? stderr : stdout);
  STRATA_ASSIGN_OR_RETURN(const Submission submission, ReadFolder(options.submit));
  const v1::Source& source = submission.request.source();
  terminal.Print(absl::StrCat("strata: ", source.entry(), ", ", source.files_size(),
                              source.files_size() == 1 ? " file" : " files"));
  Progress progress(&terminal);
  STRATA_ASSIGN_OR_RETURN(const EndedJob job, RunJob(options, submission, terminal, progress));
  progress.Finish();
  if (options.json) {
    Terminal(stdout).Print(Document(job.results));
  } else {
    terminal.Print("\n" + RenderJudgement(terminal, job.results.decomposition, job.results.verdict));
  }
  return ExitCodeOf(job.results.decomposition);
}

}  // namespace

void AddVerify(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("verify", "judge DIR, a bundle or one step of one, whoever made it");
  auto options = std::make_shared<RunOptions>();
  command->add_option("DIR", options->submit.path, "folder of the bundle or of the step")->required();
  AddRunOptions(*command, *options);
  command->callback([options, action] { *action = [options] { return RunVerify(*options); }; });
}

}  // namespace strata::cli
