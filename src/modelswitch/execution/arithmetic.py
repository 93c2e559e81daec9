"""What decides the bits of a result beside the code, the data and the seed."""

import os
import platform
from pathlib import Path

# Which code mathematical libraries choose, and whether they may use fewer threads than they have.
_VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_MAX_CPU_ISA",
)


def arithmetic(device: str = "cpu") -> dict[str, str]:
    """What makes the sums on ``device``, as `torch.device` takes it: the order of their terms, and
    with it the rounding, depends on these alone."""
    import torch

    found = {
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    if torch.device(device).type == "cuda":
        found |= {
            "gpu": torch.cuda.get_device_name(device),
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),
        }
    return found | {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def changes(before: dict[str, str], now: dict[str, str]) -> str:
    """Words for how two of them differ; none if they do not."""
    return ", ".join(
        f"{name} {before.get(name, 'not set')} then, {now.get(name, 'not set')} now"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    )


def _processor() -> str:
    """The processor's model: libraries choose their code by it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
