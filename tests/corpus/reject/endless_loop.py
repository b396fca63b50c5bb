# expect: 10 s
# options: --wall-seconds 10
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        while True:
            x = torch.relu(x)


def get_inputs():
    return [torch.randn(2, 4)]


def get_init_inputs():
    return []
