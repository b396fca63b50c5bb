"""
linear_relu_512x512 (fusion) as calls of its children and plumbing between them.

Children:
  - linear_512x512_fp32
  - relu_fp32
"""

import sys
from pathlib import Path

import torch
import torch.nn as nn

sys.path.insert(0, str(Path(__file__).resolve().parent))

from children.linear_512x512_fp32 import Model as Linear
from children.relu_fp32 import Model as ReLU


class RefactoredModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc2 = Linear()
        self.relu = ReLU()

    def forward(self, x):
        x = self.fc2(x)
        return self.relu(x)


def get_inputs():
    return [torch.rand(64, 512) * 2.3]


def get_init_inputs():
    return []


def get_expected_output_shape():
    return [(64, 512)]
