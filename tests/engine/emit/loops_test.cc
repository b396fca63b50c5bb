// Parents that run the elements of a ModuleList: what is a loop, and what only looks like one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/engine/emit/models.h"

namespace strata::emit {
namespace {

using namespace program;
using plan::Net;

// A model with `count` equal blocks in self.blocks, which a test runs in its own order.
class LoopTest : public testing::Test {
 protected:
  explicit LoopTest(int count = 3) : x_(net_.b.Input("x", {2, 8})) {
    net_.b.Container("blocks", "ModuleList");
    for (int i = 0; i < count; ++i) {
      const std::string at = absl::StrCat("blocks.", i);
      net_.b.Module(at, "Block", {}, /*is_torch_nn=*/false);
      for (const char* part : {".a", ".b"}) {
        net_.b.Module(at + part, "Linear");
        weights_[at + part] = net_.b.Parameter(at + part + ".weight", {8, 8});
      }
    }
  }

  ValueId Linear(const std::string& path, ValueId x) {
    net_.b.Enter(path, {x});
    const auto y =
        net_.b.Op("aten::linear", {T("input", x), T("weight", weights_.at(path)), None("bias")}, {2, 8});
    net_.b.Leave({y});
    return y;
  }

  ValueId Block(int i, ValueId x) {
    const std::string at = absl::StrCat("blocks.", i);
    net_.b.Enter(at, {x});
    const auto y = net_.Add(x, Linear(at + ".b", net_.Relu(Linear(at + ".a", x))));
    net_.b.Leave({y});
    return y;
  }

  // The class of the refactored model, from its first assignment in __init__ on.
  std::string Refactored(ValueId output) {
    net_.b.Module("head", "Linear");
    weights_["head"] = net_.b.Parameter("head.weight", {8, 8});
    const std::string text =
        ClassIn(RefactoredOf(Planned(&net_, {Linear("head", output)}), "looped"), "RefactoredModel");
    return text.substr(text.find("        self."));
  }

  Net net_{"looped.py"};
  ValueId x_;
  std::map<std::string, ValueId> weights_;
};

TEST_F(LoopTest, OneElementAfterTheOtherIsALoop) {
  EXPECT_EQ(Refactored(Block(2, Block(1, Block(0, x_)))),
            R"py(        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = Linear()

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)
)py");
}

TEST_F(LoopTest, BackwardsIsNoLoop) {
  EXPECT_EQ(Refactored(Block(0, Block(1, Block(2, x_)))),
            R"py(        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = Linear()

    def forward(self, x):
        x = self.blocks[2](x)
        x = self.blocks[1](x)
        x = self.blocks[0](x)
        return self.head(x)
)py");
}

TEST_F(LoopTest, WhatIsAddedInEachRoundStaysInTheLoop) {
  auto x = x_;
  for (int i = 0; i < 3; ++i) x = net_.Add(x, Block(i, x));
  EXPECT_EQ(Refactored(x), R"py(        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = Linear()

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)
)py");
}

TEST_F(LoopTest, AValueFromTheMiddleThatIsReadLaterIsNotLost) {
  const auto first = Block(0, x_);
  const auto last = Block(2, Block(1, first));
  EXPECT_EQ(Refactored(net_.Add(last, first)),
            R"py(        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = Linear()

    def forward(self, x):
        x = self.blocks[0](x)
        return self.head(self.blocks[2](self.blocks[1](x)) + x)
)py");
}

TEST_F(LoopTest, EveryRoundsResultMayBeReadAfterwards) {
  const auto a = Block(0, x_), b = Block(1, a), c = Block(2, b);
  const auto joined = net_.b.Op("aten::stack", {Ts("tensors", {a, b, c}), Default(I("dim", 0))}, {3, 2, 8});
  const auto flat = net_.b.View("aten::select.int", {T("self", joined), I("dim", 0), I("index", 1)}, {2, 8});
  EXPECT_EQ(Refactored(flat), R"py(        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = Linear()

    def forward(self, x):
        x = self.blocks[0](x)
        h = self.blocks[1](x)
        return self.head(torch.stack([x, h, self.blocks[2](h)])[1])
)py");
}

TEST_F(LoopTest, TheInputMayBeReadAgainAfterTheLoop) {
  EXPECT_EQ(Refactored(net_.Add(Block(2, Block(1, Block(0, x_))), x_)),
            R"py(        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = Linear()

    def forward(self, x):
        return self.head(self.blocks[2](self.blocks[1](self.blocks[0](x))) + x)
)py");
}

TEST_F(LoopTest, AConstantOfEachRoundIsNotTheSameForAll) {
  auto x = x_;
  for (int i = 0; i < 3; ++i) x = Block(i, net_.Scale(x, 0.5 + i));
  EXPECT_EQ(Refactored(x), R"py(        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = Linear()

    def forward(self, x):
        x = self.blocks[2](self.blocks[1](self.blocks[0](x * 0.5) * 1.5) * 2.5)
        return self.head(x)
)py");
}

TEST_F(LoopTest, TheListMayRunTwice) {
  auto x = x_;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 3; ++i) x = Block(i, x);
  }
  EXPECT_EQ(Refactored(x), R"py(        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = Linear()

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)
)py");
}

TEST_F(LoopTest, BranchesFromOneInputAreNoChain) {
  const auto a = Block(0, x_), b = Block(1, x_), c = Block(2, x_);
  EXPECT_EQ(Refactored(net_.Add(net_.Add(a, b), c)),
            R"py(        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = Linear()

    def forward(self, x):
        return self.head(self.blocks[0](x) + self.blocks[1](x) + self.blocks[2](x))
)py");
}

TEST_F(LoopTest, AnElementThatNeverRunsLeavesNoHoleInTheList) {
  EXPECT_EQ(Refactored(Block(2, Block(0, x_))), R"py(        self.blocks_0 = Block()
        self.blocks_2 = Block()
        self.head = Linear()

    def forward(self, x):
        x = self.blocks_0(x)
        x = self.blocks_2(x)
        return self.head(x)
)py");
}

TEST_F(LoopTest, TwoValuesThatBecomeOneAreNotBothCarried) {
  auto x = net_.Add(Block(0, x_), net_.Relu(x_));
  for (int i = 1; i < 3; ++i) x = net_.Add(Block(i, x), x);
  EXPECT_EQ(Refactored(x), R"py(        self.relu = ReLU()
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = Linear()

    def forward(self, x):
        x = self.blocks[0](x) + self.relu(x)
        x = self.blocks[1](x) + x
        return self.head(self.blocks[2](x) + x)
)py");
}

}  // namespace
}  // namespace strata::emit
