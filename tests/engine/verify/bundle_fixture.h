#pragma once
// tests/golden/mlp as a folder that a test may change, and the facts that a run of it gives. Nothing is run:
// the Programs are written by hand.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "worker/engine/program/builder.h"
#include "worker/engine/verify/bundle_facts.h"
#include "worker/engine/verify/bundle_files.h"
#include "worker/engine/verify/bundle_rules.h"

namespace strata::verify {

class MlpBundle {
 public:
  MlpBundle();

  std::string Path(const std::string& file) const { return dir_.path() + "/" + file; }
  std::string Read(const std::string& file) const;
  void Write(const std::string& file, const std::string& text);
  void Remove(const std::string& file);
  // The first `from` in the file becomes `to`; fails the test where there is none.
  void Replace(const std::string& file, const std::string& from, const std::string& to);
  // json[pointer] = value in a JSON file: Set("decomposition_tree.json", "/metadata/total_components", 9).
  void Set(const std::string& file, const std::string& pointer, const nlohmann::ordered_json& value);
  // Without format_version: a bundle of others.
  void MakeForeign();
  // The kernel's file, its copies and every mention of it get another stem.
  void RenameKernel(const std::string& stem, const std::string& to);

  BundleFacts facts;

  std::vector<Violation> Check() const;
  // "rule file:line what" of those of one rule; of all with "".
  std::vector<std::string> Check(const std::string& rule) const;

 private:
  void AddFacts();
  TempDir dir_;
};

// A Model that runs `make` on inputs of these sizes. Shapes: batch 64.
using Make = std::function<program::ValueId(program::Builder&, program::ValueId)>;
program::Program ProgramOf(const std::vector<int64_t>& sizes, const Make& make,
                           program::DType dtype = program::DType::kFloat32);
// nn.Linear at `path`.
program::ValueId Linear(program::Builder& b, const std::string& path, program::ValueId x, int64_t in,
                        int64_t out);
program::ValueId Unary(program::Builder& b, const std::string& op, program::ValueId x);  // "aten::relu"

}  // namespace strata::verify
