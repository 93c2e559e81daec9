"""What a training asks of a machine: in a profile, and in configurations from before."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modelswitch.config.resources import Resources

ROOT = Path(__file__).parents[1]
CONFIG = {
    "name": "asks", "data": {"source": "digits"},
    "models": {"teacher": {"family": "plain", "stages": [[8]]},
               "student": {"family": "plain", "stages": [[4]]}},
    "chains": {"direct": "teacher/student@kd"}, "transfers": {"kd": {}}, "seeds": [0],
}  # fmt: skip


@pytest.mark.parametrize(
    ("said", "profile"),
    [
        ({}, {}),
        ({"threads": 2}, {"set-threads": 2}),
        ({"gpu": 0}, {"set-resources": {"gpu": 0}}),
        ({"runtime": 600, "mem_mb": 8000},
         {"set-resources": {"mem_mb": "8000 * attempt", "runtime": "600 * attempt"}}),
        ({"threads": 4, "gpu": 1}, {"set-threads": 4, "set-resources": {"gpu": 1}}),
        ({"gpu_share": 4}, {"set-resources": {"gpu_share": 4}}),
        ({"gpu": 2, "runtime": 9}, {"set-resources": {"gpu": 2, "runtime": "9 * attempt"}}),
    ],
)  # fmt: skip
def test_what_an_old_configuration_says_is_told_as_lines_of_a_profile(said, profile):
    lines = yaml.safe_load("\n".join(Resources(**said).as_profile)) or {}
    assert {key: rules["train"] for key, rules in lines.items()} == profile
    assert all(set(rules) == {"train", "hint", "distil", "respond"} for rules in lines.values())


def test_what_trains_nothing_needs_no_second_gpu():
    [line] = Resources(gpu=4).as_profile
    assert yaml.safe_load(line)["set-resources"]["respond"] == {"gpu": 1}


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"gpu_share": 0}, "gpu_share"),
        ({"gpu_share": 2, "gpu": 0}, "gpu_share: found 2 beside gpu: 0"),
        ({"gpu_share": 2, "gpu": 2}, "a training has several GPUs or a part of one"),
    ],
)
def test_shares_that_there_are_not_are_refused(said, named):
    with pytest.raises(ValueError, match=named):
        Resources(**said)


def planned(folder: Path, config: dict, profile: list[str]) -> str:
    (folder / "asks.yaml").write_text(yaml.safe_dump(config))
    (folder / "profile").mkdir(exist_ok=True)
    (folder / "profile" / "profile.yaml").write_text("\n".join(["keep-going: true", *profile]))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "results/asks/digits/seed0/teacher/model.safetensors",
         "--dry-run", "--cores", "4", "--snakefile", str(ROOT / "Snakefile"),
         "--profile", str(folder / "profile"), "--configfile", "asks.yaml"],
        cwd=folder, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_resources_old_and_new_ask_for_the_same(tmp_path):
    said = {"threads": 2, "gpu": 0, "runtime": 77, "mem_mb": 1234}
    lines = Resources(**said).as_profile
    old = planned(tmp_path, CONFIG | {"resources": said}, [])
    new = planned(tmp_path, CONFIG, lines)
    both = planned(tmp_path, CONFIG | {"resources": {"threads": 3}}, lines)
    for text in (old, new, both):
        asked = text.partition("rule train:")[2]
        assert "threads: 2" in asked
        assert "runtime=77" in asked
        assert "mem_mb=1234" in asked
        assert "gpu=1" not in asked
    assert "note: " not in new
    assert [line for line in old.splitlines() if line.startswith("note: asks.yaml: resources")]
    assert all(line in old for line in lines)


@pytest.mark.slow
def test_on_a_node_no_step_asks_for_more_cores_than_its_job_was_given(tmp_path):
    """There Snakemake is started with all of the node's cores; submitted it was with one."""
    (tmp_path / "asks.yaml").write_text(yaml.safe_dump(CONFIG))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "results/asks/digits/models.json", "--dry-run",
         "--mode", "remote", "--cores", "8", "--snakefile", str(ROOT / "Snakefile"),
         "--configfile", "asks.yaml"],
        cwd=tmp_path, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "rule measure_models:" in said
    assert "threads: " not in said
