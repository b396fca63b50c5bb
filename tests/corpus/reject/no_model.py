# expect: no_model.py
# expect: Model
import torch
import torch.nn as nn


class Network(nn.Module):
    def forward(self, x):
        return torch.relu(x)


def get_inputs():
    return [torch.randn(2, 4)]


def get_init_inputs():
    return []
