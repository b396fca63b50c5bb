"""The scripts inside a bundle that strata-engine made, against what the engine said: usage: ENGINE MODEL.py"""

import hashlib
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def without(value, *names):
    """The JSON without the fields named, at any depth."""
    if isinstance(value, dict):
        return {key: without(item, *names) for key, item in value.items() if key not in names}
    return [without(item, *names) for item in value] if isinstance(value, list) else value


class RealBundle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.bundle = Path(cls.folder.name) / "bundle"
        code, printed = run(cls.engine, "decompose", cls.model, "-o", cls.bundle)
        assert code == 0, printed

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def engine_said(self, path):
        return json.loads((self.bundle / path).read_text(encoding="utf-8"))

    def test_every_check_passes_again_and_the_bundle_stays_as_it_is(self):
        def digests():
            return {str(path): hashlib.sha256(path.read_bytes()).hexdigest()
                    for path in self.bundle.rglob("*") if path.is_file()}
        before = digests()
        code, printed = run(sys.executable, self.bundle / "scripts" / "run_step_pipeline.py", self.bundle)
        self.assertEqual(code, 0, printed)
        self.assertEqual(digests(), before)

    def test_both_count_the_same_operators(self):
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "coverage.json"
            code, printed = run(sys.executable, "-B", self.bundle / "scripts" / "extract_ops.py", "--decomp-dir",
                                self.bundle, "--output", output)
            self.assertEqual(code, 0, printed)
            again = json.loads(output.read_text(encoding="utf-8"))
        differing = ("timestamp",)
        self.assertEqual(without(again, *differing),
                         without(self.engine_said("verification/coverage_summary.json"), *differing))

    def test_both_map_the_same_weights_and_find_no_difference(self):
        for step in sorted((self.bundle / "steps").iterdir()):
            with self.subTest(step.name), tempfile.TemporaryDirectory() as folder:
                output = Path(folder) / "result.json"
                code, printed = run(sys.executable, "-B", self.bundle / "scripts" / "verify_step.py", "--original",
                                    step / "original.py", "--refactored", step / "refactored.py", "--output", output)
                self.assertEqual(code, 0, printed)
                again, said = json.loads(output.read_text()), self.engine_said(step / "verification_result.json")
                self.assertEqual(again["weight_transfer"]["weight_map"], said["weight_transfer"]["weight_map"])
                for verdict in (again["numerical_comparison"], said["numerical_comparison"]):
                    self.assertEqual((verdict["max_diff_across_trials"], verdict["bit_exact"]), (0.0, True))
                self.assertEqual(again["environment"]["numeric"], said["environment"]["numeric"])


if __name__ == "__main__":
    RealBundle.engine, RealBundle.model = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
