"""A run ends with the same weights in any surroundings, or with one line that names the reason."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[1]
CONFIGURATION = {
    "name": "tiny",
    "data": {"source": "npz", "path": "tiny.npz", "validation": 0.25},
    "models": {
        "teacher": {"family": "plain", "stages": [[8]]},
        "student": {"family": "plain", "stages": [[4]]},
    },
    "transfers": {"kd": {}},
    "chains": {"end": "teacher/student@kd"},
    "seeds": [0],
    "training": {"epochs": 2, "batch": 16, "warmup": 0},
}


@dataclass
class Surroundings:
    """What is unlike a run in peace.

    Args:
        name: what it is called in a report.
        env: variables, None to unset one; `{here}` is the working folder.
        shell: what a shell does before it becomes Snakemake.
        after: how Snakemake is called, `"$@"`, with what is redirected.
        folder: name of the working folder.
        prepare: done in the working folder before.
        draws: whether tables, figures and pages are made too.
        said: what the last line says of a run that cannot go well; '' for one that has to.
        by_snakemake: whether Snakemake or Python says so, before anything of this project is read.
        same: whether the data are those of a run in peace.
    """

    name: str
    env: dict[str, str | None] = field(default_factory=dict)
    shell: str = ""
    after: str = 'exec "$@"'
    folder: str = "work"
    prepare: Callable[[Path], object] = lambda folder: None
    draws: bool = False
    said: str = ""
    by_snakemake: bool = False
    same: bool = True


def written(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


def shadows(*names: str) -> Callable[[Path], object]:
    """Modules of the user's that may be taken for others."""

    def write(folder: Path) -> None:
        (folder / "own").mkdir()
        for name in names:
            text = f"raise RuntimeError('the wrong {name}')\n"
            (folder / "own" / f"{name}.py").write_text(text, encoding="utf-8")

    return write


def called(**changes: object) -> Callable[[Path], object]:
    """A configuration with other values of single keys."""

    def change(folder: Path) -> None:
        values = CONFIGURATION | changes
        (folder / "tiny.yaml").write_text(
            yaml.safe_dump(values, allow_unicode=True), encoding="utf-8"
        )

    return change


