#include "worker/engine/verify/findings.h"

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "worker/engine/verify/verify.h"

namespace strata::verify {

std::string Findings::Key(const Context& context, const std::string& file) {
  const absl::StatusOr<std::string> content = ReadFile(file);
  if (!content.ok()) return "";
  const host::Limits& limits = context.limits;
  return absl::StrCat(Stem(file), "\n", context.device, " ", context.numeric.threads, " ",
                      limits.wall.count(), " ", limits.memory_bytes, " ", limits.output_bytes, " ",
                      limits.file_bytes, " ", limits.open_files, " ", limits.processes, "\n", *content);
}

const Executed* Findings::FindExecuted(const std::string& key, int workload) const {
  const auto file = files_.find(key);
  if (file == files_.end()) return nullptr;
  const auto found = file->second.executed.find(workload);
  return found == file->second.executed.end() ? nullptr : &found->second;
}

void Findings::NoteExecuted(const std::string& key, int workload, Executed executed) {
  if (File* file = Of(key)) file->executed.insert_or_assign(workload, std::move(executed));
}

bool Findings::Passed(const std::string& key) const {
  const auto file = files_.find(key);
  return file != files_.end() && file->second.passed;
}

void Findings::NotePassed(const std::string& key) {
  if (File* file = Of(key)) file->passed = true;
}

Findings::File* Findings::Of(const std::string& key) {
  if (key.empty() || key.size() > kMaxBytes) return nullptr;
  if (const auto found = files_.find(key); found != files_.end()) return &found->second;
  if (bytes_ + key.size() > kMaxBytes) {
    files_.clear();
    bytes_ = 0;
  }
  bytes_ += key.size();
  return &files_[key];
}

}  // namespace strata::verify
