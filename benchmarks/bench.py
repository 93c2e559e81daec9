"""Run the benchmarks, one after another, and print and write one table of all of them.

The figures of a part stay until it is measured again, so that single parts can be repeated; each
carries its time and commit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from measure import DATA, ROOT, WORK, Part, commit, machine, note
from rich.console import Console
from table import WIDTH, as_csv, markdown, table

from modelswitch.errors import UserError, run_script

# In the order of the table; the programs of the same names lie beside this one.
PARTS = (
    *("step", "hints", "losses", "loop", "views"),
    *("workflow", "planning", "memory", "growth", "pairs", "processes", "report", "on_disk"),
)
# These take an hour and more, or tens of gigabytes: only where they are asked for.
APART = ("report", "on_disk")


def chosen(names: str) -> list[str]:
    """The parts that ``names`` (with commas or spaces) asks for, all if it is empty."""
    wanted = names.replace(",", " ").split()
    for name in wanted:
        if name not in PARTS:
            raise UserError(f"ONLY: unknown part {name!r}; allowed: {', '.join(PARTS)}")
    return [part for part in PARTS if part in wanted or (not wanted and part not in APART)]


def measure(name: str, args: argparse.Namespace) -> Part:
    """Run one part in a process of its own, so that none inherits another's memory or threads."""
    target = WORK / f"{name}.json"
    command = [sys.executable, Path(__file__).with_name(f"{name}.py")]
    command += ["--data", args.data, "--to", target]
    note(f"== {name}")
    start = time.perf_counter()
    status = subprocess.run(command + ["--quick"] * args.quick, check=False).returncode
    if status:
        raise UserError(f"benchmarks/{name}.py ended with status {status}")
    part = Part.load(target)
    part.seconds = time.perf_counter() - start
    part.when, part.commit = time.strftime("%Y-%m-%d %H:%M"), commit()
    return part


def write(folder: Path, fresh: list[Part]) -> list[Part]:
    """All parts that are known, ``fresh`` ones replacing what was stored of theirs."""
    store = folder / "parts"
    for part in fresh:
        part.save(store / f"{part.name}.json")
    known = [store / f"{name}.json" for name in PARTS]
    parts = [Part.load(path) for path in known if path.exists()]
    about = machine()
    (folder / "machine.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(markdown(parts, about), encoding="utf-8")
    (folder / "bench.csv").write_text(as_csv(parts), encoding="utf-8")
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--data", default=DATA, help="CIFAR-10 as .npz; synthetic if absent")
    parser.add_argument("--quick", action="store_true", help="few repetitions, to try it out")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "results" / "reference" / "bench", help="for results"
    )
    args = parser.parse_args()
    folder = WORK / "quick" if args.quick else args.folder
    names = chosen(args.only)
    WORK.mkdir(parents=True, exist_ok=True)
    parts = []
    for name in names:
        # Written after every part: what was measured is not lost with a later part.
        fresh = measure(name, args)
        parts.append(fresh)
        write(folder, [fresh])
    console = Console(width=WIDTH, highlight=False)
    about = machine()
    console.print("\n[bold]Benchmarks[/bold]")
    for key, value in about.items():
        console.print(f"  {key:<13}{value}")
    console.print()
    console.print(table(parts))
    console.print(f"\nWritten to {folder}", soft_wrap=True)


if __name__ == "__main__":
    run_script(main)
