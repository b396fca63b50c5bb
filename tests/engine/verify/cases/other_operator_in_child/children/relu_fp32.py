import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    def forward(self, x):
        return F.leaky_relu(x)


def get_inputs():
    return [torch.randn(4, 8)]


def get_init_inputs():
    return []
