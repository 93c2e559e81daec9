"""Methods that may say that they cannot tell: risk of what they answer, against how much that is.

A method answers where it is sure enough. Coverage is the share of samples that it answers, risk the
share of these answers that are wrong (El-Yaniv & Wiener 2010); the area under risk over coverage,
AURC, is the mean risk over all coverages (Geifman & El-Yaniv 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelswitch.results import intervals
from modelswitch.results.selection import by_situation

if TYPE_CHECKING:
    import pandas as pd

# Of stored curves, the coverages.
GRID = np.linspace(0.05, 1, 20)
METRICS = ("aurc", "coverage", "risk")


@dataclass(frozen=True)
class RiskCoverage:
    """Risks [N] where the 1, 2, … N surest samples are answered, and how sure the last one is.

    Of samples that a method is equally sure of, any may come first: each counts as their mean.
    """

    risks: NDArray[np.float64]
    confidences: NDArray[np.float64]

    @classmethod
    def of(cls, confidences: ArrayLike, right: ArrayLike) -> RiskCoverage:
        sure = np.asarray(confidences, np.float64)
        order = np.argsort(-sure, kind="stable")
        sure, wrong = sure[order], 1.0 - np.asarray(right, np.float64)[order]
        _, place, counts = np.unique(-sure, return_inverse=True, return_counts=True)
        means = np.bincount(place, wrong) / counts
        return cls(np.cumsum(means[place]) / np.arange(1, len(sure) + 1), sure)

    @property
    def aurc(self) -> float:
        return float(self.risks.mean())

    def threshold(self, risk: float) -> float:
        """The least confidence down to which no more than ``risk`` of the answers are wrong;
        infinite where the surest are wrong already."""
        # Equally sure samples are answered all, or none.
        last = np.append(self.confidences[1:] != self.confidences[:-1], True)
        # Means of equally sure samples are rounded.
        allowed = np.flatnonzero((self.risks <= risk + 1e-12) & last)
        return float(self.confidences[allowed[-1]]) if len(allowed) else float("inf")

    def at(self, threshold: float) -> tuple[float, float]:
        """Coverage and risk of answering from that confidence on; no risk where nothing is."""
        count = int((self.confidences >= threshold).sum())
        risk = self.risks[count - 1] if count else float("nan")
        return count / len(self.risks), float(risk)

    def points(self) -> list[dict[str, float]]:
        """Rows of risk_coverage.csv."""
        places = np.ceil(GRID * len(self.risks) - 1e-9).astype(int)
        return [
            {"coverage": round(float(coverage), 6), "risk": float(self.risks[place - 1])}
            for coverage, place in zip(GRID, places, strict=True)
        ]


def summarise(table: pd.DataFrame) -> list[dict]:
    """One row per selector, situation and method of abstaining.csv: means over seeds with 95 % t
    intervals."""
    rows = []
    for key, group in by_situation(table):
        row = key | {"seeds": len(group), "allowed": float(group["allowed"].iloc[0])}
        for metric in METRICS:
            row |= intervals.mean_interval(group[metric]).columns(metric)
        rows.append(row)
    return rows
