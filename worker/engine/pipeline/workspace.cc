#include "worker/engine/pipeline/workspace.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace strata::pipeline {
namespace {

namespace fs = std::filesystem;

bool IsBelow(std::string_view path) {
  if (path.empty() || path.front() == '/') return false;
  for (const fs::path& part : fs::path(path)) {
    if (part == "..") return false;
  }
  return true;
}

}  // namespace

std::string Workspace::InputPath(std::string_view path) const { return JoinPath(input_dir_, path); }
std::string Workspace::OutputPath(std::string_view path) const { return JoinPath(output_dir_, path); }

bool Workspace::Has(std::string_view path) const {
  return IsBelow(path) && fs::is_regular_file(InputPath(path));
}

absl::StatusOr<std::string> Workspace::Read(std::string_view path) const {
  if (!IsBelow(path))
    return absl::InvalidArgumentError(absl::StrCat("'", std::string(path), "' is no relative path"));
  if (!Has(path))
    return absl::NotFoundError(absl::StrCat("the task's input has no file ", std::string(path)));
  return ReadFile(InputPath(path));
}

absl::StatusOr<nlohmann::ordered_json> Workspace::ReadJson(std::string_view path) const {
  absl::StatusOr<std::string> text = Read(path);
  if (!text.ok()) return text.status();
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::DataLossError(absl::StrCat(std::string(path), " is no JSON"));
  return json;
}

absl::Status Workspace::Write(std::string_view path, std::string_view content) {
  if (!IsBelow(path))
    return absl::InternalError(absl::StrCat("'", std::string(path), "' is no relative path"));
  written_.insert(std::string(path));
  const std::string target = OutputPath(path);
  if (absl::Status made = MakeDirs(DirName(target)); !made.ok()) return made;
  return WriteFile(target, content);
}

absl::Status Workspace::WriteJson(std::string_view path, const nlohmann::ordered_json& json) {
  // Names in a model may be any bytes; invalid UTF-8 shows as a replacement character.
  return Write(path, json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

std::vector<std::string> Workspace::List(std::string_view folder) const {
  std::vector<std::string> files;
  absl::StatusOr<std::vector<std::string>> found = ListFiles(InputPath(folder));
  if (!found.ok()) return files;
  for (const std::string& file : *found) files.push_back(JoinPath(folder, file));
  return files;
}

}  // namespace strata::pipeline
