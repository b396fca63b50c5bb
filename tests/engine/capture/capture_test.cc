// Small models, captured for real: what the Program says about them.
#include "worker/engine/capture/capture.h"

#include <algorithm>
#include <cstdlib>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/capture/interpreter.h"
#include "worker/engine/program/codec.h"
#include "worker/engine/program/printer.h"

namespace strata::capture {
namespace {

using program::Call;
using program::Print;
using program::Program;
using program::Tree;
using program::Value;
using program::ValueKind;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kHead[] = R"py(import dataclasses
import torch
import torch.nn as nn
import torch.nn.functional as F

)py";

// Captures `text` after the usual imports; the Program must replay bit for bit and print the same twice.
Program Capture(const std::string& text, int seed = 42) {
  const auto program = CaptureText(kHead + text, seed);
  EXPECT_TRUE(program.ok()) << program.status();
  if (!program.ok()) return {};
  const absl::Status replay = Replay(*program);
  EXPECT_TRUE(replay.ok()) << replay << "\n" << Print(*program);
  EXPECT_EQ(program::CheckIds(*program), absl::OkStatus());
  return *program;
}

std::vector<std::string> Operators(const Program& program) {
  std::vector<std::string> names;
  for (const Call& call : program.calls) names.push_back(call.op.substr(6));
  return names;
}

const Call& Find(const Program& program, const std::string& op) {
  for (const Call& call : program.calls) {
    if (call.op == "aten::" + op) return call;
  }
  ADD_FAILURE() << "no " << op << " in\n" << Print(program);
  static const Call none;
  return none;
}

const Value& Leaf(const Program& program, const std::string& path) {
  for (const Value& value : program.values) {
    if (std::find(value.paths.begin(), value.paths.end(), path) != value.paths.end()) return value;
  }
  ADD_FAILURE() << "no " << path;
  static const Value none;
  return none;
}

std::vector<const Value*> Constants(const Program& program, bool numbers) {
  std::vector<const Value*> found;
  for (const Value& value : program.values) {
    if (value.kind == ValueKind::kConstant && value.is_wrapped_number == numbers) found.push_back(&value);
  }
  return found;
}

std::string Notes(const Program& program) {
  std::string all;
  for (const std::string& note : program.notes) all += note + "\n";
  return all;
}

TEST(Capture, AnMlpIsThreeCallsInTheirScopesAndPrintsTheSameTwice) {
  const std::string text = R"py(
class Model(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.fc1 = nn.Linear(d, 16)
        self.fc2 = nn.Linear(16, 4, bias=False)

    def forward(self, x):
        hidden = F.relu(self.fc1(x))
        return self.fc2(hidden)

def get_inputs(): return [torch.randn(2, 8)]
def get_init_inputs(): return []
)py";
  const Program p = Capture(text);
  EXPECT_EQ(Print(p),
            R"(program "model.py" torch )" + p.torch_version + R"( on cpu
input  %x0 "x" : fp32[2,8])" +
                Print(p).substr(Print(p).find(" in ["), Print(p).find("\nparam") - Print(p).find(" in [")) +
                R"(
param  %p1 "fc1.weight" : fp32[16,8]
param  %p2 "fc1.bias" : fp32[16]
param  %p3 "fc2.weight" : fp32[4,16]
module "" Model   # model.py:7
module "fc1" nn.Linear(in_features=8, out_features=16)
module "fc2" nn.Linear(in_features=16, out_features=4, bias=False)
Model(%x0):
  fc1(%x0):
    %4 = linear(%x0 "x", %p1 "fc1.weight", %p2 "fc1.bias") : fp32[2,16]   # fc1 @ )" +
                Print(p).substr(Print(p).find("linear.py"),
                                Print(p).find("\n    return %4") - Print(p).find("linear.py")) +
                R"(
    return %4
)" + Print(p).substr(Print(p).find("  %5 = relu(%4)")));
  EXPECT_THAT(Print(p), HasSubstr("  %5 = relu(%4) : fp32[2,16]   # @ model.py:14 > relu#"));
  EXPECT_THAT(Operators(p), ElementsAre("linear", "relu", "linear"));
  EXPECT_EQ(Print(p), Print(Capture(text)));
}

