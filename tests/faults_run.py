"""Run the workflow on a small experiment in a folder of its own, and find, kill and compare."""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "config" / "test" / "faults.yaml"
# Scripts that train; the others are over in a moment.
TRAINING = ("train.py", "hint.py", "distil.py", "train_selector.py")


def command(folder: Path, *extra: str, config: Path = CONFIG, target: str = "models") -> list[str]:
    """Snakemake in ``folder``; by default for all trainings, without tables and figures."""
    return [
        *(sys.executable, "-m", "snakemake", target, "--snakefile", str(ROOT / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(config), *extra),
    ]


def environment(**extra: str) -> dict[str, str]:
    """One thread everywhere, so that two jobs fit on two cores; the package from this clone."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{ROOT / 'src'}:{os.environ.get('PYTHONPATH', '')}",
        **extra,
    }


def start(
    folder: Path, *extra: str, config: Path = CONFIG, target: str = "models", **variables: str
) -> subprocess.Popen:
    """Snakemake in a process group of its own, printing to ``folder``/snakemake.out."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "snakemake.out").open("a") as output:
        return subprocess.Popen(
            command(folder, *extra, config=config, target=target),
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def finish(
    folder: Path, *extra: str, config: Path = CONFIG, target: str = "models", **variables: str
) -> str:
    """Run Snakemake to its end and return what it printed; fails the test unless it succeeds."""
    process = start(folder, *extra, config=config, target=target, **variables)
    try:
        status = process.wait(900)
    except BaseException:
        stop(process, folder)
        raise
    said = (folder / "snakemake.out").read_text()
    assert status == 0, said[-5000:]
    return said


def _processes() -> list[Path]:
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def trainings(folder: Path) -> list[int]:
    """Process ids of the trainings that run for ``folder``, started by whichever Snakemake."""
    found = []
    for entry in _processes():
        with contextlib.suppress(OSError):
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            # Their shells have the command as one argument; the process itself has its script
            # behind Python's own options.
            script = 3 if arguments[1:2] == ["-X"] else 1
            names = {Path(argument).name for argument in arguments[script : script + 1]}
            # One that was started warm is called after its script, in the 15 letters that fit.
            names.add((entry / "comm").read_text().strip())
            if names.isdisjoint({*TRAINING, *(name[:15] for name in TRAINING)}):
                continue
            if (entry / "cwd").resolve() == folder.resolve():
                found.append(int(entry.name))
    return found


def servers(folder: Path) -> list[int]:
    """Process ids of the servers that trainings of ``folder`` are forked from."""
    found = []
    for entry in _processes():
        with contextlib.suppress(OSError):
            if b"--serve" not in (entry / "cmdline").read_bytes().split(b"\0"):
                continue
            # Its children have its command line, and a name of their own.
            is_child = (entry / "comm").read_text().strip().endswith(".py")
            if not is_child and (entry / "cwd").resolve() == folder.resolve():
                found.append(int(entry.name))
    return found


def stop(process: subprocess.Popen, folder: Path) -> None:
    """End what is left of a run, however the test ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while running := trainings(folder):
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def weights(folder: Path) -> dict[str, str]:
    """Digest of every weight file, by its place below ``folder``."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in ("model.safetensors", "hint.safetensors", "responses.safetensors")
        for path in sorted(folder.glob(f"results/**/{name}"))
    }


def files(folder: Path) -> list[Path]:
    """All files below ``folder``, also while folders come and go, which glob does not bear."""
    return [Path(place) / name for place, _, names in os.walk(folder) for name in names]


def resumed(folder: Path) -> set[str]:
    """Which training went on from where, as the logs say at this moment."""
    found = set()
    for path in files(folder / "results"):
        if path.suffix != ".log":
            continue
        with contextlib.suppress(OSError):
            for line in path.read_text(errors="replace").splitlines():
                if "resumed after" in line:
                    found.add(f"{path.relative_to(folder)}: {line}")
    return found


def leftovers(folder: Path) -> list[str]:
    """What a run must not leave: halves of files, resume files, locks."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file()
        and (path.suffix == ".part" or path.name.startswith("resume") or path.name == "lock")
        and ".snakemake" not in path.parts
    ]
