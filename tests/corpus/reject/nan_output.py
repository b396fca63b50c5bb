# expect: NaN
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return torch.log(-1 - x.abs())


def get_inputs():
    return [torch.randn(2, 4)]


def get_init_inputs():
    return []
