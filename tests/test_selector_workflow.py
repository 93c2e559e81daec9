"""The selector's section of a configuration, and the workflow with three modalities."""

import copy
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from modelswitch.config.experiment import load
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.results.collect import StoredResults
from modelswitch.selector.graph import SelectorGraph

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
EXPORTS = importlib.util.find_spec("onnxruntime") is not None
WHOLE = "results/three/selector/seed0/mms/deploy/onnx.onnx"
TIMES = "results/three/selector/times.csv"
EXPERIMENT = {
    "name": "pairs",
    "data": {"source": "eyes", "identities": 4, "train": 4, "test": 2},
    "models": {
        "teacher": {"family": "plain", "stages": [[8], [8]]},
        "student": {"family": "plain", "stages": [[4], [4]]},
    },
    "transfers": {"kd": {}},
    "chains": {"full": "teacher", "compressed": "teacher/student@kd"},
    "seeds": [3],
    "selector": {"selectors": {"mms": {"recognisers": "full"}}},
}


def changed(**sections):
    values = copy.deepcopy(EXPERIMENT)
    for key, value in sections.items():
        if value is None:
            del values[key]
        else:
            values[key] = value
    return values


def selectors(**selector):
    return changed(selector={"selectors": {"mms": selector}})


def test_committed_configurations_are_valid():
    for name in ("eyes", "demo-eyes"):
        experiment = load(yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()))
        assert experiment.datasets == ["periocular", "iris"]
        for selector in experiment.selector.selectors:
            assert experiment.recognisers(selector)


def test_recognisers_may_differ_and_may_be_students():
    values = selectors(recognisers={"iris": "compressed", "periocular": "teacher"})
    graph = SelectorGraph(Graph(load(values)))
    assert graph.files("seed3", "mms") == [
        "pairs/periocular/seed3/teacher/degraded.safetensors",
        "pairs/iris/seed3/teacher/student@kd/degraded.safetensors",
    ]
    job = graph.job("seed3", "mms")
    assert [r.modality for r in job.recognisers] == ["periocular", "iris"]
    # the job knows its recognisers' jobs, so that a change above reruns it
    other = copy.deepcopy(values)
    other["transfers"] = {"kd": {"soft": 0.3}}
    again = SelectorGraph(Graph(load(other))).job("seed3", "mms")
    assert again.recognisers[0] == job.recognisers[0]
    assert again.recognisers[1] != job.recognisers[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            selectors(recognisers="teachers"),
            "unknown chain or lineage 'teachers' .did you mean 'teacher'..; allowed: ",
        ),
        (selectors(recognisers={"iris": "full"}), "no recogniser for periocular"),
        (
            selectors(recognisers={"iris": "full", "periocular": "full", "ear": "full"}),
            "unknown modality 'ear'; allowed: periocular, iris",
        ),
        (selectors(recognisers="full", parts="half"), "parts: found 'half'"),
        (selectors(recognisers="full", top=0), "top: found 0"),
        (selectors(recognisers="full", hiden=[3]), r"unknown key 'hiden' \(did you mean 'hidden'"),
        (changed(data={"source": "digits"}), "selector: the data source 'digits' has one modality"),
        (
            changed(data=EXPERIMENT["data"] | {"validation": 0}),
            "data.validation: found 0; selectors are trained on samples that are held back",
        ),
        (changed(data=EXPERIMENT["data"] | {"identities": 1}), "data.identities: found 1"),
        (changed(data=EXPERIMENT["data"] | {"iris": [4, 90]}), "data.iris.0: found 4"),
        (changed(data=EXPERIMENT["data"] | {"name": "x"}), "data.name: found 'x'"),
        (
            changed(data={"source": "paired", "path": "x", "modalities": ["a", "a"]}),
            "modalities repeat: a, a",
        ),
        (
            changed(data={"source": "paired", "path": "x", "modalities": ["a", "both"]}),
            "both: kept as names of degraded sides",
        ),
        (changed(data={"source": "paired", "path": "x", "modalities": ["a"]}), "data.modalities"),
    ],
)
def test_bad_configurations_are_refused_in_one_line(values, message):
    with pytest.raises(UserError, match=message) as error:
        load(values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("degradations", "message"),
    [
        ({"seen": ["fog"]}, "found 'fog'"),
        ({"seen": ["lid"], "unseen": ["lid"]}, "named twice in seen and unseen: lid"),
        ({"levels": [0.5, 0.2]}, "levels have to rise"),
        ({"levels": [0.0, 0.5]}, "found 0.0"),
        ({"levels": [1.5]}, "found 1.5"),
        ({"seen": []}, "seen"),
    ],
)
def test_bad_degradations_are_refused(degradations, message):
    values = changed(
        selector={"selectors": {"mms": {"recognisers": "full"}}, "degradations": degradations}
    )
    with pytest.raises(UserError, match=message):
        load(values)


def three_modalities(path: Path) -> Path:
    """Three views of simple patterns, one of two channels: stripes whose direction is the class."""
    rng = np.random.default_rng(0)
    labels = np.arange(96) % 3
    x, y = np.meshgrid(np.arange(12), np.arange(12))
    arrays = {"y": labels}
    for name, channels in {"left": 1, "right": 3, "top": 2}.items():
        angle = labels * np.pi / 3
        wave = np.sin(np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y)
        noise = rng.normal(0, 0.2, (96, 12, 12, channels))
        arrays[name] = np.clip(127 + 80 * (wave[..., None] + noise), 0, 255).astype(np.uint8)
    arrays["top"][::12] = 0  # what a failed segmentation leaves
    np.savez(path, **arrays)
    return path


