"""How many trainings may have one GPU together: what a plan says of it."""

from collections.abc import Mapping

from modelswitch.execution import gpu_lease
from modelswitch.execution.free_memory import available_memory

# A process has a part of a GPU's memory for CUDA itself, before a tensor is there: several hundred
# megabytes, more on large cards.
_CUDA_MB = 600


def shares(needed: Mapping[str, int], memory_mb: int, slots: int) -> dict[str, int]:
    """By rule, how many trainings a GPU has room for.

    Args:
        needed: megabytes of a training by rule, with a reserve.
        memory_mb: of the GPU.
        slots: trainings that have their threads at a time; more would wait for a processor.
    """
    most = min(slots, gpu_lease.MOST_SHARES)
    return {
        rule: max(1, min(memory_mb // (taken + _CUDA_MB), most)) for rule, taken in needed.items()
    }


def smallest_gpu_mb() -> int | None:
    """Megabytes of the visible GPU that has least; None without one. A pretended one has what this
    machine has left."""
    devices = gpu_lease.visible()
    real = [device.torch for device in devices if device.torch != "cpu"]
    if not real:
        return available_memory() // 10**6 if devices else None
    import torch

    return min(torch.cuda.get_device_properties(name).total_memory for name in real) // 10**6


def suggestions(needed: Mapping[str, int], memory_mb: int, slots: int) -> list[str]:
    """A line of the plan on trainings that could have a GPU together, if any could."""
    fitting = {rule: k for rule, k in shares(needed, memory_mb, slots).items() if k > 1}
    if not fitting:
        return []
    parts = ", ".join(
        f"{k} of {rule} ({needed[rule] / 1000:.1f} GB each)" for rule, k in fitting.items()
    )
    profile = ", ".join(f"{rule}: {{gpu_share: {k}}}" for rule, k in fitting.items())
    return [
        f"a GPU of {memory_mb / 1000:.0f} GB has room for trainings beside each other, estimated: "
        f"{parts}; in a profile, set-resources: {{{profile}}}"
    ]
