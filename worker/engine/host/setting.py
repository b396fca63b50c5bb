"""The numeric setting of every runner, made once in the zygote; and what this interpreter is."""

import gc
import platform
from json import dumps

import torch

torch.set_default_dtype(torch.float32)
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.deterministic = True
torch.backends.cudnn.benchmark = False
torch.backends.mha.set_fastpath_enabled(False)

# What is alive now stays so in every child; a collection there would only copy its pages.
gc.collect()
gc.freeze()


def versions():
    return dumps({"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda or ""})


def probe():
    """What the accelerator is. Only ever in a child: asking starts CUDA."""
    if torch.version.cuda is None or not torch.cuda.is_available():
        return dumps({"devices": "0"})
    properties = torch.cuda.get_device_properties(0)
    return dumps({"devices": str(torch.cuda.device_count()), "device_name": properties.name,
                  "device_memory_bytes": str(properties.total_memory),
                  "cudnn": str(torch.backends.cudnn.version())})
