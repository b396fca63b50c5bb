// The per-class table of constructor settings (worker/engine/capture/settings.py).
#include "gtest/gtest.h"
#include "tests/engine/capture/interpreter.h"

namespace strata::capture {
namespace {

TEST(Settings, EveryRowOfTheTableDescribesItsModule) {
  const auto unknown = Evaluate(R"py(
import strata_capture_settings as settings
from torch import nn
made = {
    "Linear": [(3, 4), dict()], "Bilinear": [(2, 3, 4), dict(bias=False)], "Embedding": [(4, 5), dict(padding_idx=1)],
    "EmbeddingBag": [(4, 5), dict(mode="sum")], "LayerNorm": [((5, 5),), dict(bias=False)], "RMSNorm": [(4,), dict()],
    "GroupNorm": [(2, 4), dict(affine=False)], "PReLU": [(4, 0.1), dict()], "Threshold": [(0.1, 20), dict()],
    "Unflatten": [(1, (2, 3)), dict()], "PixelShuffle": [(2,), dict()], "PixelUnshuffle": [(2,), dict()],
    "ChannelShuffle": [(2,), dict()], "Fold": [((4, 4), 2), dict()], "Unfold": [(3,), dict()],
    "MultiheadAttention": [(8, 2), dict(bias=False, kdim=4, add_bias_kv=True)], "LocalResponseNorm": [(2,), dict()],
    "CrossMapLRN2d": [(2,), dict()], "Upsample": [(), dict(scale_factor=2, mode="bilinear", align_corners=True)],
    "UpsamplingNearest2d": [(), dict(size=3)], "UpsamplingBilinear2d": [(), dict(scale_factor=2)],
    "Hardtanh": [(0, 6), dict()], "MaxUnpool2d": [(2,), dict(stride=3)], "Softmax": [(-1,), dict()],
}
for d in "123":
    made["Conv" + d + "d"] = [(2, 4, 3), dict(padding=1, groups=2, bias=False, padding_mode="reflect")]
    made["ConvTranspose" + d + "d"] = [(2, 4, 3), dict(stride=2, output_padding=1, dilation=2)]
    made["BatchNorm" + d + "d"] = made["InstanceNorm" + d + "d"] = [(3,), dict(affine=False, eps=0.1)]
    made["MaxPool" + d + "d"] = [(3,), dict(stride=2, return_indices=True)]
    made["AvgPool" + d + "d"] = [(3,), dict(count_include_pad=False)]
    made["LPPool" + d + "d"] = [(2, 3), dict()]
    made["MaxUnpool" + d + "d"] = [(2,), dict()]
    made["AdaptiveAvgPool" + d + "d"] = made["AdaptiveMaxPool" + d + "d"] = [(1,), dict()]
    made["ConstantPad" + d + "d"] = [(1, 0.5), dict()]
    for pad in ("ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad"):
        made[pad + d + "d"] = [(1,), dict()]
for cell in ("LSTM", "GRU", "RNN"):
    made[cell] = [(3, 4), dict(num_layers=2, bidirectional=True, bias=False)]
    made[cell + "Cell"] = [(3, 4), dict(bias=False)]

def check(cls):
    args, kwargs = made.get(cls.__name__, [(), {}])
    rows = settings.of(cls(*args, **kwargs))
    if rows is None:
        return "unknown"
    said = {name: eval(text) for name, text, _ in rows}
    wrong = {k: v for k, v in kwargs.items() if said.get(k) != v}
    return wrong or None

wrong = {cls.__name__: check(cls) for cls in settings._BY_CLASS if check(cls)}
)py",
                                "(len(settings._BY_CLASS) > 100, wrong)");
  ASSERT_TRUE(unknown.ok());
  EXPECT_EQ(*unknown, "(True, {})");
  EXPECT_EQ(*Evaluate("import sys", "'torch._dynamo' in sys.modules"), "False")
      << "that import costs seconds";
}

TEST(Settings, AModuleThatIsNotWhatItsConstructorMakesIsUnknown) {
  const auto rows = Evaluate(R"py(
import strata_capture_settings as settings
from torch import nn
conv = nn.Conv2d(1, 1, 3)
conv.extra = 1
swapped = nn.Linear(3, 4)
swapped.weight = nn.Parameter(torch.ones(5, 5))
)py",
                             "(settings.of(conv), settings.of(swapped), settings.of(nn.Sequential()))");
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(*rows, "(None, None, None)");
}

}  // namespace
}  // namespace strata::capture
