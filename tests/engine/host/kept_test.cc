// What the runner says of state that Python keeps from call to call.

#include <gtest/gtest.h>

#include "nlohmann/json.hpp"
#include "tests/engine/host/fixture.h"

namespace strata::host {
namespace {

using nlohmann::json;
using KeptTest = HostTest;

// What the forward `body` changes, as the runner says it; "" where it says nothing.
std::string NamesIn(const std::string& path) {
  const auto text = ReadFile(path);
  std::string names;
  for (const json& row : text.ok() ? json::parse(*text) : json::array())
    names += row["file"].get<std::string>() + ":" + row["name"].get<std::string>() + " ";
  return names;
}

TEST_F(KeptTest, WhatPythonKeepsIsNamedWhereACallChangesIt) {
  const std::pair<const char*, const char*> bodies[] = {
      {"log = self.log; log.append(1)", "model.py:Model.log "},
      {"self.ring.rotate(1)", "model.py:Model.ring "},
      {"next(self.turns)", "model.py:Model.turns "},
      {"self.made.send(None)", "model.py:Model.made "},
      {"[0 for self.linear.eps in (1, 2)]", "model.py:Model.linear.eps at 'linear' "},
      {"self.linear.weight.hint = 1", "model.py:Model.linear._parameters at 'linear' "},
      {"type(self).table[1] = 2", "model.py:Model.table "},
      {"LOG.add(1)", "model.py:LOG "},
      {"count()", "model.py:count "},
      {"counter()", "model.py:counter "},
      {"log = [1]; log.append(2); iter(log); dict(self.ring)", ""},
      {"self.training = False; self.linear.weight.mul_(1)", ""}};
  for (const auto& [body, names] : bodies) {
    RunRequest request = Request(File("model.py", R"(
import collections
import torch
import torch.nn as nn

LOG = set()


def count(seen={}):
    kept = seen
    kept[len(kept)] = 1


def make():
    calls = 0

    def counter():
        nonlocal calls
        calls += 1

    return counter


counter = make()


class Model(nn.Module):
    table = {}

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.log, self.ring, self.turns = [], collections.deque([(1, 2), (3, 4)]), iter(range(9))
        self.made = (n for n in range(9))

    def forward(self, x):
        )" + std::string(body) + R"(
        return self.linear(x)


def get_inputs():
    return [torch.randn(2, 4)]
)"));
    request.save_outputs = true;
    const RunOutcome outcome = Run(request);
    EXPECT_EQ(outcome.status, RunStatus::kOk) << body << ": " << outcome.message;
    EXPECT_EQ(NamesIn(JoinPath(request.out_dir, "kept_42_0.json")), names) << body;
  }
}

}  // namespace
}  // namespace strata::host
