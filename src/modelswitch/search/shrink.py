"""A configuration that searches for a smaller model than the one that somebody has."""

import re
from pathlib import Path
from typing import Any

import yaml

from modelswitch.config.experiment import load
from modelswitch.config.search import BEFOREHAND, amount
from modelswitch.errors import UserError, naming
from modelswitch.storage import artifacts

_BOUND = re.compile(r"\s*([a-z_]+)\s*(<=?|>=?)\s*(\S+)\s*")
_LARGE = 64
_HEADER = """\
# Written by `make shrink`: the path from {teacher} to a model with {most}. Change what you like,
# and go on with snakemake --cores all --configfile {name}.yaml
"""


def configuration(
    data: str,
    teacher: str | None = None,
    most: str = "parameters<50k",
    *,
    kind: str | None = None,
    size: int | None = None,
    trainings: int = 81,
    epochs: int = 27,
    name: str = "shrink",
) -> str:
    """YAML of a search for a smaller model.

    Args:
        data: folder of images, `.npz`, or `digits`.
        teacher: file with the weights of the model that is there; without, one is trained.
        most: what the model has to keep to: `parameters<50k,latency_ms<1`, `accuracy>0.97` (of the
            teacher's).
        kind: what network the file is of, `timm:resnet18` or `torchvision:resnet18`. A file that
            this project wrote says it itself.
        size: height and width of the images.

    Raises:
        UserError: one of these cannot be read.
    """
    source = _data(data, size)
    constraints = bounds(most)
    goal: dict[str, Any] = {"maximise": "validation_accuracy"}
    if "accuracy" in constraints:
        goal = {"minimise": "parameters"}
    stages = 4 if size is not None and size >= _LARGE else 3
    between = {"family": "resnet", "widths": [16 * 2**n for n in range(stages)]}
    values = {
        "name": name,
        "data": source | {"validation": 0.2},
        "models": {
            "teacher": _teacher(teacher, kind, stages),
            "assistant": between | {"blocks": [2] * stages},
        },
        "transfers": {"kd": {"soft": 0.7, "temperature": 4}, "hinted": {"soft": 0.7,
                      "temperature": 4, "hint": {"mode": "joint"}}},
        "chains": {"own": "teacher/assistant@kd"},
        "training": {"epochs": epochs},
        "seeds": [0, 1, 2],
        "search": {
            "space": {
                "teachers": ["teacher"],
                "assistants": {"count": [0, 1], "models": ["assistant"], "transfer": "kd"},
                "students": [
                    {"family": "plain", "width": [4, 8, 16, 32], "depth": [1, 2], "stages": stages},
                    {"family": "resnet", "width": [4, 8, 16], "depth": [1, 2, 3], "stages": stages},
                    {"family": "mobile", "width": [8, 16, 32], "depth": [1, 2], "stages": stages},
                ],
                "transfers": ["kd", "hinted"],
                "over": {"soft": [0.3, 0.5, 0.7, 0.9], "temperature": [2, 4, 8]},
            },
            "goal": goal,
            "constraints": constraints,
            "budget": {"trainings": trainings},
        },
    }  # fmt: skip
    load(values, "make shrink")
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    said = "a model that is trained first" if teacher is None else teacher
    return _HEADER.format(teacher=said, most=most, name=name) + text


def bounds(most: str) -> dict[str, Any]:
    """Constraints from `parameters<50k,accuracy>0.97`."""
    found: dict[str, Any] = {}
    for part in most.split(","):
        match = _BOUND.fullmatch(part)
        allowed = f"{' or '.join(f'{name}<…' for name in BEFOREHAND)}, or accuracy>0.97"
        if match is None:
            raise UserError(f"MAX: found {part!r}; allowed: {allowed}, with commas between")
        name, sign, value = match.groups()
        known = (name in BEFOREHAND and sign[0] == "<") or (name == "accuracy" and sign[0] == ">")
        if not known or name in found or not isinstance(amount(value), float):
            raise UserError(f"MAX: found {part.strip()!r}; allowed: {allowed}, each once")
        if name == "accuracy":
            found[name] = {"at_least": f"{value} of teacher"}
        else:
            found[name] = value
    return found


def _data(data: str, size: int | None) -> dict[str, Any]:
    sized = {} if size is None else {"size": [size, size]}
    if data == "digits":
        return {"source": "digits"}
    path = Path(data).expanduser()
    if not path.exists():
        raise UserError(f"DATA: {data}: no such folder or file")
    if path.is_dir():
        return {"source": "folder", "path": data} | sized
    if path.suffix == ".npz":
        return {"source": "npz", "path": data} | sized
    raise UserError(f"DATA: found {data!r}; allowed: a folder of images in class folders, or .npz")


def _teacher(teacher: str | None, kind: str | None, stages: int) -> dict[str, Any]:
    if teacher is None:
        if kind is not None:
            raise UserError(f"AS: found {kind!r} without TEACHER, the file that it says this of")
        widths = [32 * 2**n for n in range(stages)]
        return {"family": "resnet", "widths": widths, "blocks": [2] * stages}
    if not Path(teacher).expanduser().exists():
        raise UserError(f"TEACHER: {teacher}: no such file")
    weights = {"weights": {"file": teacher, "train": False}}
    if kind is not None:
        family, _, model = kind.partition(":")
        if family not in ("timm", "torchvision") or not model:
            raise UserError(f"AS: found {kind!r}; allowed: timm:<model> or torchvision:<model>")
        return {"family": family, "model": model} | weights
    if teacher.endswith(".safetensors"):
        with naming("TEACHER"):
            passport = artifacts.read_passport(teacher)
        if isinstance(said := passport.get("architecture"), dict):
            return {key: value for key, value in said.items() if value is not None} | weights
    raise UserError(
        f"TEACHER: {teacher}: what network this file is of is not written in it; say it, e.g. "
        "AS=torchvision:resnet18 or AS=timm:mobilenetv3_small_100"
    )
