// What a run of a good file delivers.

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "nlohmann/json.hpp"
#include "tests/engine/host/fixture.h"
#include "worker/engine/host/hiding.h"
#include "worker/engine/host/tensor_file.h"
#include "worker/engine/program/codec.h"
#include "worker/engine/program/program.h"

namespace strata::host {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

class RunnerTest : public HostTest {
 protected:
  RunRequest Saving(const std::string& file) {
    RunRequest request = Request(file);
    request.save_inputs = request.save_outputs = request.save_weights = true;
    return request;
  }
  // Runs, expects success, and gives the tensor file NAME of its results.
  TensorFile Result(const RunRequest& request, const std::string& name) {
    if (!FileExists(request.out_dir)) {
      const RunOutcome outcome = Run(request);
      EXPECT_EQ(outcome.status, RunStatus::kOk) << outcome.message << outcome.stderr_text;
    }
    auto file = ReadTensorFile(JoinPath(request.out_dir, name));
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *std::move(file) : TensorFile();
  }
};

nlink_t Links(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(stat(path.c_str(), &info), 0);
  return info.st_nlink;
}

at::Tensor Find(const TensorFile& file, const std::string& name) {
  for (const auto& [key, tensor] : file.tensors) {
    if (key == name) return tensor;
  }
  ADD_FAILURE() << "no tensor " << name;
  return at::zeros({0});
}

TEST_F(RunnerTest, AGoodModelLeavesInputsOutputsAndWeights) {
  RunRequest request = Saving(File("model.py", ModelWithForward("return self.linear(x)")));
  request.trials = {Trial{.seed = 42}, Trial{.seed = 43}};
  const TensorFile output = Result(request, "outputs_42_0.bin");
  EXPECT_THAT(*ListFiles(request.out_dir),
              ElementsAre("after_42_0.bin", "after_43_0.bin", "inputs_42_0.bin", "inputs_43_0.bin",
                          "outputs_42_0.bin", "outputs_43_0.bin", "weights.bin"));
  const TensorFile weights = Result(request, "weights.bin"), inputs = Result(request, "inputs_42_0.bin");
  EXPECT_EQ(weights.tensors[0].first, "linear.weight");
  EXPECT_EQ(weights.tensors[1].first, "linear.bias");
  EXPECT_EQ(inputs.trees["args"],
            json::parse(R"({"kind":"tuple","class":"tuple","items":[{"kind":"tensor","index":0}]})"));
  EXPECT_EQ(inputs.trees["kwargs"]["kind"], "dict");
  EXPECT_EQ(output.trees["output"], json::parse(R"({"kind":"tensor","index":0})"));
  const at::Tensor expected =
      at::linear(inputs.tensors[0].second, weights.tensors[0].second, weights.tensors[1].second);
  EXPECT_TRUE(at::allclose(output.tensors[0].second, expected));
  EXPECT_FALSE(at::equal(output.tensors[0].second, Find(Result(request, "outputs_43_0.bin"), "output")));
}

TEST_F(RunnerTest, TwoRunsOfOneRequestGiveByteEqualFiles) {
  const std::string file = File(
      "model.py",
      ModelWithForward(
          "return {'noise': torch.rand(3), 'set': list({'b', 'a', 'c'}), 'y': self.linear(x).softmax(-1)}"));
  const RunRequest first = Saving(file), second = Saving(file);
  Result(first, "weights.bin");
  Result(second, "weights.bin");
  const std::vector<std::string> names = *ListFiles(first.out_dir);
  EXPECT_EQ(names.size(), 4u);
  for (const std::string& name : names) {
    EXPECT_EQ(*ReadFile(JoinPath(first.out_dir, name)), *ReadFile(JoinPath(second.out_dir, name))) << name;
  }
}

TEST_F(RunnerTest, ASecondCallShowsWhatTheModelKeeps) {
  const std::string counting = ModelWithForward(
      "self.calls = getattr(self, 'calls', 0) + 1; return torch.full((1,), float(self.calls))");
  RunRequest request = Saving(File("model.py", counting));
  request.trials = {Trial{.seed = 42, .again = true}, Trial{.seed = 43}};
  EXPECT_EQ(Find(Result(request, "outputs_42_0.bin"), "output").item<float>(), 1);
  EXPECT_EQ(Find(Result(request, "again_42_0.bin"), "output").item<float>(), 2);
  EXPECT_EQ(Find(Result(request, "outputs_43_0.bin"), "output").item<float>(), 3);
  RunRequest afresh = Saving(File("model.py", counting));
  afresh.trials = request.trials;
  afresh.afresh = true;
  EXPECT_EQ(Find(Result(afresh, "outputs_43_0.bin"), "output").item<float>(), 1);
}

TEST_F(RunnerTest, ASecondCallThatRaisesLeavesNoFile) {
  RunRequest request = Saving(
      File("model.py",
           ModelWithForward("assert not hasattr(self, 'kept'); self.kept = x; return self.linear(x)")));
  request.trials = {Trial{.seed = 42, .again = true}};
  Result(request, "outputs_42_0.bin");
  EXPECT_FALSE(FileExists(JoinPath(request.out_dir, "again_42_0.bin")));
}

TEST_F(RunnerTest, ForwardSeesTheSameGeneratorHoweverItsInputsCame) {
  const std::string file = File("model.py", ModelWithForward("return x + torch.rand(2, 4)"));
  const RunRequest drawn = Saving(file);
  const at::Tensor expected = Find(Result(drawn, "outputs_42_0.bin"), "output");
  RunRequest given = Saving(file);
  given.trials = {Trial{.seed = 42, .inputs_path = JoinPath(drawn.out_dir, "inputs_42_0.bin")}};
  EXPECT_TRUE(at::equal(Find(Result(given, "outputs_42_0.bin"), "output"), expected));
}

TEST_F(RunnerTest, InputsFromAFileKeepStructureStridesAndAliases) {
  const std::string file = File("model.py", R"(
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, pair, *, mask=None, scale=1.0, names=()):
        a, b = pair["t"]
        assert a.stride() == (1, 4) and a.storage_offset() == 0 and b.storage_offset() == 4, (a.stride(), b.storage_offset())
        assert mask is None and scale == float("inf") and names == ("x", 3)
        a.add_(1)
        return b.clone()


def get_inputs():
    base = torch.arange(8.).view(2, 4)
    return [{"t": [base.t(), base[1]]}]


def get_input_kwargs():
    return {"mask": None, "scale": float("inf"), "names": ("x", 3)}
)");
  const RunRequest drawn = Saving(file);
  EXPECT_TRUE(at::equal(Find(Result(drawn, "outputs_42_0.bin"), "output"), at::tensor({5.f, 6.f, 7.f, 8.f})));
  RunRequest given = Saving(file);
  given.trials = {Trial{.inputs_path = JoinPath(drawn.out_dir, "inputs_42_0.bin")}};
  EXPECT_TRUE(at::equal(Find(Result(given, "outputs_42_0.bin"), "output"), at::tensor({5.f, 6.f, 7.f, 8.f})));
  EXPECT_TRUE(
      at::equal(Find(Result(given, "inputs_42_0.bin"), "args[0]['t'][1]"), at::tensor({4.f, 5.f, 6.f, 7.f})));
  EXPECT_TRUE(
      at::equal(Find(Result(given, "after_42_0.bin"), "args[0]['t'][1]"), at::tensor({5.f, 6.f, 7.f, 8.f})));
}

