"""What a configuration file says twice or in an odd way, and no value made of it shows."""

import json
import re
from pathlib import Path

import pytest
import yaml
from snakemake.common.configfile import load_configfile

from modelswitch.config import written
from modelswitch.config.written import check_written
from modelswitch.errors import UserError

ROOT = Path(__file__).parents[1]


@pytest.fixture(params=["in C", "in Python"], autouse=True)
def loader(request, monkeypatch):
    """Where libyaml is missing, PyYAML reads in Python, and says the same."""
    if request.param == "in Python":
        monkeypatch.setattr(written, "_LOADER", yaml.SafeLoader)


def refusal(tmp_path: Path, text: str, name: str = "my.yaml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    # Snakemake says nothing.
    load_configfile(path)
    with pytest.raises(UserError) as caught:
        check_written([path])
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training: {epochs: 2}\nseeds: [0]\ntraining: {batch: 3}\n",
         "the key 'training' stands twice, in lines 1 and 3"),
        ("chains:\n  a: teacher\n  # why\n  a: student\n",
         "chains: the key 'a' stands twice, in lines 2 and 4"),
        ("models: {a: {family: plain}, 'a': {family: resnet}}\n",
         "models: the key 'a' stands twice, in line 1"),
        ("sweeps:\n  s:\n    over:\n      weighting:\n      - wsl\n      - {beta: 1, beta: 2}\n",
         "sweeps.s.over.weighting.1: the key 'beta' stands twice, in line 6"),
        ("a: &x {b: 1, b: 2}\nc: *x\n", "a: the key 'b' stands twice, in line 1"),
        ('{"name": "x",\n\t"seeds": [0], "name": "y"}', "the key 'name' stands twice in a section"),
        ('{"data": {"path": "x", "path": "y"}}', "the key 'path' stands twice in a section"),
    ],
)  # fmt: skip
def test_of_two_equal_keys_none_is_lost_without_a_word(tmp_path, text, said):
    assert refusal(tmp_path, text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "seeds: [1, 010]\n",
            "seeds.1: found 010 in line 1, .* by eights: 8; write 8, or '010' in",
        ),
        ("name: x\ntraining: {epochs: 1:30}\n", "training.epochs: found 1:30 in line 2, .* 90; "),
        ("training:\n  warmup: 1:30.5\n", "training.warmup: found 1:30.5 in line 2, .* 90.5; "),
        ("data: {path: 20:15}\n", "data.path: .*or '20:15' in quotes for a text"),
    ],
)
def test_numbers_that_yaml_reads_in_its_own_way_are_told(tmp_path, text, said):

    assert re.match(said, refusal(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "seeds: [0, 10, 1_000, -0, 0x1F]\nx: [0.5, 1e-3, '010', \"1:30\", 08]\n",
        # What is written beside a merged section takes the place of what that has.
        "a: &x {b: 1}\nc: {<<: *x, b: 2}\nd: [*x, *x]\n",
        "a: {b: 1}\nc: {b: 1}\n",
        json.dumps({"a": {"b": 1}, "c": [{"b": 1}, {"b": 2}]}),
        "a: &x\n  b: *x\n",
    ],
)
def test_what_is_said_once_is_allowed(tmp_path, text):
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    check_written([path, tmp_path / "not there.yaml", tmp_path])


def test_every_file_is_looked_at(tmp_path):
    fine = tmp_path / "fine.yaml"
    fine.write_text("a: 1\n")
    assert "twice" in refusal(tmp_path, "a: 1\na: 2\n")
    with pytest.raises(UserError, match=r"my\.yaml: the key 'a'"):
        check_written([fine, tmp_path / "my.yaml"])


@pytest.mark.parametrize("file", sorted(ROOT.glob("config/**/*.yaml")), ids=lambda p: p.stem)
def test_every_example_says_each_thing_once(file):
    check_written([str(file)])
