#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "client/cli/command.h"
#include "client/cli/render.h"
#include "client/cli/status.h"

namespace strata::cli {
namespace {

struct ListOptions {
  Common common;
  std::vector<std::string> states, labels;
  std::string model, since, before, order = "newest", page;
  uint32_t limit = 50;
};

// "2026-01-31" or RFC 3339.
absl::Status SetTime(const std::string& text, google::protobuf::Timestamp* timestamp) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime("%Y-%m-%d", text, absl::LocalTimeZone(), &time, &error) &&
      !absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no time; write 2026-01-31 or 2026-01-31T12:00:00Z"));
  }
  timestamp->set_seconds(absl::ToUnixSeconds(time));
  return absl::OkStatus();
}

absl::StatusOr<v1::ListDecompositionsRequest> MakeRequest(const ListOptions& options) {
  v1::ListDecompositionsRequest request;
  for (const std::string& name : options.states) {
    v1::State state;
    if (!v1::State_Parse("STATE_" + absl::AsciiStrToUpper(name), &state)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--state ", name, ": one of queued, running, canceling, succeeded, failed, canceled"));
    }
    request.add_states(state);
  }
  for (const std::string& label : options.labels) {
    const size_t equals = label.find('=');
    if (equals == std::string::npos)
      return absl::InvalidArgumentError(absl::StrCat("--label ", label, ": write KEY=VALUE"));
    (*request.mutable_labels())[label.substr(0, equals)] = label.substr(equals + 1);
  }
  request.set_model_name(options.model);
  if (!options.since.empty()) STRATA_RETURN_IF_ERROR(SetTime(options.since, request.mutable_created_from()));
  if (!options.before.empty())
    STRATA_RETURN_IF_ERROR(SetTime(options.before, request.mutable_created_before()));
  request.set_order(options.order == "oldest" ? v1::ORDER_CREATED_ASC
                    : options.order == "name" ? v1::ORDER_MODEL_NAME_ASC
                                              : v1::ORDER_CREATED_DESC);
  request.set_page_size(options.limit);
  request.set_page_token(options.page);
  return request;
}

absl::StatusOr<int> RunList(const ListOptions& options) {
  STRATA_ASSIGN_OR_RETURN(const v1::ListDecompositionsRequest request, MakeRequest(options));
  Client client(options.common.server);
  STRATA_ASSIGN_OR_RETURN(const auto answer, client.Call(&Client::Stub::ListDecompositions, request));
  Print(options.common, answer, [&](const Terminal& terminal) {
    std::string text = RenderList(terminal, answer);
    if (!answer.next_page_token().empty())
      absl::StrAppend(&text, "more: --page ", answer.next_page_token(), "\n");
    return text;
  });
  return kExitPass;
}

}  // namespace

void AddList(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("list", "the jobs of a server");
  auto options = std::make_shared<ListOptions>();
  AddCommon(*command, options->common);
  command->add_option("--state", options->states, "any of these")->delimiter(',');
  command->add_option("--label", options->labels, "KEY=VALUE, all of these")->take_all()->check(Utf8());
  command->add_option("--model", options->model, "exactly this model name")->check(Utf8());
  command->add_option("--since", options->since,
                      "created at or after, as 2026-01-31 or 2026-01-31T12:00:00Z");
  command->add_option("--before", options->before, "created before");
  command->add_option("--order", options->order)
      ->check(CLI::IsMember({"newest", "oldest", "name"}))
      ->capture_default_str();
  command->add_option("--limit", options->limit)->check(CLI::Range(1, 500))->capture_default_str();
  command->add_option("--page", options->page, "token of the next page, from the answer before")
      ->check(Utf8());
  command->callback([options, action] { *action = [options] { return RunList(*options); }; });
}

}  // namespace strata::cli