@pytest.mark.slow
@pytest.mark.long
def test_three_modalities_from_an_npz_to_the_tables(tmp_path):
    three_modalities(tmp_path / "three.npz")
    values = {
        "name": "three",
        "data": {
            "source": "paired",
            "path": "three.npz",
            "modalities": ["left", "right", "top"],
            "validation": 0.3,
            "augment": {"crop": 1, "flip": False},
        },
        "models": {"small": {"family": "plain", "stages": [[8], [8]]}},
        "chains": {"full": "small"},
        "seeds": [0],
        "training": {"epochs": 8, "batch": 16, "learning_rate": 0.05, "warmup": 1},
        "selector": {
            "selectors": {"mms": {"recognisers": "full"}},
            "degradations": {
                "seen": ["gaussian_noise"],
                "unseen": [],
                "levels": [0.5, 1.0],
                "absent": True,
            },
        },
        "deploy": {"formats": ["onnx"], "tolerance": 0.0},
    }
    (tmp_path / "three.yaml").write_text(yaml.safe_dump(values))
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [
            *SNAKEMAKE,
            "selector",
            "results",
            *([WHOLE, TIMES] if EXPORTS else []),
            "--cores",
            "2",
            "--quiet",
            "all",
            "--configfile",
            "three.yaml",
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(tmp_path / "results/three/tables/selection.csv")
    assert set(table["side"]) == {
        *("left", "right", "top", "left+right", "left+top", "right+top", "all")
    }
    assert {"always_left", "always_right", "always_top", "selector"} <= set(table["method"])
    gone = table[(table["degradation"] == "absent") & (table["level"] == 1)]
    assert set(gone["side"]) == {*("left", "right", "top", "left+right", "left+top", "right+top")}
    told = pd.read_csv(tmp_path / "results/three/tables/abstaining.csv")
    assert "absent" in set(told["situation"])
    assert (tmp_path / "results/three/figures/abstaining-mms.png").stat().st_size > 10_000
    confusion = pd.read_csv(tmp_path / "results/three/tables/confusion.csv")
    assert {"left+right", "all", "none"} <= set(confusion["right"])
    summary = (tmp_path / "results/three/tables/selection_summary.md").read_text()
    assert "best baseline" in summary
    # Nothing in here is an eye, and nothing says so.
    for file in ("results.html", "summary.md", "tables/selection_summary.md"):
        text = (tmp_path / "results/three" / file).read_text()
        # The command names the folder of this program.
        words = re.sub(r"base64,[^\"')]+|command: .*", "", text)
        assert "left" in words
        assert not re.findall(r".*\b(?:eyes?|iris(?:es)?|periocular)\b.*", words, re.IGNORECASE), (
            file
        )
    assert (tmp_path / "results/three/figures/contact_sheet.png").stat().st_size > 10_000
    if EXPORTS:
        about = json.loads((tmp_path / f"{WHOLE}.json").read_text())
        assert about["shapes"] == [[12, 12, 1], [12, 12, 3], [12, 12, 2]]
        found = about["judgement"]
        # Clean, and each of three modalities at the highest level.
        held = table[(table["level"] == 0) & (table["method"] == "selector")]["images"].iloc[0]
        assert found["images"] == 4 * held
        assert found["agreement"] == found["selection_agreement"] == 1
        assert found["accuracy"] == found["network_accuracy"]
        clean = table[(table["level"] == 0) & (table["method"] == "selector")]["accuracy"].iloc[0]
        worst = table[(table["level"] == 1) & (table["method"] == "selector")]
        # No image is degraded where a modality is absent, and the file always takes all of them.
        worst = worst[worst["degradation"] != "absent"]
        worst = worst[worst["side"].isin(["left", "right", "top"])]["accuracy"]
        assert found["network_accuracy"] == pytest.approx((clean + worst.sum()) / 4)
        stored = StoredResults(load(values), tmp_path / "results")
        [row] = stored.selector_exports().to_dict("records")
        assert row["modalities"] == "left;right;top"
        assert (row["file_bytes"], row["accuracy"]) == (about["bytes"], found["accuracy"])
        times = stored.selector_latency()
        assert set(times["selector"]) == {"mms"}
        assert set(times["batch"]) == {1, 32}


@pytest.mark.slow
def test_data_that_is_not_paired_stops_before_anything_is_written(tmp_path):
    three_modalities(tmp_path / "three.npz")
    with np.load(tmp_path / "three.npz") as arrays:
        content = dict(arrays)
    content["top"] = content["top"][:-3]
    np.savez(tmp_path / "three.npz", **content)
    values = changed(
        data={"source": "paired", "path": "three.npz", "modalities": ["left", "right", "top"]}
    )
    (tmp_path / "three.yaml").write_text(yaml.safe_dump(values))
    done = subprocess.run(
        [*SNAKEMAKE, "--cores", "1", "--configfile", "three.yaml"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "96 labels for 93 images of top" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()
