"""What the answers of one model are worth: every metric, and every class by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from modelswitch.config.metrics import METRICS, Metric, class_counts
from modelswitch.models import metrics


def scores(
    logits: torch.Tensor, labels: torch.Tensor, teacher: torch.Tensor | None = None
) -> dict[str, float]:
    """Every metric of answers: logits [N, C], labels [N], and the teacher's logits if there are.

    Raises:
        UserError: some of the logits are no finite numbers.
    """
    for answered in (logits, logits if teacher is None else teacher):
        metrics.finite(answered)
    result = {}
    for metric in METRICS.values():
        if metric.source == "answers":
            result[metric.name] = _formula(metric)(logits, labels)
        elif metric.source == "teacher" and teacher is not None:
            result[metric.name] = _formula(metric)(logits, labels, teacher)
    return result


def _formula(metric: Metric) -> Callable[..., float]:
    return getattr(metrics, metric.formula) if isinstance(metric.formula, str) else metric.formula


def by_class(logits: torch.Tensor, labels: torch.Tensor, names: list[str]) -> dict[str, NDArray]:
    """Columns with a row a class: images, recall (its accuracy), precision and F1; NaN where
    undefined."""
    right, images, answered = (count.numpy() for count in class_counts(logits, labels))
    return {
        "label": np.arange(len(names)),
        "label_name": np.array(names, dtype=object),
        "images": images,
        "recall": _ratio(right, images),
        "precision": _ratio(right, answered),
        "f1": _ratio(2 * right, images + answered),
    }


def _ratio(part: NDArray, whole: NDArray) -> NDArray:
    return np.where(whole > 0, part / whole.clip(1), np.nan)


def confusions(logits: torch.Tensor, labels: torch.Tensor, names: list[str]) -> dict[str, NDArray]:
    """Columns with a row for every right class and answer that occur together, and their images."""
    classes = len(names)
    # Not all pairs that there could be, for there may be 40,000 classes.
    pairs, images = torch.unique(labels.long() * classes + logits.argmax(1), return_counts=True)
    label, predicted = np.divmod(pairs.numpy(), classes)
    named = np.array(names, dtype=object)
    return {
        "label": label,
        "label_name": named[label],
        "predicted": predicted,
        "predicted_name": named[predicted],
        "images": images.numpy(),
    }
