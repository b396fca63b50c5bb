"""The caller's tensor changed in place, and one tensor returned in three places."""
import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 4)

    def forward(self, x):
        x *= 2
        x += 1
        h = torch.tanh(self.first(x))
        return self.second(h), (h, h), {"again": h}


def get_inputs():
    return [torch.randn(4, 8)]


def get_init_inputs():
    return []
