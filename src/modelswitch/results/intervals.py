"""What can be said about results over seeds: intervals, paired differences, corrections, power.

Everything works on plain sequences of numbers; scipy and statsmodels do the computing and are
imported only when a function is called, so that importing this module costs nothing.

A run with one seed has a mean and no interval: the interval and the p-value are NaN. The same
holds where all seeds agree on a difference that is not zero: their spread is unknown, and a
vanishing interval would claim certainty. Where every difference is exactly zero the two sides are
the same thing: interval [0, 0], p = 1.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 9999
MOST_SEEDS = 1_000_000  # nobody trains more; a difference that needs them is none
ROUNDING = 2e-6  # of differences of numbers that were written with six figures
NAN = math.nan


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` values with its t interval; `low`, `high` and `spread` may be NaN."""

    mean: float
    low: float
    high: float
    spread: float  # sample standard deviation, ddof = 1
    count: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def columns(self, name: str) -> dict[str, float]:
        """As columns of a table: the mean under a name, and the interval's ends."""
        return {name: self.mean, f"{name}_low": self.low, f"{name}_high": self.high}


@dataclass(frozen=True)
class PairedDifference:
    """Mean of `better - than` over seeds, with two intervals and two p-values (two-sided)."""

    estimate: float
    low: float  # t interval
    high: float
    p: float  # paired t test
    bootstrap_low: float  # percentile bootstrap over seeds: too narrow for few seeds
    bootstrap_high: float
    permutation_p: float  # sign flips, exact for few seeds: never below 2 / 2**count
    spread: float  # standard deviation of the differences
    count: int

    @classmethod
    def without_interval(
        cls, estimate: float = NAN, count: int = 0, spread: float = NAN
    ) -> PairedDifference:
        """Where nothing is known of what other seeds would bring, or nothing at all."""
        return cls(estimate, NAN, NAN, NAN, NAN, NAN, NAN, spread, count)

    def columns(self, name: str) -> dict[str, float]:
        """As columns of a table: the difference under a name, and the t interval's ends."""
        return {name: self.estimate, f"{name}_low": self.low, f"{name}_high": self.high}


@dataclass(frozen=True)
class McNemar:
    """Exact McNemar test on images that both sides answered.

    `only_first` counts images that only the first side got right, `only_second` the reverse.
    """

    only_first: int
    only_second: int
    images: int
    p: float


def mean_interval(values: Iterable[float], confidence: float = CONFIDENCE) -> Estimate:
    """Mean of `values` with its two-sided t interval; NaN entries are left out."""
    import numpy as np
    from scipy import special

    known = _clean(values)
    if known.size == 0:
        return Estimate(NAN, NAN, NAN, NAN, 0)
    mean = float(known.mean())
    if known.size == 1:
        return Estimate(mean, NAN, NAN, NAN, 1)
    spread = float(known.std(ddof=1))
    if _constant(known):
        # Seeds that agree exactly (an accuracy of 1.0, say) have a mean to show; as a description
        # of these runs the interval is that point.
        return Estimate(mean, mean, mean, 0.0, int(known.size))
    # What scipy.stats.t.interval computes, without its checks, which cost more than all else here.
    quantile = special.stdtrit(known.size - 1, (1 + confidence) / 2)
    half = float(quantile * spread / np.sqrt(known.size))
    return Estimate(mean, mean - half, mean + half, spread, int(known.size))


def proportion_low(share: float, count: float, confidence: float = CONFIDENCE) -> float:
    """The lower end of Wilson's interval of a share of `count` images; NaN where one is unknown."""
    from statsmodels.stats.proportion import proportion_confint

    if math.isnan(share) or not count > 0:
        return NAN
    return float(proportion_confint(share * count, count, 1 - confidence, method="wilson")[0])


