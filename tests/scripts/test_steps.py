"""verify_step.py and extract_ops.py on a good step and on the same step with one thing wrong."""

import base64
import json
import re
import struct
import tempfile
import unittest
import zlib

import hand_made
from hand_made import LINEAR, ORIGINAL, REFACTORED, RELU, WEIGHT_MAP, in_child

import extract_ops
import verify_step


class Step(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, original=ORIGINAL, refactored=REFACTORED, linear=LINEAR, relu=RELU, weight_map=WEIGHT_MAP):
        files = {"original.py": original, "refactored.py": refactored, "children/linear_8x8_fp32.py": linear,
                 "children/relu_fp32.py": relu}
        if weight_map is not None:
            files["weight_map.json"] = json.dumps(weight_map)
        hand_made.write(self.folder, files)

    def verdict(self, **files):
        self.write(**files)
        return in_child(verify_step.verify_step, f"{self.folder}/original.py", f"{self.folder}/refactored.py")

    def refactored(self, *changes):
        text = REFACTORED
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        return text

    def assertViolation(self, verdict, kind, words):
        self.assertEqual(verdict["status"], "FAIL", verdict.get("error"))
        self.assertIn(words, json.dumps(verdict["anticheat"][f"{kind}_violations"]))


class GoodSteps(Step):
    def test_a_correct_step_passes_bit_exactly_at_every_workload(self):
        verdict = self.verdict()
        self.assertEqual(verdict["status"], "PASS", verdict)
        numbers = verdict["numerical_comparison"]
        self.assertTrue(numbers["bit_exact"])
        self.assertEqual(numbers["max_diff_across_trials"], 0.0)
        self.assertEqual([(trial["seed"], trial["workload"]) for trial in numbers["trials"]],
                         [(seed, workload) for workload in (0, 1) for seed in (42, 43, 44)])
        self.assertEqual(verdict["weight_transfer"]["unmapped_refactored"], [])

    def test_buffers_may_be_computed_and_unpacked_in_init(self):
        packed = base64.b64encode(zlib.compress(struct.pack("<8f", *range(1, 9)))).decode()
        helper = ("class RefactoredModel", "import base64\nimport zlib\n\n\ndef _unpack(text, dtype, shape):\n"
                  "    data = bytearray(zlib.decompress(base64.b64decode(text)))\n"
                  "    return torch.frombuffer(data, dtype=dtype).reshape(shape)\n\n\nclass RefactoredModel")
        for setup, value in (("", f'_unpack("{packed}", torch.float32, (8,))'),
                             ("steps = torch.arange(8.0)\n        one = steps.cos()[0]\n        ", "steps + one"),
                             ("table = torch.zeros(8)\n        table[:] = torch.arange(8.0)\n        "
                              "table[::2].add_(torch.ones(4))\n        table[1::2] += torch.ones(4)\n        ",
                              "table")):
            with self.subTest(value):
                buffer = ('self.register_buffer("scale", torch.arange(8.0) + 1)',
                          f'{setup}self.register_buffer("scale", {value})')
                verdict = self.verdict(refactored=self.refactored(helper, buffer))
                self.assertEqual(verdict["status"], "PASS", verdict["anticheat"])

    def test_arithmetic_in_place_is_plumbing(self):
        verdict = self.verdict(refactored=self.refactored(
            ("        y = self.down(y) * self.scale + x", "        y = self.down(y)\n        y.mul_(self.scale).add_(x)")))
        self.assertEqual(verdict["status"], "PASS", verdict)

    def test_tolerance_allows_what_the_page_says_and_says_so(self):
        nearly = LINEAR.replace("self.linear(x)", "self.linear(x) * (1 + 2e-7)")
        verdict = self.verdict(linear=nearly)
        self.assertEqual(verdict["status"], "PASS", verdict)
        self.assertFalse(verdict["numerical_comparison"]["bit_exact"])

    def test_half_types_on_the_way_to_an_output_loosen_only_that_output(self):
        half = ("self.down(y) * self.scale + x", "(self.down(y) * self.scale + x).half().float()")
        original = ORIGINAL.replace(*half).replace('"last": (', '"plain": x + 1, "last": (')
        refactored = self.refactored(half, ('"last": (', '"plain": x + 1.00001, "last": ('))
        verdict = self.verdict(original=original, refactored=refactored)
        failed = {detail["path"] for trial in verdict["numerical_comparison"]["trials"]
                  for detail in trial["output_details"] if not detail["matches"]}
        self.assertEqual(failed, {"output['plain']"})
        self.assertEqual(verdict["numerical_comparison"]["rtol"], 1e-3)

    def test_equal_infinities_pass_in_a_component_and_fail_in_the_submitted_model(self):
        infinite = ("+ x\n", "+ x * 1e38 * 1e38\n")
        original, refactored = ORIGINAL.replace(*infinite), self.refactored(infinite)
        self.assertEqual(self.verdict(original=original, refactored=refactored)["status"], "PASS")
        submitted = original + "\n# ---- component self-test ----\n"
        self.assertEqual(self.verdict(original=submitted, refactored=refactored)["status"], "FAIL")

    def test_both_sides_draw_the_same_random_numbers(self):
        noisy = LINEAR.replace("self.linear(x)", "self.linear(x) + torch.rand_like(x)")
        original = ORIGINAL
        for name in ("up", "down", "last"):
            original = original.replace(f"self.{name} = nn.Linear(8, 8)", f"self.{name} = Noisy(8, 8)")
        original = original.replace("class Model", "class Noisy(nn.Linear):\n    def forward(self, x):\n"
                                    "        return super().forward(x) + torch.rand_like(x)\n\n\nclass Model")
        verdict = self.verdict(original=original, linear=noisy)
        self.assertEqual(verdict["status"], "PASS", verdict)

    def test_no_weight_map_is_needed_where_names_and_shapes_tell(self):
        original = ORIGINAL
        for name in ("up", "down", "last"):
            original = original.replace(f"self.{name} = nn.Linear(8, 8)", f"self.{name} = Named()")
        original = original.replace("class Model", LINEAR.split("\n\n")[2].strip().replace("Model", "Named")
                                    + "\n\n    def forward(self, x):\n        return self.linear(x)\n\n\nclass Model")
        original = original.replace("self.last.weight = self.up.weight", "self.last.linear.weight = self.up.linear.weight")
        verdict = self.verdict(original=original, weight_map=None)
        self.assertEqual(verdict["status"], "PASS", verdict)

    def test_without_a_map_equal_types_go_in_order_of_registration(self):
        verdict = self.verdict(weight_map=None)
        self.assertEqual(verdict["status"], "PASS", verdict)
        self.assertEqual(verdict["weight_transfer"]["weight_map"], WEIGHT_MAP)

    def test_what_a_map_leaves_out_goes_by_name(self):
        named = {key: value for key, value in WEIGHT_MAP.items() if key != value}
        verdict = self.verdict(weight_map=named)
        self.assertEqual(verdict["status"], "PASS", verdict)
        self.assertEqual(verdict["weight_transfer"]["weight_map"], WEIGHT_MAP)

    def test_indexing_masks_whole_powers_and_comparisons_that_select_are_plumbing(self):
        for old, new in (("* self.scale + x", "* self.scale + x ** 2"),
                         ("* self.scale + x", "* self.scale + x.masked_fill(x > 0, 0.0)"),
                         ("* self.scale + x", "* self.scale + x[:, [7, 6, 5, 4, 3, 2, 1, 0]]"),
                         ('{"sum": y', '{"where": (x > 0) & ~(x > 1), "sum": y')):
            with self.subTest(new):
                self.assertIn(old, ORIGINAL)
                verdict = self.verdict(original=ORIGINAL.replace(old, new), refactored=self.refactored((old, new)))
                self.assertEqual(verdict["status"], "PASS", verdict["anticheat"])


