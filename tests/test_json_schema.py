"""What editors are told of a configuration, held against what a run takes."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from modelswitch.config import json_schema
from modelswitch.config.experiment import load
from modelswitch.errors import UserError

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads(json_schema.document())
PLAIN = {
    "name": "plain",
    "data": {"source": "digits"},
    "models": {
        "a": {"family": "plain", "stages": [[4]]},
        "b": {"family": "plain", "stages": [[4]]},
    },
    "transfers": {"kd": {"soft": 0.5}},
    "chains": {"one": "a/b@kd"},
}


def said(values) -> list[str]:
    return [
        error.json_path for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(values)
    ]


def changed(path, value):
    values = copy.deepcopy(PLAIN)
    *above, last = path.split(".")
    at = values
    for key in above:
        at = at[key]
    at[last] = value
    return values


def test_the_file_is_in_step():
    assert (ROOT / "config" / "schema.json").read_text(
        encoding="utf-8"
    ) == json_schema.document(), "run `make docs`"


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_example_fits(path):
    assert said(yaml.safe_load(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("transfers.kd.loss", "dkd"),
        ("transfers.kd.loss", {"name": "dkd", "beta": 2}),
        ("transfers.kd.weighting", "hard_switch"),
        ("transfers.kd.hints", [{"loss": "attention", "student_layer": 0.5}]),
        ("transfers.kd.augment", {"mixup": 0.2}),
        ("models.a.weights", "model.pth"),
        ("models.a.weights", {"file": "model.pth", "size": 32, "train": False}),
        ("claims", None),
        ("training", None),
        ("data", {"source": "folder", "path": "x", "splits": "none"}),
        ("data", {"source": "paired", "path": "x", "modalities": ["a", "b"], "size": [8, 8]}),
        ("pathvars", {"results": "elsewhere"}),
    ],
)
def test_short_forms_are_taken_by_both(path, value):
    values = changed(path, value)
    load(copy.deepcopy(values))
    assert said(values) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("trainig", {"epochs": 3}),
        ("transfers.kd.soft", 1.5),
        ("transfers.kd.loss", "dkt"),
        ("transfers.kd.weighting", {"rule": "correctness", "delta": "much"}),
        ("models.a.family", "plane"),
        ("data.source", "mnist"),
        ("training", {"epochs": 0}),
        ("seeds", ["one"]),
    ],
)
def test_mistakes_are_found_by_both(path, value):
    values = changed(path, value)
    with pytest.raises(UserError):
        load(copy.deepcopy(values))
    assert said(values) != []
