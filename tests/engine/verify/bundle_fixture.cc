#include "tests/engine/verify/bundle_fixture.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"

namespace strata::verify {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using program::Builder;
using program::Program;
using program::T;
using program::ValueId;

constexpr char kChildren[] = "/scratch/children";

struct Unit {
  std::string path, stem;  // attribute in the parent, file of the child
  Make make;
};

Make LinearAt(const std::string& path, int64_t in, int64_t out) {
  return [=](Builder& b, ValueId x) { return Linear(b, path, x, in, out); };
}
ValueId Relu(Builder& b, ValueId x) { return Unary(b, "aten::relu", x); }

Make LinearRelu(const std::string& path, int64_t in, int64_t out) {
  return [=](Builder& b, ValueId x) { return Relu(b, Linear(b, path, x, in, out)); };
}

std::string ShapesAt(const Program& program, ValueId id) {
  std::string text;
  for (const int64_t size : program.value(id).type.sizes)
    absl::StrAppend(&text, text.empty() ? "" : ",", size);
  return absl::StrCat("fp32[", text, "]");
}

// A refactored model: its children one after the other, and the facts of its claim.
ClaimFacts Claim(const std::vector<int64_t>& sizes, const std::vector<Unit>& units) {
  ClaimFacts claim;
  claim.judged = claim.pass = claim.bit_exact = true;
  claim.max_diff = 0.0;
  claim.children_dir = kChildren;
  std::vector<ValueId> inputs;
  claim.refactored = ProgramOf(sizes, [&](Builder& b, ValueId x) {
    for (const Unit& unit : units) {
      b.Module(unit.path, "Model", {}, /*is_torch_nn=*/false);
      b.Enter(unit.path, {x});
      inputs.push_back(x);
      x = unit.make(b, x);
      b.Leave({x});
    }
    return x;
  });
  for (program::Module& module : claim.refactored.modules) {
    for (const Unit& unit : units) {
      if (!module.paths.empty() && module.paths[0] == unit.path)
        module.file = absl::StrCat(kChildren, "/", unit.stem, ".py");
    }
  }
  claim.calls.emplace_back();
  for (size_t i = 0; i < units.size(); ++i)
    claim.calls[0].push_back({units[i].stem, units[i].path, ShapesAt(claim.refactored, inputs[i])});
  return claim;
}

}  // namespace

Program ProgramOf(const std::vector<int64_t>& sizes, const Make& make, program::DType dtype) {
  Builder b("model.py");
  const ValueId x = b.Input("x", sizes, dtype);
  return b.Finish({make(b, x)});
}

ValueId Linear(Builder& b, const std::string& path, ValueId x, int64_t in, int64_t out) {
  b.Module(path, "Linear", {{"in_features", absl::StrCat(in)}, {"out_features", absl::StrCat(out)}});
  const program::DType dtype = b.value(x).type.dtype;
  const ValueId weight = b.Parameter(path + ".weight", {out, in}, dtype);
  const ValueId bias = b.Parameter(path + ".bias", {out}, dtype);
  std::vector<int64_t> sizes = b.value(x).type.sizes;
  sizes.back() = out;
  b.Enter(path, {x});
  const ValueId y = b.Op("aten::linear", {T("input", x), T("weight", weight), T("bias", bias)}, sizes, dtype);
  b.Leave({y});
  return y;
}

ValueId Unary(Builder& b, const std::string& op, ValueId x) {
  return b.Op(op, {T("self", x)}, b.value(x).type.sizes, b.value(x).type.dtype);
}

MlpBundle::MlpBundle() : dir_(*TempDir::Create("bundle_test_")) {
  const char* source = std::getenv("STRATA_SOURCE_DIR");
  const fs::path golden = fs::path(source == nullptr ? "." : source) / "tests/golden/mlp/expected";
  fs::copy(golden, dir_.path(), fs::copy_options::recursive);
  for (const fs::directory_entry& step : fs::directory_iterator(Path("steps"))) {
    const std::string file =
        absl::StrCat("steps/", step.path().filename().string(), "/verification_result.json");
    Set(file, "/environment", {{"torch", "2"}});  // the golden files leave it out
  }
  AddFacts();
}