TEST_F(RunnerTest, UnchangedInputsAreNotWrittenTwice) {
  const RunRequest drawn = Saving(File("model.py", ModelWithForward("return x * 2")));
  EXPECT_TRUE(at::equal(Find(Result(drawn, "after_42_0.bin"), "args[0]"),
                        Find(Result(drawn, "inputs_42_0.bin"), "args[0]")));
  EXPECT_EQ(Links(drawn.out_dir + "/after_42_0.bin"), 2u);

  RunRequest given = Request(drawn.file);
  given.save_outputs = true;
  given.trials = {Trial{.inputs_path = drawn.out_dir + "/inputs_42_0.bin"}};
  Result(given, "after_42_0.bin");
  EXPECT_EQ(Links(given.out_dir + "/after_42_0.bin"), 3u);

  const RunRequest changed = Saving(File("changed.py", ModelWithForward("x[1, 3] = -0.0; return x")));
  EXPECT_EQ(Find(Result(changed, "after_42_0.bin"), "args[0]")[1][3].item<float>(), 0);
  EXPECT_EQ(Links(changed.out_dir + "/after_42_0.bin"), 1u);
}

TEST_F(RunnerTest, OutputsSayWhatTheyCarryBesides) {
  const RunRequest request = Saving(File("model.py", R"(
from dataclasses import dataclass
from collections import OrderedDict, namedtuple
import torch


@dataclass
class Out(OrderedDict):
    a: int = 1
    b: int = None


class Plain(dict):
    pass


class Slots(list):
    __slots__ = ("n",)


Pair = namedtuple("Pair", "x y")


class Model(torch.nn.Module):
    def forward(self, x):
        out, plain, both = Out(), Plain(k=x), Plain(k=x)
        dict.__setitem__(out, "a", out.a)
        both.k = plain.n = x
        slots, noted = Slots([x]), x + 1
        slots.n = noted.n = 3
        return out, plain, both, slots, noted, Pair(x, 1), torch.nn.Parameter(x), x.as_subclass(Mine)


class Mine(torch.Tensor):
    pass


def get_inputs():
    return [torch.zeros(2)]
)"));
  const json tree = Result(request, "outputs_42_0.bin").trees["output"];
  std::string found;
  for (const json& item : tree["items"]) found += item.value("extra", json::array()).dump();
  EXPECT_EQ(found, R"([]["n"][]["n"]["n"][][]["Mine"])");
}

TEST_F(RunnerTest, OutputsKeepTheirTree) {
  const RunRequest request = Saving(File("model.py", R"(
import dataclasses
from collections import OrderedDict
import torch


@dataclasses.dataclass
class Out:
    logits: torch.Tensor
    rest: tuple = None


class Model(torch.nn.Module):
    def forward(self, x):
        return Out(x, (None, 3, True, 'a', torch.float16, OrderedDict([(2, x), ('k', object())])))


def get_inputs():
    return [torch.zeros(2)]
)"));
  const json tree = Result(request, "outputs_42_0.bin").trees["output"];
  EXPECT_EQ(tree, json::parse(R"({"kind":"dataclass","class":"Out","keys":["logits","rest"],"items":[
      {"kind":"tensor","index":0},
      {"kind":"tuple","class":"tuple","items":[{"kind":"none"},{"kind":"literal","value":"3"},
        {"kind":"literal","value":"True"},{"kind":"literal","value":"'a'"},{"kind":"literal","value":"torch.float16"},
        {"kind":"dict","class":"OrderedDict","keys":["2","'k'"],
         "items":[{"kind":"tensor","index":0},{"kind":"opaque","class":"builtins.object"}]}]}]})"));
}

TEST_F(RunnerTest, WorkloadsAreDrawnByNumber) {
  const std::string text =
      ModelWithForward("return x").substr(0, ModelWithForward("return x").find("def get_inputs"));
  const std::string file =
      File("model.py", text + "def get_inputs(workload=0):\n    return [torch.ones([4, 2][workload], 4)]\n");
  RunRequest request = Saving(file);
  request.trials = {Trial{.seed = 42, .workload = 0}, Trial{.seed = 42, .workload = 1}};
  EXPECT_EQ(Find(Result(request, "outputs_42_0.bin"), "output").size(0), 4);
  EXPECT_EQ(Find(Result(request, "outputs_42_1.bin"), "output").size(0), 2);

  RunRequest plain = Request(File("plain.py", ModelWithForward("return x")));
  plain.trials = {Trial{.workload = 1}};
  EXPECT_THAT(Run(plain).message,
              HasSubstr("get_inputs() takes no `workload`, and workload 1 was asked for"));
}

TEST_F(RunnerTest, TheModelIsBuiltFromItsInitInputsInEvalModeWithoutGradients) {
  const RunOutcome outcome = RunText(R"(import torch
class Model(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(width))
    def forward(self, x):
        print(self.w.shape, self.training, torch.is_grad_enabled(), torch.get_num_threads(), torch.get_default_dtype())
        print(torch.backends.mha.get_fastpath_enabled(), torch.backends.cudnn.deterministic, __name__)
        return self.w * x
def get_inputs(): return [torch.ones(1)]
def get_init_inputs(): return [7]
)");
  EXPECT_EQ(outcome.stdout_text, "torch.Size([7]) False False 1 torch.float32\nFalse True model\n")
      << outcome.message;
}

TEST_F(RunnerTest, ThreadsAreThoseOfTheRequest) {
  RunRequest request =
      Request(File("model.py", ModelWithForward("print(torch.get_num_threads()); return x")));
  request.numeric.threads = 2;
  EXPECT_EQ(Run(request).stdout_text, "2\n");
}

TEST_F(RunnerTest, ARecordedRunComputesTheSameAndLeavesItsProgram) {
  const std::string file = File("model.py", ModelWithForward("return self.linear(x) + torch.rand(3)"));
  RunRequest plain = Saving(file), recorded = Saving(file);
  recorded.record = recorded.record_init = true;
  recorded.trials = {Trial{.seed = 42}, Trial{.seed = 43}};
  EXPECT_TRUE(at::equal(Find(Result(recorded, "outputs_42_0.bin"), "output"),
                        Find(Result(plain, "outputs_42_0.bin"), "output")));
  const auto program = program::Decode(*ReadFile(JoinPath(recorded.out_dir, "program_42_0.bin")));
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(program->source_file, "model.py");
  std::vector<std::string> operators;
  for (const program::Call& call : program->calls) operators.push_back(call.op);
  EXPECT_THAT(operators, ElementsAre("aten::linear", "aten::rand", "aten::add"));
  EXPECT_FALSE(FileExists(JoinPath(plain.out_dir, "program_42_0.bin")));
}

// ---- weights -------------------------------------------------------------------------------------------

constexpr char kTied[] = R"(import torch
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(3, 3, bias=False)
        self.b = torch.nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight
        self.register_buffer("step", torch.tensor(0))
    def forward(self, x):
        return self.b(self.a(x))
def get_inputs(): return [torch.randn(1, 3)]
)";

