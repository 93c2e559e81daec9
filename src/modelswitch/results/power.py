"""Which difference a paired comparison over seeds can find, before it is run.

The t statistic of n differences with mean d and standard deviation σ has Student's noncentral
distribution with n - 1 degrees of freedom and the shift d √n / σ; the power of a test is its tail
beyond the critical value (Cohen 1988, ch. 2; Johnson, Kotz & Balakrishnan 1995, ch. 31).
"""

from __future__ import annotations

import math

from modelswitch.results.looks import ALPHA

POWER = 0.8


def supported(
    difference: float, spread: float, count: int, alpha: float = ALPHA, smallest: float = 0.0
) -> float:
    """The probability that a claim is supported: that the interval lies above zero, and the
    estimate reaches `smallest`. NaN for fewer than two seeds.

    Args:
        difference: the true one.
        spread: true standard deviation of the differences over seeds, above 0.
        count: seeds.
        alpha: two-sided level of the interval.
    """
    from scipy import integrate, stats

    if count < 2:
        return math.nan
    error = spread / math.sqrt(count)
    quantile = stats.t.isf(alpha / 2, count - 1)
    if smallest <= 0:
        # Of a loss that is allowed, the interval has to lie above that.
        return float(stats.nct.sf(quantile, count - 1, (difference - smallest) / error))

    def at(scale: float) -> float:
        """With a standard deviation found that is `scale` times the true one."""
        reached = max(smallest, quantile * scale * error)
        density = stats.chi.pdf(scale * root, count - 1) * root
        return float(stats.norm.sf((reached - difference) / error) * density)

    # Mean and standard deviation of normal values are independent.
    root = math.sqrt(count - 1)
    most = stats.chi.isf(1e-12, count - 1) / root
    kink = min(smallest / (quantile * error), most)
    found, _ = integrate.quad(at, 0.0, most, points=[kink], limit=200)
    return float(found)


def detectable(
    spread: float,
    count: int,
    alpha: float = ALPHA,
    power: float = POWER,
    smallest: float = 0.0,
) -> float:
    """The smallest true difference with which a claim is supported so often; NaN where the spread
    is unknown, and for fewer than two seeds."""
    from scipy import optimize

    if math.isnan(spread) or count < 2:
        return math.nan
    if spread == 0:
        return smallest
    if smallest < 0:
        return detectable(spread, count, alpha, power) + smallest

    def lacking(difference: float) -> float:
        return supported(difference, spread, count, alpha, smallest) - power

    most = spread
    while lacking(most) < 0:
        most *= 2
    return float(optimize.brentq(lacking, 0.0, most, xtol=1e-9 * most, rtol=1e-9))


def spread_interval(spread: float, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a normal standard deviation of which `count` values are known, by χ²."""
    from scipy import stats

    if math.isnan(spread) or count < 2:
        return math.nan, math.nan
    squares = spread**2 * (count - 1)
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    low, high = (math.sqrt(squares / stats.chi2.isf(tail, count - 1)) for tail in tails)
    return low, high
