#!/usr/bin/env python3
"""Checks a whole bundle again: every step, every component file alone, coverage, and the composition of kernels.

    python run_step_pipeline.py BUNDLE [--device cpu|cuda] [--jobs N] [--timeout SECONDS] [--write]

Each check runs in a process of its own. Exit code: 0 all pass, 1 something failed, 2 this is no bundle. Needs
PyTorch and nothing else. The bundle stays as it is, unless --write asks for fresh result files in it.
"""

import argparse
import concurrent.futures
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
SELF_TEST_LINE = "# ---- component self-test ----"  # only the submitted model's file has it
RUN_TESTS = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("component", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["component"] = module
spec.loader.exec_module(module)
sys.exit(0 if module.run_tests() else 1)
"""


class Checks:
    """Runs checks as processes; the numeric setting and its reasons are in extract_ops.py."""

    def __init__(self, bundle, device, timeout):
        self.bundle, self.device, self.timeout = bundle, device, timeout
        self.environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", TORCH_CPP_LOG_LEVEL="ERROR",
                                CUBLAS_WORKSPACE_CONFIG=":4096:8")

    def run(self, *command):
        """(exit code, what it printed)"""
        try:
            done = subprocess.run([sys.executable, *map(str, command)], env=self.environment, timeout=self.timeout,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, errors="replace", check=False)
        except subprocess.TimeoutExpired:
            return 124, f"still running after {self.timeout} s"
        return done.returncode, done.stdout

    def run_json(self, *command):
        """(the JSON that the command writes to --output, what it printed)"""
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "result.json"
            code, printed = self.run(*command, "--device", self.device, "--output", output)
            if not output.exists():
                return {"status": "ERROR", "error": f"exit code {code}"}, printed
            return json.loads(output.read_text(encoding="utf-8")), printed

    def step(self, step_dir):
        verdict, printed = self.run_json(SCRIPTS / "verify_step.py", "--original", step_dir / "original.py",
                                         "--refactored", step_dir / "refactored.py")
        coverage, coverage_printed = self.run_json(SCRIPTS / "extract_ops.py", "--step", step_dir)
        full = coverage["status"] == "FULL_COVERAGE"
        return verdict, coverage, "" if verdict["status"] == "PASS" and full else printed + coverage_printed

    def component(self, path):
        """Whether the file run alone passes, and what it printed."""
        submitted = SELF_TEST_LINE in path.read_text(encoding="utf-8")
        code, printed = self.run("-c", RUN_TESTS, path) if submitted else self.run(path)
        return code == 0 and "PASS" in printed, printed

    def composition(self):
        """Whether it passes, the largest difference that it printed (None where it printed none), what it printed."""
        code, printed = self.run(self.bundle / "verification" / "composition_test.py")
        differences = [float(number) for number in re.findall(r"max_diff=([0-9.e+-]+)", printed)]
        return code == 0 and "PASS" in printed, max(differences, default=None), printed


def steps_of(bundle):
    """In the order of their numbers; a step without refactored.py (Phase 0) is not among them."""
    found = [path.parent for path in bundle.glob("steps/step_*/refactored.py")]
    return sorted(found, key=lambda path: int(path.name.split("_")[1]))


def show(name, passed, detail, printed):
    print(f"{'PASS' if passed else 'FAIL'}  {name}{'  ' + detail if detail else ''}")
    if not passed:
        print("".join(f"      {line}\n" for line in printed.strip().splitlines()[-30:]), end="")


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def check_steps(checks, pool, write):
    """step_verification_summary.json"""
    entries, steps = [], steps_of(checks.bundle)
    for step_dir, (verdict, coverage, printed) in zip(steps, pool.map(checks.step, steps)):
        percent = coverage.get("coverage", {}).get("coverage_pct")
        numbers = verdict.get("numerical_comparison", {})
        passed = verdict["status"] == "PASS" and coverage["status"] == "FULL_COVERAGE"
        entries.append({
            "step_name": step_dir.name,
            "verification_status": verdict["status"] if passed or verdict["status"] != "PASS" else "FAIL",
            "coverage_pct": percent,
            "max_diff": numbers.get("max_diff_across_trials"),
            "anticheat_status": verdict.get("anticheat", {}).get("status"),
        })
        show(step_dir.name, passed, f"max_diff {numbers.get('max_diff_across_trials')}, coverage {percent} %", printed)
        if write:
            write_json(step_dir / "verification_result.json", verdict)
            write_json(step_dir / "coverage_report.json", coverage)
    passed = sum(entry["verification_status"] == "PASS" for entry in entries)
    return {
        "timestamp": now(),
        "decomp_dir": ".",
        "status": "PASS" if passed == len(entries) else "FAIL",
        "total_steps": len(entries),
        "passed": passed,
        "failed": len(entries) - passed,
        "skipped": 0,
        "steps": entries,
    }


def check_files(checks, pool):
    """test_results.json, the composition included"""
    files = sorted(checks.bundle.glob("level_[0-3]_*/*.py"), key=lambda path: (path.parts[-2], path.name))
    results = []
    for path, (passed, printed) in zip(files, pool.map(checks.component, files)):
        name = str(path.relative_to(checks.bundle))
        results.append({"file": name, "status": "PASS" if passed else "FAIL"})
        show(name, passed, "", printed)
    passed, difference, printed = checks.composition()
    show("verification/composition_test.py", passed, "", printed)
    good = sum(result["status"] == "PASS" for result in results)
    return {
        "timestamp": now(),
        "total_components": len(results),
        "passed": good,
        "failed": len(results) - good,
        "composition_test": "PASS" if passed else "FAIL",
        "max_difference": difference,
        "component_results": results,
    }


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--jobs", type=int, default=max(1, len(os.sched_getaffinity(0)) // 2))
    parser.add_argument("--timeout", type=int, default=900, help="of each check, in seconds")
    parser.add_argument("--write", action="store_true", help="write the result files of this run into the bundle")
    arguments = parser.parse_args()
    bundle = Path(arguments.bundle).resolve()
    if not (bundle / "decomposition_tree.json").is_file():
        print(f"ERROR: {bundle} is no bundle: it has no decomposition_tree.json")
        return 2

    checks = Checks(bundle, arguments.device, arguments.timeout)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        steps = check_steps(checks, pool, arguments.write)
        files = check_files(checks, pool)
    coverage, printed = checks.run_json(SCRIPTS / "extract_ops.py", "--decomp-dir", bundle)
    full = coverage["status"] == "FULL_COVERAGE"
    show("coverage", full, f"{coverage.get('coverage', {}).get('coverage_pct')} %", printed)
    if arguments.write:
        write_json(bundle / "verification" / "step_verification_summary.json", steps)
        write_json(bundle / "verification" / "test_results.json", files)
        write_json(bundle / "verification" / "coverage_summary.json", coverage)

    passed = steps["status"] == "PASS" and files["failed"] == 0 and files["composition_test"] == "PASS" and full
    print(f"{'PASS' if passed else 'FAIL'}: {steps['passed']} of {steps['total_steps']} steps, {files['passed']} of "
          f"{files['total_components']} files, composition {files['composition_test']}, coverage {coverage['status']}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