constexpr char kRefactored[] = R"(import torch
from children.part import Model as Part
class RefactoredModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Part()
        self.second = Part()
        self.second.weight = self.first.weight
        self.register_buffer("step", torch.tensor(5))
    def forward(self, x):
        return self.second(self.first(x))
def get_inputs(): return [torch.randn(1, 3)]
)";

constexpr char kPart[] = R"(import torch
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(3, 3).uniform_())
    def forward(self, x):
        return torch.nn.functional.linear(x, self.weight)
)";

class WeightsTest : public RunnerTest {
 protected:
  WeightsTest() : original_(Saving(File("original.py", kTied))) {
    original_output_ = Find(Result(original_, "outputs_42_0.bin"), "output");
    File("children/part.py", kPart);
  }
  RunRequest Refactored(const std::string& weight_map) {
    RunRequest request = Saving(File("refactored.py", kRefactored));
    request.class_name = "RefactoredModel";
    request.build_seed = 7;
    request.weights_path = JoinPath(original_.out_dir, "weights.bin");
    request.weight_map_path = File("weight_map.json", weight_map);
    return request;
  }
  RunRequest original_;
  at::Tensor original_output_;
};

TEST_F(WeightsTest, TiedWeightsAreSavedAsAliases) {
  const TensorFile weights = Result(original_, "weights.bin");
  EXPECT_TRUE(Find(weights, "a.weight").is_alias_of(Find(weights, "b.weight")));
}

