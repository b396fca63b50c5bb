# expect: init_raises.py, line 10
# expect: missing 1 required positional argument
import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(4)

    def forward(self, x):
        return self.linear(x)


def get_inputs():
    return [torch.randn(2, 4)]


def get_init_inputs():
    return [4]
