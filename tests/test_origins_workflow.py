"""Models that come from somewhere, in the whole workflow: kills, other weights, and the tables."""

import re
import time

import pandas as pd
import pytest
import torch
import yaml
from faults_run import finish, leftovers, start, stop, weights
from pydantic import TypeAdapter

from modelswitch.config.architecture import Architecture, architecture_in
from modelswitch.models.build import build
from modelswitch.models.cost import cost
from modelswitch.storage import artifacts

pytest.importorskip("torch_pruning")

TEACHER = {"family": "resnet", "widths": [8, 12], "blocks": [1, 1], "shortcut": "conv"}
STUDENT = {"family": "plain", "stages": [[4]]}
VALUES = {
    "name": "origins",
    "data": {"source": "digits", "validation": 0.15, "augment": {"crop": 1, "flip": False}},
    "models": {
        "teacher": TEACHER | {"weights": {"file": "teacher.pth", "train": False}},
        "half": {"family": "pruned", "keep": 0.5, "scope": "global", "importance": "taylor"},
        "small": STUDENT,
        "larger": {"family": "grown", "widen": 1.5, "deepen": 1},
        "both": {"family": "ensemble", "of": ["teacher", "small"]},
    },
    "transfers": {"kd": {"soft": 0.5}},
    "chains": {
        "down": "teacher/half@kd",
        "up": "small/larger@kd",
        "from-both": "both/small@kd",
    },
    "seeds": [0],
    "training": {"epochs": 3, "batch": 64, "warmup": 1, "precision": "float32"},
    "resources": {"gpu": 0},
}
FROM_THE_FILE = {
    "adopt teacher", "origin teacher/half@kd", "distil teacher/half@kd", "adopt both",
    "distil both/small@kd",
}  # fmt: skip


def prepare(folder, seed: int = 0):
    """A configuration and the checkpoint that it names, in ``folder``."""
    folder.mkdir(exist_ok=True)
    (folder / "own.yaml").write_text(yaml.safe_dump(VALUES))
    torch.manual_seed(seed)
    spec = TypeAdapter(Architecture).validate_python(TEACHER)
    torch.save(build(spec, 1, 10).state_dict(), folder / "teacher.pth")
    return folder


def jobs(said: str) -> set[str]:
    """Rule and lineage of all jobs that a dry run shows."""
    found = re.findall(r"^rule (\w+):(.*?)(?=^\[|\Z)", said, re.DOTALL | re.MULTILINE)
    named = {(rule, re.search(r"lineage=([^\s,]+)", text)) for rule, text in found}
    return {f"{rule} {lineage[1]}" for rule, lineage in named if lineage}


@pytest.mark.long
@pytest.mark.slow
def test_killed_resumed_and_made_anew_from_other_weights(tmp_path):
    peace = prepare(tmp_path / "peace")
    own = {"config": peace / "own.yaml"}
    finish(peace, "--cores", "2", target="all", **own)
    expected = weights(peace)
    origins = {
        str(path.relative_to(peace)): path.read_bytes()
        for path in peace.rglob("origin.safetensors")
    }
    assert len(origins) == 2
    assert len(expected) == 6

    # A kill while first weights are being made or used, and one when half of the models are there.
    killed = prepare(tmp_path / "killed")
    for files in ("origin.*", "model.safetensors"):
        process = start(killed, "--cores", "1", "--rerun-incomplete", **own)
        limit = time.monotonic() + 300
        while len(list(killed.rglob(files))) < 2 and process.poll() is None:
            assert time.monotonic() < limit
            time.sleep(0.05)
        stop(process, killed)
        finish(killed, "--unlock", **own)
    finish(killed, "--cores", "2", "--rerun-incomplete", **own)
    assert weights(killed) == expected
    assert all((killed / name).read_bytes() == text for name, text in origins.items())
    assert not leftovers(killed)

    # Every lineage has its own size, seed by seed, and says where its first weights are from.
    models = pd.read_csv(peace / "results/origins/tables/models.csv").set_index("lineage")
    assert models["origin"].to_dict() == {
        "teacher": "given", "teacher/half@kd": "pruned", "small": "fresh",
        "small/larger@kd": "grown", "both": "merged", "both/small@kd": "fresh",
    }  # fmt: skip
    for lineage in ("teacher/half@kd", "small/larger@kd"):
        path = peace / f"results/origins/digits/seed0/{lineage}/model.safetensors"
        own_cost = cost(architecture_in(artifacts.read_passport(path)), (8, 8, 1), 10)
        rows = models.loc[[lineage]]
        assert set(rows["parameters"]) == {own_cost.parameters}
        assert set(rows["macs"]) == {own_cost.macs}
        assert rows["latency_ms"].notna().all()
    whole = models.loc[["teacher"], "parameters"].iloc[0]
    assert models.loc[["teacher/half@kd"], "parameters"].iloc[0] <= whole / 2

    # Nothing to do; then another file under the same name, and what depends on it.
    (peace / "snakemake.out").unlink()
    assert not jobs(finish(peace, "-n", "--cores", "1", target="models", **own))
    prepare(peace, seed=1)
    (peace / "snakemake.out").unlink()
    assert jobs(finish(peace, "-n", "--cores", "1", target="models", **own)) == FROM_THE_FILE