def paired_difference(
    better: Sequence[float],
    than: Sequence[float],
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Compare two sides seed by seed.

    `better` and `than` hold one value per seed, in the same order. Pairs in which a side is NaN
    are left out. Raises ValueError if the lengths differ.
    """
    import numpy as np

    if len(better) != len(than):
        raise ValueError(f"paired sides need the same seeds: {len(better)} and {len(than)} values")
    differences = np.asarray(better, dtype=float) - np.asarray(than, dtype=float)
    return difference_from_zero(differences.tolist(), confidence, resamples, seed)


def difference_from_zero(
    differences: Sequence[float],
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Like `paired_difference`, from one difference (or slope) per seed."""
    return _from_zero(tuple(map(float, differences)), confidence, resamples, seed)


# Claims, tables and figures ask for the same differences, and resampling takes its time.
@functools.lru_cache(maxsize=4096)
def _from_zero(
    differences: tuple[float, ...], confidence: float, resamples: int, seed: int
) -> PairedDifference:
    import numpy as np
    from scipy import stats

    values = _clean(differences)
    count = int(values.size)
    if count == 0:
        return PairedDifference.without_interval()
    mean = float(values.mean())
    if count == 1:
        return PairedDifference.without_interval(mean, 1)
    if not values.any():
        return PairedDifference(0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, count)
    if _constant(values):
        return PairedDifference.without_interval(mean, count, spread=0.0)
    test = stats.ttest_1samp(values, 0.0)
    interval = test.confidence_interval(confidence)
    bootstrap = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    permutation = stats.permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        n_resamples=resamples,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return PairedDifference(
        estimate=mean,
        low=float(interval.low),
        high=float(interval.high),
        p=float(test.pvalue),
        bootstrap_low=float(bootstrap.low),
        bootstrap_high=float(bootstrap.high),
        permutation_p=float(permutation.pvalue),
        spread=float(values.std(ddof=1)),
        count=count,
    )


def paired_by_seed(
    better: Mapping[int, float], than: Mapping[int, float], **options: Any
) -> PairedDifference:
    """`paired_difference` on the seeds that both sides have."""
    seeds = sorted(set(better) & set(than))
    return paired_difference([better[s] for s in seeds], [than[s] for s in seeds], **options)


def lead_over_best(
    rivals: Sequence[Sequence[float]], confidence: float = CONFIDENCE
) -> PairedDifference:
    """How far one side is ahead of the best of several, from its differences to each of them.

    The lead is the smallest of the expected differences. That one rival came out as the best does
    not say that it is, so all of them bound the lead: from below the lowest of their lower ends,
    without a correction (it is above the lead only where the best one's own is; Berger 1982), from
    above the lowest of their upper ends at 1 - (1 - confidence) / rivals (Bonferroni). p agrees
    with the interval: the largest of all where every difference is above zero, else the smallest of
    those that are not, times the number of rivals.

    Args:
        rivals: one sequence for each, of differences by seed.
    Returns:
        Estimate, spread and count are those of the rival with the smallest difference.
    """
    import numpy as np

    each = [difference_from_zero(values, confidence) for values in rivals]
    closest = min(each, key=lambda one: one.estimate)
    if len(each) == 1:
        return closest
    strict = [difference_from_zero(v, 1 - (1 - confidence) / len(each)) for v in rivals]
    behind = [one for one in each if not one.estimate > 0]

    # numpy's are NaN where one is unknown.
    def least(found: Sequence[PairedDifference], name: str) -> float:
        return float(np.min([getattr(one, name) for one in found]))

    def p(name: str) -> float:
        if not behind:
            return float(np.max([getattr(one, name) for one in each]))
        return float(np.minimum(1.0, len(each) * least(behind, name)))

    return dataclasses.replace(
        closest,
        low=least(each, "low"),
        high=least(strict, "high"),
        p=p("p"),
        bootstrap_low=least(each, "bootstrap_low"),
        bootstrap_high=least(strict, "bootstrap_high"),
        permutation_p=p("permutation_p"),
    )


def welch_interval(
    first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of the difference of two means, first - second, of unpaired values (Welch)."""
    from scipy import stats

    one, other = _clean(first), _clean(second)
    if min(one.size, other.size) < 2 or (_constant(one) and _constant(other)):
        return NAN, NAN
    interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval(confidence)
    return float(interval.low), float(interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for testing several hypotheses; a NaN stays NaN and is not counted."""
    import numpy as np
    from statsmodels.stats.multitest import multipletests

    raw = np.asarray(p_values, dtype=float)
    corrected = np.full(raw.shape, NAN)
    known = ~np.isnan(raw)
    if known.any():
        corrected[known] = multipletests(raw[known], method="holm")[1]
    return corrected.tolist()


def mcnemar(
    first_right: Sequence[bool] | NDArray[np.bool_],
    second_right: Sequence[bool] | NDArray[np.bool_],
) -> McNemar:
    """Exact McNemar test of two sides' answers to the same images.

    Takes one boolean per image and side. Pooled over seeds it asks whether these trained networks
    differ on images like these; it knows nothing of what other seeds would bring. Raises
    ValueError if the lengths differ.
    """
    import numpy as np
    from statsmodels.stats.contingency_tables import mcnemar as exact_mcnemar

    first, second = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"McNemar needs the same images: {first.size} and {second.size} answers")
    if first.size == 0:
        return McNemar(0, 0, 0, NAN)
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    table = [
        [int((first & second).sum()), only_first],
        [only_second, int((~first & ~second).sum())],
    ]
    p = float(exact_mcnemar(table, exact=True).pvalue)
    return McNemar(only_first, only_second, int(first.size), min(p, 1.0))


def seeds_needed(
    difference: float, spread: float, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Seeds that a paired t test needs to find `difference` with the given power.

    `spread` is the standard deviation of the paired differences. NaN where it is unknown, infinity
    for a difference of zero (or as good as), and never below 2.
    """
    from statsmodels.stats.power import TTestPower

    if math.isnan(difference) or math.isnan(spread):
        return NAN
    if difference == 0:
        return math.inf
    if spread == 0:
        return 2.0
    effect = abs(difference) / spread

    def enough(count: int) -> bool:
        # NaN is what comes out for effects far beyond any doubt
        return not TTestPower().power(effect, count, alpha) < power

    # statsmodels' own search for the count fails for few seeds, so only its power is used
    low, high = 1, 2
    while not enough(high):
        if high > MOST_SEEDS:
            return math.inf
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)


def _clean(values: Iterable[float]) -> NDArray[np.float64]:
    import numpy as np

    known = np.array(list(values), dtype=float)
    return known[~np.isnan(known)]


def _constant(values: NDArray[np.float64]) -> bool:
    """Whether all values are one value, up to what is lost by subtracting or in a table's text.

    Differences that are equal but for rounding would give a p-value of as good as 0.
    """
    import numpy as np

    return bool(np.ptp(values) <= ROUNDING * max(1.0, float(np.abs(values).max())))
