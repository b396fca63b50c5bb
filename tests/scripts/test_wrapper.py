"""verify_wrapper.py and the judge on a Phase 0: usage: ENGINE"""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import hand_made
from hand_made import SCRIPTS

sys.path.insert(0, str(SCRIPTS.parents[3] / "tests" / "corpus"))
import judge_cases  # noqa: E402

STEP_0 = "steps/step_0_preparation"

# What both sides of Phase 0 share: a norm, a buffer that is not mapped, a tie, a dict.
BODY = '''

class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8, eps=1e-5)
        self.last = nn.Linear(8, 8)

    def forward(self, x):
        return self.last(torch.tanh(self.norm(self.first(x))))
'''
HEAD = "import torch\nimport torch.nn as nn\n"
INPUTS = '''

def get_inputs():
    return [torch.randn(4, 8)]


def get_init_inputs():
    return []
'''
# The wrapper, and what is submitted as one file where the engine makes the rest of the bundle.
WRAPPER = HEAD + BODY.replace("class Body", "class Model") + INPUTS
# The submission: an entry in a folder of its own, which imports from source/.
ENTRY = HEAD + '''from parts.body import Body


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = Body()

    def forward(self, x):
        return self.body(x)
''' + INPUTS
SOURCE = {"source/entry/net.py": ENTRY, "source/parts/body.py": HEAD + BODY}


def tree(source_file="source/entry/net.py"):
    return {"metadata": {"source_file": source_file},
            "nodes": {"net": {"id": "net", "level": "model", "path": "level_3_model/net.py", "children": []}}}


