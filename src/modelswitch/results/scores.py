"""What the answers of one model are worth: every metric, and every class by itself."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import torch

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


def by_class(logits: torch.Tensor, labels: torch.Tensor, names: list[str]) -> pd.DataFrame:
    """One row a class: images, recall (its accuracy), precision and F1; NaN where undefined."""
    right, images, answered = (count.numpy() for count in class_counts(logits, labels))
    return pd.DataFrame(
        {
            "label": range(len(names)),
            "label_name": names,
            "images": images,
            "recall": _ratio(right, images),
            "precision": _ratio(right, answered),
            "f1": _ratio(2 * right, images + answered),
        }
    )


def _ratio(part, whole):
    return pd.Series(part / whole.clip(1)).where(whole > 0)


def confusions(logits: torch.Tensor, labels: torch.Tensor, names: list[str]) -> pd.DataFrame:
    """One row for every right class and answer that occur together, and their images."""
    pairs = pd.DataFrame({"label": labels.numpy(), "predicted": logits.argmax(1).numpy()})
    counted = pairs.value_counts(sort=False).reset_index(name="images")
    for column in ("label", "predicted"):
        counted[f"{column}_name"] = [names[index] for index in counted[column]]
    return counted[["label", "label_name", "predicted", "predicted_name", "images"]]
