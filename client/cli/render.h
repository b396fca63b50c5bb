#pragma once
// Answers of the server as text for people. Pure: no I/O; every text ends with a newline.

#include <string>

#include "client/cli/terminal.h"
#include "strata/v1/strata.pb.h"

namespace strata::cli {

// The component tree: name, level, runs in one forward, and the verdict of each step.
std::string RenderTree(const Terminal& terminal, const v1::Tree& tree);
std::string RenderSteps(const Terminal& terminal, const v1::ListStepsResponse& steps);
std::string RenderStep(const Terminal& terminal, const v1::StepResult& result);
std::string RenderCoverage(const Terminal& terminal, const v1::Coverage& coverage);
std::string RenderLog(const Terminal& terminal, const v1::ListLogEntriesResponse& log);
// What user code printed, attempt by attempt.
std::string RenderAttempts(const Terminal& terminal, const v1::GetJobLogsResponse& logs);
std::string RenderDecomposition(const Terminal& terminal, const v1::Decomposition& decomposition);
std::string RenderList(const Terminal& terminal, const v1::ListDecompositionsResponse& list);
std::string RenderWorkers(const Terminal& terminal, const v1::ListWorkersResponse& workers);

// "no connected worker has cuda"; "" where a worker fits and the job is only waiting for its turn.
std::string WhyQueued(const v1::Decomposition& decomposition, const v1::ListWorkersResponse& workers);

// What failed, where, and what to do.
std::string RenderFailure(const Terminal& terminal, const v1::Failure& failure);

// PASS, FAIL or CANCELED; the verdict on a folder where there is one. REQUIRES: the decomposition has ended.
std::string VerdictOf(const v1::Decomposition& decomposition);

// The last line: the verdict and the figures. `coverage` may be empty.
std::string RenderVerdict(const Terminal& terminal, const v1::Decomposition& decomposition,
                          const v1::ListStepsResponse& steps, const v1::Coverage& coverage);

// What speaks against a judged folder or is to be known of it, or why there is no verdict; RenderVerdict
// last.
std::string RenderJudgement(const Terminal& terminal, const v1::Decomposition& decomposition,
                            const v1::FolderVerdict& verdict);

// One finished step, as a line of progress.
std::string RenderStepLine(const Terminal& terminal, const v1::Step& step);

// The folder for a bundle where none is named: "mlp_bundle" of "mlp", also of "../mlp". One name, never a
// path.
std::string BundleName(const std::string& model_name);

// "0", "1.2e-06"; "12.5 KiB"; "0:42", "1:02:03"; "100 %", "98.3 %".
std::string FormatDiff(double max_diff);
std::string FormatBytes(uint64_t bytes);
std::string FormatSeconds(double seconds);
std::string FormatPercent(double percent);
// As FAIL, PASS, pass, RUNNING …: which colour says it.
Style StyleOfStatus(std::string_view status);
// PASS, FAIL, ERROR once there is a verdict, else what its tasks do: "running", "waiting".
std::string StatusOfStep(const v1::Step& step);

}  // namespace strata::cli