TEST(Capture, ResidualsReadTheSameValueTwice) {
  const Program p = Capture(R"py(
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
    def forward(self, x, scale=2.0):
        return x + self.norm(x) * scale
def get_inputs(): return [torch.randn(2, 8)]
)py");
  const auto x = Leaf(p, "x").id;
  EXPECT_EQ(Find(p, "layer_norm").args[0].value.value, x);
  EXPECT_EQ(Find(p, "add").args[0].value.value, x);
  EXPECT_TRUE(p.value(Find(p, "mul").args[1].value.value).is_wrapped_number);
}

TEST(Capture, AnInPlaceOperatorMakesANewValueOfTheSameMemory) {
  const Program p = Capture(R"py(
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(8, 8), nn.ReLU(inplace=True)
    def forward(self, x):
        h = self.fc(x)
        self.act(h)
        h[:, 0] = 1.0
        return h + 1
def get_inputs(): return [torch.randn(2, 8)]
)py");
  const Call& relu = Find(p, "relu_");
  ASSERT_EQ(relu.mutated.size(), 1u);
  EXPECT_EQ(relu.mutated[0], Find(p, "linear").results[0]);
  EXPECT_EQ(relu.mutated_to, relu.results);
  EXPECT_NE(relu.results[0], relu.mutated[0]);
  EXPECT_EQ(p.value(relu.results[0]).storage, p.value(relu.mutated[0]).storage);
  EXPECT_TRUE(relu.marks & program::kMutates);
  // The write through a view leaves the id of the base alone, in the same memory.
  EXPECT_EQ(Find(p, "add").args[0].value.value, relu.results[0]);
  EXPECT_EQ(p.value(Find(p, "select").results[0]).storage, p.value(relu.results[0]).storage);
}

TEST(Capture, TiedWeightsAreOneValueWithAllNames) {
  const Program p = Capture(R"py(
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(10, 8)
        self.head = nn.Linear(8, 10, bias=False)
        self.head.weight = self.emb.weight
        self.shared = self.emb
    def forward(self, ids):
        return self.head(self.emb(ids))
def get_inputs(): return [torch.randint(0, 10, (2, 3))]
)py");
  EXPECT_THAT(Leaf(p, "emb.weight").paths, ElementsAre("emb.weight", "shared.weight", "head.weight"));
  EXPECT_THAT(p.modules[1].paths, ElementsAre("emb", "shared"));
  const Value& ids = Leaf(p, "ids");
  EXPECT_TRUE(ids.domain.known && ids.domain.is_integral);
  EXPECT_GE(ids.domain.min, 0);
  EXPECT_LT(ids.domain.max, 10);
  EXPECT_EQ(ids.data.size(), 48u);
}

constexpr char kMask[] = R"py(
class Model(nn.Module):
    def __init__(self, T=4):
        super().__init__()
        self.register_buffer("mask", torch.tril(torch.ones(T, T)), persistent=False)
        table = torch.zeros(T, 2)
        table[:, 0] = torch.arange(T) / 10.0
        self.register_buffer("table", table)
        self.register_buffer("noise", torch.randn(T))
        self.register_buffer("listed", torch.tensor([1.0, 2.0, 3.0, 4.0]))
        self.offset = torch.ones(1) * 3
        self.norm = nn.BatchNorm1d(T)
    def forward(self, x):
        x = x.masked_fill(self.mask == 0, float("-inf")).softmax(-1)
        return self.norm(x) @ self.table + self.offset + self.noise[:2] * self.listed[:2]
def get_inputs(): return [torch.randn(4, 4)]
)py";

TEST(Capture, BuffersKeepTheSourcesFormulaWhereThereIsOne) {
  const Program p = Capture(kMask);
  const auto formula = [&](const Value& value) {
    std::vector<std::string> ops;
    for (program::CallId id : InitSlice(p, value.id)) ops.push_back(p.init_calls.at(id).op.substr(6));
    return ops;
  };
  EXPECT_THAT(formula(Leaf(p, "mask")), ElementsAre("ones", "tril"));
  EXPECT_THAT(formula(Leaf(p, "table")), ElementsAre("zeros", "arange", "div", "select", "copy_"));
  EXPECT_THAT(formula(Leaf(p, "noise")), IsEmpty()) << "random numbers have no formula";
  EXPECT_THAT(formula(Leaf(p, "listed")), IsEmpty()) << "torch.tensor fills where no one sees";
  const auto constants = Constants(p, /*numbers=*/false);
  ASSERT_EQ(constants.size(), 1u) << Print(p);
  EXPECT_THAT(formula(*constants[0]), ElementsAre("ones", "mul"));
  EXPECT_EQ(constants[0]->data.size(), 4u);
}

