"""A small step and a small bundle, written by hand; the tests change one thing at a time in copies of them."""

import multiprocessing
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "worker" / "engine" / "emit" / "scripts"
sys.path.insert(0, str(SCRIPTS))

SELF_TEST = '''

def run_tests():
    output = Model(*get_init_inputs())(*get_inputs())
    print("PASS")
    return bool(torch.isfinite(output).all())


if __name__ == "__main__":
    raise SystemExit(0 if run_tests() else 1)
'''

# Two linears of equal shape around a reflected division, a residual, a tie and a buffer.
ORIGINAL = '''
import torch
import torch.nn as nn
import torch.nn.functional as F

WORKLOADS = [(4, 8), (2, 8)]


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.Linear(8, 8)
        self.down = nn.Linear(8, 8)
        self.last = nn.Linear(8, 8)
        self.last.weight = self.up.weight
        self.register_buffer("scale", torch.arange(8.0) + 1)

    def forward(self, x):
        y = F.relu(self.up(x))
        y = self.down(y) * self.scale + x
        return {"sum": y, "last": (self.last(2.0 / (y + 100.0)), None)}


def get_inputs(workload=0):
    return [torch.randn(WORKLOADS[workload])]


def get_init_inputs():
    return []
'''

REFACTORED = '''
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
import torch.nn as nn
from children.linear_8x8_fp32 import Model as Linear
from children.relu_fp32 import Model as Relu


class RefactoredModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = Linear()
        self.relu = Relu()
        self.down = Linear()
        self.last = Linear()
        self.last.linear.weight = self.up.linear.weight
        self.register_buffer("scale", torch.arange(8.0) + 1)

    def forward(self, x):
        y = self.relu(self.up(x))
        y = self.down(y) * self.scale + x
        return {"sum": y, "last": (self.last(2.0 / (y + 100.0)), None)}


def get_inputs(workload=0):
    return [torch.randn((4, 8) if workload == 0 else (2, 8))]
'''

LINEAR = '''
import torch
import torch.nn as nn

WORKLOADS = [(4, 8), (2, 8)]


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        return self.linear(x)


def get_inputs(workload=0):
    return [torch.randn(WORKLOADS[workload])]


def get_init_inputs():
    return []
'''

RELU = LINEAR.replace("self.linear = nn.Linear(8, 8)", "pass").replace("self.linear(x)", "torch.relu(x)")

WEIGHT_MAP = {
    "up.weight": "up.linear.weight", "up.bias": "up.linear.bias", "down.weight": "down.linear.weight",
    "down.bias": "down.linear.bias", "last.bias": "last.linear.bias", "scale": "scale",
}


def write(folder, files):
    for name, text in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def in_child(function, *arguments):
    """Runs function in a forked process: torch is imported once, and no step sees another's modules."""
    parent, child = multiprocessing.Pipe()

    def work():
        child.send(function(*arguments))

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    child.close()
    try:
        return parent.recv()
    finally:
        process.join()