class BadSteps(Step):
    def test_compute_in_forward_is_found_in_the_source(self):
        verdict = self.verdict(refactored=self.refactored(("self.relu(self.up(x))", "torch.relu(self.up(x))")))
        self.assertViolation(verdict, "source", "torch.relu")

    def test_compute_hidden_from_the_source_is_found_where_it_runs(self):
        for hidden in ("y.clone().__matmul__(y.T).T @ y", "(y > 0) * y", "y ** 0.5 + y"):
            with self.subTest(hidden):
                verdict = self.verdict(refactored=self.refactored(("* self.scale + x", f"* self.scale + x + ({hidden})")))
                self.assertEqual(verdict["status"], "FAIL")
                self.assertNotEqual(verdict["anticheat"]["executed_violations"], [])

    def test_compute_in_a_helper_that_forward_calls_is_found_in_the_source(self):
        helper = ("class RefactoredModel", "def helper(x):\n    return torch.relu(x)\n\n\nclass RefactoredModel")
        verdict = self.verdict(refactored=self.refactored(helper, ("self.relu(self.up(x))", "helper(self.up(x))")))
        self.assertViolation(verdict, "source", "torch.relu")

    def test_calling_a_childs_forward_past_its_border_is_found(self):
        verdict = self.verdict(refactored=self.refactored(("self.relu(self", "self.relu.forward(self")))
        self.assertViolation(verdict, "executed", "relu")

    def test_a_module_built_by_the_parent_is_found(self):
        changed = self.refactored(("self.relu = Relu()", "self.relu = nn.ReLU()"))
        verdict = self.verdict(refactored=changed)
        self.assertViolation(verdict, "source", "torch.nn.ReLU")
        self.assertViolation(verdict, "parameter", "ReLU from no file")

    def test_a_parameter_outside_the_children_is_found(self):
        changed = self.refactored(("self.relu = Relu()", 'self.relu = Relu()\n        self.register_parameter("w", '
                                   "nn.Parameter(torch.ones(1)))"))
        self.assertViolation(self.verdict(refactored=changed), "parameter", "belongs to no child")

    def test_a_buffer_that_the_original_lacks_is_found(self):
        changed = self.refactored(("self.relu = Relu()", "self.relu = Relu()\n"
                                   '        self.register_buffer("table", torch.ones(3), persistent=False)'))
        self.assertViolation(self.verdict(refactored=changed), "parameter", "original does not have")

    def test_a_child_that_is_changed_by_its_parent_is_found(self):
        changed = self.refactored(("self.relu = Relu()", "self.relu = Relu()\n"
                                   "        self.up.linear.weight = nn.Parameter(torch.ones(8, 8))"))
        self.assertViolation(self.verdict(refactored=changed), "source", "changes a child")

    def test_a_child_whose_weight_is_changed_beside_a_buffer_is_found(self):
        buffer = ('self.register_buffer("scale", torch.arange(8.0) + 1)',
                  'child = self.down\n        child.linear.bias.data[0] = torch.zeros(())\n'
                  '        self.register_buffer("scale", torch.arange(8.0) + 1 + 0 * child.linear.bias.data)')
        self.assertViolation(self.verdict(refactored=self.refactored(buffer)), "source", "changes a child")

    def test_a_child_that_reads_files_is_found(self):
        verdict = self.verdict(relu="import os\n" + RELU)
        self.assertViolation(verdict, "source", "imports os")

    def test_a_wrong_operator_fails_on_the_numbers(self):
        verdict = self.verdict(relu=RELU.replace("torch.relu(x)", "torch.nn.functional.leaky_relu(x)"))
        self.assertEqual(verdict["anticheat"]["status"], "PASS", verdict["anticheat"])
        self.assertEqual(verdict["numerical_comparison"]["status"], "FAIL")
        self.assertGreater(verdict["numerical_comparison"]["max_diff_across_trials"], 0)

    def test_swapped_weights_of_equal_shape_fail_on_the_numbers(self):
        swapped = {**WEIGHT_MAP, "up.bias": "down.linear.bias", "down.bias": "up.linear.bias"}
        self.assertEqual(self.verdict(weight_map=swapped)["numerical_comparison"]["status"], "FAIL")

    def test_a_weight_that_nothing_fills_fails_the_transfer(self):
        missing = {key: value for key, value in WEIGHT_MAP.items() if key != "last.bias"}
        verdict = self.verdict(weight_map=missing)
        self.assertEqual(verdict["weight_transfer"]["status"], "FAIL")
        self.assertEqual(verdict["weight_transfer"]["unmapped_refactored"], ["last.linear.bias"])

    def test_nan_fails_even_where_both_have_it(self):
        nan = ("+ x\n", "+ x * float('inf') * 0.0\n")
        verdict = self.verdict(original=ORIGINAL.replace(*nan), refactored=self.refactored(nan))
        self.assertEqual(verdict["numerical_comparison"]["status"], "FAIL")

    def test_another_structure_shape_or_dtype_of_the_output_fails(self):
        for change in ((", None)", ")"), ('"sum": y', '"sum": y.double()'), ('"sum": y', '"sum": y[:1]')):
            with self.subTest(change):
                verdict = self.verdict(refactored=self.refactored(change))
                self.assertEqual(verdict["numerical_comparison"]["status"], "FAIL")

    def test_another_class_of_the_output_fails(self):
        record = ("class RefactoredModel", "class Other(dict):\n    pass\n\n\nclass RefactoredModel")
        verdict = self.verdict(refactored=self.refactored(record, ("return {", "return Other() | {")))
        self.assertEqual(verdict["numerical_comparison"]["status"], "PASS", "a plain dict")
        verdict = self.verdict(refactored=self.refactored(record, ("return {", "return Other({"), ("}\n", "})\n")))
        self.assertEqual(verdict["numerical_comparison"]["status"], "FAIL")

    def test_inputs_changed_in_place_must_be_changed_on_both_sides(self):
        verdict = self.verdict(refactored=self.refactored(("        return {", "        x += 1\n        return {")))
        self.assertEqual(verdict["numerical_comparison"]["status"], "FAIL")

    def test_a_step_that_cannot_be_loaded_is_an_error_that_says_why(self):
        for change, words in ((("class RefactoredModel", "class Other"), "no class RefactoredModel"),
                              (("def forward", "def forward("), "no Python"), (("Relu()", "Relu(1)"), "TypeError")):
            with self.subTest(words):
                verdict = self.verdict(refactored=self.refactored(change))
                self.assertEqual(verdict["status"], "ERROR")
                self.assertIn(words, verdict["error"])


