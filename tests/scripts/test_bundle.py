"""run_step_pipeline.py on a hand-made bundle, and on the same bundle with one file broken."""

import hashlib
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import hand_made
from hand_made import SCRIPTS, SELF_TEST

MODEL = '''import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8)

    def forward(self, x):
        return self.second(torch.relu(self.first(x))) + x


def get_inputs():
    return [torch.randn(4, 8)]


def get_init_inputs():
    return []
'''

REFACTORED = '''import torch
import torch.nn as nn
from children.linear_8x8_fp32 import Model as Linear
from children.relu_fp32 import Model as Relu


class RefactoredModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Linear()
        self.relu = Relu()
        self.second = Linear()

    def forward(self, x):
        return self.second(self.relu(self.first(x))) + x


def get_inputs():
    return [torch.randn(4, 8)]
'''

COMPOSITION = '''import sys
from pathlib import Path

BUNDLE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(BUNDLE / "level_0_kernel"), str(BUNDLE / "level_3_model")]

import torch
import torch.nn as nn
from linear_8x8_fp32 import Model as Linear
from relu_fp32 import Model as Relu
from tiny import Model, get_inputs


class ComposedModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Linear()
        self.relu = Relu()
        self.second = Linear()

    def forward(self, x):
        return self.second(self.relu(self.first(x))) + x


if __name__ == "__main__":
    original, composed = Model().eval(), ComposedModel().eval()
    for name in ("first", "second"):
        getattr(composed, name).linear.load_state_dict(getattr(original, name).state_dict())
    x = get_inputs()[0]
    passed = torch.allclose(original(x), composed(x), rtol=1e-4, atol=1e-5)
    print("PASS" if passed else "FAIL", f"(max_diff={(original(x) - composed(x)).abs().max().item():.2e})")
    sys.exit(0 if passed else 1)
'''

ONE_SHAPE = ("[(4, 8), (2, 8)]", "[(4, 8)]")
LINEAR = hand_made.LINEAR.replace(*ONE_SHAPE) + SELF_TEST
RELU = hand_made.RELU.replace(*ONE_SHAPE) + SELF_TEST
STEP = "steps/step_1_tiny_to_kernels"


def node(name, level, path, children=(), runs=1):
    return {"id": name, "name": name, "level": level, "path": path, "children": list(children),
            "calls": {}, "instance_count": runs, "instances": [],
            "workloads": [{"input_shapes": [[4, 8]], "count": runs}]}


TREE = {
    "metadata": {"format_version": 1, "source_file": "tiny.py", "source_level": "model"},
    "nodes": {
        "tiny": node("tiny", "model", "level_3_model/tiny.py", ["linear_8x8_fp32", "relu_fp32"]),
        "linear_8x8_fp32": node("linear_8x8_fp32", "kernel", "level_0_kernel/linear_8x8_fp32.py", runs=2),
        "relu_fp32": node("relu_fp32", "kernel", "level_0_kernel/relu_fp32.py"),
    },
}

WEIGHTS = {f"{name}.{kind}": f"{name}.linear.{kind}" for name in ("first", "second") for kind in ("weight", "bias")}


def bundle_files():
    component = MODEL + "\n\n# ---- component self-test ----" + SELF_TEST
    return {
        "source/tiny.py": MODEL,
        "level_3_model/tiny.py": component,
        "level_0_kernel/linear_8x8_fp32.py": LINEAR,
        "level_0_kernel/relu_fp32.py": RELU,
        f"{STEP}/original.py": component,
        f"{STEP}/refactored.py": REFACTORED,
        f"{STEP}/children/linear_8x8_fp32.py": LINEAR,
        f"{STEP}/children/relu_fp32.py": RELU,
        f"{STEP}/weight_map.json": json.dumps(WEIGHTS),
        "verification/composition_test.py": COMPOSITION,
        "decomposition_tree.json": json.dumps(TREE),
        **{f"scripts/{path.name}": path.read_text(encoding="utf-8") for path in SCRIPTS.glob("*.py")},
    }


class Bundle(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.bundle = Path(folder.name) / "a bundle"

    def recheck(self, files, *arguments):
        hand_made.write(self.bundle, files)
        done = subprocess.run([sys.executable, self.bundle / "scripts" / "run_step_pipeline.py", self.bundle, *arguments],
                              cwd="/", capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def digests(self):
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in self.bundle.rglob("*") if path.is_file()}

    def test_a_good_bundle_passes_and_stays_as_it_is(self):
        hand_made.write(self.bundle, bundle_files())
        before = self.digests()
        code, printed = self.recheck({})
        self.assertEqual(code, 0, printed)
        self.assertIn("PASS: 1 of 1 steps, 3 of 3 files, composition PASS, coverage FULL_COVERAGE", printed)
        self.assertEqual(self.digests(), before)

    def test_what_is_broken_is_named_and_written_down_when_asked(self):
        files = bundle_files()
        broken = RELU.replace("torch.relu(x)", "torch.nn.functional.leaky_relu(x)")
        files["level_0_kernel/relu_fp32.py"] = files[f"{STEP}/children/relu_fp32.py"] = broken
        code, printed = self.recheck(files, "--write")
        self.assertEqual(code, 1, printed)
        self.assertIn("FAIL  step_1_tiny_to_kernels", printed)
        self.assertIn("FAIL  verification/composition_test.py", printed)
        self.assertIn("missing ['relu'], extra ['leaky_relu']", printed)
        summary = json.loads((self.bundle / "verification" / "step_verification_summary.json").read_text())
        self.assertEqual((summary["passed"], summary["failed"]), (0, 1))
        results = json.loads((self.bundle / "verification" / "test_results.json").read_text())
        self.assertEqual((results["composition_test"], results["passed"]), ("FAIL", 3))
        self.assertGreater(results["max_difference"], 0)
        coverage = json.loads((self.bundle / "verification" / "coverage_summary.json").read_text())
        self.assertEqual(coverage["coverage"]["missing_op_types"], ["relu"])

    def test_a_folder_that_is_no_bundle_is_refused(self):
        code, printed = self.recheck({"scripts/" + path.name: path.read_text() for path in SCRIPTS.glob("*.py")})
        self.assertEqual(code, 2)
        self.assertIn("is no bundle", printed)


if __name__ == "__main__":
    unittest.main()