TEST_F(WeightsTest, AMapOfOneNameCoversBothEndsOfATie) {
  const RunRequest request = Refactored(R"({"a.weight": "first.weight", "b.weight": "first.weight"})");
  const TensorFile output = Result(request, "outputs_42_0.bin");
  EXPECT_TRUE(at::equal(Find(output, "output"), original_output_));
  EXPECT_EQ(Find(Result(request, "weights.bin"), "step").item<int64_t>(), 0)
      << "identity where the map is silent";
}

TEST_F(WeightsTest, AListInTheMapIsReadAsSeveralTargets) {
  const RunRequest request = Refactored(R"({"a.weight": ["first.weight", "second.weight"]})");
  EXPECT_TRUE(at::equal(Find(Result(request, "outputs_42_0.bin"), "output"), original_output_));
}

TEST_F(WeightsTest, AnUncoveredKeyIsNamedWithItsShape) {
  const RunOutcome outcome = Run(Refactored(R"({"a.weight": "elsewhere", "b.weight": "elsewhere"})"));
  EXPECT_EQ(outcome.status, RunStatus::kRaised);
  EXPECT_EQ(outcome.stage, "weights");
  EXPECT_THAT(
      outcome.message,
      HasSubstr("maps 'a.weight' to 'elsewhere', which RefactoredModel in refactored.py does not have"));

  const RunOutcome uncovered = Run(Refactored("{}"));
  EXPECT_THAT(uncovered.message, HasSubstr("2 of 3 weights of RefactoredModel in refactored.py get no value: "
                                           "'first.weight' [3, 3], 'second.weight' [3, 3]"));
  RunRequest allowed = Refactored("{}");
  allowed.allow_unmapped = true;
  EXPECT_EQ(Run(allowed).status, RunStatus::kOk);
}

