// emit_bundle PROGRAM.bin SOURCE.py OUT: plans a recorded program and writes every file that emit/ writes,
// laid out as a bundle. For looking at the text and for running it with Python.

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "worker/engine/emit/emit.h"
#include "worker/engine/plan/plan.h"
#include "worker/engine/program/codec.h"

namespace {

namespace fs = std::filesystem;

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream buffer;
  buffer << in.rdbuf();
  return buffer.str();
}

void Write(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

template <typename T>
T Check(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::cerr << value.status() << "\n";
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: emit_bundle PROGRAM.bin SOURCE.py OUT\n";
    return 2;
  }
  const std::string source = ReadAll(argv[2]);
  const fs::path out = argv[3];
  const strata::plan::Plan plan =
      Check(strata::plan::MakePlan(Check(strata::program::Decode(ReadAll(argv[1])))));
  Write(out / "source" / fs::path(argv[2]).filename(), source);
  Write(out / "plan.txt", strata::plan::Print(plan));
  Write(out / strata::emit::ComponentPath(plan, 0), Check(strata::emit::ComponentText(plan, 0, source)));
  for (const auto& component : plan.components) {
    if (component.level == strata::plan::Level::kKernel) continue;
    for (const auto& file : Check(strata::emit::StepFiles(plan, component.id, source)).files) {
      Write(out / file.path, file.content);
    }
  }
  Write(out / "verification" / "composition_test.py", Check(strata::emit::CompositionText(plan)));
  Write(out / "decomposition_tree.json", strata::emit::TreeJson(plan).dump(2) + "\n");
  Write(out / "decomposition_analysis.md", strata::emit::AnalysisText(plan));
  return 0;
}
