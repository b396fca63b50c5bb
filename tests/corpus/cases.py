"""Reads .case files and unpacks them into folders that can be judged. README.md says what the format is.

    python tests/corpus/cases.py unpack CASE_OR_FOLDER... OUT

writes OUT/NAME/honest and, where the case has one, OUT/NAME/bad for every case, and OUT/cases.json, which lists them.
A case that is not well formed raises ValueError with its file and line; nothing is guessed.
"""

import argparse
import json
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

TESTS = Path(__file__).resolve().parent.parent
SCRIPTS = TESTS.parent / "worker" / "engine" / "emit" / "scripts"

KEYS = {"about", "family", "rule", "exit", "kind", "base"}
FAMILIES = {"source", "methods", "modules", "parameters", "children", "process", "outputs", "numbers", "structure", "honest"}
RULES = {"runs", "process", "source", "plumbing", "modules", "parameters", "buffers", "weights", "numbers", "outputs",
         "inputs", "replay", "operators", "matters",
         # most of these need a bundle, some show in a step already
         "layout", "chain", "levels", "kernel", "fusion", "layer", "names", "duplicates", "dimensions", "alone",
         "composition", "coverage", "ties", "results"}

SECTION = re.compile(r"==== (?:(bad)(?: (edit|delete|rename))?: )?(.+)")
BEGIN, MIDDLE, END = "<<<<", "====>", ">>>>"

# What the golden test leaves out of its JSON files and a real bundle has.
TIMESTAMP = "2026-01-02T03:04:05Z"
ENVIRONMENT = {
    "cuda": "", "python": "3.11.7", "torch": "2.13.0+cpu", "device": "cpu",
    "numeric": {"threads": 1, "tf32": False, "cudnn_deterministic": True, "cudnn_benchmark": False,
                "cublas_workspace_config": ":4096:8", "mha_fastpath": False, "default_dtype": "torch.float32"},
    "isolation": "process", "engine_version": "0.1.0",
}


@dataclass
class Change:
    """One thing that the bad variant does to the honest files; `line` is where the case says so."""

    verb: str  # "write", "edit", "delete", "rename"
    path: str
    line: int
    text: str = ""  # write
    edits: list = field(default_factory=list)  # edit: (old, new, line)
    target: str = ""  # rename


@dataclass
class Case:
    path: Path
    about: str
    family: str
    rule: list  # any of these is a right hit; empty in an honest case
    exit: int  # of the judge on the bad variant; 0 where there is none
    kind: str  # "step" or "bundle"
    base: str  # bundle: a folder of tests/, whose expected/ is copied first
    files: dict  # path -> text of the honest variant
    changes: list  # what makes the bad variant of it, in order

    @property
    def name(self):
        return self.path.stem


def fail(path, line, message):
    raise ValueError(f"{path}:{line}: {message}")


# ---- reading -------------------------------------------------------------------------------------------


def split(path):
    """The header as [(line, text)], and the sections as [(line, verb, name, their lines)]; verb None is honest text."""
    header, sections = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        match = SECTION.fullmatch(line)
        if match:
            verb = (match[2] or "write") if match[1] else None
            sections.append((number, verb, match[3], []))
        elif sections:
            sections[-1][3].append(line)
        elif line.strip():
            header.append((number, line))
    return header, sections


def read_header(path, lines):
    values = {}
    for number, line in lines:
        key, colon, value = line.partition(":")
        if not colon or key not in KEYS:
            fail(path, number, f"{line!r} is no header line; the keys are {', '.join(sorted(KEYS))}")
        if key in values:
            fail(path, number, f"{key} stands here twice")
        if not value.strip():
            fail(path, number, f"{key} has no value")
        values[key] = value.strip()
    return values


def text_of(lines):
    """Blank lines before the next section are for the reader and no part of the file."""
    text = "\n".join(lines).rstrip("\n")
    return text + "\n" if text else ""


def checked_path(path, number, name):
    if re.search(r"[\s:\\]|^/|(^|/)\.\.(/|$)", name) or str(PurePosixPath(name)) != name:
        fail(path, number, f"{name!r} is no path inside the unpacked folder")
    return name


