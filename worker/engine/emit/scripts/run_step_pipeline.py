#!/usr/bin/env python3
"""Checks a whole bundle again: every step, every component file alone, coverage, and the composition of kernels.

    python run_step_pipeline.py BUNDLE [--device cpu|cuda] [--jobs N] [--timeout SECONDS] [--write]

Where the bundle has a Phase 0, its verify_wrapper.py is run too; where what the submission needs is not installed,
it cannot be judged, and that is no pass.
Each check runs in a process of its own, forked from this one, which has imported torch and nothing else. Exit code:
0 all pass, 1 something failed, 2 this is no bundle. Needs PyTorch and nothing else. The bundle stays as it is, unless
--write asks for fresh result files in it.
"""

import argparse
import collections
import datetime
import json
import multiprocessing
import multiprocessing.connection
import os
import re
import runpy
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # a bundle stays as it was delivered

import extract_ops  # noqa: E402
import verify_step  # noqa: E402


# ---------------------------------------------------------------------------------- checks, each in its process


def check_step(step_dir, device):
    return verify_step.verify_step(step_dir / "original.py", step_dir / "refactored.py", None, device)


def check_coverage(function, folder, device):
    extract_ops.apply_numeric_setting()
    return function(folder, device=device)


def check_script(path, *arguments):
    """What `python PATH ARGUMENTS` does; returns the exit code."""
    sys.argv, sys.path[0] = [str(path), *arguments], str(path.parent)
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    return 0


def check_component(path):
    """The file run alone. The submitted model's may have a __main__ of its own, so its run_tests() is called."""
    if verify_step.SELF_TEST_LINE not in path.read_text(encoding="utf-8"):
        return check_script(path)
    return 0 if extract_ops.load_file(path, "component").run_tests() else 1


def work(pipe, log, check, arguments):
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        pipe.send(check(*arguments))
    except extract_ops.LoadError as error:
        print(f"ERROR: {error}")
    finally:
        sys.stdout.flush()


class Running:
    """One check under way."""

    def __init__(self, check, arguments, timeout):
        self.log = tempfile.TemporaryFile()
        self.pipe, other = multiprocessing.Pipe(duplex=False)
        sys.stdout.flush()
        self.process = multiprocessing.get_context("fork").Process(target=work,
                                                                   args=(other, self.log.fileno(), check, arguments))
        self.process.start()
        other.close()
        self.deadline = time.monotonic() + timeout

    def finish(self):
        """(what the check returned, None where it did not; what it printed)"""
        late = time.monotonic() > self.deadline and not self.pipe.poll()
        if late:
            self.process.kill()
        try:
            result = None if late else self.pipe.recv()
        except EOFError:
            result = None
        self.process.join()
        self.log.seek(0)
        printed = self.log.read().decode(errors="replace")
        if result is None:
            printed += "\nran past its time limit" if late else f"\nended with exit code {self.process.exitcode}"
        return result, printed


def run_all(checks, jobs, timeout):
    """Yields finish() of every (check, arguments), in their order, `jobs` at a time."""
    waiting, running, done, following = collections.deque(enumerate(checks)), {}, {}, 0
    while waiting or running:
        while waiting and len(running) < jobs:
            index, (check, arguments) = waiting.popleft()
            running[index] = Running(check, arguments, timeout)
        ready = multiprocessing.connection.wait([one.pipe for one in running.values()], timeout=1)
        for index, one in list(running.items()):
            if one.pipe in ready or time.monotonic() > one.deadline:
                done[index] = running.pop(index).finish()
        while following in done:
            yield done.pop(following)
            following += 1


# ---------------------------------------------------------------------------------- the bundle


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


def check_wrapper(bundle, options):
    """Whether Phase 0, where there is one, passes."""
    script = bundle / "steps" / "step_0_preparation" / "verify_wrapper.py"
    if not script.is_file():
        return True
    arguments = ["--device", options.device] + ([] if options.write else ["--output", os.devnull])
    (code, printed), = run_all([(check_script, (script, *arguments))], 1, options.timeout)
    show("step_0_preparation", code == 0, "cannot be judged" if code == 2 else "", printed)
    return code == 0


