"""Every metric once: name, unit, direction, meaning, how it is computed, and where it is shown.

Tables, claims, comparisons, figures and pages read `METRICS`; nothing else lists metrics. A new one
is an entry here with its formula above it, and a test in tests/test_evaluation.py.

Light to import, for a configuration names metrics: formulas do with what tensors can do themselves.
No training imports this module, so that a new metric trains nothing again; what trainings use too
is in `models/metrics.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from modelswitch.wording import amount

if TYPE_CHECKING:
    from torch import Tensor

Source = Literal["answers", "teacher", "cost", "file", "passport", "selection"]


@dataclass(frozen=True)
class Unit:
    """How numbers of one kind are written for people."""

    meaning: str = ""  # for docs/tables.md
    sign: str = ""  # stands behind a heading
    scale: float = 1.0  # what a stored number is multiplied with
    digits: int | None = None  # behind the point; without, three figures: 559 k

    def text(self, value: float, finer: int = 0) -> str:
        """A number, with `finer` digits more than usual; '' for NaN."""
        if math.isnan(value):
            return ""
        if self.digits is None:
            return f"-{amount(-value)}" if value < 0 else amount(value)
        return f"{self.scale * value:.{self.digits + finer}f}"

    def change(self, value: float, finer: int = 1) -> str:
        """A difference of two numbers, with its sign and a digit more; '' for NaN."""
        text = self.text(value, finer)
        return f"+{text}" if text and not text.startswith("-") else text

    def estimate(
        self, mean: float, low: float, high: float, signed: bool = False, finer: int = 0
    ) -> str:
        """A mean and half of its interval, if there is one: `84.3 ± 0.4`."""
        text = self.change(mean, finer) if signed else self.text(mean, finer)
        if not text or math.isnan(low) or math.isnan(high):
            return text
        return f"{text} ± {self.text((high - low) / 2, finer)}"

    def interval(self, low: float, high: float, finer: int = 1) -> str:
        """`[+0.2, +1.4]`; '' without an interval."""
        if math.isnan(low) or math.isnan(high):
            return ""
        return f"[{self.change(low, finer)}, {self.change(high, finer)}]"


SHARE = Unit("0 to 1", "%", 100, 1)
NATS = Unit("nats", digits=3)
COUNT = Unit()
BYTES = Unit("bytes")
MILLISECONDS = Unit("milliseconds", "ms", digits=2)
SECONDS = Unit("seconds", "s", digits=1)
MEBIBYTES = Unit("MiB", "MiB", digits=0)


@dataclass(frozen=True)
class Metric:
    """One number about a model on a split, or about a way to select a modality.

    Attributes:
        meaning: for docs/tables.md; what the unit says is added.
        source: where it comes from: the model's `answers`, those beside its `teacher`'s, the `cost`
            that is measured for all models at once, the weights' `file`, the `passport` of the
            outputs, or the table of ways of `selection`.
        formula: of answers: (logits [N, C], labels [N]) to a number, for `teacher` (logits, labels,
            the teacher's logits); NaN where there is nothing to say. A name is that of a function
            in `models/metrics.py`.
        exact: follows from the configuration, so that every seed has the same and no error.
        heading: of its column in the table of chains; '' for none.
        brief: whether that column is there in 80 columns as well.
        claimed: whether a claim can be about it.
        compared: whether two runs are compared by it.
        required: whether a table without it is refused.
    """

    name: str
    meaning: str
    unit: Unit = SHARE
    source: Source = "answers"
    formula: Callable[..., float] | str = ""
    lower_is_better: bool = False
    exact: bool = False
    heading: str = ""
    brief: bool = False
    claimed: bool = True
    compared: bool = True
    required: bool = False

    @property
    def title(self) -> str:
        """Its heading with the unit."""
        return f"{self.heading} {self.unit.sign}".rstrip()

    @property
    def words(self) -> str:
        """The name as people write it."""
        return self.name.replace("_", " ")

    @property
    def kind(self) -> str:
        """That of its column."""
        return "integer" if self.unit in (COUNT, BYTES) else "number"

    @property
    def explained(self) -> str:
        return ", ".join(part for part in (self.meaning, self.unit.meaning) if part)


def class_counts(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of every class [C]: images answered rightly, images that are of it, images answered so."""
    classes, answers = logits.shape[1], logits.argmax(1)
    right = labels[answers == labels].bincount(minlength=classes)
    return right, labels.bincount(minlength=classes), answers.bincount(minlength=classes)


def balanced_accuracy(logits: Tensor, labels: Tensor) -> float:
    """Mean over the classes that have images of the share of their images answered rightly."""
    right, images, _ = class_counts(logits, labels)
    return (right.double() / images)[images > 0].mean().item()


def majority_share(logits: Tensor, labels: Tensor) -> float:
    """Accuracy of answering every image with the class that most of them are of."""
    return labels.bincount().max().item() / len(labels)


def macro_f1(logits: Tensor, labels: Tensor) -> float:
    """Mean over classes of 2 · precision · recall / (precision + recall), each class counting once.

    Over the classes that the images or the answers have. Van Rijsbergen (1979), averaged over
    classes, not from averaged precision and recall.
    """
    right, images, answered = class_counts(logits, labels)
    there = images + answered > 0
    return (2 * right.double() / (images + answered))[there].mean().item()


def top5(logits: Tensor, labels: Tensor) -> float:
    """Share of samples with fewer than five classes at or above the true one, besides itself.

    A tie counts against the model, or constant outputs would be right by the order of classes.
    """
    if logits.shape[1] <= 5:
        return math.nan
    at_least = logits >= logits.gather(1, labels[:, None])
    return (at_least.sum(1) <= 5).double().mean().item()


def ties(logits: Tensor, labels: Tensor) -> float:
    """Share of samples on which several classes share the largest output."""
    largest = logits.amax(1, keepdim=True)
    return ((logits == largest).sum(1) > 1).double().mean().item()


def calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error over equal bins of confidence (Guo et al. 2017)."""
    confidence, predicted = logits.double().softmax(1).max(1)
    right = (predicted == labels).double()
    index = (confidence * bins).long().clamp(0, bins - 1)
    gap = confidence.new_zeros(bins).index_add(0, index, right - confidence)
    return (gap.abs().sum() / len(labels)).item()


def agreement(logits: Tensor, labels: Tensor, teacher: Tensor) -> float:
    return (logits.argmax(1) == teacher.argmax(1)).double().mean().item()


def accuracy_where(teacher_is_right: bool) -> Callable[[Tensor, Tensor, Tensor], float]:
    """Accuracy on the samples that the teacher gets right, or on the others."""

    def accuracy(logits: Tensor, labels: Tensor, teacher: Tensor) -> float:
        chosen = (teacher.argmax(1) == labels) == teacher_is_right
        return (logits.argmax(1) == labels)[chosen].double().mean().item()

    return accuracy


def parent_accuracy(logits: Tensor, labels: Tensor, teacher: Tensor) -> float:
    return (teacher.argmax(1) == labels).double().mean().item()


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "accuracy",
            "share of images whose largest output is the right class (of a way to select: share of "
            "pairs classified rightly)",
            formula="accuracy",
            heading="accuracy",
            brief=True,
            required=True,
        ),
        Metric(
            "majority_share",
            "share of images that are of the most frequent class: the accuracy of always answering "
            "that one",
            formula=majority_share,
            heading="majority",
            claimed=False,
            compared=False,
        ),
        Metric(
            "balanced_accuracy",
            "mean over the classes of the share of their images that is answered rightly",
            formula=balanced_accuracy,
            heading="balanced accuracy",
        ),
        Metric(
            "macro_f1",
            "mean over the classes of each one's F1, so that rare classes count like others",
            formula=macro_f1,
            heading="macro-F1",
        ),
        Metric(
            "top5",
            "share with the right class among the five largest outputs, ties counted against it; "
            "empty for 5 classes or fewer",
            formula=top5,
            heading="top 5",
        ),
        Metric(
            "nll",
            "negative log-likelihood of an image, mean",
            NATS,
            formula="negative_log_likelihood",
            lower_is_better=True,
            heading="NLL",
        ),
        Metric(
            "ece",
            "expected calibration error",
            formula=calibration_error,
            lower_is_better=True,
            heading="ECE",
        ),
        Metric(
            "ties",
            "share of images on which several classes share the largest output; the first of them "
            "is the answer",
            formula=ties,
            lower_is_better=True,
            claimed=False,
            compared=False,
        ),
        Metric(
            "agreement",
            "share of images answered as its teacher answers",
            source="teacher",
            formula=agreement,
            heading="agrees with it",
        ),
        Metric(
            "accuracy_teacher_right",
            "accuracy on images that its teacher gets right",
            source="teacher",
            formula=accuracy_where(teacher_is_right=True),
            compared=False,
        ),
        Metric(
            "accuracy_teacher_wrong",
            "accuracy on images that its teacher gets wrong",
            source="teacher",
            formula=accuracy_where(teacher_is_right=False),
            compared=False,
        ),
        Metric(
            "parent_accuracy",
            "its teacher's accuracy on the same images",
            source="teacher",
            formula=parent_accuracy,
            heading="its teacher",
            claimed=False,
            compared=False,
        ),
        Metric(
            "parameters",
            "numbers in the network, trained or frozen",
            COUNT,
            source="cost",
            lower_is_better=True,
            exact=True,
            heading="parameters",
            brief=True,
            required=True,
        ),
        Metric(
            "depth",
            "layers with weights on the longest path from the image to the logits",
            COUNT,
            source="cost",
            exact=True,
            heading="layers",
            claimed=False,
            compared=False,
        ),
        Metric(
            "macs",
            "multiply-accumulates of convolutions, matrix products and attention for one image",
            COUNT,
            source="cost",
            lower_is_better=True,
            exact=True,
            heading="MACs",
        ),
        Metric(
            "file_bytes",
            "size of the weights file",
            BYTES,
            source="file",
            lower_is_better=True,
            exact=True,
        ),
        Metric(
            "latency_ms",
            "median time for one image on one CPU thread, measured once for all seeds",
            MILLISECONDS,
            source="cost",
            lower_is_better=True,
            heading="latency",
        ),
        Metric(
            "train_seconds",
            "wall-clock time of its training",
            SECONDS,
            source="passport",
            lower_is_better=True,
        ),
        Metric(
            "processor_seconds",
            "processor time of the process that ended its training, all threads",
            SECONDS,
            source="passport",
            lower_is_better=True,
            compared=False,
        ),
        Metric(
            "peak_memory_mb",
            "largest resident memory of that process",
            MEBIBYTES,
            source="passport",
            lower_is_better=True,
            compared=False,
        ),
        Metric(
            "selection_accuracy",
            "share of pairs for which the modality that is not degraded is picked",
            source="selection",
            required=True,
        ),
    )
}
# Ways to select have an accuracy too, that of the whole system.
OF_SELECTION = ("selection_accuracy", "accuracy")


def of_models() -> list[Metric]:
    """The metrics that are columns of models.csv."""
    return [metric for metric in METRICS.values() if metric.source != "selection"]