class Coverage(Step):
    def coverage(self, **files):
        self.write(**files)
        return in_child(extract_ops.coverage_of_step, self.folder)

    def counts(self, report):
        return {detail["op_type"]: (detail["original_count"], detail["decomposed_count"], detail["status"])
                for detail in report["coverage"]["op_details"]}

    def test_every_operator_of_a_correct_step_is_covered_once(self):
        report = self.coverage()
        self.assertEqual(report["status"], "FULL_COVERAGE")
        # Two workloads: three linears and one relu each; the arithmetic is the parent's.
        self.assertEqual(self.counts(report), {"linear": (6, 6, "covered"), "relu": (2, 2, "covered")})
        self.assertEqual(report["plumbing"]["add"], 4)

    def test_an_operator_that_no_child_executes_is_missing(self):
        report = self.coverage(relu=RELU.replace("torch.relu(x)", "x.clone()"))
        self.assertEqual(report["coverage"]["missing_op_types"], ["relu"])
        self.assertEqual(report["coverage"]["coverage_pct"], 75.0)
        self.assertEqual(report["status"], "LOW_COVERAGE")

    def test_an_operator_executed_twice_is_extra(self):
        report = self.coverage(relu=RELU.replace("torch.relu(x)", "torch.relu(x).relu_()"))
        self.assertEqual(report["coverage"]["extra_op_types"], ["relu"])
        self.assertNotEqual(report["status"], "FULL_COVERAGE")

    def test_an_operator_whose_result_nothing_reads_is_not_counted(self):
        unread = ORIGINAL.replace("        return {", "        torch.sin(y)\n        return {")
        report = self.coverage(original=unread)
        self.assertEqual(report["status"], "FULL_COVERAGE")
        self.assertEqual(report["plumbing"]["sin"], 2)


class Table(unittest.TestCase):
    def test_the_table_of_plumbing_is_the_engines(self):
        source = (hand_made.SCRIPTS.parents[1] / "program" / "plumbing.cc").read_text(encoding="utf-8")
        for name, table in (("kPlumbingNames", extract_ops.PLUMBING), ("kArithmeticNames", extract_ops.ARITHMETIC),
                            ("kMaskLogicNames", extract_ops.MASK_LOGIC), ("kMaskedFillNames", extract_ops.MASKED_FILL),
                            ("kPowerNames", extract_ops.POWER), ("kIndexingNames", extract_ops.INDEXING),
                            ("kComparisonNames", extract_ops.COMPARISON)):
            with self.subTest(name):
                entries = re.search(name + r"\[\] = \{(.*?)\};", source, re.DOTALL).group(1)
                self.assertEqual(set(re.findall(r'"(\w+)"', entries)), set(table))


if __name__ == "__main__":
    extract_ops.apply_numeric_setting()
    unittest.main()
