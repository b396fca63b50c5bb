"""A three-layer perceptron for 28x28 images, flattened."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    def __init__(self, in_features, hidden_features, num_classes):
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden_features)
        self.fc2 = nn.Linear(hidden_features, hidden_features)
        self.fc3 = nn.Linear(hidden_features, num_classes)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def get_inputs():
    return [torch.randn(64, 784)]


def get_init_inputs():
    return [784, 512, 10]


# ---- component self-test ----
# Component: mlp
# Abstraction Level: model
# Parent: root
# Children: linear_relu_784x512, linear_relu_512x512, linear_512x10_fp32
#
# Operations: linear x3, relu x2
#
# Input Shapes:
#   - x: [64, 784] dtype=torch.float32
#
# Output Shapes:
#   - output: [64, 10] dtype=torch.float32
#
# Weight Shapes:
#   - fc1.weight: [512, 784]
#   - fc1.bias: [512]
#   - fc2.weight: [512, 512]
#   - fc2.bias: [512]
#   - fc3.weight: [10, 512]
#   - fc3.bias: [10]
import torch


def get_expected_output_shape():
    return [(64, 10)]


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
