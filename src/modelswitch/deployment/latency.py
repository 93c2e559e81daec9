"""How long an exported file takes on this machine: median and percentiles, in processes of its own.

Each figure comes from a fresh process that imports numpy and the file's runtime alone, so that its
memory is the runtime's and its threads are those that were asked for.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from modelswitch.deployment.runtimes import describe, open_file, open_selector
from modelswitch.errors import UserError
from modelswitch.execution import arithmetic

BATCHES = (1, 32)
COLUMNS = (
    "dataset", "branch", "lineage", "format", "file", "bytes", "machine", "threads", "batch",
    "median_ms", "p5_ms", "p95_ms", "peak_memory_mb", "sha256", "selector",
)  # fmt: skip
# Those that say what a file is of: a lineage, or a selector and no data set.
_KEY = ("dataset", "branch", "lineage", "format", "selector")
_WARM_UP, _SECONDS, _FEWEST, _MOST = 10, 1.0, 30, 5000
_PERCENTILES = {"median_ms": 50, "p5_ms": 5, "p95_ms": 95}
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def example(about: dict[str, Any], batch: int) -> np.ndarray | dict[str, np.ndarray]:
    """Random images as the file takes them, of a selector's for each modality; the same for every
    file of one image shape."""
    if "modalities" not in about:
        return _images(about, batch)
    # Files that take pixels are told by their shapes alone.
    keys = [key for key in ("shape", "scale", "shift") if f"{key}s" in about]
    return {
        name: _images(about | {key: about[f"{key}s"][at] for key in keys}, batch)
        for at, name in enumerate(about["modalities"])
    }


def _images(about: dict[str, Any], batch: int) -> np.ndarray:
    height, width, channels = about["shape"]
    pixels = np.random.default_rng(0).integers(0, 256, (batch, height, width, channels), np.uint8)
    if about["preprocessing"]:
        return pixels
    scale, shift = (np.array(about[key], np.float32)[:, None, None] for key in ("scale", "shift"))
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) * scale + shift, dtype=np.float32)


def time_here(path: Path, threads: int) -> dict[str, Any]:
    """Times of one file in this process, by batch size, and the process's largest memory."""
    about = describe(path)
    run: Any = (open_selector if "modalities" in about else open_file)(path, threads)
    rows: dict[str, Any] = {}
    for size in BATCHES:
        batch = example(about, size)
        for _ in range(_WARM_UP):
            run(batch)
        times: list[float] = []
        end = time.perf_counter() + _SECONDS
        while len(times) < _FEWEST or (time.perf_counter() < end and len(times) < _MOST):
            start = time.perf_counter()
            run(batch)
            times.append(1000 * (time.perf_counter() - start))
        found = np.percentile(times, list(_PERCENTILES.values()))
        rows[str(size)] = dict(zip(_PERCENTILES, map(float, found), strict=True))
    return {"batches": rows, "peak_memory_mb": _peak_memory_mb()}


def _peak_memory_mb() -> float:
    """Largest resident memory of this program. Not `getrusage`, whose maximum counts the process
    that it was started from."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return math.nan
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if "VmHWM" in line)


def measure(
    path: str | Path, threads: int | None = None, machine: str | None = None
) -> list[dict[str, Any]]:
    """Rows for one file: batch sizes 1 and 32, on one thread and on all that this process may use.

    Args:
        machine: what the rows call this machine; by default its processor.

    Raises:
        UserError: the file does not run here.
    """
    path = Path(path)
    about = describe(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    counts = [1] if len(processors) == 1 else [1, len(processors)]
    rows = []
    for count in counts if threads is None else [threads]:
        found = _in_a_process(path, processors[:count])
        for size, times in found["batches"].items():
            rows.append(
                {key: about.get(key, "") for key in _KEY}
                | {"file": path.name, "bytes": about["bytes"], "threads": count,
                   "machine": machine or arithmetic.here(), "batch": int(size), **times,
                   "peak_memory_mb": found["peak_memory_mb"], "sha256": sha256}
            )  # fmt: skip
    return rows


def _in_a_process(path: Path, processors: list[int]) -> dict[str, Any]:
    settings = dict.fromkeys(_THREADS, str(len(processors)))
    code = "from modelswitch.deployment.latency import main; main()"
    command = [sys.executable, "-c", code, str(path), ",".join(map(str, processors))]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | settings,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(last.removeprefix("error: "))
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Times of the file in the first argument, on the processors in the second, as JSON."""
    from modelswitch.errors import run_script

    def run() -> None:
        processors = {int(part) for part in sys.argv[2].split(",")}
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, processors)
        print(json.dumps(time_here(Path(sys.argv[1]), len(processors))))

    run_script(run)