TEST(Capture, BuffersSayWhetherTheyPersistAndKeepTheirElements) {
  const Program p = Capture(kMask);
  EXPECT_FALSE(Leaf(p, "mask").persistent);
  EXPECT_TRUE(Leaf(p, "mask").domain.is_binary);
  EXPECT_TRUE(Leaf(p, "noise").persistent);
  EXPECT_EQ(Leaf(p, "noise").data.size(), 16u);
  EXPECT_EQ(Leaf(p, "listed").kind, ValueKind::kBuffer);
  EXPECT_EQ(Leaf(p, "norm.running_mean").data.size(), 0u) << "a torch.nn class owns it";
  EXPECT_TRUE(p.value(Find(p, "masked_fill").results[0]).domain.has_neg_inf);
}

TEST(Capture, SplitAndChunkGiveListsTopkATuple) {
  const Program p = Capture(R"py(
class Model(nn.Module):
    def forward(self, x):
        q, k = x.split([2, 6], dim=-1)
        a, b, c = k.chunk(3, dim=-1)
        values, indices = torch.topk(a + b + c + q, 1)
        return values, indices
def get_inputs(): return [torch.randn(2, 8)]
)py");
  const Call& split = Find(p, "split_with_sizes").op.empty() ? Find(p, "split") : Find(p, "split_with_sizes");
  EXPECT_TRUE(split.result_is_list);
  EXPECT_EQ(split.results.size(), 2u);
  EXPECT_THAT(split.frames.front().targets, ElementsAre("q", "k"));
  EXPECT_EQ(Find(p, "chunk").results.size(), 3u);
  EXPECT_EQ(p.value(Find(p, "chunk").results[2]).result_index, 2);
  EXPECT_TRUE(Find(p, "topk").result_is_tuple);
  EXPECT_EQ(p.invocations[0].output.kind, Tree::Kind::kTuple);
  EXPECT_EQ(p.invocations[0].output.items[1].value, Find(p, "topk").results[1]);
}

TEST(Capture, ArgumentsAndOutputsAreTreesByName) {
  const Program p = Capture(R"py(
@dataclasses.dataclass
class Out:
    logits: torch.Tensor
    extra: object = None
class Inner(nn.Module):
    def forward(self, x, *rest, scale=1.0, mask=None):
        return Out(x * scale + rest[0])
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()
    def forward(self, x, states, *more, mask=None):
        out = self.inner(x, states[1], mask=mask, scale=0.5)
        return {"out": out, "sum": [out.logits + more[0], 3]}
def get_inputs(): return [torch.randn(2), (torch.randn(2), torch.randn(2)), torch.randn(2)]
def get_input_kwargs(): return {"mask": torch.ones(2, dtype=torch.bool)}
)py");
  EXPECT_EQ(Leaf(p, "states[1]").kind, ValueKind::kInput);
  EXPECT_EQ(Leaf(p, "more[0]").kind, ValueKind::kInput);
  EXPECT_EQ(Leaf(p, "mask").type.dtype, program::DType::kBool);
  const auto& model = p.invocations[0];
  EXPECT_THAT(model.parameter_names, ElementsAre("x", "states", "*more", "mask"));
  EXPECT_EQ(model.args[1].kind, Tree::Kind::kTuple);
  ASSERT_EQ(model.kwargs.size(), 1u);
  EXPECT_EQ(model.kwargs[0].first, "mask");
  EXPECT_EQ(model.output.kind, Tree::Kind::kDict);
  EXPECT_THAT(model.output.keys, ElementsAre("'out'", "'sum'"));
  EXPECT_EQ(model.output.items[0].kind, Tree::Kind::kDataclass);
  EXPECT_EQ(model.output.items[0].text, "model.Out");
  EXPECT_THAT(model.output.items[0].keys, ElementsAre("logits", "extra"));
  EXPECT_EQ(model.output.items[0].items[1].kind, Tree::Kind::kNone);
  EXPECT_EQ(model.output.items[1].items[1].text, "3");
  const auto& inner = p.invocations[1];
  EXPECT_EQ(inner.kwargs[1].second.text, "0.5");
  EXPECT_THAT(inner.parameter_names, ElementsAre("x", "*rest", "scale", "mask"));
}

TEST(Capture, ADefaultIsOneHoweverItsNumberIsSpelled) {
  const Program p = Capture(R"py(
class Model(nn.Module):
    def forward(self, x): return F.elu(x), F.elu(x, alpha=0.5)
def get_inputs(): return [torch.randn(3)]
)py");
  ASSERT_EQ(p.calls.size(), 2u);
  EXPECT_TRUE(p.calls[0].args[1].is_default);  // the schema says 1, F.elu passes 1.0
  EXPECT_FALSE(p.calls[1].args[1].is_default);
}

