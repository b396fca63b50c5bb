"""Changes that show in a bundle as a whole only: levels, names, JSON files, removed files, the composition."""

import json
import re
from pathlib import Path

from mutate_step import (NOT_THE_MODEL, Parent, Text, Work, mutate_calls, mutate_dtypes, mutate_inputs, mutate_numbers,
                         mutate_operands, mutate_operator_in_parent, other_names, read, rename)

LEVELS = ("kernel", "fusion", "layer", "model")
# Fields of JSON files that docs/bundle_format.md leaves open, or that say when and where.
FREE_FIELDS = {"timestamp", "environment", "reason", "operation", "step", "skipped", "coverage_status"}


def leaves(value, where=()):
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in FREE_FIELDS:
                yield from leaves(item, (*where, key))
    elif isinstance(value, list) and value:
        for i, item in enumerate(value):
            if isinstance(item, dict) and item.get("seed", 42) not in (42, 43, 44):
                continue
            yield from leaves(item, (*where, i))
    else:
        yield where, value


OTHER_WORDS = {"PASS": "FAIL", "FULL_COVERAGE": "PARTIAL_COVERAGE", "torch.float32": "torch.float64"}


def other_leaf(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value + 0.5
    if isinstance(value, str):
        return OTHER_WORDS.get(value, value + "_")
    return ["extra"] if value == [] else {"extra": 1}


def mutate_json(work, path):
    text = work.files[path]
    for where, value in leaves(json.loads(text)):
        document = json.loads(text)
        holder = document
        for key in where[:-1]:
            holder = holder[key]
        new = other_leaf(value)
        holder[where[-1]] = new
        kind = "level" if "level" in str(where[-1]) or "by_level" in where else "json_field"
        work.add(kind, path, 0, ".".join(map(str, where)) + f" = {json.dumps(value)}", json.dumps(new),
                 {path: json.dumps(document, indent=2) + "\n"})


def mutate_levels(work):
    folders = {level: f"level_{i}_{level}" for i, level in enumerate(LEVELS)}
    for path in [p for p in work.files if re.match(r"level_\d_\w+/", p)]:
        text = work.files[path]
        level = next(name for name, folder in folders.items() if path.startswith(folder))
        same = [p for p, t in work.files.items() if t == text]
        line = text[:text.find("Abstraction Level:")].count("\n") + 1
        for other in LEVELS:
            if other == level:
                continue
            told = text.replace(f"Abstraction Level: {level}", f"Abstraction Level: {other}")
            work.add("level", path, line, f"Abstraction Level: {level}", f"{other}, in every copy",
                     {p: told for p in same})
            # The whole bundle says the other level: docstring, folder and tree.
            moved = path.replace(folders[level], folders[other])
            tree = json.loads(work.files["decomposition_tree.json"])
            node = tree["nodes"][Path(path).stem]
            node["level"], node["path"] = other, moved
            tree["metadata"]["by_level"][level] -= 1
            tree["metadata"]["by_level"][other] += 1
            if level == "model":
                tree["metadata"]["source_level"] = other
            changed = {p: told for p in same if p != path} | {moved: told}
            changed["decomposition_tree.json"] = json.dumps(tree, indent=2) + "\n"
            for p, t in work.files.items():
                if p not in changed and p != path and path in t:
                    changed[p] = t.replace(path, moved)
            work.add("level", path, 0, path, moved + ", docstring and tree too", changed, [path])


def mutate_name_everywhere(work, path, only=""):
    stem = Path(path).stem
    for new, wrong in sorted(set(other_names(stem))):
        if only in ("", wrong) and new.isidentifier() and not any(Path(p).stem == new for p in work.files):
            work.add("name", path, 0, stem, new + ", everywhere", *rename(work.files, stem, new))


def read_bundle(bundle, folder):
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    return Work(bundle, "", read(folder, files))


def setting_name_mutants(bundle, folder):
    """Of a bundle that is not taken for anything else."""
    work = read_bundle(bundle, folder)
    for path in [p for p in work.files if p.startswith("level_0_kernel/")]:
        mutate_name_everywhere(work, path, only="setting")
    return work


def bundle_mutants(bundle, folder):
    work = read_bundle(bundle, folder)
    for path in list(work.files):
        if path.endswith(".json") and not path.endswith(("decomposition_log.json", "weight_map.json")):
            mutate_json(work, path)
    mutate_levels(work)
    for path in [p for p in work.files if re.match(r"level_[012]_\w+/", p)]:
        mutate_name_everywhere(work, path)
        # A change in every copy, so that only what runs can tell; and in the component's file alone.
        inner = Work(bundle, "", {path: work.files[path]})
        source = Text(work.files[path])
        for mutate in (mutate_operands, mutate_numbers, mutate_dtypes):
            mutate(inner, path, source)
        mutate_inputs(inner, path, source, NOT_THE_MODEL)
        same = [p for p, t in work.files.items() if t == work.files[path]]
        for i, (row, changed, _, _) in enumerate(inner.found):
            copies, where = (same, "every copy") if i % 4 else ([path], "this copy alone")
            work.add(row["operator"], path, row["line"], row["before"], f"{row['after']}, in {where}",
                     {p: changed[path] for p in copies})
    for path in [p for p in work.files if p.endswith("/refactored.py")]:
        mutate_inputs(work, path, Text(work.files[path]), NOT_THE_MODEL)
    composition = "verification/composition_test.py"
    parent = Parent(work.files[composition], "ComposedModel")
    mutate_calls(work, composition, parent)
    mutate_operator_in_parent(work, composition, parent)
    for path in [p for p in work.files if not p.startswith("scripts/") and p != "decomposition_analysis.md"]:
        work.add("file_removed", path, 0, path, "", {}, [path])
    return work
