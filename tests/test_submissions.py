"""What SLURM is asked for: an `sbatch` that writes its arguments down and refuses the job."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from faults_run import CONFIG, ROOT, environment

pytest.importorskip("snakemake_executor_plugin_slurm")
pytestmark = pytest.mark.slow

SBATCH = f"""#!{sys.executable}
import os, shlex, sys
with open(os.environ["ASKED"], "a") as stream:
    print(shlex.join(sys.argv[1:]), file=stream)
sys.exit("no")
"""
SELECTORS = {
    "name": "pairs",
    "data": {"source": "eyes", "identities": 4, "train": 4, "test": 2},
    "models": {"small": {"family": "plain", "stages": [[4], [4]]}},
    "chains": {"full": "small"},
    "seeds": list(range(7)),
    "resources": {"threads": 2},
    "selector": {"selectors": {"mms": {"recognisers": "full"}}},
}


def made(folder: Path, *names: str) -> None:
    """Results that are there already, as far as Snakemake looks."""
    for name in names:
        path = folder / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def asked(
    folder: Path, target: str, config: Path, profile: Path = ROOT / "profiles" / "slurm"
) -> list[dict[str, str]]:
    """The options of every submission on the way to ``target``, in their order."""
    programs = folder / "programs"
    programs.mkdir()
    # Without a cluster SLURM's other programs are not to be found, or wait for one in vain.
    others = dict.fromkeys(("sacct", "scontrol", "squeue"), "#!/bin/sh\nexit 1\n")
    sinfo = "#!/bin/sh\necho 'PARTITION\nmain*'\n"
    for name, text in {"sbatch": SBATCH, "sinfo": sinfo, **others}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    record = folder / "asked"
    variables = {"PATH": f"{programs}:{os.environ['PATH']}", "ASKED": str(record)}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", target, "--snakefile", str(ROOT / "Snakefile")),
            *("--profile", str(profile), "--configfile", str(config)),
            *("--slurm-no-account", "--slurm-status-command", "squeue", "--directory", str(folder)),
        ],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert record.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    return [options(line) for line in record.read_text().splitlines()]


def options(line: str) -> dict[str, str]:
    """The options of a command line, without their dashes."""
    found, words = {}, shlex.split(line)
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("-"):
            name, _, value = word.lstrip("-").partition("=")
            found[name] = value or ("" if following.startswith("-") else following)
    return found


def test_a_training_asks_for_one_gpu_and_for_more_memory_and_time_with_every_retry(tmp_path):
    made(tmp_path, "faults/digits/data.safetensors")
    target = "results/faults/digits/seed0/teacher/model.safetensors"
    submissions = asked(tmp_path, target, CONFIG)
    assert [s["mem"] for s in submissions] == ["3000", "6000", "9000", "12000"]
    assert [int(s["t"]) for s in submissions] == [240, 480, 720, 960]
    assert [s["gpus"] for s in submissions] == ["1"] * 4
    assert all("requeue" in s for s in submissions)


@pytest.mark.long
@pytest.mark.parametrize(
    ("said", "options"),
    [
        ('{gpu: 0, gpu_share: 4, gres: "shard:1"}', {"gres": "shard:1"}),
        ("{gpu: 2}", {"gpus": "2"}),
    ],
)
def test_a_profile_asks_slurm_for_a_part_of_a_gpu_or_for_several(tmp_path, said, options):
    made(tmp_path, "faults/digits/data.safetensors")
    target = "results/faults/digits/seed0/teacher/model.safetensors"
    text = (ROOT / "profiles" / "slurm" / "profile.yaml").read_text()
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "profile.yaml").write_text(
        f"{text}\nset-resources: {{train: {said}}}\n"
    )
    found = asked(tmp_path, target, CONFIG, tmp_path / "profile")
    assert {name: found[0].get(name) for name in ("gres", "gpus")} == (
        {"gres": None, "gpus": None} | options
    )


@pytest.mark.long
def test_selectors_are_submitted_four_at_a_time_and_without_a_gpu(tmp_path):
    config = tmp_path / "pairs.yaml"
    config.write_text(yaml.safe_dump(SELECTORS))
    for seed in range(7):
        for side in ("periocular", "iris"):
            made(tmp_path, f"pairs/{side}/seed{seed}/small/degraded.safetensors")
    first = asked(tmp_path, "results/pairs/tables/selection.csv", config)[:2]
    assert sorted(int(s["cpus-per-task"]) for s in first) == [6, 8]
    assert sorted(int(s["mem"]) for s in first) == [3 * 3000, 4 * 3000]
    assert not any("gpus" in s for s in first)


@pytest.mark.long
def test_tables_and_figures_are_one_submission(tmp_path):
    config = tmp_path / "pairs.yaml"
    config.write_text(yaml.safe_dump(SELECTORS | {"seeds": [0]}))
    for side in ("periocular", "iris"):
        files = ("model.safetensors", "outputs.safetensors", "history.csv", "degraded.safetensors")
        made(tmp_path, *(f"pairs/{side}/{name}" for name in ("data.safetensors", "models.json")))
        made(tmp_path, *(f"pairs/{side}/seed0/small/{name}" for name in files))
    made(
        tmp_path,
        *(f"pairs/selector/seed0/mms/{f}" for f in ("selector.safetensors", "history.csv")),
    )
    submissions = asked(tmp_path, "results", config)
    # One job, tried four times: half an hour for each of the steps that follow one another.
    assert [int(s["t"]) for s in submissions] == [90, 180, 270, 360]
    assert not any("gpus" in s for s in submissions)