TEST(Capture, ANamedTupleIsNoDataclass) {
  const Program p = Capture(R"py(
import collections
Pair = collections.namedtuple("Pair", ["first", "second"])
class Model(nn.Module):
    def forward(self, x): return Pair(x + 1, None)
def get_inputs(): return [torch.randn(3)]
)py");
  const Tree& output = p.invocations[0].output;
  EXPECT_EQ(output.kind, Tree::Kind::kNamedTuple);
  EXPECT_EQ(output.text, "model.Pair");
  EXPECT_THAT(output.keys, ElementsAre("first", "second"));
}

TEST(Capture, AConstantMadeInForwardIsTakenWhenItIsFirstRead) {
  const Program p = Capture(R"py(
import numpy
class Model(nn.Module):
    def forward(self, x):
        y = x + torch.tensor([0.5, 1.5])
        z = torch.from_numpy(numpy.array([1, 2]))
        return y * z + torch.tensor(2, dtype=torch.float64), torch.tensor(7)
def get_inputs(): return [torch.randn(2)]
)py");
  EXPECT_THAT(Operators(p), Not(Contains("empty"))) << "the trail of torch.tensor is gone";
  EXPECT_THAT(Operators(p), Not(Contains("lift_fresh")));
  std::vector<size_t> sizes;
  for (const Value* v : Constants(p, /*numbers=*/false)) sizes.push_back(v->data.size());
  EXPECT_THAT(sizes, ElementsAre(8u, 16u, 8u, 8u)) << Print(p);
  const Value& first = *Constants(p, false)[0];
  EXPECT_EQ(first.domain.min, 0.5);
  EXPECT_EQ(first.domain.max, 1.5);
}

constexpr char kBranch[] = R"py(
class Model(nn.Module):
    def forward(self, x):
        if x.sum().item() > 0:
            x = F.relu(x)
        else:
            x = torch.tanh(x)
        weights = x.detach().numpy().sum()
        return x * float(weights)
def get_inputs(): return [torch.randn(4)]
)py";

TEST(Capture, ReadingAnElementIsMarkedAndNoted) {
  const Program p = Capture(kBranch);
  EXPECT_TRUE(Find(p, "item").marks & program::kDataDependent);
  EXPECT_FALSE(Find(p, "sum").marks & program::kDataDependent);
  EXPECT_THAT(Notes(p),
              HasSubstr("data-dependent: model.py:9: Python reads the elements of a tensor (item)"));
}

TEST(Compare, FindsBranchesAndNumbersThatFollowTheInputs) {
  Program first = Capture(kBranch, 42), second = Capture(kBranch, 42);
  const auto same = Compare(first, second);
  ASSERT_TRUE(same.ok());
  EXPECT_THAT(Notes(*same), Not(HasSubstr("specialised")));
  // A seed with the other sign of the sum.
  const std::string taken = Operators(first)[2];
  int seed = 0;
  while (Operators(second = Capture(kBranch, seed))[2] == taken && seed < 20) ++seed;
  const auto compared = Compare(first, second);
  ASSERT_TRUE(compared.ok()) << compared.status();
  EXPECT_TRUE(compared->calls[2].marks & program::kDataDependent);
  EXPECT_THAT(Notes(*compared),
              AllOf(HasSubstr("specialised: model.py:"), HasSubstr("ran with the first inputs only"),
                    HasSubstr("ran with the second inputs only"),
                    HasSubstr("specialised: model.py:14: mul has another other")));
  EXPECT_TRUE(Find(*compared, "mul").marks & program::kDataDependent)
      << "numpy leaves no call; the number differs";
  EXPECT_FALSE(Find(*compared, "sum").marks & program::kDataDependent);
}

TEST(Compare, RefusesTwoModels) {
  Program first = Capture(kBranch), second = Capture(kMask);
  EXPECT_EQ(Compare(first, second).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Capture, DropoutInEvalHasAResultOfItsOwnAndDrawsNothing) {
  const Program p = Capture(R"py(
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)
    def forward(self, x):
        h = x * 2
        y = self.drop(h)
        return F.dropout(y.exp(), 0.5, self.training) + h, torch.rand(2)
def get_inputs(): return [torch.randn(4)]
)py");
  const Call& dropout = Find(p, "dropout");
  EXPECT_FALSE(dropout.marks & program::kRandom);
  EXPECT_TRUE(Find(p, "rand").marks & program::kRandom);
  EXPECT_NE(dropout.results[0], dropout.args[0].value.value);
  EXPECT_EQ(Find(p, "exp").args[0].value.value, dropout.results[0]);
  EXPECT_EQ(Find(p, "add").args[1].value.value, Find(p, "mul").results[0])
      << "the residual is not dropped out";
  EXPECT_EQ(p.value(Find(p, "add").args[0].value.value).producer, 3) << "the second dropout";
}

