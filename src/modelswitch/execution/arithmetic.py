"""What decides the bits of a result beside the code, the data and the seed."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

# Which code mathematical libraries choose, and whether they may use fewer threads than they have.
_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_MAX_CPU_ISA",
    "KMP_DETERMINISTIC_REDUCTION",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_DYNAMIC",
    "OMP_SCHEDULE",
    "OMP_THREAD_LIMIT",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
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


def described(kept: Mapping[str, str]) -> str:
    """What `arithmetic` found in words for a page; '' of results from before it was kept."""
    if "gpu" in kept:
        return f"{kept['processes']} x {kept['gpu']}" if "processes" in kept else kept["gpu"]
    if "processor" not in kept:
        return ""
    plural = "" if kept["threads"] == "1" else "s"
    said = f"{kept['processor']} ({kept['instructions']}), {kept['threads']} thread{plural}"
    said += f" in each of {kept['processes']} processes" if "processes" in kept else ""
    return " ".join([said, *(f"{name}={kept[name]}" for name in _VARIABLES if name in kept)])


def here() -> str:
    """The processor of this machine, and how many of its cores may be used."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {count} core{'' if count == 1 else 's'}"


def _processor() -> str:
    """The processor's model: libraries choose their code by it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
