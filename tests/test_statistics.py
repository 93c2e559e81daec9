"""The statistics against formulas and libraries other than those that they use."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from modelswitch.results import intervals

FIRST = [0.912, 0.904, 0.921, 0.899, 0.917]
SECOND = [0.905, 0.901, 0.909, 0.902, 0.906]


def test_mean_interval_agrees_with_statsmodels():
    low, high = DescrStatsW(FIRST).tconfint_mean(alpha=0.05)
    estimate = intervals.mean_interval(FIRST)
    assert (estimate.mean, estimate.count) == (pytest.approx(np.mean(FIRST)), 5)
    assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))
    # the textbook's t quantile for 4 degrees of freedom
    assert estimate.half_width == pytest.approx(2.7764451 * np.std(FIRST, ddof=1) / 5**0.5)


def test_one_seed_has_a_mean_and_no_interval():
    estimate = intervals.mean_interval([0.9])
    assert estimate.mean == 0.9
    assert math.isnan(estimate.low)
    difference = intervals.paired_difference([0.9], [0.8])
    assert difference.estimate == pytest.approx(0.1)
    assert math.isnan(difference.low)
    assert math.isnan(difference.p)
    assert math.isnan(difference.bootstrap_low)


def test_nothing_at_all_is_nan():
    assert math.isnan(intervals.mean_interval([]).mean)
    assert math.isnan(intervals.paired_difference([], []).estimate)


def test_paired_difference_agrees_with_the_paired_t_test():
    result = intervals.paired_difference(FIRST, SECOND)
    assert result.p == pytest.approx(stats.ttest_rel(FIRST, SECOND).pvalue)
    low, high = DescrStatsW(np.subtract(FIRST, SECOND)).tconfint_mean()
    assert (result.low, result.high) == (pytest.approx(low), pytest.approx(high))
    # interval and test tell the same story
    assert (result.low > 0 or result.high < 0) == (result.p < 0.05)


def test_permutation_p_is_the_exact_count_of_sign_flips():
    differences = np.subtract(FIRST, SECOND)
    means = [np.mean(differences * signs) for signs in itertools.product([1, -1], repeat=5)]
    larger = np.mean(np.array(means) >= differences.mean() - 1e-15)
    result = intervals.paired_difference(FIRST, SECOND)
    assert result.permutation_p == pytest.approx(min(1.0, 2 * larger))


def test_bootstrap_interval_matches_all_resamples_of_a_small_sample():
    differences = [0.01, 0.03, -0.01, 0.02]
    means = [np.mean(sample) for sample in itertools.product(differences, repeat=4)]
    low, high = np.quantile(means, [0.025, 0.975])
    result = intervals.paired_difference(differences, [0.0] * 4)
    assert result.bootstrap_low == pytest.approx(low, abs=0.003)
    assert result.bootstrap_high == pytest.approx(high, abs=0.003)
    assert result == intervals.paired_difference(differences, [0.0] * 4), "same seed, same answer"


def test_identical_sides_differ_by_exactly_nothing():
    result = intervals.paired_difference(FIRST, FIRST)
    assert (result.estimate, result.low, result.high, result.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_constant_difference_claims_no_certainty():
    result = intervals.paired_difference([0.5, 0.6, 0.7], [0.4, 0.5, 0.6])
    assert result.estimate == pytest.approx(0.1)
    assert math.isnan(result.low)
    assert math.isnan(result.p)


def test_pairs_are_matched_by_seed_and_missing_seeds_left_out():
    better, than = {0: 0.9, 1: 0.8, 2: 0.95}, {2: 0.9, 1: 0.7, 7: 0.1}
    result = intervals.paired_by_seed(better, than)
    assert (result.count, result.estimate) == (2, pytest.approx((0.1 + 0.05) / 2))


def test_unequal_lengths_are_an_error():
    with pytest.raises(ValueError, match="same seeds"):
        intervals.paired_difference([1, 2], [1])
    with pytest.raises(ValueError, match="same images"):
        intervals.mcnemar([True], [True, False])


def test_the_lead_over_the_best_of_several_is_covered_as_often_as_promised():
    """Whichever rival comes out as the best; its own interval is too short."""
    draw, levels, studies = np.random.default_rng(5), np.array([0.0, 0.001, 0.002]), 1500
    above = below = above_own = 0
    for study in range(studies):
        better = draw.normal(size=8)
        rivals = [better - draw.normal(level, 0.01, 8) for level in levels]
        gains = [tuple(better - rival) for rival in rivals]
        lead = intervals.lead_over_best(gains, 0.9) if study < 300 else None
        means = [np.mean(g) for g in gains]
        best = gains[int(np.argmin(means))]
        above_own += _t_interval(best, 0.9)[1] < 0
        lows = [_t_interval(g, 0.9)[0] for g in gains]
        corrected = min(_t_interval(g, 1 - 0.1 / 3)[1] for g in gains)
        if lead is not None:
            assert [lead.low, lead.high] == pytest.approx([min(lows), corrected])
            assert lead.estimate == pytest.approx(min(means))
        above += corrected < 0
        below += min(lows) > 0
    spread = 3 * (0.05 * 0.95 / studies) ** 0.5
    assert above / studies < 0.05 + spread
    assert below / studies < 0.05 + spread
    assert above_own / studies > 0.05 + spread


def _t_interval(values, confidence):
    return stats.t.interval(confidence, len(values) - 1, np.mean(values), stats.sem(values))


def test_welch_interval_agrees_with_statsmodels():
    low, high = CompareMeans(DescrStatsW(FIRST), DescrStatsW(SECOND[:4])).tconfint_diff(
        usevar="unequal"
    )
    assert intervals.welch_interval(FIRST, SECOND[:4]) == pytest.approx((low, high))
    assert math.isnan(intervals.welch_interval([0.9], [0.8, 0.7])[0])


def test_holm_by_hand_with_a_gap():
    corrected = intervals.holm([0.01, math.nan, 0.04, 0.03])
    assert corrected[0] == pytest.approx(0.03)
    assert math.isnan(corrected[1])
    assert corrected[2:] == [pytest.approx(0.06), pytest.approx(0.06)]
    assert intervals.holm([]) == []


def test_mcnemar_is_a_binomial_test_on_the_images_where_the_sides_differ():
    first = [True] * 50 + [True] * 12 + [False] * 4 + [False] * 9
    second = [True] * 50 + [False] * 12 + [True] * 4 + [False] * 9
    result = intervals.mcnemar(first, second)
    assert (result.only_first, result.only_second, result.images) == (12, 4, 75)
    assert result.p == pytest.approx(stats.binomtest(4, 16).pvalue)
    assert intervals.mcnemar(first, first).p == 1.0
    assert math.isnan(intervals.mcnemar([], []).p)


@pytest.mark.parametrize(("difference", "spread"), [(0.01, 0.01), (0.002, 0.008), (-0.01, 0.02)])
def test_seeds_needed_reach_the_power_and_one_fewer_does_not(difference, spread):
    count = int(intervals.seeds_needed(difference, spread))

    def power(n):  # of a two-sided paired t test, from the non-central t distribution
        shift, quantile = abs(difference) / spread * n**0.5, stats.t.ppf(0.975, n - 1)
        return stats.nct.sf(quantile, n - 1, shift) + stats.nct.cdf(-quantile, n - 1, shift)

    assert power(count) >= 0.8 > power(count - 1)


def test_seeds_needed_at_the_edges():
    assert intervals.seeds_needed(0.0, 0.01) == math.inf
    assert math.isnan(intervals.seeds_needed(0.01, math.nan))
    assert intervals.seeds_needed(10.0, 0.001) == 2
