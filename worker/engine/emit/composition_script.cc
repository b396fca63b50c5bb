#include "worker/engine/emit/composition_script.h"

#include <sstream>

#include "absl/strings/str_cat.h"

namespace strata::emit {
namespace {

constexpr char kMain[] = R"py(def get_inputs():
    return submission.get_inputs()


def get_input_kwargs():
    return submission.get_input_kwargs() if hasattr(submission, "get_input_kwargs") else {}


def get_init_inputs():
    return []


def transfer_weights(original, composed):
    """Copies every weight of the submitted model to where WEIGHT_MAP says."""
    weights = original.state_dict()
    target = composed.state_dict()
    with torch.no_grad():
        for key, composed_key in WEIGHT_MAP.items():
            target[composed_key].copy_(weights[key])


def run(model, seed):
    """One forward on the seed's inputs, of which each model draws its own copy, and what it left of them."""
    torch.manual_seed(seed)
    inputs, kwargs = get_inputs(), get_input_kwargs()
    with torch.no_grad():
        return {"output": model(*inputs, **kwargs), "inputs": inputs, "kwargs": kwargs}


def leaves(value, where=""):
    """(place, leaf) in order; a branch counts as a leaf made of its type and its keys."""
    if isinstance(value, (tuple, list)):
        yield where, (type(value).__name__, len(value))
        items = enumerate(value)
    elif hasattr(value, "keys"):
        yield where, (type(value).__name__, list(value.keys()))
        items = value.items()
    elif hasattr(value, "__dataclass_fields__"):
        yield where, (type(value).__name__, list(value.__dataclass_fields__))
        items = [(name, getattr(value, name)) for name in value.__dataclass_fields__]
    else:
        yield where, value
        return
    for key, item in items:
        yield from leaves(item, f"{where}[{key!r}]")


def compare(expected, actual):
    """The largest difference; raises where the two do not agree."""
    largest = 0.0
    for (where, e), (_, a) in zip(leaves(expected), leaves(actual)):
        if not (isinstance(e, torch.Tensor) and isinstance(a, torch.Tensor)):
            assert type(e) is type(a) and e == a, f"{where} is {a!r}, expected {e!r}"
            continue
        assert e.shape == a.shape and e.dtype == a.dtype, f"{where} is {a.shape} {a.dtype}, expected {e.shape} {e.dtype}"
        if torch.equal(e, a):
            continue
        assert e.is_floating_point() or e.is_complex(), f"{where} differs; whole numbers and bools must be equal"
        half = e.dtype in (torch.float16, torch.bfloat16)
        rtol, atol = (1e-3, 1e-3) if half else (RTOL, ATOL)
        assert torch.allclose(e, a, rtol=rtol, atol=atol), f"{where} differs by {(e - a).abs().max().item():.2e}"
        largest = max(largest, (e.to(torch.complex128) - a.to(torch.complex128)).abs().nan_to_num(0.0).max().item())
    return largest


def main():
    largest = 0.0
    try:
        for seed in SEEDS:
            torch.manual_seed(seed)
            original = submission.Model(*getattr(submission, "get_init_inputs", list)()).eval()
            composed = ComposedModel().eval()
            transfer_weights(original, composed)
            difference = compare(run(original, seed), run(composed, seed))
            largest = max(largest, difference)
            print(f"seed {seed}: max_diff={difference:.2e}")
    except Exception as e:
        print(f"FAIL: {e}")
        import traceback

        traceback.print_exc()
        return 1
    print(f"max_diff over all seeds: {largest:.2e}")
    print("PASS")
    return 0


if __name__ == "__main__":
    sys.exit(main())
)py";

Lines Split(const char* text) {
  Lines lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

Lines CompositionHeader(const std::string& model, const std::string& folder, const std::string& module,
                        bool packed, bool math, const std::set<std::string>& imports) {
  Lines lines = {
      "\"\"\"",
      absl::StrCat("Composes ", model, " of its kernels alone and compares it with the submitted model."),
      "",
      "Runs from any directory: python composition_test.py prints PASS and exits with 0.",
      "\"\"\"",
      ""};
  const bool importable = IsIdentifier(module);
  if (packed) lines.push_back("import base64");
  if (!importable) lines.push_back("import importlib");
  if (math) lines.push_back("import math");
  lines.push_back("import sys");
  if (packed) lines.push_back("import zlib");
  Append(lines, Lines(imports.begin(), imports.end()));
  Append(lines,
         {"from pathlib import Path",
          "",
          "import torch",
          "import torch.nn as nn",
          "",
          "BUNDLE = Path(__file__).resolve().parent.parent",
          absl::StrCat("for folder in (", PythonString(folder), ", \"level_0_kernel\"):"),
          "    sys.path.insert(0, str(BUNDLE / folder))",
          "",
          "# The numeric setting that the bundle was verified under.",
          "torch.backends.mha.set_fastpath_enabled(False)",
          "torch.backends.cuda.matmul.allow_tf32 = False",
          "torch.backends.cudnn.allow_tf32 = False",
          "torch.backends.cudnn.deterministic = True",
          "torch.backends.cudnn.benchmark = False",
          "",
          "SEEDS = (42, 43, 44)",
          "RTOL, ATOL = 1e-4, 1e-5",
          "",
          importable ? absl::StrCat("import ", module, " as submission")
                     : absl::StrCat("submission = importlib.import_module(", PythonString(module), ")")});
  return lines;
}

Lines CompositionMain() { return Split(kMain); }

}  // namespace strata::emit
