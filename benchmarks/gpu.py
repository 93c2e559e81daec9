"""What this project does on a GPU, in ten minutes at most: speeds, shares, ranks, memory, bits.

For whoever has a card: `python benchmarks/gpu.py`. Each part is a process of its own with a limit
of its own; one that cannot be done here says so in a line, and of one that is stopped by its limit
the table has what was found by then. With ``--pretend`` (or MODELSWITCH_DEVICES) the parts run on
the processor with pretended devices, which shows that they work and says nothing of any speed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from measure import DATA, ROOT, WORK, Part, commit, machine, note, ran
from rich.console import Console
from table import WIDTH, markdown, table

from modelswitch.errors import UserError, run_script

TOTAL, BETWEEN = 600.0, 20.0
REFERENCE = ROOT / "results" / "reference" / "gpu"
# Titles, and the seconds that a part may take; in the order of the table.
PARTS = {
    "steps": ("Distillation step", 160),
    "loading": ("Views, share of a step of this project's loop", 60),
    "sharing": ("Trainings with a part of one device each", 130),
    "ranks": ("One training in two processes against one", 50),
    "memory": ("A batch that cannot fit", 40),
    "bits": ("The same bits: trained twice; killed, stopped, gone on", 140),
}
PRETENDED = (
    "**No GPU was there.** Devices are pretended and everything was computed on the processor, by "
    "tiny models. What can be seen is whether the parts work (lease, shares, ranks, determinism, "
    "resuming); where one failed or was stopped, that is written below it. "
    "**No speed in this table says anything about a GPU.**"
)
QUICK = "A smoke test: tiny data, few repetitions."
MISSING = "not done: no CUDA device is here; --pretend tries the parts on the processor"


def pretends(args: argparse.Namespace) -> bool:
    return args.pretend or "MODELSWITCH_DEVICES" in os.environ


def limits(names: list[str], total: float = TOTAL) -> dict[str, float]:
    """Seconds of each part; all of them, files and starts included, are at most ``total``."""
    # The rest is for what is between the parts.
    factor = (total - BETWEEN) / (TOTAL - BETWEEN)
    return {name: factor * PARTS[name][1] for name in names}


def head(pretended: bool, quick: bool) -> str:
    """What has to be known before any figure is read."""
    return " ".join([PRETENDED] * pretended + [QUICK] * quick)


def part(name: str, args: argparse.Namespace) -> None:
    """Be one of the parts."""
    import gpu_steps
    import gpu_trainings
    from gpu_setting import Setting, Told

    setting = Setting(args.work, pretends(args), args.quick)
    told = Told(Part(name, PARTS[name][0], []), args.work / f"{name}.json")
    if name in ("steps", "loading"):
        getattr(gpu_steps, name)(setting, told, args.data)
    else:
        getattr(gpu_trainings, name)(setting, told)
    told.save()


def measured(name: str, seconds: float, args: argparse.Namespace) -> tuple[Part, bool]:
    """A part's figures, and whether it came to its end."""
    path, log = args.work / f"{name}.json", args.work / f"{name}.log"
    empty = Part(name, PARTS[name][0], [])
    empty.save(path)
    command = [sys.executable, __file__, "--part", name, "--work", args.work, "--data", args.data]
    command += ["--quick"] * args.quick + ["--pretend"] * args.pretend
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as said:
        # A session, so that the part's own trainings end with it.
        process = subprocess.Popen([*map(str, command)], stderr=said, start_new_session=True)
        try:
            ended = process.wait(seconds)
            problem = f"failed with status {ended}: {_last(log)}" if ended else ""
        except subprocess.TimeoutExpired:
            problem = f"stopped by its limit of {seconds:.0f} s; what is above was found by then"
        finally:
            # Where there is no such group, all that the part had started has ended too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    found = Part.load(path)
    found.notes += [problem] * bool(problem)
    found.seconds = time.perf_counter() - start
    found.when, found.commit = time.strftime("%Y-%m-%d %H:%M"), commit()
    return found, not problem