TEST_F(WeightsTest, ShapesAndDTypesMustAgree) {
  EXPECT_THAT(Run(Refactored(R"({"step": "first.weight"})")).message,
              HasSubstr("weight 'step' [] does not fit 'first.weight' [3, 3]"));
  const std::string half = std::string(kTied) + "torch.set_default_dtype(torch.float16)\n";
  RunRequest request = Request(File("half.py", half));
  request.weights_path = JoinPath(original_.out_dir, "weights.bin");
  EXPECT_THAT(Run(request).message,
              HasSubstr("weight 'a.weight' is torch.float32, 'a.weight' is torch.float16"));
}

TEST_F(WeightsTest, TwoValuesForOneTiedWeightAreRefused) {
  TensorFile weights;
  weights.tensors = {{"a.weight", at::ones({3, 3})},
                     {"b.weight", at::zeros({3, 3})},
                     {"step", at::scalar_tensor(0, at::kLong)}};
  RunRequest request = Request(original_.file);
  request.weights_path = JoinPath(dir(), "untied.bin");
  ASSERT_TRUE(WriteTensorFile(request.weights_path, weights).ok());
  EXPECT_THAT(Run(request).message,
              HasSubstr("'b.weight' is tied to a weight that already has the value of 'a.weight'"));
}

TEST_F(WeightsTest, ABrokenWeightMapOrFileIsAnErrorOfItsStage) {
  EXPECT_THAT(Run(Refactored("[1]")).message, HasSubstr("weight_map.json must be one object"));
  EXPECT_EQ(Run(Refactored("{")).stage, "weights");
  RunRequest request = Request(original_.file);
  request.weights_path = File("broken.bin", "STRATAT1 and nothing");
  EXPECT_THAT(Run(request).message, HasSubstr("is no valid tensor file"));
}

// ---- whole files ---------------------------------------------------------------------------------------

constexpr char kSelfTest[] = R"(
import sys
def run_tests():
    print("PASS", *sys.argv[1:])
    return True
if __name__ == "__main__":
    sys.exit(0 if run_tests() else 3)
)";

TEST_F(RunnerTest, AFileRunsAsMainWithItsArguments) {
  RunRequest request = Request(File("self_test.py", kSelfTest));
  request.as_main = true;
  request.argv = {"--all", "a b"};
  const RunOutcome outcome = Run(request);
  EXPECT_EQ(outcome.status, RunStatus::kOk) << outcome.message;
  EXPECT_EQ(outcome.stdout_text, "PASS --all a b\n");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.stage, "main");
}

TEST_F(RunnerTest, ExitCodeAndErrorOfMainAreReported) {
  RunRequest exits = Request(File("exits.py", "import sys\nsys.exit('no good')\n"));
  exits.as_main = true;
  const RunOutcome outcome = Run(exits);
  EXPECT_EQ(outcome.status, RunStatus::kOk);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.stderr_text, "no good\n");

  RunRequest raises = Request(File("raises.py", "import sys\n\nraise ValueError('x')\n"));
  raises.as_main = true;
  const RunOutcome raised = Run(raises);
  EXPECT_EQ(raised.status, RunStatus::kRaised);
  EXPECT_EQ(raised.line, 3);
  EXPECT_EQ(raised.exit_code, 1);
}

TEST_F(RunnerTest, MainEndsLikeAnInterpreterDoes) {
  RunRequest request = Request(File("late.py", R"(import atexit, threading, time
atexit.register(print, "at exit")
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
print("main")
)"));
  request.as_main = true;
  EXPECT_EQ(Run(request).stdout_text, "main\nthread\nat exit\n");
}

TEST_F(RunnerTest, RunTestsIsCalledByImport) {
  RunRequest request = Request(File("self_test.py", kSelfTest));
  request.call_run_tests = true;
  const RunOutcome outcome = Run(request);
  EXPECT_EQ(outcome.status, RunStatus::kOk) << outcome.message;
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.stdout_text, "PASS\n");

  RunRequest fails = Request(File("fails.py", "def run_tests():\n    return False\n"));
  fails.call_run_tests = true;
  EXPECT_EQ(Run(fails).exit_code, 1);
  RunRequest none = Request(File("none.py", "x = 1\n"));
  none.call_run_tests = true;
  EXPECT_THAT(Run(none).message, HasSubstr("none.py defines no run_tests; it must define run_tests()"));
}

