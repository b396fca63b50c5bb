#include "tests/engine/emit/models.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "worker/engine/emit/python_text.h"

namespace strata::emit {

using namespace program;  // T, I, F ... read as in the model
using plan::Net;
using plan::Plan;

namespace {

const NamedArgument& Named(const Call& call, const std::string& name) {
  for (const NamedArgument& argument : call.args) {
    if (argument.name == name) return argument;
  }
  ADD_FAILURE() << call.op << " has no argument " << name;
  return call.args.at(0);
}

std::string Ints(const Call& call, const std::string& name) {
  std::vector<int64_t> items;
  for (const Argument& item : Named(call, name).value.items) items.push_back(item.integer);
  return PythonTuple(items);
}

std::string Pair(int64_t number) { return PythonTuple({number, number}); }

// The constructor arguments of the module that made `call`, as the table of capture has them.
std::vector<Setting> SettingsOf(const Program& program, const Module& module, const Call& call) {
  const auto size = [&](const char* argument, size_t i) {
    return absl::StrCat(program.value(Named(call, argument).value.value).type.sizes.at(i));
  };
  const auto bias = [&] {
    const bool has = Named(call, "bias").value.kind == Argument::Kind::kValue;
    return Setting{"bias", has ? "True" : "False", has};
  };
  const auto pair = [&](const char* name, int64_t otherwise) {
    return Setting{name, Ints(call, name), Ints(call, name) == Pair(otherwise)};
  };
  const std::string& name = module.class_name;
  if (name == "Linear")
    return {{"in_features", size("weight", 1)}, {"out_features", size("weight", 0)}, bias()};
  if (name == "Conv2d") {
    const auto& weight = program.value(Named(call, "weight").value.value).type.sizes;
    return {{"in_channels", size("weight", 1)},
            {"out_channels", size("weight", 0)},
            {"kernel_size", PythonTuple({weight[2], weight[3]})},
            pair("stride", 1),
            pair("padding", 0),
            pair("dilation", 1),
            {"groups", "1", true},
            bias(),
            {"padding_mode", "'zeros'", true}};
  }
  if (name == "LayerNorm")
    return {{"normalized_shape", Ints(call, "normalized_shape")}, {"eps", "1e-05", true}};
  if (name == "Embedding")
    return {{"num_embeddings", size("weight", 0)}, {"embedding_dim", size("weight", 1)}};
  if (name == "ReLU") return {{"inplace", "False", true}};
  if (name == "GELU") return {{"approximate", "'none'", true}};
  ADD_FAILURE() << "no settings for nn." << name;
  return {};
}

}  // namespace

Program Recorded(Net* net, const std::vector<ValueId>& outputs) {
  Program program = net->b.Finish(outputs);
  for (const Invocation& invocation : program.invocations) {
    Module& module = program.modules[static_cast<size_t>(invocation.module)];
    if (!module.is_torch_nn || module.is_container || !module.settings.empty()) continue;
    module.settings = SettingsOf(program, module, program.call(invocation.begin));
  }
  return program;
}

Plan Planned(Net* net, const std::vector<ValueId>& outputs) { return plan::PlanOf(Recorded(net, outputs)); }

ValueId ResidualBlock(Net* net, const std::string& path, ValueId x) {
  const std::string at = path.empty() ? "" : path + ".";
  if (!path.empty()) net->Enter(path, "Block", {x});
  const int64_t dim = net->sizes(x).back();
  const auto h = net->Relu(net->Linear(at + "a", x, 4 * dim));
  const auto y = net->Add(x, net->Linear(at + "b", h, dim));
  if (!path.empty()) net->Leave(y);
  return y;
}

Plan Mlp() {
  Net net("mlp.py");
  auto x = net.b.Input("x", {4, 8});
  x = net.Relu(net.Linear("fc1", x, 16));
  x = net.Relu(net.Linear("fc2", x, 16));
  return Planned(&net, {net.Linear("fc3", x, 2)});
}

Plan TinyGpt() {
  Net net("gpt.py");
  const auto tokens = net.b.Input("tokens", {2, 4}, DType::kInt64);
  auto x = net.Embedding("embed", tokens, 50, 8);
  const auto weight = net.b.last_call().args[0].value.value;
  net.b.Container("blocks", "ModuleList");
  for (const char* path : {"blocks.0", "blocks.1"}) {
    const std::string at = absl::StrCat(path, ".");
    net.Enter(path, "Block", {x});
    x = net.Add(x, net.Attention(at + "attn", net.LayerNorm(at + "ln_1", x), 2, true));
    const auto normed = net.LayerNorm(at + "ln_2", x);
    net.Enter(at + "mlp", "MLP", {normed});
    const auto h = net.GeluModule(at + "mlp.act", net.Linear(at + "mlp.c_fc", normed, 32));
    const auto y = net.Linear(at + "mlp.c_proj", h, 8);
    net.Leave(y);
    x = net.Add(x, y);
    net.Leave(x);
  }
  x = net.RmsNorm("norm", x);
  net.b.Module("head", "Linear");
  net.b.Tie("head.weight", weight);
  net.b.Enter("head", {x});
  x = net.b.Op("aten::linear", {T("input", x), T("weight", weight), None("bias")}, {2, 4, 50});
  net.b.Leave({x});
  return Planned(&net, {x});
}

std::string TextOf(const Plan& plan, const std::string& stem, const Spelling& spelling) {
  const auto text = ComponentText(plan, ComponentNamed(plan, stem).id, "# the source\n", spelling);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.value_or("");
}

std::vector<File> StepOf(const Plan& plan, const std::string& stem) {
  const auto step = StepFiles(plan, ComponentNamed(plan, stem).id, "# the source\n");
  EXPECT_TRUE(step.ok()) << step.status();
  return step.ok() ? step->files : std::vector<File>();
}

std::string RefactoredOf(const Plan& plan, const std::string& stem) {
  return ContentOf(StepOf(plan, stem), "/refactored.py");
}

std::string ContentOf(const std::vector<File>& files, const std::string& path_end) {
  for (const File& file : files) {
    if (absl::EndsWith(file.path, path_end)) return file.content;
  }
  ADD_FAILURE() << "no file " << path_end;
  return "";
}

namespace {

// From a line that starts with `head` to the two empty lines after it.
std::string Block(const std::string& text, const std::string& head) {
  const size_t begin = absl::StartsWith(text, head) ? 0 : text.find("\n" + head);
  if (begin == std::string::npos) {
    ADD_FAILURE() << "no '" << head << "' in\n" << text;
    return "";
  }
  const size_t start = text[begin] == '\n' ? begin + 1 : begin;
  return text.substr(start, text.find("\n\n\n", start) - start + 1);
}

}  // namespace

std::string ClassIn(const std::string& text, const std::string& name) {
  std::string block = Block(text, absl::StrCat("class ", name, "(nn.Module):"));
  const std::string quotes = "    \"\"\"\n";
  if (const size_t open = block.find(quotes); open != std::string::npos) {
    const size_t close = block.find(quotes, open + quotes.size());
    block.erase(open, close + quotes.size() + 1 - open);  // and the empty line after it
  }
  return block;
}

std::string FunctionIn(const std::string& text, const std::string& name) {
  return Block(text, absl::StrCat("def ", name, "("));
}

std::vector<std::string> LinesWith(const std::string& text, const std::string& part) {
  std::vector<std::string> out;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StrContains(line, part)) out.emplace_back(line);
  }
  return out;
}

}  // namespace strata::emit