def _last(log: Path) -> str:
    """The last line that is not indented: what an error is, rather than where."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line for line in lines if line.strip() and not line.startswith(" ")]
    return said[-1] if said else "it said nothing"


def card(pretended: bool) -> dict[str, str]:
    """The GPU, its driver and libraries, for the head of the table."""
    import torch

    if pretended or not torch.cuda.is_available():
        return {"gpu": "none, devices are pretended" if pretended else "none"}
    about = torch.cuda.get_device_properties(0)
    driver = "unknown"
    if query := shutil.which("nvidia-smi"):
        said = ran([query, "--query-gpu=driver_version", "--format=csv,noheader"], check=False)
        driver = said.stdout.strip().splitlines()[0] if said.stdout.strip() else driver
    return {
        "gpu": f"{torch.cuda.device_count()} x {about.name}",
        "gpu memory": f"{about.total_memory / 2**30:.0f} GiB",
        "driver": driver,
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
    }


def stored(folder: Path, above: str) -> dict[str, Part]:
    """The parts that were measured before under the same head; they stay until they are again."""
    path = folder / "gpu.json"
    if not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    if kept["head"] != above:
        return {}
    return {each["name"]: Part.of(each) for each in kept["parts"]}


def write(folder: Path, known: dict[str, Part], about: dict[str, str], above: str) -> list[Part]:
    """`gpu.json` and `README.md`, whole after every part; the parts in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [known[name] for name in PARTS if name in known]
    kept = {"head": above, "machine": about, "parts": [asdict(each) for each in parts]}
    text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
    (folder / "gpu.json").write_text(text, encoding="utf-8")
    text = markdown(parts, about, "On a GPU", above)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return parts


def everything(args: argparse.Namespace) -> bool:
    """Measure, print and write; whether every part came to its end."""
    import torch

    names = args.only.replace(",", " ").split() or list(PARTS)
    for name in names:
        if name not in PARTS:
            raise UserError(f"--only: unknown part {name!r}; allowed: {', '.join(PARTS)}")
    pretended = pretends(args)
    there = pretended or torch.cuda.is_available()
    for_reference = there and not pretended and not args.quick
    folder = args.to or (REFERENCE if for_reference else WORK / "gpu")
    WORK.mkdir(parents=True, exist_ok=True)
    args.work = Path(tempfile.mkdtemp(prefix="gpu-", dir=WORK))
    if pretended:
        # A scheduler's choice of real devices is none of pretended ones.
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        os.environ.setdefault("MODELSWITCH_DEVICES", "a,b")
        os.environ["MODELSWITCH_LEASES"] = str(args.work / "leases")
    console = Console(width=WIDTH, highlight=False)
    above = head(pretended, args.quick)
    about = machine() | ({} if there else card(pretended))
    known, whole = stored(folder, above), True
    for name, seconds in limits(names, 60 * args.minutes).items():
        note(f"== {name}, {seconds:.0f} s at most")
        if there:
            found, ended = measured(name, seconds, args)
        else:
            found, ended = Part(name, PARTS[name][0], [], [MISSING]), True
            found.when, found.commit = time.strftime("%Y-%m-%d %H:%M"), commit()
        known[name] = found
        whole = whole and ended
        write(folder, known, about, above)
    # Not earlier: asking for its name takes some of the card's memory.
    about = machine() | card(pretended)
    parts = write(folder, known, about, above)
    console.print("\n[bold]On a GPU[/bold]")
    if above:
        console.print(f"[bold red]{above.replace('**', '')}[/bold red]")
    for key, value in about.items():
        console.print(f"  {key:<13}{value}")
    console.print()
    console.print(table(parts))
    console.print(f"\nWritten to {folder}", soft_wrap=True)
    if whole:
        shutil.rmtree(args.work)
    else:
        console.print(f"What the parts said: {args.work}/*.log", soft_wrap=True)
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--data", default=DATA, help="CIFAR-10 as .npz; synthetic if absent")
    parser.add_argument(
        "--to",
        type=Path,
        help="folder for gpu.json and README.md; results/reference/gpu, or results/bench/gpu where "
        "it is a smoke test, devices are pretended or none is there",
    )
    parser.add_argument(
        "--minutes", type=float, default=TOTAL / 60, help="in all; more on a machine that is busy"
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test; not for the reference")
    parser.add_argument("--pretend", action="store_true", help="pretended devices, the processor")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--install", action="store_true", help="torchdistill, and nothing else")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.install:
        from step import install

        install()
        return
    if args.part:
        part(args.part, args)
        return
    # Asked to stop, it ends the part that runs, which has a session of its own.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    if not everything(args):
        raise UserError("a part did not come to its end; its notes in the table say why")


if __name__ == "__main__":
    run_script(main)
