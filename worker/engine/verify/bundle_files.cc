#include "worker/engine/verify/bundle_files.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "worker/engine/verify/bundle_json.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using plan::Level;

constexpr Level kLevels[] = {Level::kModel, Level::kLayer, Level::kFusion, Level::kKernel};

// Everything below the folder that the rules look at, within the limits.
class Reader {
 public:
  Reader(const std::string& dir, const BundleLimits& limits) : dir_(dir), limits_(limits) {}

  void Run() {
    List();
    if (!Has("decomposition_tree.json"))
      Layout("decomposition_tree.json", "is missing", "write the tree of components");
    for (const std::string& path : paths_) Take(path);
    AddJson("decomposition_tree.json", &bundle_.tree);
    AddJson("decomposition_log.json", &bundle_.log);
    AddJson("verification/coverage_summary.json", &bundle_.coverage_summary);
    AddJson("verification/step_verification_summary.json", &bundle_.step_summary);
    AddJson("verification/test_results.json", &bundle_.test_results);
    if (!bundle_.step_0.empty())
      AddJson(bundle_.step_0 + "/verification_result.json", &bundle_.wrapper_result);
    for (auto& [name, step] : steps_) {
      AddJson(step.Path("weight_map.json"), &step.weight_map);
      AddJson(step.Path("verification_result.json"), &step.verification_result);
      AddJson(step.Path("coverage_report.json"), &step.coverage_report);
      bundle_.steps.push_back(std::move(step));
    }
    std::sort(bundle_.steps.begin(), bundle_.steps.end(), [](const StepFolder& a, const StepFolder& b) {
      return std::tie(a.number, a.name) < std::tie(b.number, b.name);
    });
    std::sort(bundle_.components.begin(), bundle_.components.end(),
              [](const ComponentFile& a, const ComponentFile& b) {
                return std::tie(b.level, a.stem) < std::tie(a.level, b.stem);
              });
  }
  BundleFiles Result() && { return std::move(bundle_); }

 private:
  void Layout(const std::string& file, const std::string& what, const std::string& advice) {
    bundle_.violations.push_back({rules::kLayout, file, 0, absl::StrCat(file, " ", what), advice});
  }
  bool Has(const std::string& path) const { return paths_.contains(path); }

  void List() {
    std::error_code error;
    fs::recursive_directory_iterator it(dir_, fs::directory_options::skip_permission_denied, error), end;
    for (int64_t count = 0; !error && it != end; it.increment(error)) {
      const std::string path = it->path().lexically_relative(dir_).generic_string();
      const fs::file_status status = it->symlink_status(error);
      if (error) break;
      if (++count > limits_.files || it.depth() > 16) {
        Layout(path, absl::StrCat("is beyond the limit of ", limits_.files, " files and 16 folders deep"),
               "leave out what is no part of a bundle");
        break;
      }
      if (fs::is_symlink(status)) {
        Layout(path, "is a symbolic link, which is not followed", "put the file itself there");
      } else if (fs::is_regular_file(status)) {
        paths_.insert(path);
      }
    }
    if (error) Layout("", absl::StrCat("cannot be listed: ", error.message()), "make the folder readable");
  }

  std::optional<std::string> Text(const std::string& path) {
    const int64_t left = std::min(limits_.file_bytes, limits_.total_bytes - read_bytes_);
    absl::StatusOr<std::string> text = ReadFile(JoinPath(dir_, path), std::max<int64_t>(left, 0));
    if (!text.ok()) {
      Layout(path, absl::StrCat("is not read: ", text.status().message()),
             absl::StrCat("keep files below ", limits_.file_bytes, " bytes, the bundle below ",
                          limits_.total_bytes));
      return std::nullopt;
    }
    read_bytes_ += static_cast<int64_t>(text->size());
    return *std::move(text);
  }

