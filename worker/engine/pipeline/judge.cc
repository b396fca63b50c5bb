// A folder made by anybody → verdict.json.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/files.h"
#include "worker/engine/pipeline/task_run.h"
#include "worker/engine/pipeline/verify_folder.h"

namespace strata::pipeline {

Ending Judge(TaskRun& run) {
  const std::string folder = run.files().InputPath(run.task().source);
  run.Progress(absl::StrCat("judging ", BaseName(folder)));
  JudgedFolder judged = JudgeFolder(run.context(), folder);
  // Where the folder lies here is nobody's business.
  const auto relative = [&](const std::string& text) {
    return absl::StrReplaceAll(text, {{DirName(folder) + "/", ""}});
  };
  if (judged.is_defect) return Failure{.message = relative(judged.verdict["error"])};
  if (judged.verdict.contains("error")) judged.verdict["error"] = relative(judged.verdict["error"]);
  if (absl::Status s = run.files().WriteJson("verdict.json", judged.verdict); !s.ok()) return FromStatus(s);
  return std::nullopt;
}

}  // namespace strata::pipeline