def read_edits(path, number, lines):
    edits, state, old, new, start = [], END, [], [], 0
    expected = {END: BEGIN, BEGIN: MIDDLE, MIDDLE: END}
    for offset, line in enumerate(lines, number + 1):
        if line in (BEGIN, MIDDLE, END):
            if line != expected[state]:
                fail(path, offset, f"{line} stands where {expected[state]} was expected")
            if line == BEGIN:
                old, new, start = [], [], offset
            if line == END:
                edits.append(("\n".join(old), "\n".join(new), start))
            state = line
        elif state == END and line.strip():
            fail(path, offset, f"{line!r} stands outside an edit; an edit begins with {BEGIN}")
        elif state != END:
            (old if state == BEGIN else new).append(line)
    if state != END:
        fail(path, start, "an edit has no end")
    if not edits:
        fail(path, number, "there is no edit here")
    for old, new, start in edits:
        if not old or old == new:
            fail(path, start, "an edit needs an old text, and a new one that differs from it")
    return edits


def read_change(path, number, verb, name, lines):
    if verb == "rename":
        name, arrow, target = name.partition(" -> ")
        if not arrow:
            fail(path, number, "a rename says PATH -> PATH")
        change = Change(verb, checked_path(path, number, name), number, target=checked_path(path, number, target))
    else:
        change = Change(verb, checked_path(path, number, name), number)
    if verb == "write":
        change.text = text_of(lines)
    elif verb == "edit":
        change.edits = read_edits(path, number, lines)
    elif text_of(lines).strip():
        fail(path, number, f"a {verb} has no text")
    return change


def check(case, values):
    def wrong(message):
        fail(case.path, 1, message)

    for key in ("about", "family"):
        if key not in values:
            wrong(f"{key} is missing in the header")
    if case.family not in FAMILIES:
        wrong(f"no family is named {case.family}")
    if case.kind not in ("step", "bundle"):
        wrong(f"kind is {case.kind}; leave it out for a step, or write bundle")
    if (case.kind == "bundle") != bool(case.base):
        wrong("base stands in a bundle case and nowhere else")
    if case.base and not (TESTS / case.base / "expected").is_dir():
        wrong(f"tests/{case.base}/expected is no folder")
    if values.get("exit", "2") != "2":
        wrong("exit is 2 or absent")
    for rule in case.rule:
        if rule not in RULES:
            wrong(f"no rule is named {rule!r}")
    if bool(case.changes) != (case.exit != 0):
        wrong("a case with rule or exit needs a bad section, and a case with a bad section needs rule or exit")
    if case.kind == "step":
        for needed in ("original.py", "refactored.py"):
            if needed not in case.files:
                wrong(f"the section {needed} is missing")
        if not any(name.startswith("children/") and name.endswith(".py") for name in case.files):
            wrong("there is no section children/NAME.py")


def read(path):
    """The case of a file, checked; its edits too, by making the bad variant once."""
    path = Path(path)
    header, sections = split(path)
    values = read_header(path, header)
    files, changes = {}, []
    for number, verb, name, lines in sections:
        if verb is not None:
            changes.append(read_change(path, number, verb, name, lines))
        elif checked_path(path, number, name) in files:
            fail(path, number, f"{name} stands here twice")
        else:
            files[name] = text_of(lines)
    rule = [word.strip() for word in values["rule"].split("|")] if "rule" in values else []
    code = 2 if "exit" in values else 1 if rule else 0
    case = Case(path, values.get("about", ""), values.get("family", ""), rule, code, values.get("kind", "step"),
                values.get("base", ""), files, changes)
    check(case, values)
    if changes:
        bad_files(case)
    return case


# ---- unpacking -----------------------------------------------------------------------------------------