TEST(Capture, FramesLeadFromForwardToTheOperatorOneSerialPerActivation) {
  const Program p = Capture(R"py(
def rotate(x):
    a, b = x.chunk(2, -1)
    return torch.cat((-b, a), -1)
def both(x):
    return rotate(x) + rotate(x * 2)
class Model(nn.Module):
    def forward(self, x):
        return both(x)
def get_inputs(): return [torch.randn(4)]
)py");
  std::vector<std::pair<std::string, int>> serials;
  for (const Call& call : p.calls) {
    std::string chain;
    for (const auto& frame : call.frames) chain += frame.function + " ";
    serials.emplace_back(chain, call.frames.back().serial);
  }
  const std::string deep = "forward both rotate ", mid = "forward both ";
  EXPECT_THAT(serials,
              ElementsAre(std::pair{deep, 2}, std::pair{deep, 2}, std::pair{deep, 2}, std::pair{mid, 1},
                          std::pair{deep, 3}, std::pair{deep, 3}, std::pair{deep, 3}, std::pair{mid, 1}));
  EXPECT_THAT(p.calls[0].frames.back().targets, ElementsAre("a", "b"));
  EXPECT_EQ(p.calls[0].frames[2].line, 8);
}

TEST(Capture, AutogradFunctionsAreTransparentAndSharedModulesRunTwice) {
  const Program p = Capture(R"py(
class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.exp() * 2
    @staticmethod
    def backward(ctx, g):
        return g
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(4, 4), nn.GELU("tanh"))
        self.unused = nn.Linear(4, 4)
    def forward(self, x):
        return Scale.apply(self.blocks(self.blocks(x)))
def get_inputs(): return [torch.randn(2, 4)]
)py");
  EXPECT_THAT(Operators(p), ElementsAre("linear", "gelu", "linear", "gelu", "exp", "mul"));
  EXPECT_EQ(p.invocations.size(), 7u);
  EXPECT_TRUE(p.modules[1].is_container);
  EXPECT_EQ(p.invocations[1].module, p.invocations[4].module);
  EXPECT_EQ(p.invocations[4].begin, 2);
  EXPECT_EQ(p.invocations[4].end, 4);
  ASSERT_TRUE(p.modules[3].settings_known);
  EXPECT_THAT(p.modules[3].settings, ElementsAre(program::Setting{"approximate", "'tanh'", false}));
}

TEST(Capture, VmapIsRecordedAsWhatItComputesOnRealTensors) {
  const Program p = Capture(R"py(
class Model(nn.Module):
    def forward(self, x):
        return torch.vmap(lambda row: row * 2 + row.sum())(x) + 1
def get_inputs(): return [torch.randn(3, 4)]
)py");
  EXPECT_EQ(Find(p, "mul").args[0].value.value, Leaf(p, "x").id);
  EXPECT_THAT(Constants(p, /*numbers=*/false), IsEmpty()) << Print(p);
}

TEST(Capture, DefaultDeviceModeLeavesNoTrace) {
  const std::string text = R"py(
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
    def forward(self, x):
        return F.max_pool1d(self.fc(x) + torch.arange(4) * torch.tensor(2.0), 2) / (1 / x[..., :2])
def get_inputs(): return [torch.randn(2, 3, 4)]
)py";
  const std::string plain = Print(Capture(text));
  ASSERT_TRUE(Evaluate("torch.set_default_device('cpu')", "1").ok());
  const std::string with_mode = Print(Capture(text));
  ASSERT_TRUE(Evaluate("torch.set_default_device(None)", "1").ok());
  EXPECT_EQ(plain, with_mode);
}