  void AddJson(const std::string& path, JsonFile* file) {
    file->path = path;
    file->exists = Has(path);
    if (!file->exists) return;
    const std::optional<std::string> text = Text(path);
    if (!text) return;
    ParsedJson parsed = ParseHostileJson(*text);
    if (parsed.error.empty() && !parsed.value.is_object()) parsed.error = "no JSON object";
    if (!parsed.error.empty()) Layout(path, absl::StrCat("is not read: ", parsed.error), "write valid JSON");
    if (parsed.error.empty()) file->value = std::move(parsed.value);
  }

  void Take(const std::string& path) {
    const std::vector<std::string> parts = absl::StrSplit(path, '/');
    if (parts[0] == "source" && parts.size() > 1) {
      if (auto text = Text(path)) bundle_.source[path.substr(7)] = *std::move(text);
    } else if (path == "verification/composition_test.py") {
      bundle_.composition_script = Text(path);
    } else if (parts[0] == "steps" && parts.size() > 2) {
      TakeOfStep(parts, path);
    } else if (parts.size() == 2 && absl::EndsWith(path, ".py") && parts[1] != "__init__.py") {
      TakeComponent(parts[0], path);
    }
  }

  void TakeComponent(const std::string& folder, const std::string& path) {
    for (const Level level : kLevels) {
      if (folder != plan::LevelFolder(level)) continue;
      if (auto text = Text(path)) bundle_.components.push_back({path, Stem(path), level, *std::move(text)});
    }
  }

  void TakeOfStep(const std::vector<std::string>& parts, const std::string& path) {
    if (absl::StartsWith(parts[1], "step_0_") || parts[1] == "step_0") {
      bundle_.step_0 = "steps/" + parts[1];
      return;
    }
    StepFolder& step = StepOf(parts[1]);
    const bool child = parts.size() == 4 && parts[2] == "children" && absl::EndsWith(path, ".py");
    if (child && parts[3] != "__init__.py") {
      if (auto text = Text(path)) step.children[Stem(path)] = *std::move(text);
    } else if (parts.size() == 3 && parts[2] == "original.py") {
      step.original = Text(path);
    } else if (parts.size() == 3 && parts[2] == "refactored.py") {
      step.refactored = Text(path);
    }
  }

  // step_N_PARENT_to_CHILDREN
  StepFolder& StepOf(const std::string& name) {
    const auto [it, is_new] = steps_.try_emplace(name);
    StepFolder& step = it->second;
    if (!is_new) return step;
    step.name = name;
    const std::string rest = absl::StartsWith(name, "step_") ? name.substr(5) : "";
    const size_t underscore = rest.find('_'), to = rest.rfind("_to_");
    if (underscore != std::string::npos && !absl::SimpleAtoi(rest.substr(0, underscore), &step.number))
      step.number = -1;
    if (step.number >= 0 && to != std::string::npos && to > underscore)
      step.parent = rest.substr(underscore + 1, to - underscore - 1);
    if (step.parent.empty())
      Layout("steps/" + name, "is not named step_N_PARENT_to_CHILDREN", "rename the folder");
    return step;
  }

  const std::string dir_;
  const BundleLimits limits_;
  std::set<std::string> paths_;
  std::map<std::string, StepFolder> steps_;
  int64_t read_bytes_ = 0;
  BundleFiles bundle_;
};

}  // namespace

bool BundleFiles::is_own() const { return !AtPath(tree.value, "metadata.format_version").is_null(); }

const ComponentFile* BundleFiles::Find(const std::string& path) const {
  for (const ComponentFile& component : components) {
    if (component.path == path) return &component;
  }
  return nullptr;
}

absl::StatusOr<BundleFiles> ReadBundle(const std::string& dir, const BundleLimits& limits) {
  std::error_code error;
  if (!fs::is_directory(fs::symlink_status(dir, error)))
    return absl::NotFoundError(absl::StrCat(dir, " is no folder; name the folder of a bundle"));
  Reader reader(dir, limits);
  reader.Run();
  return std::move(reader).Result();
}

}  // namespace strata::verify
