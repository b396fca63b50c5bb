// decomposition_analysis.md
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/engine/emit/models.h"

namespace strata::emit {
namespace {

using namespace program;
using plan::Net;
using plan::Plan;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// The lines under "## HEADING".
std::string Section(const std::string& text, const std::string& heading) {
  const std::string head = absl::StrCat("## ", heading, "\n\n");
  const size_t begin = text.find(head);
  if (begin == std::string::npos) {
    ADD_FAILURE() << "no section " << heading << " in\n" << text;
    return "";
  }
  const size_t start = begin + head.size(), end = text.find("\n## ", start);
  return end == std::string::npos ? text.substr(start) : text.substr(start, end - start);
}

TEST(Analysis, SaysWhatWasSubmittedAndHowLargeItIs) {
  EXPECT_EQ(Section(AnalysisText(Mlp()), "Resolved configuration"), R"(- source: `source/mlp.py`
- recorded on cpu with torch 2.13.0
- parameters: 450
- input `x`: [4, 8] fp32
- output: [4, 2] fp32
)");
}

TEST(Analysis, DrawsTheModulesOnceWhereTheyRepeat) {
  EXPECT_EQ(Section(AnalysisText(TinyGpt()), "Module hierarchy"), R"(- Model
  - embed: nn.Embedding(num_embeddings=50, embedding_dim=8)
  - blocks: nn.ModuleList()
    - 0 to 1, each: Block
      - ln_1: nn.LayerNorm(normalized_shape=(8,))
      - attn: Attention
        - q_proj: nn.Linear(in_features=8, out_features=8, bias=False)
        - k_proj: nn.Linear(in_features=8, out_features=8, bias=False)
        - v_proj: nn.Linear(in_features=8, out_features=8, bias=False)
        - out_proj: nn.Linear(in_features=8, out_features=8, bias=False)
        - mask: buffer [4, 4] fp32
      - ln_2: nn.LayerNorm(normalized_shape=(8,))
      - mlp: MLP
        - c_fc: nn.Linear(in_features=8, out_features=32)
        - act: nn.GELU()
        - c_proj: nn.Linear(in_features=32, out_features=8)
  - norm: RMSNorm
    - weight: parameter [8] fp32
  - head: nn.Linear(in_features=8, out_features=50, bias=False)
)");
}

TEST(Analysis, ModulesOfAnotherSizeAreDrawnApart) {
  Net net("uneven.py");
  auto x = net.b.Input("x", {2, 8});
  net.b.Container("layers", "ModuleList");
  x = net.Linear("layers.0", x, 8);
  x = net.Linear("layers.1", net.Relu(x), 8);
  x = net.Linear("layers.2", net.Relu(x), 4);
  EXPECT_EQ(Section(AnalysisText(Planned(&net, {x})), "Module hierarchy"), R"(- Model
  - layers: nn.ModuleList()
    - 0 to 1, each: nn.Linear(in_features=8, out_features=8)
    - 2: nn.Linear(in_features=8, out_features=4)
)");
}

TEST(Analysis, NamesTiedWeightsByAllTheirPaths) {
  EXPECT_EQ(Section(AnalysisText(TinyGpt()), "Tied weights"),
            "- `embed.weight` = `head.weight`, one parameter [50, 8] fp32\n");
  EXPECT_EQ(Section(AnalysisText(Mlp()), "Tied weights"), "- none\n");
}

TEST(Analysis, GivesEveryComponentItsLevelRunsAndReason) {
  const Plan plan = TinyGpt();
  const std::string section = Section(AnalysisText(plan), "Components and their levels");
  EXPECT_EQ(LinesWith(section, "| `").size(), plan.components.size());
  for (const plan::Component& component : plan.components) {
    const std::string& reason = plan.nodes[static_cast<size_t>(component.nodes[0])].reason;
    EXPECT_GT(reason.size(), 10u) << component.stem;
    EXPECT_THAT(reason, Not(HasSubstr("|"))) << "would end its column";
    EXPECT_THAT(section, HasSubstr(absl::StrCat("| `", component.stem, "` | ", LevelName(component.level),
                                                " | ", component.instance_count, " | ", reason, " |\n")));
  }
  EXPECT_THAT(LinesWith(section, "| `block` |"), ElementsAre(HasSubstr("| layer | 2 | Carries a residual")));
}

TEST(Analysis, DataFlowHasTheChildrenAndThePlumbingOfEachParent) {
  const std::string section = Section(AnalysisText(TinyGpt()), "Data flow");
  EXPECT_THAT(section, HasSubstr(R"(### block

```
input x: [2, 4, 8] fp32
-> ln_1 (layer_norm_8_fp32): [2, 4, 8] fp32 -> [2, 4, 8] fp32
-> attn (attention): [2, 4, 8] fp32 -> [2, 4, 8] fp32
   add -> [2, 4, 8] fp32
-> ln_2 (layer_norm_8_fp32): [2, 4, 8] fp32 -> [2, 4, 8] fp32
-> mlp (mlp): [2, 4, 8] fp32 -> [2, 4, 8] fp32
   add -> [2, 4, 8] fp32
output: [2, 4, 8] fp32
```
)"));
  EXPECT_THAT(section, Not(HasSubstr("### layer_norm"))) << "kernels have no parts";
}

TEST(Analysis, AModelThatIsOneKernelHasItsShapesInTheDataFlow) {
  Net net("one.py");
  const auto x = net.b.Input("x", {4, 8});
  const std::string text = AnalysisText(Planned(&net, {net.Linear("fc", x, 2)}));
  EXPECT_THAT(Section(text, "Data flow"), HasSubstr(R"(### linear_8x2_fp32

```
input x: [4, 8] fp32
-> linear_8x2_fp32: [4, 8] fp32 -> [4, 2] fp32
output: [4, 2] fp32
```
)"));
  EXPECT_EQ(Section(text, "Which inputs reach which children"),
            "- `x` reaches `linear_8x2_fp32`, the whole model\n");
}

TEST(Analysis, EveryInputIsFollowedToTheChildrenThatTakeIt) {
  Net net("mixed.py");
  const auto x = net.b.Input("x", {2, 8}), y = net.b.Input("y", {2, 8});
  const auto sum = net.Add(net.Scale(x, 2), y);
  const auto z = net.Relu(net.Linear("both", sum, 8));
  const auto alone = net.Relu(net.Linear("alone", y, 8));
  const std::string section = Section(AnalysisText(Planned(&net, {net.Linear("head", net.Add(z, alone), 2)})),
                                      "Which inputs reach which children");
  EXPECT_EQ(LinesWith(section, "`x` reaches").size(), 1u) << section;
  EXPECT_EQ(LinesWith(section, "`y` reaches").size(), 2u) << "through the sum, and directly\n" << section;
}

TEST(Analysis, EndsWithWhatCaptureObserved) {
  Net net("noted.py");
  const auto x = net.b.Input("x", {2, 8});
  Program program = Recorded(&net, {net.Relu(net.Linear("fc", x, 8))});
  program.notes = {"specialised: branch at noted.py:31"};
  EXPECT_EQ(Section(AnalysisText(plan::PlanOf(std::move(program))), "Observations"),
            "- specialised: branch at noted.py:31\n");
  EXPECT_THAT(AnalysisText(Mlp()), Not(HasSubstr("Observations")));
}

}  // namespace
}  // namespace strata::emit
