"""Holds a bundle's standalone scripts against the engine: of honest work both must say the same.

    python tests/corpus/scripts_agree.py ENGINE [-j N] [--share K/N] [--only PATTERN] [--kind step|bundle] PATH...

A PATH is a case, a folder of cases, a bundle or a step; a case stands for its honest variant. Of a step,
verify_step.py and extract_ops.py must give the verdict, the weights, the trials and the counts that the engine gives.
A bundle is moved, its scripts/ are those of this tree, run_step_pipeline.py and composition_test.py must pass there,
and the engine must accept it with the results that the pipeline wrote as it accepts it with its own: the rule
`results` of docs/judge.md says which fields have to be equal. Prints each disagreement; exit 1 where there is one.
"""

import argparse
import concurrent.futures
import fnmatch
import json
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import tempfile
import time

import cases
import judge_cases

sys.path.insert(0, str(cases.SCRIPTS))
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
import run_step_pipeline  # noqa: E402

TIMEOUT = 600  # of one script, in seconds
LIMITS = ["--wall-seconds", "120", "--memory-mib", "3000"]
WEIGHTS = ("status", "mapped_count", "unmapped_original", "unmapped_refactored", "weight_map")
NUMBERS = ("status", "rtol", "atol", "input_dtype", "num_trials")
OUTPUTS = ("output_idx", "shape", "dtype", "matches")
COVERAGE = ("total_original_ops", "total_decomposed_ops", "covered_op_count", "coverage_pct", "missing_op_types",
            "extra_op_types")
DETAILS = ("op_type", "original_count", "decomposed_count", "status")


# ---- what is compared ----------------------------------------------------------------------------------


def kind_of(folder):
    return "bundle" if (folder / "decomposition_tree.json").is_file() else "step"


def work(paths, temporary, only, kinds, share):
    """[(name, folder)] of the paths: cases unpacked into temporary, other folders as they lie there."""
    found = {}
    for path in map(pathlib.Path, paths):
        if path.suffix == ".case" or any(path.glob("*.case")):
            found.update(cases.find([path]))
        elif (path / "decomposition_tree.json").is_file() or (path / "refactored.py").is_file():
            found[str(path)] = path.resolve()
        else:
            sys.exit(f"{path} is no case, no folder of cases, no bundle and no step")
    listed = [(name, what) for name, what in sorted(found.items())
              if fnmatch.fnmatch(name, only) and (what.kind if isinstance(what, cases.Case) else kind_of(what)) in kinds]
    part, parts = (int(number) for number in share.split("/"))
    result = []
    for name, what in listed[part::parts]:
        folder = what
        if isinstance(what, cases.Case):
            folder = temporary / "given" / name
            cases.unpack(what, "honest", folder)
        result.append((name, folder))
    return result


# ---- both sides ----------------------------------------------------------------------------------------


def engine_says(engine, folders, jobs):
    """The verdict of each folder, by `jobs` engines at a time."""
    parts = max(1, min(jobs, len(folders)))
    with concurrent.futures.ThreadPoolExecutor(parts) as pool:
        judged = pool.map(lambda part: judge_cases.verdicts(engine, list(map(str, folders[part::parts])), LIMITS),
                          range(parts if folders else 0))
        found = {}
        for part, verdicts in enumerate(judged):
            found.update(zip(folders[part::parts], verdicts))
    return found


def run_script(script, arguments):
    """What `python SCRIPT ARGUMENTS` does, in a process that has torch already; returns the exit code."""
    os.chdir("/")
    sys.argv, sys.path[0] = [str(script), *map(str, arguments)], str(script.parent)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    return 0


def run_alone(script, arguments):
    return subprocess.run([sys.executable, script, *arguments], cwd="/", check=False).returncode


def step_scripts(folder, results):
    """The checks of a step, as run_all wants them; each leaves its JSON in results."""
    return [(run_script, (cases.SCRIPTS / "verify_step.py", (
                "--original", folder / "original.py", "--refactored", folder / "refactored.py",
                "--output", results / "verification_result.json"))),
            (run_script, (cases.SCRIPTS / "extract_ops.py", (
                "--step", folder, "--output", results / "coverage_report.json")))]


def bundle_scripts(folder, moved):
    """The checks of a bundle, in a copy of it."""
    shutil.copytree(folder, moved)
    of_wrapper = moved / "steps" / "step_0_preparation" / "verify_wrapper.py"
    for script in cases.SCRIPTS.glob("*.py"):
        there = of_wrapper if script.name == of_wrapper.name else moved / "scripts" / script.name
        if there.parent.is_dir():
            shutil.copy(script, there)
    return [(run_alone, (moved / "scripts" / "run_step_pipeline.py", (moved, "--write"))),
            (run_alone, (moved / "verification" / "composition_test.py", ()))]


# ---- comparison ----------------------------------------------------------------------------------------


def differing(where, names, engine, script):
    return [f"{where}{name}: the engine says {engine.get(name)}, the script {script.get(name)}"
            for name in names if engine.get(name) != script.get(name)]


def trials_of(verification):
    numbers = verification["numerical_comparison"]
    return {(trial["seed"], trial.get("workload", 0)): trial for trial in numbers["trials"]}


def within(difference, numbers):
    return difference is not None and difference <= numbers["atol"]


