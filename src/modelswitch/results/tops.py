"""Where accuracy over δ has its top, and how high that is: a fitted curve, not the best point.

The best of several measured points is the luckiest of them. A curve with three numbers, quadratic
in δ or in √δ, whichever comes closer, takes all points together. The seeds are drawn anew with all
their points, and the whole of the fit, that choice included, is done again for each drawing
(bootstrap over seeds, percentile intervals; Efron & Tibshirani 1993, ch. 13).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelswitch.results import differences
from modelswitch.results.intervals import CONFIDENCE, NAN, RESAMPLES
from modelswitch.results.seeds import per_seed, split_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from modelswitch.results.tables import Tables

# A quadratic curve goes through three points whatever they are; and two seeds have one direction.
FEWEST_POINTS, FEWEST_SEEDS = 4, 3
SCALES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "δ": lambda deltas: deltas,
    "√δ": lambda deltas: deltas**0.5,
}


@dataclass(frozen=True)
class Top:
    """The top of one curve, with 95 % intervals where there are seeds enough.

    Attributes:
        scale: in which the curve is quadratic, a key of `SCALES`.
        coefficients: of it, the constant first.
        place: δ at the top, from 0 to the largest that was tried.
        gain: of the curve, at its top over δ = 0; it cannot be below 0.
        inner: share of the drawings in which the top lies between the ends, which is how sure the
            hump is.
        misfit: largest distance of a measured mean from the curve.
    """

    seeds: int
    deltas: tuple[float, ...]
    scale: str
    coefficients: tuple[float, float, float]
    place: float
    place_low: float
    place_high: float
    gain: float
    gain_low: float
    gain_high: float
    inner: float
    misfit: float

    def at(self, deltas: NDArray[np.float64]) -> NDArray[np.float64]:
        """The curve."""
        x = SCALES[self.scale](deltas)
        constant, linear, quadratic = self.coefficients
        return constant + linear * x + quadratic * x**2


def fit(
    curve: Mapping[float, Mapping[int, float]], resamples: int = RESAMPLES, seed: int = 0
) -> Top | None:
    """The top of a curve of values by δ and seed; `None` for too few points.

    Seeds count that have a value at every δ.
    """
    import numpy as np

    deltas = sorted(curve)
    common = sorted(set.intersection(*(set(values) for values in curve.values())))
    if len(deltas) < FEWEST_POINTS or not common:
        return None
    points = np.array(deltas, dtype=float)
    values = np.array([[curve[delta][one] for delta in deltas] for one in common])
    scale, coefficients = (part[0] for part in _fitted(points, values.mean(0)[None]))
    place, gain, _ = (part[0] for part in _tops(points, scale[None], coefficients[None]))
    low, high, gain_low, gain_high, inner = NAN, NAN, NAN, NAN, NAN
    if len(common) >= FEWEST_SEEDS:
        drawn = np.random.default_rng(seed).integers(len(common), size=(resamples, len(common)))
        places, gains, inside = _tops(points, *_fitted(points, values[drawn].mean(1)))
        tails = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]
        low, high = np.percentile(places, tails)
        gain_low, gain_high = np.percentile(gains, tails)
        inner = float(np.mean(inside))
    constant, linear, quadratic = map(float, coefficients)
    top = Top(
        seeds=len(common),
        deltas=tuple(map(float, deltas)),
        scale=list(SCALES)[int(scale)],
        coefficients=(constant, linear, quadratic),
        place=float(place),
        place_low=float(low),
        place_high=float(high),
        gain=float(gain),
        gain_low=float(gain_low),
        gain_high=float(gain_high),
        inner=inner,
        misfit=math.nan,
    )
    misfit = float(np.abs(top.at(points) - values.mean(0)).max())
    return dataclasses.replace(top, misfit=misfit)


def _fitted(
    deltas: NDArray[np.float64], means: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For curves of means [R, D] the scale with the smaller sum of squares, by number [R], and the
    coefficients in it [R, 3]."""
    import numpy as np

    fits, errors = [], []
    for scaled in SCALES.values():
        basis = np.vander(scaled(deltas), 3, increasing=True)
        coefficients = means @ np.linalg.pinv(basis).T
        fits.append(coefficients)
        errors.append(((coefficients @ basis.T - means) ** 2).sum(1))
    best = np.argmin(errors, axis=0)
    return best, np.stack(fits)[best, np.arange(len(means))]


def _tops(
    deltas: NDArray[np.float64], scales: NDArray[np.int64], coefficients: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """δ of the highest point of each curve between the ends [R], its height over δ = 0 [R], and
    whether it is neither of the ends [R]."""
    import numpy as np

    _, linear, quadratic = coefficients.T
    ends = np.array([scaled(deltas)[-1] for scaled in SCALES.values()])[scales]
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = np.where(quadratic < 0, -linear / (2 * quadratic), np.inf)
    # Without a vertex in between one of the ends is the highest.
    inside = (vertex > 0) & (vertex < ends)
    end = np.where(linear * ends + quadratic * ends**2 > 0, ends, 0.0)
    x = np.where(inside, vertex, end)
    places = np.where(scales == list(SCALES).index("√δ"), x**2, x)
    # Of the last end itself: a root squared need not be what it was the root of.
    places = np.where(inside | (x == 0), places, deltas[-1])
    return places, linear * x + quadratic * x**2, inside


def of_rules(tables: Tables, metric: str = "accuracy") -> dict[differences.Curve, Top]:
    """The top of every curve over δ, of one data set."""
    models = tables.models
    found = {}
    for curve, lineages in differences.delta_curves(tables).items():
        top = fit(values_of(models, lineages, metric))
        if top is not None:
            found[curve] = top
    return found


def values_of(
    models: pd.DataFrame, lineages: Mapping[float, str], metric: str = "accuracy"
) -> dict[float, dict[int, float]]:
    """A metric by δ and seed."""
    split = split_of(models)
    return {delta: per_seed(models, lineage, metric, split) for delta, lineage in lineages.items()}
