#pragma once
// Small models as capture would have recorded them, and the parts of emitted text that tests look at.

#include <string>
#include <vector>

#include "tests/engine/plan/net.h"
#include "worker/engine/emit/emit.h"

namespace strata::emit {

// The finished program; its torch.nn modules have their settings, defaults marked.
program::Program Recorded(plan::Net* net, const std::vector<program::ValueId>& outputs);
plan::Plan Planned(plan::Net* net, const std::vector<program::ValueId>& outputs);

// x + b(relu(a(x))) at `path`: a layer, or the model itself where path is "".
program::ValueId ResidualBlock(plan::Net* net, const std::string& path, program::ValueId x);

// mlp.py: fc1, relu, fc2, relu, fc3.
plan::Plan Mlp();
// gpt.py: an embedding, two blocks of attention and MLP in a ModuleList, an RMSNorm written by hand, and a
// head that is tied to the embedding.
plan::Plan TinyGpt();

// What is emitted; a failure fails the test and gives "".
std::string TextOf(const plan::Plan& plan, const std::string& stem, const Spelling& spelling = {});
std::vector<File> StepOf(const plan::Plan& plan, const std::string& stem);
std::string RefactoredOf(const plan::Plan& plan, const std::string& stem);
std::string ContentOf(const std::vector<File>& files, const std::string& path_end);

// "class NAME(nn.Module):" to its end, without its docstring.
std::string ClassIn(const std::string& text, const std::string& name);
// "def NAME(…):" at the start of a line, to its end.
std::string FunctionIn(const std::string& text, const std::string& name);
std::vector<std::string> LinesWith(const std::string& text, const std::string& part);

}  // namespace strata::emit
