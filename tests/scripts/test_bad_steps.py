"""The scripts on steps of tests/corpus/reject that anybody's honest mistake could be: each must end with an error."""

import sys
import tempfile
import unittest
from pathlib import Path

import hand_made
from hand_made import SCRIPTS

sys.path.insert(0, str(SCRIPTS.parents[3] / "tests" / "corpus"))
import cases  # noqa: E402
import scripts_agree  # noqa: E402


class BadSteps(unittest.TestCase):
    def codes(self, name, variant):
        """What verify_step.py and extract_ops.py end with."""
        with tempfile.TemporaryDirectory() as folder:
            cases.unpack(cases.read(cases.TESTS / "corpus" / "reject" / f"{name}.case"), variant, folder)
            return [hand_made.in_child(check, *arguments)
                    for check, arguments in scripts_agree.step_scripts(Path(folder), Path(folder))]

    def test_the_step_checker_finds_them_and_passes_their_honest_twins(self):
        for name, code in (("cache_is_not_written", 1), ("imports_a_child_that_is_missing", 2),
                           ("map_leaves_out_a_bias", 1), ("matrices_multiplied_by_the_at_sign", 1),
                           ("noise_drawn_in_another_order", 1), ("output_is_transposed", 1),
                           ("parameter_in_the_parent", 1), ("relu_as_a_product_with_a_comparison", 1)):
            with self.subTest(name):
                self.assertEqual(self.codes(name, "bad")[0], code)
                self.assertEqual(self.codes(name, "honest"), [0, 0])

    def test_the_counter_finds_an_operator_that_is_lost_or_added(self):
        for name in ("clamp_that_never_binds", "relu_called_a_second_time", "fresh_batch_norm_is_left_out"):
            with self.subTest(name):
                self.assertEqual(self.codes(name, "bad")[1], 1)


if __name__ == "__main__":
    unittest.main()
