"""A run as an RO-Crate, to be put where data are kept: what was asked, what came out, of what.

Weights and prepared data stay where they are; tables, figures, pages and digests are what others
can check. The format is that of https://w3id.org/ro/crate, written by the library `rocrate`.
"""

import json
import platform
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import modelswitch
from modelswitch.config.experiment import Experiment
from modelswitch.errors import UserError, missing_extra
from modelswitch.report import provenance
from modelswitch.results.tables import Tables

# What is in the folder of an experiment beside its models, and what it is.
PARTS = {
    "results.html": "Claims, tables, figures and configuration on one page",
    "summary.md": "The same in short",
    "tables": "One row for each model and seed; docs/tables.md of the program says more",
    "figures": "Every figure as a drawing and as a picture",
}
_KINDS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
}


def pack(experiment: Experiment, results: Path, source: Path, folder: Path) -> None:
    """Write what is stored of an experiment to ``folder``, as an RO-Crate.

    Args:
        results: the experiment's own folder.
        source: the program's, of which the commit is told if it is a clone.

    Raises:
        UserError: there are no results yet, or the extra ``crate`` is not installed.
    """
    try:
        from rocrate.model import ContextEntity
        from rocrate.rocrate import ROCrate
    except ImportError as error:
        raise missing_extra("crate", error, "crate") from error
    if not (results / "results.html").is_file():
        raise UserError(f"{results}: has no results.html; run the experiment first")

    crate = ROCrate()
    crate.name = f"modelswitch experiment {experiment.name}"
    crate.description = (
        "Models trained by switching models on the way: what was asked for, tables, figures and "
        "claims. Licences of data and results are for whoever publishes them to add."
    )
    with tempfile.TemporaryDirectory() as written:
        made = _describe(experiment, results, source, Path(written))
        found = [crate.add_file(path, path.name, properties=about) for path, about in made]
        outcome = [
            crate.add_file(path, path.relative_to(results).as_posix(), properties=about)
            for path, about in _files(results)
        ]
        program = crate.add(
            ContextEntity(
                crate,
                "#modelswitch",
                properties={
                    "@type": "SoftwareApplication",
                    "name": "modelswitch",
                    "version": modelswitch.__version__,
                    "softwareVersion": provenance.commit(source) or modelswitch.__version__,
                },
            )
        )
        crate.add_action(
            program,
            identifier="#run",
            object=[found[0]],
            result=outcome,
            properties={"name": f"Run of {experiment.name}"},
        )
        crate.write(folder)


def _describe(
    experiment: Experiment, results: Path, source: Path, written: Path
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files that say what a run was made from, written to a folder, and what they are."""
    texts = {
        "configuration.json": (
            json.dumps(experiment.model_dump(mode="json"), indent=1, ensure_ascii=False),
            "application/json",
            "The whole configuration, with every default",
        ),
        "environment.txt": (
            "\n".join([f"# Python {platform.python_version()}", *_packages()]),
            "text/plain",
            "Packages and their versions where this crate was made",
        ),
        "digests.json": (
            json.dumps(_digests(results), indent=1, ensure_ascii=False),
            "application/json",
            "Digests of code, data and weights of every model, by data set, seed and lineage",
        ),
    }
    for name, (text, kind, meaning) in texts.items():
        path = written / name
        path.write_text(text + "\n", encoding="utf-8")
        yield path, {"encodingFormat": kind, "description": meaning}


def _packages() -> list[str]:
    found = {f"{dist.metadata['Name']}=={dist.version}" for dist in metadata.distributions()}
    return sorted(found, key=str.lower)


def _digests(results: Path) -> list[dict[str, Any]]:
    trained = Tables(results / "tables").trainings
    columns = ["dataset", "seed", "repeat", "lineage", "code", "data", "shapes", "surroundings"]
    kept = [column for column in columns if column in trained]
    rows = trained[kept].drop_duplicates().to_dict("records")
    return [{str(key): str(value) for key, value in row.items()} for row in rows]


def _files(results: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for name, meaning in PARTS.items():
        place = results / name
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.suffix in _KINDS:
                yield path, {"encodingFormat": _KINDS[path.suffix], "description": meaning}
