#include "client/cli/command.h"

#include "base/status.h"
#include "client/cli/json.h"
#include "client/cli/render.h"

namespace strata::cli {

void AddCommon(CLI::App& command, Common& common) {
  command.add_option("--server", common.server, "strata-server: unix:PATH or HOST:PORT")
      ->envname("STRATA_SERVER")
      ->required();
  command.add_flag("--json", common.json, "print JSON");
}

CLI::Validator Utf8() {
  return CLI::Validator(
      [](std::string& text) { return IsUtf8(text) ? std::string() : Printable(text) + " is not UTF-8"; }, "");
}

void AddId(CLI::App& command, Common& common, bool newest) {
  auto* option =
      command.add_option("ID", common.id, newest ? "decomposition (default: the newest)" : "decomposition")
          ->check(Utf8());
  if (!newest) option->required();
}

void AddFile(CLI::App& command, SubmitOptions& options) {
  command.add_option("FILE", options.path, "Python file with Model, get_inputs and get_init_inputs")
      ->required();
}

void AddSubmitOptions(CLI::App& command, SubmitOptions& options) {
  command.add_option("--device", options.device, "where the model runs")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  command.add_option("--name", options.name, "name in lists (default: the file's or folder's)")
      ->check(Utf8());
  command.add_option("--label", options.labels, "KEY=VALUE, may be said more than once")
      ->take_all()
      ->check(Utf8());
  command
      .add_option("--threads", options.threads, "torch's threads, part of the numeric setting (default 1)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--wall-seconds", options.wall_seconds, "limit of one run of the model");
  command.add_option("--memory", options.memory_bytes, "limit of one run's memory, as 16GiB")
      ->transform(CLI::AsSizeValue(false));
}

absl::StatusOr<std::string> ResolveId(Client& client, const Common& common) {
  if (!common.id.empty()) return common.id;
  v1::ListDecompositionsRequest request;
  request.set_page_size(1);
  STRATA_ASSIGN_OR_RETURN(const v1::ListDecompositionsResponse list,
                          client.Call(&Client::Stub::ListDecompositions, request));
  if (list.decompositions_size() == 0)
    return absl::NotFoundError("this server has no decompositions yet; strata submit FILE makes one");
  return list.decompositions(0).id();
}

void Print(const Common& common, const google::protobuf::Message& answer,
           const std::function<std::string(const Terminal&)>& render) {
  Terminal terminal(stdout);
  terminal.Print(common.json ? Dump(ToJson(answer)) : render(terminal));
}

namespace {

// What is not there is no error here: a job that failed early has no tree and no coverage.
template <typename T>
absl::Status Take(absl::StatusOr<T> answer, T* value) {
  if (answer.ok()) *value = *std::move(answer);
  if (absl::IsNotFound(answer.status()) || absl::IsFailedPrecondition(answer.status()))
    return absl::OkStatus();
  return answer.status();
}

absl::StatusOr<Results> FetchResultsOnce(Client& client, const std::string& decomposition_id) {
  Results results;
  v1::GetDecompositionRequest get;
  get.set_decomposition_id(decomposition_id);
  STRATA_ASSIGN_OR_RETURN(results.decomposition, client.Call(&Client::Stub::GetDecomposition, get));
  if (results.decomposition.kind() == v1::JOB_KIND_JUDGE) {
    v1::GetFolderVerdictRequest verdict;
    verdict.set_decomposition_id(decomposition_id);
    STRATA_RETURN_IF_ERROR(Take(client.Call(&Client::Stub::GetFolderVerdict, verdict), &results.verdict));
    return results;
  }
  v1::GetTreeRequest tree;
  tree.set_decomposition_id(decomposition_id);
  STRATA_RETURN_IF_ERROR(Take(client.Call(&Client::Stub::GetTree, tree), &results.tree));
  v1::ListStepsRequest steps;
  steps.set_decomposition_id(decomposition_id);
  STRATA_RETURN_IF_ERROR(Take(client.Call(&Client::Stub::ListSteps, steps), &results.steps));
  v1::GetCoverageRequest coverage;
  coverage.set_decomposition_id(decomposition_id);
  STRATA_RETURN_IF_ERROR(Take(client.Call(&Client::Stub::GetCoverage, coverage), &results.coverage));
  return results;
}

}  // namespace

std::string AskWhyQueued(Client& client, const std::string& decomposition_id) {
  constexpr auto kDeadline = std::chrono::seconds(2);
  v1::GetDecompositionRequest get;
  get.set_decomposition_id(decomposition_id);
  const auto job = client.Call(&Client::Stub::GetDecomposition, get, kDeadline);
  const auto workers = client.Call(&Client::Stub::ListWorkers, v1::ListWorkersRequest(), kDeadline);
  return job.ok() && workers.ok() ? WhyQueued(*job, *workers) : "";
}

absl::StatusOr<Results> FetchResults(Client& client, const std::string& decomposition_id,
                                     std::chrono::seconds patience) {
  Results results;
  STRATA_RETURN_IF_ERROR(client.Retry(patience, [&]() -> absl::Status {
    STRATA_ASSIGN_OR_RETURN(results, FetchResultsOnce(client, decomposition_id));
    return absl::OkStatus();
  }));
  return results;
}

}  // namespace strata::cli
