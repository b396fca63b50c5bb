// The submitted model's output as Python.
#include "worker/engine/emit/output_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace strata::emit {
namespace {

using program::Tree;
using testing::ElementsAre;
using testing::IsEmpty;

Tree Tensor(program::ValueId id) { return {.kind = Tree::Kind::kTensor, .value = id}; }

TEST(OutputTree, PlainContainersNeedNothing) {
  const Tree literal{.kind = Tree::Kind::kLiteral, .text = "'$1'"};
  const Tree dict{.kind = Tree::Kind::kDict,
                  .text = "builtins.dict",
                  .keys = {"'y'", "2"},
                  .items = {Tensor(7), literal}};
  const OutputText text = SpellOutput({.kind = Tree::Kind::kTuple, .items = {Tensor(7), dict, Tree()}});
  EXPECT_EQ(text.pattern, R"($0, {"y": $1, 2: '$$1'}, None)");
  EXPECT_THAT(text.values, ElementsAre(7, 7));
  EXPECT_THAT(text.imports, IsEmpty());
  EXPECT_THAT(text.classes, IsEmpty());
}

TEST(OutputTree, RecordsAreDefinedOnceWithTheirFields) {
  const Tree pair{.kind = Tree::Kind::kNamedTuple,
                  .text = "model.Pair",
                  .keys = {"a", "b"},
                  .items = {Tensor(1), Tensor(2)}};
  const Tree output{.kind = Tree::Kind::kDataclass,
                    .text = "model.Model.Output",
                    .keys = {"logits", "pair", "other"},
                    .items = {Tensor(0), pair, pair}};
  const OutputText text = SpellOutput(output);
  EXPECT_EQ(text.pattern, "Output(logits=$0, pair=Pair(a=$1, b=$2), other=Pair(a=$3, b=$4))");
  EXPECT_THAT(text.imports,
              ElementsAre("from collections import namedtuple", "from dataclasses import dataclass"));
  EXPECT_THAT(text.classes, ElementsAre("Pair = namedtuple(\"Pair\", [\"a\", \"b\"])", "", "", "@dataclass",
                                        "class Output:", "    logits: torch.Tensor", "    pair: object",
                                        "    other: object", "", ""));
}

TEST(OutputTree, TorchsOwnTuplesAndOrderedDictsKeepTheirClass) {
  const Tree max{
      .kind = Tree::Kind::kTuple, .text = "torch.return_types.max", .items = {Tensor(0), Tensor(1)}};
  EXPECT_EQ(SpellOutput(max).pattern, "torch.return_types.max(($0, $1))");
  const Tree ordered{
      .kind = Tree::Kind::kDict, .text = "collections.OrderedDict", .keys = {"'y'"}, .items = {Tensor(0)}};
  EXPECT_EQ(SpellOutput(ordered).pattern, "OrderedDict([(\"y\", $0)])");
  EXPECT_THAT(SpellOutput(ordered).imports, ElementsAre("from collections import OrderedDict"));
}

}  // namespace
}  // namespace strata::emit
