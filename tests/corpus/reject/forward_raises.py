# expect: forward_raises.py, line 13
# expect: RuntimeError
import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        return self.linear(x)


def get_inputs():
    return [torch.randn(2, 4)]


def get_init_inputs():
    return []
