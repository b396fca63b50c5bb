#include "base/status.h"
#include "client/cli/command.h"
#include "client/cli/status.h"

namespace strata::cli {

void AddSubmit(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("submit", "send FILE to a server and print the id of the job");
  struct Options {
    Common common;
    SubmitOptions submit;
  };
  auto options = std::make_shared<Options>();
  AddFile(*command, options->submit);
  AddSubmitOptions(*command, options->submit);
  command
      ->add_option("--request-id", options->submit.request_id,
                   "the same id submits once, however often it is sent")
      ->check(Utf8());
  AddCommon(*command, options->common);
  command->callback([options, action] {
    *action = [options]() -> absl::StatusOr<int> {
      STRATA_ASSIGN_OR_RETURN(const Submission submission, ReadSubmission(options->submit));
      Client client(options->common.server);
      STRATA_ASSIGN_OR_RETURN(const v1::Decomposition job, Submit(client, submission));
      Print(options->common, job, [&](const Terminal&) { return job.id(); });
      return kExitPass;
    };
  });
}

}  // namespace strata::cli
