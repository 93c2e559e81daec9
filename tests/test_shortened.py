"""A configuration written down without its defaults is the same when it is read again."""

from pathlib import Path
from typing import get_args

import pytest
import test_jobs
import yaml
from pydantic.fields import FieldInfo

from modelswitch.config.experiment import Experiment, load
from modelswitch.config.file import read_yaml
from modelswitch.config.losses import InnerLoss, OutputLoss
from modelswitch.config.shortened import short
from modelswitch.config.weighting import WeightingSpec

OPTIONAL = FieldInfo(default=None)
ROOT = Path(__file__).parents[1]


def read_again(experiment: Experiment) -> Experiment:
    return load(yaml.safe_load(yaml.safe_dump(short(experiment))))


@pytest.mark.parametrize(
    "path",
    [*ROOT.glob("config/*.yaml"), *ROOT.glob("results/reference/**/configuration.yaml")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_configuration_here_can_be_read_again(path):
    experiment = load(read_yaml(path), str(path))
    assert read_again(experiment) == experiment


def kinds(annotation) -> list[type]:
    """The sections that a union of them has room for."""
    if isinstance(annotation, type):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in kinds(part)]


@pytest.mark.parametrize(
    ("key", "section"),
    [
        (key, kind)
        for key, union in (("loss", OutputLoss), ("hints", InnerLoss), ("weighting", WeightingSpec))
        for kind in kinds(union)
    ],
)
def test_what_a_section_is_is_never_left_out(key, section):
    tag = "rule" if key == "weighting" else "name"
    values = {tag: get_args(section.model_fields[tag].annotation)[0]}
    required = {"delta": 0.1, "to": "other", "path": "my_losses:Mine"}
    values |= {
        k: v for k, v in required.items() if section.model_fields.get(k, OPTIONAL).is_required()
    }
    given = [{"loss": values}] if key == "hints" else values
    transfers = {"kd": {key: given}, "other": {"weighting": {"rule": "correctness", "delta": 0.1}}}
    changed = {"transfers": transfers, "chains": {n: f"teacher/student@{n}" for n in transfers}}
    experiment = load({**test_jobs.EXPERIMENT, "responses": {}} | changed)
    again = read_again(experiment)
    assert again == experiment
    assert getattr(again.transfers["kd"], key) == getattr(experiment.transfers["kd"], key)
