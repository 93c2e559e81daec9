"""Results belong together only where they are of the same data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelswitch.config.experiment import Experiment
from modelswitch.data.manifest import Record, refuse_unlike
from modelswitch.errors import UserError
from modelswitch.lineage import CHECKSUM_FILE, SOURCE_FILE, ModelFolder


def refuse_other_data(
    experiment: Experiment, results: Path, passports: Mapping[ModelFolder, Mapping[str, Any]]
) -> None:
    """Raise `UserError` where stored outputs are of other data than one another, than the arrays
    that lie with them, or than the configuration says.

    Args:
        results: the folder of all results.
        passports: those of the outputs.
    """
    for dataset in experiment.datasets:
        names = {"experiment": experiment.name, "dataset": dataset}
        record = Record.read(results / SOURCE_FILE.format(**names))
        if record is not None:
            refuse_unlike(record, experiment.data, results / experiment.name)
        first: dict[str, Path] = {}
        prepared = results / CHECKSUM_FILE.format(**names)
        if prepared.exists():
            first[_checksum(prepared)] = prepared
        for place, passport in passports.items():
            if place.dataset == dataset and "data" in passport:
                first.setdefault(passport["data"], results / place.file("outputs.safetensors"))
        if len(first) > 1:
            one, other = list(first.values())[:2]
            raise UserError(
                f"{other}: is of other data than {one}; run Snakemake with this configuration to "
                "train anew what is out of date"
            )


def _checksum(path: Path) -> str:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["checksum"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is not what prepare_data wrote; remove it") from error
