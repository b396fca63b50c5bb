// Rule `levels`: folder, docstring and tree name one level; it falls from parent to child down to kernels.
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "worker/engine/verify/bundle_check.h"
#include "worker/engine/verify/bundle_json.h"

namespace strata::verify {
namespace {

using plan::Level;
using plan::LevelName;

struct StatedLevel {
  int line = 0;  // 0 where no line says one
  std::string text;
};

// "Abstraction Level: fusion", in the docstring or, below a submission's source, in a comment. The last one
// counts: what stands above it may be the author's.
StatedLevel LevelIn(const std::string& text) {
  StatedLevel stated;
  int number = 0;
  for (const absl::string_view raw : absl::StrSplit(text, '\n')) {
    ++number;
    absl::string_view line = absl::StripAsciiWhitespace(raw);
    // The marks of a comment, and of a docstring of one line.
    while (absl::ConsumePrefix(&line, "#") || absl::ConsumePrefix(&line, "\"") ||
           absl::ConsumeSuffix(&line, "\"")) {
      line = absl::StripAsciiWhitespace(line);
    }
    if (!absl::ConsumePrefix(&line, "Abstraction Level:")) continue;
    stated = {number, std::string(absl::StripAsciiWhitespace(line))};
  }
  return stated;
}

class Levels {
 public:
  Levels(const BundleIndex& index, Report* report) : index_(index), report_(report) {}

  void Run() {
    for (const ComponentFile& component : index_.files().components) {
      Docstring(component);
      Node(component);
      Children(component);
    }
    Source();
  }

 private:
  void Add(const std::string& file, int line, const std::string& what, const std::string& advice) {
    report_->Add(rules::kLevels, file, line, what, advice);
  }

  void Docstring(const ComponentFile& component) {
    const StatedLevel stated = LevelIn(component.text);
    const std::string folder = plan::LevelFolder(component.level);
    if (stated.line == 0) {
      // The submission keeps its own docstring; what we append to it says the level.
      if (&component == index_.root() && !index_.is_own()) return;
      if (&component == index_.root() && component.level == Level::kModel) return;
      report_->Add(
          rules::kLayout, component.path,
          absl::StrCat(component.path, " names no level: its docstring has no \"Abstraction Level:\""),
          absl::StrCat("add the line \"Abstraction Level: ", LevelName(component.level), "\""));
      return;
    }
    if (LevelNamed(stated.text) == component.level) return;
    Add(component.path, stated.line,
        absl::StrCat(component.path, " says level \"", stated.text.substr(0, 40), "\" and lies in ", folder),
        "let docstring and folder name the level that it has");
  }

  void Node(const ComponentFile& component) {
    const TreeNode* node = index_.NodeOf(component);
    if (node == nullptr) return;
    const bool right = index_.is_own() ? node->level == LevelName(component.level)
                                       : LevelNamed(node->level) == component.level;
    if (!right) {
      Add(component.path, 0,
          absl::StrCat("decomposition_tree.json says that ", node->id, " is a ", node->level.substr(0, 40),
                       "; its file lies in ", plan::LevelFolder(component.level)),
          "let tree and folder name the level that it has");
    }
    if (node->children.empty() && component.level != Level::kKernel && index_.StepsOf(component).empty()) {
      Add(component.path, 0,
          absl::StrCat(component.path, " is a leaf of the tree and a ", LevelName(component.level),
                       "; every leaf is a kernel"),
          "take it apart into kernels, or move it to level_0_kernel/ if it is one");
    }
  }

  void Children(const ComponentFile& component) {
    for (const ComponentFile* child : index_.ChildrenOf(component)) {
      if (child->level < component.level) continue;
      Add(child->path, 0,
          absl::StrCat(child->path, " is a child of ", component.path, ", whose level is not above its own"),
          "give the child its natural level, or dissolve it into the parent");
    }
  }

  void Source() {
    const std::string stated = TextOf(AtPath(index_.files().tree.value, "metadata.source_level"));
    if (!index_.is_own() || index_.root() == nullptr || stated == LevelName(index_.root()->level)) return;
    Add("decomposition_tree.json", 0,
        absl::StrCat("metadata.source_level is \"", stated.substr(0, 40), "\"; the submission's file is ",
                     index_.root()->path),
        "name the level of the folder that the submission's file lies in");
  }

  const BundleIndex& index_;
  Report* report_;
};

}  // namespace

std::optional<Level> LevelNamed(const std::string& text) {
  const std::string word = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text.substr(0, 40)));
  for (const Level level : {Level::kKernel, Level::kFusion, Level::kLayer, Level::kModel}) {
    const int number = static_cast<int>(level);
    const std::string name = LevelName(level);
    if (word == absl::StrCat(number) || word == absl::StrCat("l", number)) return level;
    if (absl::StartsWith(word, name) || absl::StrContains(word, absl::StrCat("(", name)) ||
        absl::StartsWith(word, absl::StrCat("level_", number)))
      return level;
  }
  return std::nullopt;
}

void CheckLevels(const BundleIndex& index, Report* report) { Levels(index, report).Run(); }

std::optional<Level> LevelSaidBy(const std::string& component_text) {
  const StatedLevel stated = LevelIn(component_text);
  return stated.line == 0 ? std::nullopt : LevelNamed(stated.text);
}

}  // namespace strata::verify