TEST(Capture, RecurrentAttentionAndReparametrisedModulesReplay) {
  const Program p = Capture(R"py(
from torch.nn.utils.parametrizations import weight_norm
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.wn = weight_norm(nn.Linear(4, 4))
        self.mha = nn.MultiheadAttention(4, 2, batch_first=True)
        self.lstm = nn.LSTM(4, 4, 2, batch_first=True, dropout=0.1)
        self.plist = nn.ParameterList([nn.Parameter(torch.ones(4)) for _ in range(2)])
    def forward(self, x):
        a, w = self.mha(*[self.wn(x)] * 3)
        o, (h, c) = self.lstm(a)
        o = nn.Softmax(dim=-1)(o)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z = F.linear(o, self.plist[0][None].expand(4, 4))
        m = (x > 0) & (x < 1)
        x = x.clone()
        x[m] = 0.
        z = 1 / (z.float().abs() + 1) + x * self.plist[1]
        return torch.einsum("bij,bkj->bik", z.flip(0), z), torch.nonzero(m)[:2], torch.fft.fft(x).real, h.contiguous()
def get_inputs(): return [torch.randn(2, 3, 4)]
)py");
  EXPECT_FALSE(Find(p, "lstm").marks & program::kRandom);
  EXPECT_EQ(p.value(Find(p, "linear").results[0]).type.dtype, program::DType::kFloat32);
  EXPECT_EQ(Leaf(p, "wn.parametrizations.weight.original0").kind, ValueKind::kParameter);
  EXPECT_EQ(Leaf(p, "plist.1").kind, ValueKind::kParameter);
}

TEST(Capture, ArgumentsHaveTheirSchemasTypes) {
  const Program p = Capture(R"py(
class Model(nn.Module):
    def forward(self, x, ids):
        y = torch.zeros(2, 2, dtype=torch.float64, device=x.device).to(torch.float32, memory_format=torch.contiguous_format)
        z = x[ids, None]
        return F.cross_entropy(x, ids, reduction="sum") + y + z.clamp(min=-float("inf")) * (1 + 2j)
def get_inputs(): return [torch.randn(2, 2), torch.tensor([0, 1])]
)py");
  const auto argument = [&](const std::string& op, const std::string& name) {
    for (const auto& a : Find(p, op).args) {
      if (a.name == name) return a;
    }
    ADD_FAILURE() << op << " has no " << name;
    return program::NamedArgument{};
  };
  EXPECT_EQ(argument("zeros", "dtype").schema_type, "ScalarType?");
  EXPECT_EQ(argument("zeros", "dtype").value, program::Argument::OfDType(program::DType::kFloat64));
  EXPECT_EQ(argument("zeros", "size").schema_type, "int[]");
  EXPECT_TRUE(argument("zeros", "dtype").kwarg_only);
  EXPECT_EQ(argument("zeros", "device").value.text, "cpu");
  EXPECT_EQ(argument("to", "memory_format").value.text, "torch.contiguous_format");
  EXPECT_EQ(argument("cross_entropy_loss", "reduction").value.integer, 2);
  EXPECT_TRUE(argument("cross_entropy_loss", "weight").is_default);
  EXPECT_FALSE(argument("cross_entropy_loss", "reduction").is_default);
  EXPECT_EQ(argument("index", "indices").schema_type, "Tensor?[]");
  EXPECT_EQ(argument("index", "indices").value.kind, program::Argument::Kind::kList);
  EXPECT_EQ(argument("clamp", "min").schema_type, "Scalar?");
}

TEST(Capture, AModelThatRaisesLeavesNothingBehind) {
  const auto failed = CaptureText(std::string(kHead) + R"py(
class Model(nn.Module):
    def forward(self, x):
        return x @ torch.ones(3)
def get_inputs(): return [torch.randn(4)]
)py");
  EXPECT_FALSE(failed.ok());
  const auto call = Evaluate("import torch.nn", "torch.nn.Module.__call__.__qualname__");
  EXPECT_THAT(*call, HasSubstr("_wrapped_call_impl"));
  Capture(kMask);
}

TEST(Capture, EveryExampleReplaysBitForBit) {
  for (const char* name : {"mlp", "resnet", "transformer", "vgg"}) {
    const std::string path = std::string(std::getenv("STRATA_SOURCE_DIR")) + "/examples/" + name + ".py";
    const auto program = CaptureFile(path);
    ASSERT_TRUE(program.ok()) << path << program.status();
    EXPECT_EQ(Replay(*program), absl::OkStatus()) << path;
    EXPECT_THAT(program->notes, IsEmpty());
    for (const auto& module : program->modules) {
      EXPECT_TRUE(module.settings_known || !module.is_torch_nn || module.is_container)
          << module.qualified_class;
    }
  }
}

}  // namespace
}  // namespace strata::capture
