# expect: exit
import os

import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        os._exit(0)


def get_inputs():
    return [torch.randn(2, 4)]


def get_init_inputs():
    return []
