# expect: memory
# options: --memory 2GiB
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        kept = []
        for _ in range(400):
            kept.append(torch.full((1 << 26,), 1.0))  # 256 MiB a piece, 100 GiB in all
        return x + kept[0][0]


def get_inputs():
    return [torch.randn(2, 4)]


def get_init_inputs():
    return []
