"""Error rates of comparing samples: DET curve, EER, FNMR at an FMR, d'.

A pair is accepted where its score is at least the threshold. FMR is the share of pairs of two
people that are accepted, FNMR that of pairs of one person that are not (ISO/IEC 19795-1).
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

# The false match rate at which FNMR is told.
WANTED_FMR = 1e-3
# Of stored curves, false match rates at which FNMR is kept.
GRID = np.geomspace(1e-4, 0.9, 32)
METRICS = ("eer", "fnmr", "d_prime")


@dataclass(frozen=True)
class Curve:
    """Error rates at falling thresholds, from nothing accepted: FMR rises, FNMR falls."""

    fmr: NDArray[np.float64]
    fnmr: NDArray[np.float64]
    genuine: int
    impostors: int
    d_prime: float

    @classmethod
    def of(cls, scores: ArrayLike, genuine: ArrayLike) -> Curve:
        """The curve of scores [P], of which ``genuine`` [P] are of one person."""
        from sklearn.metrics import roc_curve

        scores, genuine = np.asarray(scores, np.float64), np.asarray(genuine, bool)
        # det_curve leaves out the ends, where nothing or everything is accepted.
        # What is dropped as lying on a line is a threshold that can be chosen.
        fmr, accepted, _ = roc_curve(genuine, scores, drop_intermediate=False)
        same, other = scores[genuine], scores[~genuine]
        spread = np.sqrt((same.var() + other.var()) / 2)
        apart = abs(same.mean() - other.mean())
        d_prime = float(apart / spread) if spread > 0 else float("nan")
        return cls(fmr, 1 - accepted, len(same), len(other), d_prime)

    @property
    def eer(self) -> float:
        """Where both rates are equal, on the straight line between the points around it."""
        above = self.fmr - self.fnmr
        after = int((above >= 0).argmax())
        if above[after] == 0 or after == 0:
            return float(self.fmr[after])
        share = -above[after - 1] / (above[after] - above[after - 1])
        return float(self.fmr[after - 1] + share * (self.fmr[after] - self.fmr[after - 1]))

    def at(self, fmr: float) -> tuple[float, float]:
        """The smallest FNMR at an FMR of at most that, and the FMR that it has there.

        FMRs are multiples of 1 / impostors: below that is only 0.
        """
        place = int(np.searchsorted(self.fmr, fmr * (1 + 1e-9), side="right")) - 1
        return float(self.fnmr[place]), float(self.fmr[place])

    def row(self) -> dict[str, object]:
        """The numbers of verification.csv."""
        fnmr, fmr = self.at(max(WANTED_FMR, 1 / self.impostors))
        return {
            "genuine": self.genuine,
            "impostors": self.impostors,
            "eer": self.eer,
            "fnmr": fnmr,
            "fmr": fmr,
            "d_prime": self.d_prime,
        }

    def points(self) -> list[dict[str, float]]:
        """Those of `GRID` that there are impostors enough for: rows of det.csv."""
        return [
            {"fmr": float(fmr), "fnmr": self.at(fmr)[0]}
            for fmr in GRID
            if fmr * self.impostors >= 1
        ]


def summarise(table: pd.DataFrame) -> list[dict]:
    """One row per selector, situation and method of verification.csv: means over seeds with 95 % t
    intervals."""
    rows = []
    decided = table[table["cannot"] == ""]
    for key, group in by_situation(decided):
        row = key | {
            "recognisers": group["recognisers"].iloc[0],
            "seeds": len(group),
            "genuine": int(group["genuine"].min()),
            "impostors": int(group["impostors"].min()),
            "fmr": float(group["fmr"].max()),
        }
        for metric in METRICS:
            row |= intervals.mean_interval(group[metric]).columns(metric)
        rows.append(row)
    return rows