def base_files(base):
    """The golden bundle with what its expected/ only lists: the submission and the scripts."""
    root = TESTS / base / "expected"
    files = {}
    for file in sorted(root.rglob("*")):
        if file.is_file():
            files[file.relative_to(root).as_posix()] = file.read_text(encoding="utf-8")
    source = TESTS.parent / (TESTS / base / "source").read_text(encoding="utf-8").strip()
    for name in files:
        if name.startswith("scripts/"):
            files[name] = (SCRIPTS / Path(name).name).read_text(encoding="utf-8")
        elif name == f"source/{source.name}":
            files[name] = source.read_text(encoding="utf-8")
    return files


def complete(name, text):
    """A golden JSON file as it is in a bundle: with a time, and a verdict with its environment; an empty script whole."""
    script = SCRIPTS / Path(name).name
    if not text and script.is_file():
        return script.read_text(encoding="utf-8")
    if not name.endswith(".json"):
        return text
    text = text.replace('"timestamp": "TIME"', f'"timestamp": "{TIMESTAMP}"')
    if name.endswith("verification_result.json") and text.endswith("\n}\n") and '"environment"' not in text:
        environment = json.dumps(ENVIRONMENT, indent=2).replace("\n", "\n  ")
        text = f'{text[:-3]},\n  "environment": {environment}\n}}\n'
    return text


def honest_files(case):
    return {**base_files(case.base), **case.files} if case.base else dict(case.files)


def apply(case, change, files):
    """Does one change to files; ValueError names the line of the case where it does not fit."""
    if change.verb != "write" and change.path not in files:
        fail(case.path, change.line, f"there is no {change.path} to {change.verb}")
    if change.verb == "delete":
        del files[change.path]
    elif change.verb == "rename":
        if change.target in files:
            fail(case.path, change.line, f"{change.target} exists already")
        files[change.target] = files.pop(change.path)
    elif change.verb == "write":
        if files.get(change.path) == change.text:
            fail(case.path, change.line, f"{change.path} is the same in the honest variant")
        files[change.path] = change.text
    else:
        for old, new, line in change.edits:
            found = files[change.path].count(old)
            if found != 1:
                fail(case.path, line, f"the old text occurs {found} times in {change.path}, not once")
            files[change.path] = files[change.path].replace(old, new)


def bad_files(case):
    files = honest_files(case)
    for change in case.changes:
        apply(case, change, files)
    return files


def unpack(case, variant, folder):
    """Writes the files of a variant, "honest" or "bad", into folder. A step is the folder itself."""
    if variant not in ("honest", "bad"):
        raise ValueError(f"{variant!r} is no variant; it is honest or bad")
    if variant == "bad" and not case.changes:
        raise ValueError(f"{case.path}: an honest case has no bad variant")
    for name, text in (bad_files(case) if variant == "bad" else honest_files(case)).items():
        file = Path(folder) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(complete(name, text) if case.kind == "bundle" else text, encoding="utf-8")


def find(paths):
    """The cases of files and folders, by name; two of one name are an error."""
    cases = {}
    for path in map(Path, paths):
        for file in sorted(path.glob("*.case")) if path.is_dir() else [path]:
            case = read(file)
            if case.name in cases:
                raise ValueError(f"{file}:1: {cases[case.name].path} has the same name")
            cases[case.name] = case
    return cases


def unpack_all(paths, out):
    """What the command line does; the list that it wrote to cases.json, paths relative to out."""
    out, listed = Path(out), []
    for name, case in find(paths).items():
        shutil.rmtree(out / name, ignore_errors=True)
        for variant in ("honest", "bad") if case.changes else ("honest",):
            unpack(case, variant, out / name / variant)
        listed.append({"name": name, "family": case.family, "rule": case.rule, "exit": case.exit, "kind": case.kind,
                       "about": case.about, "honest": f"{name}/honest", "bad": f"{name}/bad" if case.changes else None})
    out.mkdir(parents=True, exist_ok=True)
    (out / "cases.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    return listed


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("unpack")
    command.add_argument("paths", nargs="+", metavar="CASE_OR_FOLDER")
    command.add_argument("out", metavar="OUT")
    arguments = parser.parse_args(argv)
    try:
        listed = unpack_all(arguments.paths, arguments.out)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(listed)} cases in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
