"""What the benchmarks share: figures with a spread and a goal, the machine, the data."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "results" / "bench"
DATA = "../shared/data/cifar10.npz"


@dataclass
class Figure:
    """One measured figure: the middle of several measurements, and the goal for it if any.

    ``low`` and ``high`` are the extremes of the repeated measurements, None where there was one.
    ``goal`` is the least value that is good enough, or the largest with ``below``.
    """

    name: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    goal: float | None = None
    below: bool = False
    note: str = ""

    @classmethod
    def of(cls, name: str, measured: list[float], unit: str = "", **options) -> Figure:
        """The median of ``measured`` with its extremes."""
        several = len(measured) > 1
        return cls(
            name,
            statistics.median(measured),
            unit,
            min(measured) if several else None,
            max(measured) if several else None,
            **options,
        )

    @property
    def reached(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value <= self.goal if self.below else self.value >= self.goal

    @property
    def verdict(self) -> str:
        return {None: "", True: "reached", False: "missed"}[self.reached]

    @property
    def measured_text(self) -> str:
        return f"{_number(self.value)}{_unit(self.unit)}"

    @property
    def spread_text(self) -> str:
        return "" if self.low is None else f"{_number(self.low)} – {_number(self.high)}"

    @property
    def goal_text(self) -> str:
        if self.goal is None:
            return ""
        return f"{'≤' if self.below else '≥'} {self.goal:g}{_unit(self.unit)}"


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def _unit(unit: str) -> str:
    return f" {unit}" if unit and unit != "×" else unit


def ratio(name: str, above: list[float], under: list[float], **options) -> Figure:
    """The ratio of two medians; its spread is that of the ratios of measurements made in turn."""
    each = [a / b for a, b in zip(above, under, strict=True)]
    value = statistics.median(above) / statistics.median(under)
    return Figure(name, value, low=min(each), high=max(each), **options)


@dataclass
class Part:
    """What one benchmark found, with where and when, so that parts can be measured apart."""

    name: str
    title: str
    figures: list[Figure]
    notes: list[str] = field(default_factory=list)
    data: str = ""
    when: str = ""
    commit: str = ""
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )

    @classmethod
    def load(cls, path: Path) -> Part:
        return cls.of(json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def of(cls, stored: dict) -> Part:
        """A part that was stored by `dataclasses.asdict`."""
        figures = [Figure(**figure) for figure in stored["figures"]]
        return cls(**stored | {"figures": figures})


# --- the machine ----------------------------------------------------------------------------

# What decides how fast convolutions are computed.
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "neon", "sve", "bf16")


def ran(
    command: Sequence[str | Path], cwd: Path | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """A command that has ended, with what it printed."""
    return subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=check,
        encoding="utf-8",
        errors="replace",
    )


def commit() -> str:
    """The commit that is checked out, with a mark where files differ from it."""

    def git(*words: str) -> str:
        return ran(["git", *words], cwd=ROOT, check=False).stdout.strip()

    # The benchmark's own results are no change of the program.
    changed = git("status", "--porcelain", "--", ".", ":!results")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def machine() -> dict[str, str]:
    """Processor, memory, system and versions, for the head of a table."""
    import torch

    lines = _lines("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = [line.split(":", 1)[1] for line in lines if line.startswith(("flags", "Features"))]
    words = flags[0].split() if flags else []
    sizes = [int(line.split()[1]) for line in _lines("/proc/meminfo") if "MemTotal" in line]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "instructions": " ".join(flag for flag in _FLAGS if flag in words),
        "cores": str(os.cpu_count()),
        "memory": f"{sizes[0] / 2**20:.0f} GiB" if sizes else "unknown",
        "system": _system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        name = platform.system()
    return f"{name}, {platform.system()} {platform.release()}"


def take_one_core() -> None:
    """Keep this process and its children on one core; where that is not possible, do nothing."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


# --- data -----------------------------------------------------------------------------------


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", default=DATA, help="CIFAR-10 as .npz; synthetic if absent")
    parser.add_argument("--to", type=Path, help="file for the result, as JSON")
    parser.add_argument("--quick", action="store_true", help="few repetitions, to try it out")
    return parser


def prepared(path: str) -> tuple[Path, str]:
    """The prepared CIFAR-10, or random images of its shape, and which of the two it is."""
    from modelswitch.config.data import NpzData
    from modelswitch.data.sources import read

    found = (ROOT / path).resolve()
    name = "CIFAR-10" if found.is_file() else "synthetic images, 32x32x3"
    target = WORK / f"{'cifar10' if found.is_file() else 'synthetic'}.safetensors"
    if not target.exists():
        stored = NpzData(source="npz", path=str(found))
        [data] = (read(stored) if found.is_file() else synthetic(50_000, 10_000)).values()
        data.save(target)
    return target, name


def synthetic(train: int, test: int):
    """Random images of CIFAR-10's shape, as read data sets by modality."""
    import torch

    from modelswitch.data.assembly import Stored, assembled

    def images(count: int) -> torch.Tensor:
        return torch.randint(256, (count, 32, 32, 3), dtype=torch.uint8)

    torch.manual_seed(0)
    counts = {"train": train, "test": test}
    stored = {split: images(count) for split, count in counts.items()}
    labels = {split: torch.arange(count).numpy() % 10 for split, count in counts.items()}
    return assembled(Stored("synthetic", {"synthetic": stored}, labels), 0.0).sets


# --- output ---------------------------------------------------------------------------------


def finish(part: Part, to: Path | None) -> None:
    """Store a benchmark's part, or print it where it was called by hand."""
    if to is not None:
        part.save(to)
        return
    from rich.console import Console
    from table import WIDTH, table

    Console(width=WIDTH, highlight=False).print(table([part]))


def note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
