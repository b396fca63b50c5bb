#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/json.h"
#include "client/cli/render.h"
#include "client/cli/table.h"

namespace strata::cli {
namespace {

std::string Indented(absl::string_view text, absl::string_view by) {
  std::string result;
  for (absl::string_view line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    absl::StrAppend(&result, by, Printable({line.data(), line.size()}), "\n");
  }
  return result;
}

std::string Shape(const google::protobuf::RepeatedField<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

bool HasVerdict(const v1::Step& step) { return !step.status().empty(); }

}  // namespace

std::string RenderSteps(const Terminal& terminal, const v1::ListStepsResponse& steps) {
  Table table({{"step"}, {"status"}, {"max_diff", Table::Align::kRight}, {"coverage", Table::Align::kRight}});
  for (const v1::Step& step : steps.steps()) {
    const std::string status = StatusOfStep(step);
    table.Add({{step.name()},
               {status, HasVerdict(step) ? StyleOfStatus(status) : Style::kDim},
               {HasVerdict(step) ? FormatDiff(step.max_diff()) : ""},
               {HasVerdict(step) ? FormatPercent(step.coverage_pct()) : ""}});
  }
  if (table.empty()) return "no steps: the model is one kernel, or is not prepared yet\n";
  return table.Render(terminal);
}

std::string RenderStepLine(const Terminal& terminal, const v1::Step& step) {
  const std::string status = StatusOfStep(step);
  std::string line = absl::StrCat(terminal.Paint(StyleOfStatus(status), absl::StrFormat("%-5s", status)), " ",
                                  Printable(step.name()));
  if (HasVerdict(step)) {
    absl::StrAppend(
        &line, "  ",
        terminal.Paint(Style::kDim, absl::StrCat("max_diff ", FormatDiff(step.max_diff()), "  coverage ",
                                                 FormatPercent(step.coverage_pct()))));
  }
  return line + "\n";
}

std::string RenderStep(const Terminal& terminal, const v1::StepResult& result) {
  std::string text = RenderStepLine(terminal, result.step());
  absl::StrAppend(&text, "  ", result.original_file(), " → ", result.refactored_file(),
                  "\n  children: ", absl::StrJoin(result.step().children(), ", "),
                  "\n  weights mapped: ", result.weights_mapped());
  const int unmapped = result.unmapped_original_size() + result.unmapped_refactored_size();
  absl::StrAppend(&text,
                  unmapped == 0
                      ? ""
                      : absl::StrCat(", not mapped: ", absl::StrJoin(result.unmapped_original(), ", "), " ",
                                     absl::StrJoin(result.unmapped_refactored(), ", ")),
                  "\n  source rules: ", result.step().anticheat_status(), "\n");
  for (const std::string& violation : result.violations()) absl::StrAppend(&text, "    ", violation, "\n");
  absl::StrAppendFormat(&text, "  tolerance: rtol %g, atol %g (%s)\n\n", result.rtol(), result.atol(),
                        result.input_dtype());
  Table table({{"trial", Table::Align::kRight},
               {"seed", Table::Align::kRight},
               {"output"},
               {"shape"},
               {"dtype"},
               {"max_diff", Table::Align::kRight},
               {"matches"}});
  for (const v1::Trial& trial : result.trials()) {
    for (const v1::OutputComparison& output : trial.outputs()) {
      table.Add({{absl::StrCat(trial.trial())},
                 {absl::StrCat(trial.seed())},
                 {absl::StrCat(output.output_idx())},
                 {Shape(output.shape())},
                 {output.dtype()},
                 {FormatDiff(output.max_diff())},
                 {output.matches() ? "yes" : "no", output.matches() ? Style::kGood : Style::kBad}});
    }
  }
  return text + table.Render(terminal);
}

std::string RenderCoverage(const Terminal& terminal, const v1::Coverage& coverage) {
  Table table({{"operator"},
               {"original", Table::Align::kRight},
               {"kernels", Table::Align::kRight},
               {"status"},
               {"in"}});
  for (const v1::OperatorCoverage& op : coverage.operators()) {
    const bool equal = op.original_count() == op.decomposed_count();
    std::string files = absl::StrJoin(op.kernel_files(), ", ", [](std::string* out, const std::string& path) {
      absl::StrAppend(out, path.substr(path.rfind('/') + 1));
    });
    table.Add({{op.op_type()},
               {absl::StrCat(op.original_count())},
               {absl::StrCat(op.decomposed_count())},
               {op.status(), equal ? Style::kGood : Style::kBad},
               {CutToColumns(files, 72), Style::kDim}});
  }
  std::string text = table.Render(terminal);
  absl::StrAppend(&text, terminal.Paint(StyleOfStatus(coverage.status()), coverage.status()), "  ",
                  FormatPercent(coverage.coverage_pct()), " of ", coverage.total_original_ops(),
                  " operators");
  const auto append = [&](absl::string_view what, const auto& names) {
    absl::StrAppend(&text, ", ", what, " ", names.empty() ? "nothing" : absl::StrJoin(names, " "));
  };
  append("missing", coverage.missing_op_types());
  append("extra", coverage.extra_op_types());
  return text + "\n";
}

std::string RenderLog(const Terminal& terminal, const v1::ListLogEntriesResponse& log) {
  std::string text;
  for (const v1::LogEntry& entry : log.entries()) {
    const Style style = entry.type() == "decision" ? Style::kPlain : Style::kWarn;
    absl::StrAppend(&text, terminal.Paint(style, absl::StrFormat("%-10s", entry.type())), " ",
                    terminal.Paint(Style::kBold, Printable(entry.title())), "  ",
                    terminal.Paint(Style::kDim, Printable(entry.step())), "\n",
                    Indented(entry.description(), "           "));
    if (!entry.resolution().empty())
      absl::StrAppend(&text, Indented(absl::StrCat("→ ", entry.resolution()), "           "));
  }
  return text.empty() ? "no entries\n" : text;
}

std::string RenderAttempts(const Terminal& terminal, const v1::GetJobLogsResponse& logs) {
  std::string text;
  const auto append = [&](const char* name, const std::string& bytes, uint64_t dropped) {
    if (bytes.empty()) return;
    absl::StrAppend(&text, "  ", terminal.Paint(Style::kDim, name), "\n", Indented(bytes, "    "));
    if (dropped > 0) absl::StrAppend(&text, "    … ", FormatBytes(dropped), " more were not kept\n");
  };
  for (const v1::AttemptLog& log : logs.attempts()) {
    absl::StrAppend(
        &text, terminal.Paint(Style::kBold, log.task_id()), " attempt ", log.attempt(), "  ",
        terminal.Paint(StyleOfStatus(log.outcome() == "PASSED" ? "PASS" : log.outcome()), log.outcome()),
        absl::StrFormat("  %.1f s", log.seconds()), "  ", log.worker(), "\n");
    if (log.has_failure()) text += Indented(log.failure().message(), "  ");
    append("stdout", log.stdout(), log.stdout_dropped_bytes());
    append("stderr", log.stderr(), log.stderr_dropped_bytes());
    append("traceback", log.traceback(), 0);
  }
  if (logs.truncated()) text += "older attempts are left out; name a task with --task\n";
  return text.empty() ? "no attempts yet\n" : text;
}

std::string RenderFailure(const Terminal& terminal, const v1::Failure& failure) {
  std::string where;
  absl::string_view message = failure.message();
  if (!failure.file().empty()) {
    absl::ConsumePrefix(&message, failure.file() + " ");  // "x.py failed in forward: …"
    where =
        absl::StrCat(failure.file(), failure.line() > 0 ? absl::StrCat(", line ", failure.line()) : "", ": ");
  } else if (!failure.component().empty()) {
    where = failure.component() + ": ";
  }
  std::string text = absl::StrCat(terminal.Paint(Style::kBold, Printable(where)),
                                  Printable({message.data(), message.size()}, /*keep_lines=*/true), "\n");
  if (!failure.traceback().empty())
    text += terminal.Paint(Style::kDim, Indented(failure.traceback(), "    "));
  return text;
}

namespace {

std::string RenderViolation(const Terminal& terminal, const v1::Violation& violation) {
  std::string text =
      absl::StrCat(terminal.Paint(Style::kBad, violation.rule()), ": ", Printable(violation.file()));
  if (violation.line() > 0) absl::StrAppend(&text, ":", violation.line());
  absl::StrAppend(&text, "\n", Indented(violation.what(), "    "));
  if (!violation.advice().empty()) absl::StrAppend(&text, Indented("-> " + violation.advice(), "    "));
  return text;
}

template <typename Texts>
std::string RenderTexts(const char* title, const Texts& texts) {
  std::string text = texts.empty() ? "" : absl::StrCat(title, "\n");
  for (const std::string& item : texts) text += Indented(item, "  ");
  return text;
}

}  // namespace

std::string RenderJudgement(const Terminal& terminal, const v1::Decomposition& decomposition,
                            const v1::FolderVerdict& verdict) {
  std::string text;
  for (const v1::Violation& violation : verdict.violations()) text += RenderViolation(terminal, violation);
  if (!verdict.error().empty()) absl::StrAppend(&text, Printable(verdict.error(), /*keep_lines=*/true), "\n");
  text += RenderTexts("notes:", verdict.notes());
  text += RenderTexts("not judged:", verdict.not_judged());
  return text + RenderVerdict(terminal, decomposition, {}, {});
}

std::string RenderVerdict(const Terminal& terminal, const v1::Decomposition& decomposition,
                          const v1::ListStepsResponse& steps, const v1::Coverage& coverage) {
  const std::string verdict = VerdictOf(decomposition);
  const std::string& reason = decomposition.cancel_reason();
  double max_diff = 0;
  int passed = 0;
  for (const v1::Step& step : steps.steps()) {
    max_diff = std::max(max_diff, step.max_diff());
    passed += step.status() == "PASS" ? 1 : 0;
  }
  std::string text = terminal.Paint(StyleOfStatus(verdict), verdict);
  absl::StrAppend(&text, "  ", Printable(decomposition.model_name()));
  if (!reason.empty()) absl::StrAppend(&text, ": ", Printable(reason));
  if (steps.steps_size() > 0) {
    absl::StrAppend(&text, reason.empty() ? ": " : ", ", passed, " of ", steps.steps_size(),
                    steps.steps_size() == 1 ? " step" : " steps", " verified");
    if (passed > 0) absl::StrAppend(&text, ", max_diff ", FormatDiff(max_diff));
  }
  if (!coverage.status().empty())
    absl::StrAppend(&text, ", coverage ", FormatPercent(coverage.coverage_pct()));
  return text + "\n";
}

}  // namespace strata::cli
