"""Dynamical model training: a learning process that switches models on the way.

What a program may use, everything else may change:

- `load`: a trained ``model.safetensors`` as a ready `Predictor`.
- `predict`: what a trained model says about images.
- `read_tables`: the tidy tables of a run.

docs/deployment.md shows them at work.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelswitch.deployment.images import Images
    from modelswitch.deployment.predictor import Prediction, Predictor
    from modelswitch.results.tables import Tables

__version__ = "0.1.0"
__all__ = ["load", "predict", "read_tables"]


def load(path: str | Path) -> Predictor:
    """The model in a ``model.safetensors``, ready to be asked; see `Predictor`.

    Raises `modelswitch.errors.UserError`, with one line, for a file that is missing, altered, or no
    model of this project's.
    """
    # Imported when it is called: planning a workflow imports this package, and waits for no torch.
    from modelswitch.deployment.predictor import load

    return load(path)


def predict(model: str | Path, images: Images, top: int = 5) -> list[Prediction]:
    """The ``top`` likeliest classes of every image, by the model in a ``model.safetensors``.

    ``images`` are a path, a PIL image, a uint8 array [H, W], [H, W, C] or [N, H, W, C], or a
    sequence of paths, PIL images or arrays.
    """
    return load(model).predict(images, top)


def read_tables(folder: str | Path) -> Tables:
    """The tidy tables of a run: ``folder`` is ``results/<experiment>`` or its ``tables``.

    Its attributes (``models``, ``history``, ``predictions``, …) are pandas data frames, each read
    when it is first asked for, or None where the run has no such table; docs/tables.md has the
    columns.
    """
    from modelswitch.report.two_runs import tables_of

    return tables_of(str(folder))