TEST_F(RunnerTest, AFileNamedLikeAnImportedModuleRunsAndLeavesThatModuleAlone) {
  RunRequest request = Saving(File("copy.py", ModelWithForward("import copy; copy.deepcopy(x); return x")));
  EXPECT_EQ(Result(request, "outputs_42_0.bin").tensors.size(), 1u);
}

TEST_F(RunnerTest, WhatUserCodeWritesDoesNotMixWithTheResults) {
  const RunRequest request = Saving(File(
      "model.py",
      ModelWithForward("import tempfile; open('mine.bin', 'w').write('x'); tempfile.mkdtemp(); return x")));
  Result(request, "weights.bin");
  EXPECT_THAT(*ListFiles(request.out_dir),
              ElementsAre("after_42_0.bin", "inputs_42_0.bin", "outputs_42_0.bin", "weights.bin"));
  EXPECT_FALSE(FileExists(request.out_dir + "/work"));
}

TEST_F(RunnerTest, NothingOfARunStaysForTheNext) {
  File("children/part.py", kPart);
  RunRequest first = Request(File("refactored.py", kRefactored));
  first.class_name = "RefactoredModel";
  EXPECT_EQ(Run(first).status, RunStatus::kOk);
  const RunOutcome next =
      RunText(ModelWithForward("print('children' in sys.modules, 'refactored' in sys.modules, "
                               "len(sys.path_importer_cache) > 0); return x"));
  EXPECT_EQ(next.stdout_text, "False False True\n");
}

// ---- trusted work --------------------------------------------------------------------------------------

TEST_F(RunnerTest, HiddenFilesCannotBeOpenedOrListed) {
  if (!CanHideFiles()) GTEST_SKIP() << "this kernel has no landlock";
  const std::string secret = File("secret/original.py", "x = 1"), open_file = File("open/beside.py", "y = 2");
  RunRequest request =
      Request(File("model.py", ModelWithForward(absl::StrCat(R"(
        import os
        for path in (")",
                                                             secret, R"(", ")", open_file, R"("):
            try: print(open(path).read())
            except PermissionError: print("no")
        try: print(os.listdir(")",
                                                             DirName(secret), R"("))
        except PermissionError: print("no list")
        return x)"))));
  request.hidden = {DirName(secret)};
  EXPECT_EQ(Run(request).stdout_text, "no\ny = 2\nno list\n");
  request = Request(request.file);
  EXPECT_EQ(Run(request).stdout_text, "x = 1\ny = 2\n['original.py']\n") << "only of that run";
}

TEST_F(RunnerTest, TrustedWorkReturnsItsTextItsErrorAndItsCrash) {
  Limits limits;
  EXPECT_EQ(*zygote().RunTrusted([] { return std::string("a\0b", 3); }, limits), std::string("a\0b", 3));
  const auto error = zygote().RunTrusted(
      []() -> absl::StatusOr<std::string> { return absl::NotFoundError("gone"); }, limits);
  EXPECT_EQ(error.status(), absl::NotFoundError("gone"));
  const auto thrown = zygote().RunTrusted(
      []() -> absl::StatusOr<std::string> { return std::to_string(at::ones({2}).view({3}).numel()); },
      limits);
  EXPECT_EQ(thrown.status().code(), absl::StatusCode::kInternal);
  const auto crash = zygote().RunTrusted([]() -> absl::StatusOr<std::string> { abort(); }, limits);
  EXPECT_THAT(std::string(crash.status().message()), HasSubstr("signal 6"));
}

TEST_F(RunnerTest, TrustedWorkMayUseTorchOnSeveralThreads) {
  const auto sum = zygote().RunTrusted(
      []() -> absl::StatusOr<std::string> {
        at::set_num_threads(2);
        return std::to_string(at::ones({1 << 22}).sum().item<double>());
      },
      Limits());
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(*sum, "4194304.000000");
}

TEST_F(RunnerTest, TrustedWorkIsLimitedToo) {
  Limits limits;
  limits.wall = std::chrono::seconds(1);
  const auto result = zygote().RunTrusted(
      []() -> absl::StatusOr<std::string> {
        while (true) {
        }
      },
      limits);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace strata::host