void MlpBundle::AddFacts() {
  const auto model = ProgramOf({64, 784}, [](Builder& b, ValueId x) {
    x = Relu(b, Linear(b, "fc1", x, 784, 512));
    x = Relu(b, Linear(b, "fc2", x, 512, 512));
    return Linear(b, "fc3", x, 512, 10);
  });
  facts.source = model;
  const auto add = [&](const std::string& path, Program program) {
    facts.components[path] = {.programs = {std::move(program)}, .ran = true, .passed = true, .message = ""};
  };
  add("level_3_model/mlp.py", model);
  add("level_1_fusion/linear_relu_784x512.py", ProgramOf({64, 784}, LinearRelu("fc1", 784, 512)));
  add("level_1_fusion/linear_relu_512x512.py", ProgramOf({64, 512}, LinearRelu("fc2", 512, 512)));
  add("level_0_kernel/linear_784x512_fp32.py", ProgramOf({64, 784}, LinearAt("linear", 784, 512)));
  add("level_0_kernel/linear_512x512_fp32.py", ProgramOf({64, 512}, LinearAt("linear", 512, 512)));
  add("level_0_kernel/linear_512x10_fp32.py", ProgramOf({64, 512}, LinearAt("linear", 512, 10)));
  add("level_0_kernel/relu_fp32.py", ProgramOf({64, 512}, Relu));

  facts.steps["step_1_mlp_to_fusions"] =
      Claim({64, 784}, {{"fc1_relu", "linear_relu_784x512", LinearRelu("fc1_relu.fc1", 784, 512)},
                        {"fc2_relu", "linear_relu_512x512", LinearRelu("fc2_relu.fc2", 512, 512)},
                        {"fc3", "linear_512x10_fp32", LinearAt("fc3.linear", 512, 10)}});
  facts.steps["step_2_linear_relu_784x512_to_kernels"] =
      Claim({64, 784},
            {{"fc1", "linear_784x512_fp32", LinearAt("fc1.linear", 784, 512)}, {"relu", "relu_fp32", Relu}});
  facts.steps["step_3_linear_relu_512x512_to_kernels"] =
      Claim({64, 512},
            {{"fc2", "linear_512x512_fp32", LinearAt("fc2.linear", 512, 512)}, {"relu", "relu_fp32", Relu}});
  for (auto& [name, claim] : facts.steps) {
    claim.verification_result =
        ordered_json::parse(Read(absl::StrCat("steps/", name, "/verification_result.json")));
    claim.coverage_report = ordered_json::parse(Read(absl::StrCat("steps/", name, "/coverage_report.json")));
    const auto map = ordered_json::parse(Read(absl::StrCat("steps/", name, "/weight_map.json")));
    for (const auto& [key, target] : map.items()) claim.weight_map[key] = {target.get<std::string>()};
  }
  facts.composition =
      Claim({64, 784}, {{"fc1_relu", "linear_784x512_fp32", LinearAt("fc1_relu.linear", 784, 512)},
                        {"relu1", "relu_fp32", Relu},
                        {"fc2_relu", "linear_512x512_fp32", LinearAt("fc2_relu.linear", 512, 512)},
                        {"relu2", "relu_fp32", Relu},
                        {"fc3", "linear_512x10_fp32", LinearAt("fc3.linear", 512, 10)}});
  for (const char* name : {"weight", "bias"}) {
    facts.composition.weight_map[absl::StrCat("fc1.", name)] = {absl::StrCat("fc1_relu.linear.", name)};
    facts.composition.weight_map[absl::StrCat("fc2.", name)] = {absl::StrCat("fc2_relu.linear.", name)};
    facts.composition.weight_map[absl::StrCat("fc3.", name)] = {absl::StrCat("fc3.linear.", name)};
  }
}

std::string MlpBundle::Read(const std::string& file) const {
  absl::StatusOr<std::string> text = ReadFile(Path(file));
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : "";
}

void MlpBundle::Write(const std::string& file, const std::string& text) {
  EXPECT_TRUE(MakeDirs(DirName(Path(file))).ok());
  EXPECT_TRUE(WriteFile(Path(file), text).ok());
}

void MlpBundle::Remove(const std::string& file) { fs::remove_all(Path(file)); }

void MlpBundle::Replace(const std::string& file, const std::string& from, const std::string& to) {
  std::string text = Read(file);
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << file << " holds no " << from;
  Write(file, text.replace(at, from.size(), to));
}

void MlpBundle::Set(const std::string& file, const std::string& pointer, const ordered_json& value) {
  ordered_json json = ordered_json::parse(Read(file));
  json[ordered_json::json_pointer(pointer)] = value;
  Write(file, json.dump(2));
}

void MlpBundle::MakeForeign() {
  ordered_json tree = ordered_json::parse(Read("decomposition_tree.json"));
  tree["metadata"].erase("format_version");
  Write("decomposition_tree.json", tree.dump(2));
}

void MlpBundle::RenameKernel(const std::string& stem, const std::string& to) {
  const auto renamed = [&](std::string text) {
    for (size_t at = text.find(stem); at != std::string::npos; at = text.find(stem, at + to.size()))
      text.replace(at, stem.size(), to);
    return text;
  };
  const absl::StatusOr<std::vector<std::string>> files = ListFiles(dir_.path());
  ASSERT_TRUE(files.ok());
  for (const std::string& file : *files) {
    const std::string text = renamed(Read(file));
    Remove(file);
    Write(renamed(file), text);
  }
  BundleFacts old = std::move(facts);
  facts = old;
  facts.components.clear();
  for (auto& [path, known] : old.components) facts.components[renamed(path)] = known;
  std::vector<ClaimFacts*> claims = {&facts.composition};
  for (auto& [name, claim] : facts.steps) claims.push_back(&claim);
  for (ClaimFacts* claim : claims) {
    for (ChildCall& call : claim->calls[0]) call.stem = renamed(call.stem);
    for (program::Module& module : claim->refactored.modules) module.file = renamed(module.file);
    if (claim->coverage_report.is_object())
      claim->coverage_report = ordered_json::parse(renamed(claim->coverage_report.dump()));
  }
}

std::vector<Violation> MlpBundle::Check() const {
  absl::StatusOr<BundleFiles> files = ReadBundle(dir_.path());
  EXPECT_TRUE(files.ok()) << files.status();
  return files.ok() ? CheckBundle(*files, facts) : std::vector<Violation>();
}

std::vector<std::string> MlpBundle::Check(const std::string& rule) const {
  std::vector<std::string> texts;
  for (const Violation& v : Check()) {
    EXPECT_FALSE(v.what.empty());
    EXPECT_FALSE(v.advice.empty()) << v.what;
    if (rule.empty() || v.rule == rule)
      texts.push_back(absl::StrCat(v.rule, " ", v.file, ":", v.line, " ", v.what));
  }
  return texts;
}

}  // namespace strata::verify
