"""Where a training runs, and in which number format."""

import contextlib

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` computes in bfloat16 rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capability = torch.backends.cpu.get_cpu_capability()
    if capability.startswith("AVX512"):
        # A private name, but the one that torch itself and its compiler ask.
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def dtype_for(precision: str, device: torch.device) -> torch.dtype:
    """The format for ``auto``, ``float32`` or ``bfloat16``."""
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16(device) else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager:
    if dtype is torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)


def full_precision(tensor: torch.Tensor) -> contextlib.AbstractContextManager:
    """No autocast on the device of ``tensor``: for sums of many products, which half precision
    rounds too much."""
    return torch.autocast(tensor.device.type, enabled=False)


def make_deterministic() -> None:
    """Ask torch for algorithms that give the same bits every time."""
    # Not use_deterministic_algorithms(True, warn_only=True), which does the same and imports
    # torch's compiler for it: a second that every job would pay.
    torch.set_deterministic_debug_mode("warn")
    torch.backends.cudnn.benchmark = False
    # Together with these algorithms torch fills all new memory with NaN before it is used, a kernel
    # for every result; no result depends on it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
