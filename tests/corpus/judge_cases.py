"""Judges the cases of the corpus and says where a verdict is not the one that the case names.

    python tests/corpus/judge_cases.py ENGINE [--only PATTERN] [--share K/N] [--out FOLDER] CASE_OR_FOLDER...

Every honest folder must be accepted, every bad one rejected by a rule that its case names (or not be judged, where
the case says `exit: 2`). Prints one line for each wrong verdict and the totals; exit 1 where there is one.
"""

import argparse
import fnmatch
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import cases

EXIT = {"accepted": 0, "rejected": 1, "cannot be judged": 2}


def wanted(arguments):
    found = cases.find(arguments.cases)
    names = sorted(name for name in found if fnmatch.fnmatch(name, arguments.only) and found[name].kind in arguments.kind)
    part, parts = (int(number) for number in arguments.share.split("/"))
    return [found[name] for name in names[part::parts]]


def verdicts(engine, folders, limits):
    """The engine's verdict for each folder; one engine process judges them all."""
    run = subprocess.run([engine, "verify", "--json", *limits, *folders], capture_output=True, text=True, check=False)
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    if len(folders) == 1:
        lines = [run.stdout]
    if len(lines) != len(folders):
        sys.exit(f"{engine} judged {len(lines)} of {len(folders)} folders, exit {run.returncode}:\n{run.stderr[-2000:]}")
    return [json.loads(line) for line in lines]


def complaint(case, variant, verdict):
    """What is wrong with a verdict, or None."""
    said = verdict["verdict"]
    rules = [violation["rule"] for violation in verdict["violations"]]
    first = "; ".join(f"{v['rule']}: {v['file']}:{v['line']}: {v['what']}" for v in verdict["violations"][:3])
    first = first or verdict.get("error", "")
    if variant == "honest":
        return None if said == "accepted" else f"false reject ({said}): {first}"
    if EXIT[said] == case.exit and (case.exit == 2 or set(rules) & set(case.rule)):
        return None
    if said == "accepted":
        return f"FALSE ACCEPT, wants {'|'.join(case.rule)}"
    return f"other rule ({said}), wants {'|'.join(case.rule)}{' exit 2' if case.exit == 2 else ''}: {first}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine")
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--only", default="*")
    parser.add_argument("--kind", default=["step", "bundle"], nargs=1, choices=["step", "bundle"])
    parser.add_argument("--share", default="0/1", help="the K-th of N parts")
    parser.add_argument("--out", help="where the cases are unpacked and verdicts.json is written")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or temporary
        work = []
        for case in wanted(arguments):
            for variant in ("honest", "bad") if case.rule else ("honest",):
                folder = os.path.join(out, case.name, variant)
                cases.unpack(case, variant, pathlib.Path(folder))
                work.append((case, variant, folder))
        begin = time.monotonic()
        found = verdicts(arguments.engine, [folder for _, _, folder in work], ["--wall-seconds", "20", "--memory-mib", "3000"])
        wrong = []
        for (case, variant, _), verdict in zip(work, found):
            what = complaint(case, variant, verdict)
            if what:
                wrong.append(f"{case.name}/{variant}: {what}")
                print(wrong[-1])
        if arguments.out:
            with open(os.path.join(out, "verdicts.json"), "w", encoding="utf-8") as file:
                json.dump([[c.name, v, verdict] for (c, v, _), verdict in zip(work, found)], file, indent=1)
    print(f"{len(work)} folders judged in {time.monotonic() - begin:.0f} s, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
