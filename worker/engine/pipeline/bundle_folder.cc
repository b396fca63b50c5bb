// What stands before a local job: no interpreter, no torch, so that the launcher can link it.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "worker/engine/pipeline/local_job.h"

namespace strata::pipeline {
namespace {

namespace fs = std::filesystem;

// What a bundle consists of; nothing else in a folder is ever removed.
constexpr const char* kBundleEntries[] = {"source",
                                          "level_0_kernel",
                                          "level_1_fusion",
                                          "level_2_layer",
                                          "level_3_model",
                                          "steps",
                                          "verification",
                                          "scripts",
                                          "decomposition_tree.json",
                                          "decomposition_analysis.md",
                                          "decomposition_log.json",
                                          "requirements.txt",
                                          ".strata"};

bool IsBundleEntry(const std::string& name) {
  return std::find(std::begin(kBundleEntries), std::end(kBundleEntries), name) != std::end(kBundleEntries);
}

}  // namespace

std::string CheckLocalJob(const LocalJob& job) {
  struct stat status;
  if (stat(job.file.c_str(), &status) != 0) return absl::StrCat(job.file, " does not exist");
  if (S_ISDIR(status.st_mode)) {
    return absl::StrCat(job.file, " is a folder; this version takes one self-contained .py file");
  }
  if (!S_ISREG(status.st_mode)) return absl::StrCat(job.file, " is no regular file");
  if (status.st_size == 0) return absl::StrCat(job.file, " is empty");
  if (status.st_size > kMaxSourceBytes) {
    return absl::StrCat(job.file, " has ", status.st_size >> 20,
                        " MiB; a model file holds code and has at most ", kMaxSourceBytes >> 20,
                        " MiB, keep weights and data out of it");
  }
  if (fs::path(job.file).extension() != ".py") return absl::StrCat(job.file, " has no .py at its end");
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(job.out_dir, error)) {
    const std::string name = entry.path().filename().string();
    if (!IsBundleEntry(name))
      return absl::StrCat(job.out_dir, " holds ", name,
                          ", which is no part of a bundle; name another folder");
    if (!job.replace)
      return absl::StrCat(job.out_dir, " is not empty; name another folder, or say --replace");
  }
  return "";
}

void RemoveOldBundle(const std::string& dir) {
  for (const char* entry : kBundleEntries) RemoveTree(JoinPath(dir, entry)).IgnoreError();
}

}  // namespace strata::pipeline
