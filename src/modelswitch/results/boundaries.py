"""Boundaries of tests that look at results several times: alpha spending (Lan & DeMets 1983).

Whoever tests at 5 % after every night and stops when it is significant is wrong far more often
than in 5 % of the cases. Here a function says beforehand how much of α has been spent when a share
t of the seeds is there; what a look may spend decides its boundary. Over the looks the test
statistic times √t is a Brownian motion at the times t, so that boundaries follow from its density
among those that have not crossed one yet, by recursive integration (Armitage, McPherson & Rowe
1969; Jennison & Turnbull 2000, ch. 19). Boundaries are symmetric, and both sides count.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from modelswitch.config.looks import Spending

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_NODES = 200  # of Gauss and Legendre between the boundaries of a look
_FAR = 12.0  # standard deviations beyond which there is nothing


def spent(share: float, spending: Spending, alpha: float) -> float:
    """Two-sided α spent when a share of the seeds, 0 to 1, is there (Lan & DeMets 1983).

    Each side has half of α. `obrien_fleming`: 2 (1 - Φ(z / √t)) with z the 1 - α/4 quantile, next
    to nothing at first; `pocock`: α log(1 + (e - 1) t), about as much at each look.
    """
    from scipy import stats

    if spending == "obrien_fleming":
        return float(4 * stats.norm.sf(stats.norm.isf(alpha / 4) / math.sqrt(share)))
    return alpha * math.log1p((math.e - 1) * share)


@functools.lru_cache(maxsize=256)
def critical(shares: tuple[float, ...], spending: Spending, alpha: float) -> tuple[float, ...]:
    """|z| beyond which each look at a share of the seeds, rising to 1, decides."""
    from scipy import optimize

    found: list[float] = []
    before = 0.0
    walk = _Walk()
    for share in shares:
        # What rounding makes of a difference must not go below what a boundary can be found for.
        allowed = max(spent(share, spending, alpha) - before, 1e-16)
        before = spent(share, spending, alpha)
        step, width = walk.step_to(share), math.sqrt(share)

        def excess(z: float, step=step, width=width, allowed=allowed) -> float:
            return walk.crossing(z * width, step) - allowed

        z = float(optimize.brentq(excess, 0.0, _FAR, xtol=1e-10))
        walk.go_on(z * width, step)
        found.append(z)
    return tuple(found)


def levels(at: Sequence[int], spending: Spending, alpha: float = 0.05) -> tuple[float, ...]:
    """The two-sided level at which each look tests, after so many seeds, rising.

    A t test at the level that a boundary has for a normal statistic keeps the overall level closely
    (the significance level approach, Jennison & Turnbull 2000, ch. 4).
    """
    from scipy import stats

    shares = tuple(count / at[-1] for count in at)
    return tuple(2 * float(stats.norm.sf(z)) for z in critical(shares, spending, alpha))


class _Walk:
    """Brownian motion among those that have crossed no boundary: its density at the last look."""

    def __init__(self) -> None:
        self._share = 0.0
        self._places: NDArray[np.float64] | None = None
        self._weights: NDArray[np.float64] | None = None  # density times the width of each place

    def step_to(self, share: float) -> float:
        """The standard deviation of what it moves until then."""
        return math.sqrt(share - self._share)

    def crossing(self, bound: float, step: float) -> float:
        """The probability to be beyond ± bound after a step."""
        from scipy import stats

        if self._places is None or self._weights is None:
            return float(2 * stats.norm.sf(bound / step))
        above = stats.norm.sf((bound - self._places) / step)
        below = stats.norm.cdf((-bound - self._places) / step)
        return float(self._weights @ (above + below))

    def go_on(self, bound: float, step: float) -> None:
        """Take the step; what is beyond ± bound then has stopped."""
        import numpy as np
        from scipy import stats

        nodes, widths = np.polynomial.legendre.leggauss(_NODES)
        places = bound * nodes
        if self._places is None or self._weights is None:
            density = stats.norm.pdf(places / step) / step
        else:
            moves = stats.norm.pdf((places[:, None] - self._places[None, :]) / step) / step
            density = moves @ self._weights
        self._share += step**2
        self._places, self._weights = places, density * bound * widths
