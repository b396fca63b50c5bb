"""
mlp (model) as calls of its children and plumbing between them.

Children:
  - linear_relu_784x512
  - linear_relu_512x512
  - linear_512x10_fp32
"""

import sys
from pathlib import Path

import torch
import torch.nn as nn

sys.path.insert(0, str(Path(__file__).resolve().parent))

from children.linear_relu_784x512 import Model as LinearRelu784x512
from children.linear_relu_512x512 import Model as LinearRelu512x512
from children.linear_512x10_fp32 import Model as Linear


class RefactoredModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1_relu = LinearRelu784x512()
        self.fc2_relu = LinearRelu512x512()
        self.fc3 = Linear()

    def forward(self, x):
        x = self.fc1_relu(x)  # [64, 512]
        x = self.fc2_relu(x)
        return self.fc3(x)  # [64, 10]


def get_inputs():
    return [torch.randn(64, 784)]


def get_init_inputs():
    return []
