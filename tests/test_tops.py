"""The top of a curve over δ: found where it is, with an interval that covers it."""

import math

import numpy as np
import pytest
import tidy_examples
from scipy import stats

from modelswitch.report import contents
from modelswitch.report.figures import style, weighting
from modelswitch.report.summaries.tops import tops_sheet
from modelswitch.report.write import write_sheets
from modelswitch.results import differences, tops
from modelswitch.results.tables import Tables

DELTAS = np.array([0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5])


def curve(values: np.ndarray, deltas=DELTAS) -> dict[float, dict[int, float]]:
    """Values [seeds, D] as the tables give them."""
    return {float(d): dict(enumerate(column)) for d, column in zip(deltas, values.T, strict=True)}


def drawn(truth, seeds: int, noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return truth + rng.normal(0, 0.02, (seeds, 1)) + rng.normal(0, noise, (seeds, len(truth)))


@pytest.mark.parametrize(
    ("scale", "truth", "place", "gain"),
    [
        ("δ", 0.6 + 0.08 * DELTAS - 0.2 * DELTAS**2, 0.2, 0.008),
        ("√δ", 0.6 + 0.04 * DELTAS**0.5 - 0.05 * DELTAS, 0.16, 0.008),
        ("δ", 0.6 - 0.1 * DELTAS - 0.1 * DELTAS**2, 0.0, 0.0),
        ("δ", 0.6 + 0.1 * DELTAS + 0.1 * DELTAS**2, 0.5, 0.075),
        # A valley: the higher of the ends.
        ("δ", 0.6 - 0.2 * DELTAS + 0.2 * DELTAS**2, 0.0, 0.0),
        ("δ", 0.6 - 0.1 * DELTAS + 0.3 * DELTAS**2, 0.5, 0.025),
    ],
)
def test_the_top_of_a_curve_without_noise_is_where_it_is(scale, truth, place, gain):
    top = tops.fit(curve(drawn(truth, 4, 0.0)))
    assert top.scale == scale
    assert top.place == pytest.approx(place, abs=1e-9)
    assert top.gain == pytest.approx(gain, abs=1e-12)
    assert [top.place_low, top.place_high] == pytest.approx([place, place], abs=1e-6)
    assert top.misfit == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(top.at(DELTAS), truth + (top.at(DELTAS) - truth).mean(), atol=1e-9)


def test_interval_and_choice_are_those_of_one_fit_after_another():
    """The same drawings of seeds, each fitted by `polyfit` in both scales."""
    values = drawn(0.6 + 0.08 * DELTAS - 0.2 * DELTAS**2, 9, 0.004)
    top = tops.fit(curve(values), resamples=300, seed=7)
    places, gains = [], []
    grid = np.linspace(0, 0.5, 50_001)
    for chosen in np.random.default_rng(7).integers(9, size=(300, 9)):
        mean = values[chosen].mean(0)
        fits = []
        for scaled in (lambda d: d, np.sqrt):
            found = np.polynomial.Polynomial.fit(scaled(DELTAS), mean, 2)
            fits.append((((found(scaled(DELTAS)) - mean) ** 2).sum(), found(scaled(grid))))
        heights = min(fits, key=lambda one: one[0])[1]
        places.append(grid[heights.argmax()])
        gains.append(heights.max() - heights[0])
    ends = np.percentile(places, [2.5, 97.5])
    assert [top.place_low, top.place_high] == pytest.approx(ends, abs=2e-5)
    assert [top.gain_low, top.gain_high] == pytest.approx(np.percentile(gains, [2.5, 97.5]))
    assert top.inner == pytest.approx(np.mean([0 < place < 0.5 for place in places]))


def test_a_clear_top_has_the_interval_that_fieller_gives():
    """-b / 2a of the seeds' own parabolas as a ratio of two normal means (Fieller 1954)."""
    seeds = 60
    values = drawn(0.6 + 0.08 * DELTAS - 0.2 * DELTAS**2, seeds, 0.006)
    top = tops.fit(curve(values))
    own = np.polynomial.polynomial.polyfit(DELTAS, values.T, 2)
    above, below = own[1].mean(), -2 * own[2].mean()
    covariance = np.cov(own[1], -2 * own[2]) / seeds
    t = stats.t.isf(0.025, seeds - 1) ** 2
    quadratic = np.polynomial.Polynomial(
        [above**2 - t * covariance[0, 0], -2 * (above * below - t * covariance[0, 1]),
         below**2 - t * covariance[1, 1]]
    )  # fmt: skip
    low, high = sorted(quadratic.roots())
    assert top.scale == "δ"
    width = high - low
    assert top.place == pytest.approx(above / below)
    assert [top.place_low, top.place_high] == pytest.approx([low, high], abs=0.15 * width)


def test_intervals_cover_the_top_as_often_as_they_say():
    truth = 0.6 + 0.08 * DELTAS - 0.2 * DELTAS**2
    covered = []
    for study in range(200):
        top = tops.fit(curve(drawn(truth, 25, 0.006, study)), resamples=299)
        covered.append(
            (top.place_low <= 0.2 <= top.place_high, top.gain_low <= 0.008 <= top.gain_high)
        )
    # Percentile intervals of few seeds are a little narrow.
    for share in np.mean(covered, axis=0):
        assert 0.88 < share <= 1.0


def test_without_a_hump_the_interval_of_the_gain_begins_at_nought():
    top = tops.fit(curve(drawn(np.full(len(DELTAS), 0.6), 10, 0.005)))
    assert top.gain_low == 0
    assert top.inner < 0.97


@pytest.mark.parametrize("last", [0.05, 0.2, 0.3, 0.8, 0.9])
def test_the_last_shift_is_an_end_and_no_top_inside(last):
    """The square of a root need not be what it was the root of."""
    deltas = np.linspace(0, last, 6)
    rising = tops.fit(curve(drawn(0.7 + 0.02 * deltas**0.5, 25, 0.0001), deltas))
    assert rising.place == rising.place_high == last
    assert rising.inner < 0.5


def test_too_little_has_no_top_or_no_interval():
    few = curve(drawn(np.zeros(3), 5, 0.01), DELTAS[:3])
    assert tops.fit(few) is None
    two = tops.fit(curve(drawn(0.6 + 0.08 * DELTAS - 0.2 * DELTAS**2, 2, 0.0)))
    assert two.place == pytest.approx(0.2)
    assert math.isnan(two.place_low)
    # Seeds that a δ lacks count nowhere.
    values = curve(drawn(0.6 + 0.08 * DELTAS - 0.2 * DELTAS**2, 5, 0.0))
    values[0.1] = {seed: values[0.1][seed] for seed in (0, 1, 2)}
    assert tops.fit(values).seeds == 3


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    tidy_examples.write(folder, tidy_examples.rule_chains(), images=400, epochs=2, seeds=range(5))
    return Tables(folder)


def test_the_table_and_the_page_have_the_top(rules, tmp_path):
    sheet = tops_sheet(rules)
    [row], [found] = sheet.rows, tops.of_rules(rules).values()
    assert (row["delta"], row["delta_low"], row["gain_high"]) == (
        found.place, found.place_low, found.gain_high,
    )  # fmt: skip
    assert row["switch"] == "teacher → student"
    assert (row["seeds"], row["points"]) == (5, 5)
    # The example's curve is 0.012 - 0.4 (δ - 0.1)², and 0 without a shift.
    assert 0.02 < row["delta"] < 0.35
    test = rules.models[rules.models["split"] == "test"].groupby("transfer")["accuracy"].mean()
    best = max((name for name in test.index if "_0." in name), key=test.get)
    assert row["best_measured"] == float(best.rpartition("_")[2])
    assert row["best_measured_gain"] == pytest.approx(test[best] - test["fixed"])
    write_sheets([sheet], tmp_path)
    assert "Top inside" in (tmp_path / "delta_top.md").read_text(encoding="utf-8")
    assert "delta_top" in [item.name for item in contents.tables(contents.facts_in(rules))]


def test_the_figure_shows_the_curve_and_its_top(rules):
    with style.look():
        _, below = weighting.delta_curve(rules).axes
    [top] = tops.of_rules(rules).values()
    [lineages] = differences.delta_curves(rules).values()
    zero = np.mean(list(tops.values_of(rules.models, lineages)[0.0].values()))
    [diamond] = [line for line in below.lines if line.get_marker() == "D"]
    assert diamond.get_xdata() == pytest.approx([top.place])
    height = 100 * (top.at(np.array([top.place]))[0] - zero)
    assert diamond.get_ydata() == pytest.approx([height])
    [reach] = [
        line
        for line in below.lines
        if list(line.get_xdata()) == pytest.approx([top.place_low, top.place_high])
    ]
    assert reach.get_ydata() == pytest.approx([height, height])
    [dashed] = [line for line in below.lines if len(line.get_xdata()) == 200]
    assert dashed.get_ydata().max() == pytest.approx(height, abs=1e-3)
