#!/usr/bin/env python3
"""Checks Phase 0 of a decomposition: does the self-contained wrapper compute what the submission in source/ computes?

    python verify_wrapper.py [BUNDLE] [--output RESULT.json] [--device cpu|cuda]

Without BUNDLE it is the one that this file lies in, at steps/step_0_preparation/. The submission is the file of source/
that metadata.source_file of decomposition_tree.json names; it may import other files of source/ and any package that is
installed. The wrapper is the root of the tree. Two gates:
  1. weight transfer: more than 95 % of the wrapper's parameters are filled from the submission: by weight_map.json
     beside this file where there is one, by equal key and shape, by the longest end of the key that one weight of each
     side has. Buffers that get nothing are listed and stay as they were built.
  2. numerical comparison: as verify_step.py does it, on the inputs that the submission draws.

Exit code: 0 PASS, 1 FAIL, 2 ERROR (something could not be loaded or run). A PASS or FAIL is written to
verification_result.json in steps/step_0_preparation/, or where --output says. Needs what the submission needs, PyTorch,
and the bundle's scripts/.
"""

import argparse
import collections
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # a bundle stays as it was delivered

BUNDLE = Path(__file__).resolve().parents[2]
sys.path.append(str(BUNDLE / "scripts"))

from extract_ops import LoadError, build, load_file, root_of  # noqa: E402
from verify_step import (check_map, compare_numbers, names_of, report, transfer, type_of, verdict,  # noqa: E402
                         write_verdict)

STEP_0 = Path("steps") / "step_0_preparation"


def map_weights(original, wrapper, given):
    """{original key: [wrapper keys]}: what is given, then equal keys, then the longest ends that only one weight has."""
    (old, _), (new, _) = names_of(original), names_of(wrapper)
    result = check_map(given, old, new)
    taken = {target for targets in result.values() for target in targets}

    def pair_by(end_of):
        ours, theirs = collections.defaultdict(list), collections.defaultdict(list)
        for keys, weights, done in ((ours, old, result), (theirs, new, taken)):
            for key, weight in weights.items():
                if key not in done and end_of(key):
                    keys[end_of(key), type_of(weight)].append(key)
        for end, keys in ours.items():
            if len(keys) == len(theirs[end]) == 1:
                result[keys[0]] = theirs[end]
                taken.update(theirs[end])

    def last_names(length):
        return lambda key: ".".join(key.split(".")[-length:]) if key.count(".") + 1 >= length else ""

    pair_by(lambda key: key)
    for length in range(max((key.count(".") + 1 for key in old), default=0), 0, -1):
        pair_by(last_names(length))
    return {key: result[key] for key in old if result.get(key)}


def may_miss(wrapper, weight_map):
    """The wrapper's keys that need no weight: buffers, and the parameters that get none where enough others do."""
    (new, groups), parameters = names_of(wrapper), {id(parameter) for parameter in wrapper.parameters()}
    filled = {id(new[target]) for targets in weight_map.values() for target in targets}
    missing = [group for group in groups if id(new[group[0]]) in parameters - filled]
    enough = not missing or len(missing) * 20 < len(parameters)  # more than 95 % are filled
    return new.keys() - (set() if enough else {key for group in missing for key in group})


def judge(result, source, original_path, wrapper_path, given_path, device):
    wrapper_module = load_file(wrapper_path, "strata_wrapper")  # before anything of source/ can be imported
    sys.path.insert(0, str(source))
    original_module = load_file(original_path, "strata_original")
    original, wrapper = build(original_module, "Model", device), build(wrapper_module, "Model", device)

    given = json.loads(given_path.read_text(encoding="utf-8")) if given_path.is_file() else {}
    weight_map = map_weights(original, wrapper, given)
    result["weight_transfer"] = transfer(original, wrapper, weight_map, may_miss(wrapper, weight_map))
    result["anticheat"]["status"] = "PASS"  # the wrapper is the model: it has no plumbing
    result["numerical_comparison"] = compare_numbers(original, wrapper, original_module, device, inf_allowed=False)
    passed = result["weight_transfer"]["status"] == "OK" and result["numerical_comparison"]["status"] == "PASS"
    result["status"] = "PASS" if passed else "FAIL"


def files_of(bundle):
    """(the submission's file, the wrapper's)"""
    try:
        tree = json.loads((bundle / "decomposition_tree.json").read_text(encoding="utf-8"))
        original, wrapper = bundle / tree["metadata"]["source_file"], bundle / root_of(tree)["path"]
    except (OSError, ValueError, LookupError, TypeError, StopIteration) as error:
        raise LoadError(f"decomposition_tree.json of {bundle} does not say what source and root are: {error!r}") from error
    if (bundle / "source").resolve() not in original.resolve().parents or not original.is_file():
        raise LoadError(f"metadata.source_file is {tree['metadata']['source_file']}, which is no file of source/")
    if not (bundle / STEP_0).is_dir():
        raise LoadError(f"{bundle} has no {STEP_0}: its model is the submission itself")
    return original, wrapper


def verify_wrapper(bundle, device="cpu"):
    """The verdict on Phase 0, in the schema of verification_result.json."""
    original, wrapper = files_of(bundle)
    return verdict(original, wrapper, device, judge, bundle / "source", original, wrapper,
                   bundle / STEP_0 / "weight_map.json", device)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", nargs="?", default=BUNDLE)
    parser.add_argument("--output", help="write the result here")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    arguments = parser.parse_args()
    bundle = Path(arguments.bundle).resolve()
    try:
        result = verify_wrapper(bundle, arguments.device)
    except LoadError as error:
        print(f"ERROR: {error}")
        return 2
    weights = result["weight_transfer"]
    print(f"Mapped {weights['mapped_count']} weights; without one: {weights['unmapped_refactored']} of the wrapper, "
          f"{weights['unmapped_original']} of the original")
    for trial in result["numerical_comparison"]["trials"]:
        print(f"Trial {trial['trial']}: seed {trial['seed']}, max_diff {trial['max_diff']} "
              f"{'PASS' if trial['pass'] else 'FAIL'}")
    report(result)
    if result["status"] != "ERROR":
        write_verdict(result, arguments.output or bundle / STEP_0 / "verification_result.json")
    return {"PASS": 0, "FAIL": 1}.get(result["status"], 2)


if __name__ == "__main__":
    sys.exit(main())
