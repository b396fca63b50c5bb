"""A dataclass with a named tuple, an ordered dict and None inside as the output."""
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Optional

import torch
import torch.nn as nn

Statistics = namedtuple("Statistics", ["mean", "spread"])


@dataclass
class Output:
    logits: torch.Tensor
    statistics: Statistics
    states: OrderedDict
    loss: Optional[torch.Tensor] = None


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(8, 16)
        self.mean = nn.Linear(16, 4)
        self.spread = nn.Linear(16, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        h = torch.tanh(self.encoder(x))
        mean = self.mean(h)
        spread = torch.exp(self.spread(h))
        return Output(self.head(mean), Statistics(mean, spread), OrderedDict(hidden=h))


def get_inputs():
    return [torch.randn(4, 8)]


def get_init_inputs():
    return []