class Wrapper(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.bundle = Path(folder.name) / "a bundle"
        self.result = self.bundle / STEP_0 / "verification_result.json"

    def write(self, files):
        hand_made.write(self.bundle, files)
        for script in SCRIPTS.glob("*.py"):
            folder = STEP_0 if script.name == "verify_wrapper.py" else "scripts"
            hand_made.write(self.bundle, {f"{folder}/{script.name}": script.read_text(encoding="utf-8")})

    def check(self, *arguments):
        """(exit code, what it printed, verification_result.json)"""
        done = subprocess.run([sys.executable, self.bundle / STEP_0 / "verify_wrapper.py", *arguments], cwd="/",
                              capture_output=True, text=True, check=False)
        result = json.loads(self.result.read_text(encoding="utf-8")) if self.result.is_file() else None
        return done.returncode, done.stdout + done.stderr, result


class HandMade(Wrapper):
    def bundle_with(self, wrapper=WRAPPER, source_file="source/entry/net.py", **more):
        self.write({**SOURCE, "level_3_model/net.py": wrapper, **more,
                    "decomposition_tree.json": json.dumps(tree(source_file))})

    def changed(self, text, *changes):
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        return text

    def test_keys_without_the_prefix_are_found_and_the_numbers_are_exact(self):
        self.bundle_with()
        code, printed, result = self.check()
        self.assertEqual(code, 0, printed)
        self.assertIn("Trial 2: seed 44, max_diff 0.0 PASS", printed)
        self.assertEqual((result["original_file"], result["refactored_file"], result["status"]),
                         ("source/entry/net.py", "level_3_model/net.py", "PASS"))
        self.assertEqual(result["weight_transfer"]["weight_map"]["body.norm.weight"], "norm.weight")
        self.assertTrue(result["numerical_comparison"]["bit_exact"])

    def test_a_bundle_is_named_and_the_result_goes_elsewhere(self):
        self.bundle_with()
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, SCRIPTS / "verify_wrapper.py", self.bundle, "--output",
                                   Path(folder) / "said.json"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(json.loads((Path(folder) / "said.json").read_text())["status"], "PASS")
        self.assertFalse(self.result.exists())

    def test_another_epsilon_fails_by_its_numbers(self):
        self.bundle_with(self.changed(WRAPPER, ("1e-5", "1e-2")))
        code, printed, result = self.check()
        self.assertEqual((code, result["numerical_comparison"]["status"]), (1, "FAIL"), printed)
        self.assertEqual(result["weight_transfer"]["status"], "OK")

    def test_renamed_weights_of_one_type_need_a_map(self):
        wrapper = self.changed(WRAPPER, ("self.first", "self.one"), ("self.last", "self.two"))
        self.bundle_with(wrapper)
        code, printed, result = self.check()
        self.assertEqual((code, result["weight_transfer"]["status"]), (1, "FAIL"), printed)
        self.assertEqual(result["weight_transfer"]["unmapped_refactored"],
                         ["one.weight", "one.bias", "two.weight", "two.bias"])
        given = {f"body.{old}.{kind}": f"{new}.{kind}" for old, new in (("first", "one"), ("last", "two"))
                 for kind in ("weight", "bias")}
        hand_made.write(self.bundle, {f"{STEP_0}/weight_map.json": json.dumps(given)})
        code, printed, result = self.check()
        self.assertEqual((code, result["weight_transfer"]["mapped_count"]), (0, 6), printed)

    def test_a_buffer_without_a_weight_is_listed_and_a_parameter_in_twenty_fails(self):
        buffer = ("        self.norm", '        self.register_buffer("positions", torch.arange(8))\n        self.norm')
        self.bundle_with(self.changed(WRAPPER, buffer))
        code, printed, result = self.check()
        self.assertEqual((code, result["weight_transfer"]["unmapped_refactored"]), (0, ["positions"]), printed)

        for others, expected in ((14, 0), (13, 1)):  # besides the six that are mapped: one of 21, one of 20
            spare = f"        self.spare = nn.ParameterList(torch.zeros(1) for _ in range({others}))\n        self.norm"
            body = HEAD + self.changed(BODY, ("        self.norm", spare))
            wrapper = self.changed(WRAPPER, ("        self.norm", spare.replace(
                "        self.norm", "        self.unknown = nn.Parameter(torch.zeros(3))\n        self.norm")))
            self.bundle_with(wrapper, **{"source/parts/body.py": body})
            code, printed, result = self.check()
            self.assertEqual(code, expected, printed)
            self.assertEqual(result["weight_transfer"]["unmapped_refactored"], ["unknown"])

    def test_what_cannot_be_judged_is_said_and_nothing_is_written(self):
        self.bundle_with(**{"source/parts/body.py": "import a_package_that_is_not_here\n"})
        code, printed, result = self.check()
        self.assertEqual((code, result), (2, None), printed)
        self.assertIn("a_package_that_is_not_here", printed)
        for source_file in ("source/nothing.py", "level_3_model/net.py"):
            self.bundle_with(source_file=source_file)
            code, printed, result = self.check()
            self.assertEqual((code, result), (2, None), printed)
            self.assertIn("no file of source/", printed)


class Judged(Wrapper):
    """A bundle that the engine made of the wrapper, as somebody would deliver it with a Phase 0."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.made = Path(folder.name) / "bundle"
        hand_made.write(folder.name, {"net.py": WRAPPER})
        done = subprocess.run([cls.engine, "decompose", cls.made.parent / "net.py", "-o", cls.made], capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def setUp(self):
        super().setUp()
        shutil.copytree(self.made, self.bundle)
        (self.bundle / "source" / "net.py").unlink()
        text = (self.bundle / "decomposition_tree.json").read_text(encoding="utf-8")
        self.write({**SOURCE, "decomposition_tree.json": text.replace('"source/net.py"', '"source/entry/net.py"')})

    def verdict(self):
        return next(judge_cases.verdicts(self.engine, [str(self.bundle)], []))

    def rules(self):
        return {violation["rule"] for violation in self.verdict()["violations"]}

    def test_script_and_judge_agree_where_the_wrapper_is_the_submission(self):
        code, printed, _ = self.check()
        self.assertEqual(code, 0, printed)
        verdict = self.verdict()
        self.assertEqual((verdict["verdict"], verdict["not_judged"]), ("accepted", []), verdict["violations"])

        done = subprocess.run([sys.executable, self.bundle / "scripts" / "run_step_pipeline.py", self.bundle],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("PASS  step_0_preparation", done.stdout)

    def test_what_the_numbers_do_not_show_the_judge_finds(self):
        self.assertEqual(self.check()[0], 0)
        body = self.bundle / "source" / "parts" / "body.py"
        body.write_text(SOURCE["source/parts/body.py"].replace("1e-5", "1.1e-5"), encoding="utf-8")
        self.assertEqual(self.check()[0], 0)
        self.assertIn("operators", self.rules())

    def test_a_submission_that_does_not_load_here_cannot_be_judged(self):
        self.assertEqual(self.check()[0], 0)
        self.write({"source/parts/body.py": "import a_package_that_is_not_here\n"})
        self.assertEqual(self.check()[0], 2)
        verdict = self.verdict()
        self.assertEqual(verdict["verdict"], "cannot be judged", verdict["violations"])
        self.assertIn("a_package_that_is_not_here", verdict["error"])

    def test_a_wrapper_that_needs_source_is_found(self):
        self.assertEqual(self.check()[0], 0)
        model, = self.bundle.glob("level_*/net.py")
        model.write_text('import sys\nsys.path.insert(0, __file__.rsplit("/", 2)[0] + "/source")\nimport parts.body\n'
                         + WRAPPER, encoding="utf-8")
        verdict = self.verdict()
        if "landlock" in verdict["environment"]["isolation"]:
            self.assertIn("without source/ it does not load", " ".join(
                found["what"] for found in verdict["violations"] if found["rule"] == "alone"))

    def test_a_verdict_of_another_submission_is_found(self):
        self.assertEqual(self.check()[0], 0)
        self.write({"source/parts/body.py": SOURCE["source/parts/body.py"].replace("1e-5", "1e-2")})
        self.assertEqual(self.rules(), {"operators", "numbers", "results"})


if __name__ == "__main__":
    Judged.engine = sys.argv[1]
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
