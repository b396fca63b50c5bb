// Whole bundles against what they were. A case is a folder of tests/golden: `source` names the submission
// (a path from the root of the repository), expected/ holds every file that strata-engine wrote for it.
// Times, the environment and the judge's own trials are left out; scripts/ and source/ are copies and only
// listed.
//
//   golden_test            compares
//   golden_test --update   writes expected/ anew; read the diff before you commit it
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>

#include "base/files.h"
#include "base/subprocess.h"
#include "nlohmann/json.hpp"

namespace strata {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using Bundle = std::map<std::string, std::string>;  // path -> text

bool update = false;

void DropWhatVaries(ordered_json& json) {
  if (json.is_object()) {
    json.erase("environment");
    json.erase("drawn_trials");  // the judge's own, others in every run
    if (json.contains("timestamp")) json["timestamp"] = "TIME";
  }
  for (ordered_json& item : json) {
    if (item.is_structured()) DropWhatVaries(item);
  }
}

std::string Normalised(const std::string& path, const std::string& text) {
  if (path.starts_with("scripts/") || path.starts_with("source/")) return "";
  if (!path.ends_with(".json")) return text;
  ordered_json json = ordered_json::parse(text);
  DropWhatVaries(json);
  return json.dump(2) + "\n";
}

Bundle ReadBundle(const std::string& dir) {
  Bundle bundle;
  const auto files = ListFiles(dir);
  if (!files.ok()) return bundle;
  for (const std::string& path : *files) bundle[path] = Normalised(path, *ReadFile(JoinPath(dir, path)));
  return bundle;
}

// expected/ has the text of every file, and for those that are only listed an empty one.
Bundle ReadExpected(const fs::path& dir) {
  Bundle bundle;
  const auto files = ListFiles(dir.string());
  if (!files.ok()) return bundle;
  for (const std::string& path : *files) bundle[path] = *ReadFile((dir / path).string());
  return bundle;
}

void WriteExpected(const fs::path& dir, const Bundle& bundle) {
  fs::remove_all(dir);
  for (const auto& [path, text] : bundle) {
    const std::string target = (dir / path).string();
    ASSERT_TRUE(MakeDirs(DirName(target)).ok());
    ASSERT_TRUE(WriteFile(target, text).ok());
  }
}

std::string FirstDifferentLine(const std::string& expected, const std::string& actual) {
  size_t line = 1, at = 0;
  for (; at < std::min(expected.size(), actual.size()) && expected[at] == actual[at]; ++at)
    line += expected[at] == '\n';
  const auto line_of = [&](const std::string& text) {
    const size_t begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
    return text.substr(begin, text.find('\n', begin) - begin);
  };
  return "line " + std::to_string(line) + "\n  expected: " + line_of(expected) +
         "\n  actual:   " + line_of(actual);
}

void Compare(const Bundle& expected, const Bundle& actual) {
  for (const auto& [path, text] : expected) {
    const auto found = actual.find(path);
    if (found == actual.end()) {
      ADD_FAILURE() << path << " is missing";
    } else if (found->second != text) {
      ADD_FAILURE() << path << " differs at " << FirstDifferentLine(text, found->second);
    }
  }
  for (const auto& [path, text] : actual) EXPECT_TRUE(expected.contains(path)) << path << " is new";
}

TEST(Golden, EveryBundleIsWhatItWas) {
  const fs::path root = fs::path(STRATA_SOURCE_DIR);
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(root / "tests/golden")) {
    if (!entry.is_directory()) continue;
    SCOPED_TRACE(entry.path().filename().string());
    ++cases;
    std::string source = *ReadFile((entry.path() / "source").string());
    source.erase(std::remove(source.begin(), source.end(), '\n'), source.end());
    const auto dir = TempDir::Create("golden_");
    const std::string bundle = dir->path() + "/bundle";
    auto engine =
        Subprocess::Start({.argv = {STRATA_ENGINE, "decompose", (root / source).string(), "--out", bundle}});
    ASSERT_TRUE(engine.ok()) << engine.status();
    EXPECT_TRUE((*engine)->Wait().ok());
    const Bundle actual = ReadBundle(bundle);
    if (update) {
      WriteExpected(entry.path() / "expected", actual);
    } else {
      Compare(ReadExpected(entry.path() / "expected"), actual);
    }
  }
  EXPECT_GT(cases, 0);
}

}  // namespace
}  // namespace strata

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) strata::update |= std::strcmp(argv[i], "--update") == 0;
  return RUN_ALL_TESTS();
}
