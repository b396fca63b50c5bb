#pragma once
// The JSON files among a task's outputs (bundle_format, docs/tasks.md) → the API's messages. The text is
// hostile: every parser answers InvalidArgument, "FILE: place is wrong", rather than believe.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/jobs/graph.h"
#include "strata/v1/strata.pb.h"
#include "strata/v1/types.pb.h"

namespace strata::store {

// `path` is the file's path in the bundle, for messages.
absl::StatusOr<jobs::Graph> ParseJobs(const std::string& path,
                                      const std::string& text);  // .strata/jobs.json, checked
absl::StatusOr<v1::Tree> ParseTree(const std::string& path, const std::string& text);
absl::StatusOr<v1::StepResult> ParseVerdict(const std::string& path,
                                            const std::string& text);  // without step.name
absl::StatusOr<v1::Coverage> ParseCoverage(const std::string& path, const std::string& text);  // without step
absl::StatusOr<v1::FolderVerdict> ParseFolderVerdict(const std::string& path, const std::string& text);
absl::StatusOr<std::vector<v1::LogEntry>> ParseLog(const std::string& path, const std::string& text);

struct CompositionResult {
  std::string status;
  double max_difference = 0;
  bool bit_exact = false;
};
absl::StatusOr<CompositionResult> ParseComposition(const std::string& path, const std::string& text);

// What all JSON files of one finished task say.
struct Findings {
  std::optional<jobs::Graph> graph;
  std::optional<v1::Tree> tree;
  std::vector<v1::StepResult> verdicts;
  std::vector<v1::Coverage> coverages;
  std::vector<v1::LogEntry> log;
  std::optional<CompositionResult> composition;
  std::optional<v1::FolderVerdict> folder_verdict;
};

// Adds what the file at `path` says; files that say nothing to the index are OK and change nothing.
absl::Status ReadArtifact(const std::string& path, const std::string& text, Findings& findings);
// Whether ReadArtifact would look into it.
bool IsArtifact(const std::string& path);

// UTF-8 without control characters.
bool IsPrintable(const std::string& text);
// Relative, normal ('/' only, no empty, "." or ".." part), printable UTF-8, at most 500 bytes: may become a
// path on somebody's disk.
bool IsSafePath(const std::string& path);

}  // namespace strata::store
