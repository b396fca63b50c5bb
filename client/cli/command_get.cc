#include "base/status.h"
#include "client/cli/command.h"
#include "client/cli/json.h"
#include "client/cli/render.h"
#include "client/cli/status.h"

namespace strata::cli {

void AddGet(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("get", "download the bundle of a job that has ended");
  struct Options {
    Common common;
    std::string out;
    bool force = false;
  };
  auto options = std::make_shared<Options>();
  AddId(*command, options->common);
  AddCommon(*command, options->common);
  command->add_option("-o,--out", options->out,
                      "folder for the bundle (default: the model's name with _bundle)");
  command->add_flag("--force", options->force, "replace a bundle that lies there");
  command->callback([options, action] {
    *action = [options]() -> absl::StatusOr<int> {
      Client client(options->common.server);
      v1::GetDecompositionRequest request;
      STRATA_ASSIGN_OR_RETURN(*request.mutable_decomposition_id(), ResolveId(client, options->common));
      STRATA_ASSIGN_OR_RETURN(const v1::Decomposition job,
                              client.Call(&Client::Stub::GetDecomposition, request));
      const std::string out = options->out.empty() ? BundleName(job.model_name()) : options->out;
      STRATA_RETURN_IF_ERROR(client.Download(job.id(), out, options->force));
      nlohmann::ordered_json document{{"decomposition_id", job.id()}, {"bundle", out}};
      Terminal(stdout).Print(options->common.json ? Dump(document) : "bundle: " + out);
      return kExitPass;
    };
  });
}

}  // namespace strata::cli
