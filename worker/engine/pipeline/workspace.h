#pragma once
// The two folders of a task: reads from the input, writes to the output, and knows what it wrote.

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace strata::pipeline {

class Workspace {
 public:
  // Both absolute; they may be the same folder.
  Workspace(std::string input_dir, std::string output_dir)
      : input_dir_(std::move(input_dir)), output_dir_(std::move(output_dir)) {}

  // Paths are relative and below the folders; "..", absolute paths and links out are refused.
  std::string InputPath(std::string_view path) const;
  std::string OutputPath(std::string_view path) const;
  bool Has(std::string_view path) const;  // among the inputs
  absl::StatusOr<std::string> Read(std::string_view path) const;
  absl::StatusOr<nlohmann::ordered_json> ReadJson(std::string_view path) const;
  absl::Status Write(std::string_view path, std::string_view content);
  absl::Status WriteJson(std::string_view path, const nlohmann::ordered_json& json);
  // Regular files among the inputs below `folder`, relative, sorted.
  std::vector<std::string> List(std::string_view folder) const;

  std::vector<std::string> written() const { return {written_.begin(), written_.end()}; }

 private:
  std::string input_dir_, output_dir_;
  std::set<std::string> written_;
};

}  // namespace strata::pipeline