def verification_differences(engine, script):
    """Between two verification_result.json. With weights that the engine drew only the verdicts can be equal."""
    found = differing("", ("status",), engine, script)
    found += differing("anticheat.", ("status",), engine["anticheat"], script["anticheat"])
    found += differing("weight_transfer.", WEIGHTS, engine["weight_transfer"], script["weight_transfer"])
    numbers, again = engine["numerical_comparison"], script["numerical_comparison"]
    found += differing("numerical_comparison.", NUMBERS, numbers, again)
    theirs = trials_of(script)
    for key, trial in trials_of(engine).items():
        where = "trial of seed {}, workload {}: ".format(*key)
        if key not in theirs:
            found.append(f"{where}the script has none")
            continue
        found += differing(where, ("pass",), trial, theirs[key])
        if trial.get("weights", "as built") == "as built" and trial.get("inputs", "as built") == "as built":
            found += output_differences(where, trial, theirs[key], numbers)
    return found


def output_differences(where, trial, again, numbers):
    outputs, theirs = trial["output_details"], again["output_details"]
    if len(outputs) != len(theirs):
        return [f"{where}the engine compares {len(outputs)} outputs, the script {len(theirs)}"]
    found = []
    for output, their in zip(outputs, theirs):
        place = f"{where}output {output['output_idx']}: "
        found += differing(place, OUTPUTS, output, their)
        if within(output["max_diff"], numbers) != within(their["max_diff"], numbers):
            found += differing(place, ("max_diff",), output, their)
        found += differing(place, ("bit_exact",), output, their)
    return found


def coverage_differences(engine, script):
    found = differing("coverage ", ("status", "plumbing"), engine, script)
    found += differing("coverage.", COVERAGE, engine["coverage"], script["coverage"])
    sides = [[{**{name: detail[name] for name in DETAILS},
               "kernel_files": sorted(pathlib.Path(file).name for file in detail["kernel_files"])}
              for detail in side["coverage"]["op_details"]] for side in (engine, script)]
    return found + [f"op_details: the engine has {detail}, the script does not" for detail in sides[0] if detail not in sides[1]]


def step_differences(verdict, results, finished):
    (checked, check_printed), (counted, count_printed) = finished
    engine_coverage = verdict.get("coverage_report", {})
    full = engine_coverage.get("status") == "FULL_COVERAGE"
    found = []
    if verdict["verdict"] != "accepted":
        found.append(f"the engine says {verdict['verdict']}: {verdict.get('error', '')}{verdict['violations'][:2]}")
    if (checked == 0) != (verdict["verdict"] == "accepted"):
        found.append(f"verify_step.py ends with {checked}:\n{check_printed.strip()[-1500:]}")
    if (counted == 0) != full:
        found.append(f"extract_ops.py ends with {counted}, the engine says {engine_coverage.get('status')}:\n"
                     f"{count_printed.strip()[-1500:]}")
    for name, compare in (("verification_result", verification_differences), ("coverage_report", coverage_differences)):
        path = results / f"{name}.json"
        if name not in verdict:
            found.append(f"the engine gives no {name}")
        elif path.is_file():
            found += compare(verdict[name], json.loads(path.read_text(encoding="utf-8")))
        else:
            found.append(f"the scripts give no {name}")
    return found


def bundle_differences(before, after, finished):
    found = []
    for (code, printed), script in zip(finished, ("run_step_pipeline.py", "composition_test.py")):
        if code != 0:
            found.append(f"{script} ends with {code}:\n{printed.strip()[-1500:]}")
    for verdict, what in ((before, "it"), (after, "it with the scripts' results")):
        if verdict["verdict"] != "accepted":
            said = [f"{v['rule']}: {v['what']}" for v in verdict["violations"][:6]] or [verdict.get("error", "")]
            found.append(f"the engine says of {what}: {verdict['verdict']}: " + "\n".join(said))
    return found


# ---- all of it -----------------------------------------------------------------------------------------


def compare_all(engine, listed, temporary, jobs):
    """[(name, disagreements)]; first the scripts, since they write what the engine then judges."""
    checks, places = [], []
    for index, (_, folder) in enumerate(listed):
        place = temporary / str(index) / "moved elsewhere"
        if kind_of(folder) == "bundle":
            checks += bundle_scripts(folder, place)
        else:
            place.mkdir(parents=True)
            checks += step_scripts(folder, place)
        places.append(place)
    finished = list(run_step_pipeline.run_all(checks, jobs, TIMEOUT))
    folders = [folder for _, folder in listed]
    moved = [place for folder, place in zip(folders, places) if kind_of(folder) == "bundle"]
    said = engine_says(engine, folders + moved, jobs)
    for index, ((name, folder), place) in enumerate(zip(listed, places)):
        ran = finished[2 * index:2 * index + 2]
        if kind_of(folder) == "bundle":
            yield name, bundle_differences(said[folder], said[place], ran)
        else:
            yield name, step_differences(said[folder], place, ran)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("-j", "--jobs", type=int, default=1)
    parser.add_argument("--only", default="*", help="names of cases")
    parser.add_argument("--kind", default=["step", "bundle"], nargs=1, choices=["step", "bundle"])
    parser.add_argument("--share", default="0/1", help="the K-th of N parts")
    arguments = parser.parse_args()
    begin, wrong = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        temporary = pathlib.Path(folder).resolve()
        listed = work(arguments.paths, temporary, arguments.only, arguments.kind, arguments.share)
        for name, found in compare_all(arguments.engine, listed, temporary, arguments.jobs):
            wrong += bool(found)
            for what in found:
                print(f"{name}: {what}")
    print(f"{len(listed)} folders in {time.monotonic() - begin:.0f} s, {wrong} of them in disagreement")
    return 1 if wrong or not listed else 0


if __name__ == "__main__":
    sys.exit(main())
