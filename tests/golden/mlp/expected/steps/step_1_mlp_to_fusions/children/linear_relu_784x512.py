"""
Component: linear_relu_784x512
Abstraction Level: fusion
Parent: mlp
Children: linear_784x512_fp32, relu_fp32

Operations: linear, relu

Input Shapes:
  - x: [64, 784] dtype=torch.float32

Output Shapes:
  - output: [64, 512] dtype=torch.float32

Weight Shapes:
  - fc1.weight: [512, 784]
  - fc1.bias: [512]
"""

import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """
    Linear relu.

    Extracted from: mlp, as fc1_relu
    """

    def __init__(self, in_features=784, out_features=512):
        super().__init__()
        self.fc1 = nn.Linear(in_features, out_features)

    def forward(self, x):
        return F.relu(self.fc1(x))  # [64, 512]


def get_inputs():
    return [torch.randn(64, 784)]


def get_init_inputs():
    return [784, 512]


def get_expected_output_shape():
    return [(64, 512)]


def run_tests():
    """Verify this component executes correctly."""
    try:
        model = Model(*get_init_inputs())
        model.eval()
        with torch.no_grad():
            inputs = get_inputs()
            output = model(*inputs)
            outputs = [output] if isinstance(output, torch.Tensor) else list(output)
            expected_shapes = get_expected_output_shape()
            assert len(outputs) == len(expected_shapes), f"{len(outputs)} outputs, expected {len(expected_shapes)}"
            for i, (actual, expected) in enumerate(zip(outputs, expected_shapes)):
                assert not torch.isnan(actual).any(), f"Output {i} contains NaN"
                assert not torch.isinf(actual).any(), f"Output {i} contains Inf"
                assert tuple(actual.shape) == expected, f"Output {i}: {tuple(actual.shape)}, expected {expected}"
            print(f"Input shape(s): {[tuple(x.shape) for x in inputs if isinstance(x, torch.Tensor)]}")
            print(f"Output shape(s): {[tuple(x.shape) for x in outputs]}")
        print("PASS")
        return True
    except Exception as e:
        print(f"FAIL: {e}")
        import traceback

        traceback.print_exc()
        return False


if __name__ == "__main__":
    import sys

    sys.exit(0 if run_tests() else 1)