def check_steps(bundle, options):
    """step_verification_summary.json"""
    steps, entries = steps_of(bundle), []
    checks = [pair for step_dir in steps for pair in (
        (check_step, (step_dir, options.device)),
        (check_coverage, (extract_ops.coverage_of_step, step_dir, options.device)))]
    results = run_all(checks, options.jobs, options.timeout)
    for step_dir, (verdict, printed), (coverage, coverage_printed) in zip(steps, results, results):
        verdict = verdict or {"status": "ERROR", "error": "no verdict"}
        coverage = coverage or {"status": "ERROR"}
        percent = coverage.get("coverage", {}).get("coverage_pct")
        difference = verdict.get("numerical_comparison", {}).get("max_diff_across_trials")
        passed = verdict["status"] == "PASS" and coverage["status"] == "FULL_COVERAGE"
        entries.append({
            "step_name": step_dir.name,
            "verification_status": verdict["status"] if passed or verdict["status"] != "PASS" else "FAIL",
            "coverage_pct": percent,
            "max_diff": difference,
            "anticheat_status": verdict.get("anticheat", {}).get("status"),
        })
        show(step_dir.name, passed, f"max_diff {difference}, coverage {percent} %", printed + coverage_printed)
        if not passed and "anticheat" in verdict:
            verify_step.report(verdict)
        if options.write:
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


def check_files(bundle, options):
    """test_results.json, the composition included"""
    files = sorted(bundle.glob("level_[0-3]_*/*.py"), key=lambda path: (path.parts[-2], path.name))
    checks = [(check_component, (path,)) for path in files]
    checks.append((check_script, (bundle / "verification" / "composition_test.py",)))
    results = []
    for path, (code, printed) in zip([*files, None], run_all(checks, options.jobs, options.timeout)):
        passed = code == 0 and "PASS" in printed
        name = str(path.relative_to(bundle)) if path else "verification/composition_test.py"
        show(name, passed, "", printed)
        results.append({"file": name, "status": "PASS" if passed else "FAIL"})
    composition = results.pop()["status"]
    differences = [float(number) for number in re.findall(r"max_diff=([0-9.e+-]+)", printed)]
    good = sum(result["status"] == "PASS" for result in results)
    return {
        "timestamp": now(),
        "total_components": len(results),
        "passed": good,
        "failed": len(results) - good,
        "composition_test": composition,
        "max_difference": max(differences, default=None),
        "component_results": results,
    }


def check_whole(bundle, options):
    """coverage_summary.json"""
    check = (check_coverage, (extract_ops.coverage_of_bundle, bundle, options.device))
    (coverage, printed), = run_all([check], 1, options.timeout)
    coverage = coverage or {"status": "ERROR"}
    numbers = coverage.get("coverage", {})
    missing, extra = numbers.get("missing_op_types"), numbers.get("extra_op_types")
    detail = f"{numbers.get('coverage_pct')} %, missing {missing}, extra {extra}"
    show("coverage", coverage["status"] == "FULL_COVERAGE", detail, printed)
    return coverage


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--timeout", type=int, default=900, help="of each check, in seconds")
    parser.add_argument("--write", action="store_true", help="write the result files of this run into the bundle")
    options = parser.parse_args()
    bundle = Path(options.bundle).resolve()
    if not (bundle / "decomposition_tree.json").is_file():
        print(f"ERROR: {bundle} is no bundle: it has no decomposition_tree.json")
        return 2

    wrapper = check_wrapper(bundle, options)
    steps = check_steps(bundle, options)
    files = check_files(bundle, options)
    coverage = check_whole(bundle, options)
    if options.write:
        write_json(bundle / "verification" / "step_verification_summary.json", steps)
        write_json(bundle / "verification" / "test_results.json", files)
        write_json(bundle / "verification" / "coverage_summary.json", coverage)

    passed = (wrapper and steps["status"] == "PASS" and files["failed"] == 0 and files["composition_test"] == "PASS"
              and coverage["status"] == "FULL_COVERAGE")
    print(f"{'PASS' if passed else 'FAIL'}: {steps['passed']} of {steps['total_steps']} steps, {files['passed']} of "
          f"{files['total_components']} files, composition {files['composition_test']}, coverage {coverage['status']}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