def moved(name: str) -> Callable[[Path], object]:
    """Data behind another path."""

    def move(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tiny.npz").rename(folder / name)
        called(data=CONFIGURATION["data"] | {"path": name})(folder)

    return move


def pictures(folder: Path) -> None:
    """A folder of images a class, of which one has a name in other letters."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for label, name in enumerate(("дом", "house")):
            (folder / "pictures" / split / name).mkdir(parents=True)
            for number in range(10):
                pixels = random.integers(0, 60, (8, 8)) + 90 * label
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(folder / "pictures" / split / name / f"{number}.png")
    called(data={"source": "folder", "path": "pictures", "validation": 0.25})(folder)


PLAIN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LATIN = PLAIN | {"LOCPATH": "{locales}", "LC_ALL": "en_US.ISO-8859-1", "LANG": "en_US.ISO-8859-1"}
TURKISH = PLAIN | {"LOCPATH": "{locales}", "LC_ALL": "tr_TR.ISO-8859-9"}
NOT_UTF8 = r"locale.*PYTHONUTF8=1"
ALL = [
    Surroundings("a locale of ISO-8859-1", LATIN, draws=True),
    Surroundings("a Turkish locale", TURKISH, draws=True),
    Surroundings("a locale of ASCII", PLAIN | {"LC_ALL": "C"}, draws=True),
    Surroundings("POSIX", {"LC_ALL": "POSIX", "LANG": None}),
    Surroundings("a locale that is not there", {"LC_ALL": "xx_YY.UTF-8", "LANG": "xx_YY.UTF-8"}),
    Surroundings("no locale at all", {"LC_ALL": None, "LANG": None, "LC_CTYPE": None}),
    Surroundings("streams in ASCII", {"PYTHONIOENCODING": "ascii"}, draws=True),
    Surroundings(
        "a locale of ISO-8859-1, a folder in Cyrillic", LATIN, folder="опыт", said=NOT_UTF8
    ),
    Surroundings(
        "a locale of ASCII, data in Greek", PLAIN | {"LC_ALL": "C"},
        prepare=moved("εἰκόνες/tiny.npz"), said=NOT_UTF8,
    ),
    Surroundings(
        "a locale of ISO-8859-1, classes in Cyrillic", LATIN, prepare=pictures, said=NOT_UTF8
    ),
    Surroundings(
        "a locale of UTF-8, classes in Cyrillic", {"LC_ALL": "C.UTF-8"}, prepare=pictures,
        same=False,
    ),
    Surroundings("no HOME", {"HOME": None}),
    Surroundings("a HOME that is missing", {"HOME": "{here}/none"}),
    # Snakemake's own cache; nothing of this project is read before.
    Surroundings(
        "a HOME that cannot be written", {"HOME": "/proc/1", "XDG_CACHE_HOME": None},
        said=r"/proc/1/\.cache", by_snakemake=True,
    ),
    Surroundings(
        "a HOME that cannot be written and a place for caches",
        {"HOME": "/proc/1", "XDG_CACHE_HOME": "{here}/cache"}, draws=True,
    ),
    Surroundings(
        "a HOME that is a file", {"HOME": "{here}/file", "XDG_CACHE_HOME": None},
        prepare=written("file", ""), said=r"file/\.cache", by_snakemake=True,
    ),
    Surroundings("a TMPDIR that is missing", {"TMPDIR": "{here}/none"}, draws=True),
    Surroundings("a TMPDIR that cannot be written", {"TMPDIR": "/proc/1"}),
    Surroundings(
        "a TMPDIR with spaces", {"TMPDIR": "{here}/a b'c"},
        prepare=lambda folder: (folder / "a b'c").mkdir(),
    ),
    Surroundings("a umask of 077", shell="umask 077"),
    Surroundings("a umask of 000", shell="umask 000"),
    Surroundings("standard input closed", after='exec "$@" <&-'),
    Surroundings("standard output closed", after='exec "$@" >&-', draws=True),
    Surroundings("standard error closed", after='exec "$@" 2>&-'),
    Surroundings("all streams closed", after='exec "$@" <&- >&- 2>&-', draws=True),
    Surroundings("standard output full", after='exec "$@" >/dev/full', draws=True),
    # Snakemake ends at its first word, and nobody can hear why.
    Surroundings("both outputs full", after='exec "$@" >/dev/full 2>&1', said="^$"),
    Surroundings("a reader that leaves", after='"$@" | head -n 1; exit "${PIPESTATUS[0]}"'),
    Surroundings("a reader that has left", after='"$@" | true; exit "${PIPESTATUS[0]}"'),
    Surroundings("64 open files", shell="ulimit -n 64"),
    Surroundings("24 GB of addresses", shell="ulimit -v 25165824"),
    Surroundings("a small stack", shell="ulimit -s 1024"),
    Surroundings("no core files", shell="ulimit -c 0"),
    Surroundings(
        "files of 100 KB", shell="ulimit -f 100",
        prepare=lambda folder: images(folder / "tiny.npz", side=64),
        said=r"^error: .*data\.safetensors: File too large$",
    ),
    Surroundings("one thread", {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}),
    Surroundings("no thread", {"OMP_NUM_THREADS": "0", "MKL_NUM_THREADS": "0"}),
    Surroundings("threads that are no number", {"OMP_NUM_THREADS": "abc", "MKL_NUM_THREADS": "x"}),
    Surroundings("many threads", {"OMP_NUM_THREADS": "64", "OPENBLAS_NUM_THREADS": "64"}),
    Surroundings("MKL_DYNAMIC", {"MKL_DYNAMIC": "FALSE", "OMP_DYNAMIC": "true"}),
    Surroundings(
        "a notebook's backend", {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        draws=True,
    ),
    Surroundings("a backend that is none", {"MPLBACKEND": "nonsense"}, draws=True),
    Surroundings("matplotlib cannot keep settings", {"MPLCONFIGDIR": "/proc/1/x"}, draws=True),
    Surroundings(
        "a user's matplotlibrc", prepare=written("matplotlibrc", "backend: tkagg\n"), draws=True
    ),
    Surroundings(
        "modules of the user's called like parts and scripts of this project",
        {"PYTHONPATH": "{path}:{here}/own"},
        prepare=shadows("config", "data", "models", "report", "results", "tables", "train"),
        draws=True,
    ),
    # Python itself begins with these: it names the file.
    Surroundings(
        "a module of the user's called like one of Python's", {"PYTHONPATH": "{path}:{here}/own"},
        prepare=shadows("types"), said="the wrong types", by_snakemake=True,
    ),
    Surroundings(
        "a random.py of the user's", {"PYTHONPATH": "{path}:{here}/own"},
        prepare=shadows("random"), said="the wrong random", by_snakemake=True,
    ),
    Surroundings("no assertions", {"PYTHONOPTIMIZE": "2"}, draws=True),
    Surroundings("another order of hashes", {"PYTHONHASHSEED": "12345"}, draws=True),
    # What Snakemake itself leaves to be cleared away at its end is a warning of Python's.
    Surroundings(
        "warnings are errors", {"PYTHONWARNINGS": "error"}, draws=True, by_snakemake=True
    ),
    Surroundings("a safe path", {"PYTHONSAFEPATH": "1"}),
    Surroundings("no bytecode", {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}),
    Surroundings("unbuffered and in development", {"PYTHONUNBUFFERED": "1", "PYTHONDEVMODE": "1"}),
    Surroundings(
        "no place for caches", {"XDG_CACHE_HOME": "/proc/1"}, said="/proc/1/snakemake",
        by_snakemake=True,
    ),
    Surroundings(
        "no place for settings and data",
        {f"XDG_{name}_HOME": "/proc/1" for name in ("CONFIG", "DATA", "STATE")}
        | {"TORCH_HOME": "/proc/1", "XDG_RUNTIME_DIR": "/proc/1", "HF_HOME": "/proc/1"},
        draws=True,
    ),
    Surroundings(
        "sources that cannot be written",
        after='mount --bind {root} {root}; mount -o remount,ro,bind {root}; exec "$@"',
        draws=True,
    ),
    Surroundings("a folder with spaces", folder=" a  b ", draws=True),
    Surroundings("a folder with quotes", folder="it's \"so\"", draws=True),
    Surroundings("a folder with dollars", folder="$HOME `x` $(y)", draws=True),
    Surroundings("a folder with braces", folder="{lineage} {{x}} }{", draws=True),
    Surroundings("a folder in other letters", folder="опыт 実験 é", draws=True),
    Surroundings("a folder that ends with a dot", folder="run 1.", draws=True),
    Surroundings("a folder with a line break", folder="a\nb"),
    Surroundings("a folder that looks like options", folder="--forceall"),
    Surroundings("signs of patterns", folder="[a]*?#%&;|!~", draws=True),
    Surroundings(
        "a dull terminal", {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "10", "LINES": "2"}
    ),
    Surroundings("colours", {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "COLUMNS": "0"}),
    Surroundings("no GPU", {"CUDA_VISIBLE_DEVICES": ""}),
    Surroundings("a GPU of -1", {"CUDA_VISIBLE_DEVICES": "-1"}),
    Surroundings("a GPU that may not be there", {"CUDA_VISIBLE_DEVICES": "0"}),
    Surroundings("a proxy that is none", {"http_proxy": "nonsense", "https_proxy": "x://:y"}),
    Surroundings("a profile that is missing", {"SNAKEMAKE_PROFILE": "nowhere"}, said="nowhere"),
    Surroundings(
        "a profile of the user's", {"SNAKEMAKE_PROFILE": "{here}/own"},
        prepare=lambda folder: (
            (folder / "own").mkdir(),
            written("own/config.yaml", "latency-wait: 1\nquiet: [rules]\n")(folder),
        ),
    ),
    Surroundings("an odd time zone", {"TZ": "Pacific/Kiritimati"}, draws=True),
    Surroundings("a time zone that is none", {"TZ": ":/none/such"}, draws=True),
    Surroundings("a date of long ago", {"SOURCE_DATE_EPOCH": "0"}, draws=True),
    Surroundings("another shell", {"SHELL": "/bin/false", "BASH_ENV": "/none", "ENV": "/none"}),
    Surroundings("CDPATH and IFS", {"CDPATH": "/", "IFS": "/"}),
    Surroundings("cold starts", {"MODELSWITCH_WARM": "0"}, draws=True),
    Surroundings("almost no variables", after='exec env -i PATH="$PATH" PYTHONPATH="{path}" "$@"',
                 draws=True),
]  # fmt: skip
# What is quick and tells most of what the others do.
QUICK = ("a locale of ASCII",)


def images(path: Path, side: int = 8) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(96) % 4
    pixels = (random.integers(0, 60, (96, side, side)) + 45 * labels[:, None, None]).astype(
        np.uint8
    )
    np.savez(path, x_train=pixels[:64], y_train=labels[:64], x_test=pixels[64:], y_test=labels[64:])


def run(folder: Path, locales: Path, case: Surroundings) -> tuple[int, str]:
    """Status of a run in ``folder``, and what it said."""
    folder.mkdir(parents=True)
    images(folder / "tiny.npz")
    called()(folder)
    case.prepare(folder)
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    places = {"{here}": str(folder), "{locales}": str(locales), "{path}": path}
    places |= {"{root}": f"'{ROOT}'"}

    def filled(text: str) -> str:
        for key, value in places.items():
            text = text.replace(key, value)
        return text

    environment = os.environ | {"PYTHONPATH": path, "MODELSWITCH_RESUME": ""}
    del environment["MODELSWITCH_RESUME"]
    for key, value in case.env.items():
        environment.pop(key, None)
        if value is not None:
            environment[key] = filled(value)
    shell = f"{case.shell or ':'}; {filled(case.after)}"
    start = ["unshare", "-m"] if "mount " in shell else []
    command = [*start, shutil.which("bash"), "-c", shell, "bash", sys.executable, "-m", "snakemake"]
    command += ["all" if case.draws else "models", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--cores", "1", "--configfile", "tiny.yaml"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, check=False, timeout=600
    )
    said = (done.stdout + done.stderr).decode(errors="replace")
    return done.returncode, said


def weights(folder: Path) -> dict[str, bytes]:
    """The bytes of every tensor of every model, by file and name."""
    return {
        f"{path.relative_to(folder)}: {name}": tensor.tobytes()
        for path in sorted(folder.rglob("model.safetensors"))
        for name, tensor in load_file(path).items()
    }


def logs(folder: Path) -> str:
    found = [*folder.glob("results/**/*.log"), *folder.glob(".snakemake/log/*.log")]
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in found)


@pytest.fixture(scope="session")
def peace(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("peace") / "work"
    status, said = run(folder, folder, Surroundings("peace"))
    assert status == 0, said
    return weights(folder)


@pytest.fixture(scope="session")
def locales(tmp_path_factory) -> Path:
    """A folder with the locales of old clusters, where this system can make them."""
    folder = tmp_path_factory.mktemp("locales")
    if shutil.which("localedef"):
        for name in ("en_US.ISO-8859-1", "tr_TR.ISO-8859-9"):
            language, _, letters = name.partition(".")
            command = ["localedef", "-i", language, "-f", letters, str(folder / name)]
            subprocess.run(command, check=False, capture_output=True)
    return folder


def goes_well_or_says_why(
    case: Surroundings, folder: Path, locales: Path, peace: dict[str, bytes]
) -> None:
    wanted = case.env.get("LC_ALL", "")
    if case.env.get("LOCPATH") and not (locales / wanted).exists():
        pytest.skip(f"no {wanted} here")
    if "mount " in case.after and subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("only root can turn folders read-only for a single process")
    folder = folder / case.folder
    status, said = run(folder, locales, case)
    told = said + logs(folder)
    assert case.by_snakemake or "Traceback" not in told, told
    if case.said:
        assert status == 1, told
        last = next(iter(said.strip().splitlines()[::-1]), "")
        assert re.search(case.said, last), told
        assert not list(folder.rglob("model.safetensors"))
    else:
        assert status == 0, told
        assert weights(folder) == peace or not case.same
        assert not case.draws or (folder / "results" / "tiny" / "results.html").stat().st_size


@pytest.mark.long
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_any_surroundings(case, tmp_path, locales, peace):
    goes_well_or_says_why(case, tmp_path, locales, peace)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_few_surroundings(name, tmp_path, locales, peace):
    [case] = [case for case in ALL if case.name == name]
    case = dataclasses.replace(case, draws=False)
    goes_well_or_says_why(case, tmp_path, locales, peace)
