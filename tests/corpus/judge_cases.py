"""Judges the cases of the corpus and says where a verdict is not the one that the case names.

    python tests/corpus/judge_cases.py ENGINE [--only PATTERN] [--share K/N] [--out FOLDER [--resume]] CASE_OR_FOLDER...

Every honest folder must be accepted, every bad one rejected by a rule that its case names (or not be judged, where
the case says `exit: 2`). Prints one line for each wrong verdict and the totals; exit 1 where there is one.
FOLDER/verdicts.jsonl gets {case, variant, verdict} as soon as a folder is judged; --resume goes on behind its last line.
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
    """The engine's verdict for each folder, as soon as it is there; one engine process judges them all."""
    judged = 0
    with tempfile.TemporaryFile("w+") as errors:
        command = [engine, "verify", "--json", *limits, *folders]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as run:
            lines = [run.stdout.read()] if len(folders) == 1 else run.stdout
            for line in lines:
                if line.startswith("{"):
                    judged += 1
                    yield json.loads(line)
        if judged != len(folders):
            errors.seek(0)
            what = errors.read()[-2000:]
            sys.exit(f"{engine} judged {judged} of {len(folders)} folders, exit {run.returncode}:\n{what}")


def judged_before(path, resume):
    """{(case, variant): verdict} of a run that was cut off."""
    if not path.exists() or not resume:
        path.write_text("", encoding="utf-8")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(row["case"], row["variant"]): row["verdict"] for row in rows}


def judge(engine, work, path, known):
    """Adds to known, and to the file, the verdicts of what is not there yet."""
    todo = [(case, variant, folder) for case, variant, folder in work if (case.name, variant) not in known]
    if not todo:
        return
    limits = ["--wall-seconds", "20", "--memory-mib", "3000"]
    found = verdicts(engine, [folder for _, _, folder in todo], limits)
    with open(path, "a", encoding="utf-8") as file:
        for (case, variant, _), verdict in zip(todo, found, strict=True):
            known[case.name, variant] = verdict
            file.write(json.dumps({"case": case.name, "variant": variant, "verdict": verdict}) + "\n")
            file.flush()


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
    parser.add_argument("--out", help="where the cases are unpacked and verdicts.jsonl is written")
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = pathlib.Path(arguments.out or temporary)
        out.mkdir(parents=True, exist_ok=True)
        work = []
        for case in wanted(arguments):
            for variant in ("honest", "bad") if case.rule else ("honest",):
                folder = os.path.join(out, case.name, variant)
                cases.unpack(case, variant, pathlib.Path(folder))
                work.append((case, variant, folder))
        begin = time.monotonic()
        known = judged_before(out / "verdicts.jsonl", arguments.resume)
        judge(arguments.engine, work, out / "verdicts.jsonl", known)
        wrong = []
        for case, variant, _ in work:
            what = complaint(case, variant, known[case.name, variant])
            if what:
                wrong.append(f"{case.name}/{variant}: {what}")
                print(wrong[-1])
    print(f"{len(work)} folders judged in {time.monotonic() - begin:.0f} s, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
