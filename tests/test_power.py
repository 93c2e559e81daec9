"""What a plan says that claims can find: power against simulation and against plain integrals."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console, Group
from scipy import integrate, stats

from modelswitch.config.experiment import load
from modelswitch.errors import UserError
from modelswitch.planning.power import reaches, shown
from modelswitch.results import boundaries, power
from modelswitch.results.table_files import write_table

DRAWN = 200_000


def simulated(difference, spread, count, alpha, smallest) -> float:
    """How often an interval lies above zero and the mean reaches `smallest`."""
    values = np.random.default_rng(0).normal(difference, spread, size=(DRAWN, count))
    mean, error = values.mean(1), values.std(1, ddof=1) / math.sqrt(count)
    low = mean - stats.t.isf(alpha / 2, count - 1) * error
    return float(((low > min(smallest, 0)) & (mean >= smallest)).mean())


@pytest.mark.parametrize(
    ("difference", "spread", "count", "alpha", "smallest"),
    [
        (0.5, 0.8, 25, 0.05, 0.0),
        (0.5, 0.8, 12, 0.05, 0.0),
        (1.5, 0.9, 4, 0.0125, 0.0),
        (0.0, 0.8, 8, 0.05, 0.0),
        (0.5, 0.8, 25, 0.05, 0.3),
        (0.5, 0.8, 25, 0.05, 0.5),
        (0.6, 0.8, 6, 0.05, 0.5),
        (2.0, 0.8, 3, 0.05, 1.5),
        (0.1, 0.8, 10, 0.05, -0.6),
    ],
)
def test_power_is_how_often_a_claim_is_supported(difference, spread, count, alpha, smallest):
    found = power.supported(difference, spread, count, alpha, smallest)
    often = simulated(difference, spread, count, alpha, smallest)
    assert found == pytest.approx(often, abs=4 * math.sqrt(0.25 / DRAWN))
    # Other units are the same question.
    assert power.supported(
        difference / 100, spread / 100, count, alpha, smallest / 100
    ) == pytest.approx(found, rel=1e-6)


def test_the_noncentral_t_is_a_normal_variable_over_an_independent_chi():
    for difference, spread, count in ((0.5, 0.8, 25), (0.3, 0.8, 5), (2.0, 0.4, 3)):
        shift, freedom = difference / spread * math.sqrt(count), count - 1
        quantile = stats.t.isf(0.025, freedom)
        expected, _ = integrate.quad(
            lambda s, q=quantile, d=shift, f=freedom: (
                stats.norm.cdf(d - q * math.sqrt(s / f)) * stats.chi2.pdf(s, f)
            ),
            0,
            np.inf,
        )
        assert power.supported(difference, spread, count) == pytest.approx(expected, abs=1e-6)


def test_a_textbooks_example():
    """n = 34 pairs find an effect of half a standard deviation with 80 % (Cohen's table: 34)."""
    assert power.supported(0.5, 1.0, 34) == pytest.approx(0.808, abs=0.001)
    assert power.supported(0.5, 1.0, 33) < 0.8
    assert power.detectable(1.0, 34) == pytest.approx(0.495, abs=0.002)


@pytest.mark.parametrize("count", [2, 3, 8, 25, 400])
@pytest.mark.parametrize("smallest", [0.0, 0.002, -0.003])
def test_what_is_detectable_is_found_as_often_as_wanted(count, smallest):
    for alpha in (0.05, 0.005):
        found = power.detectable(0.008, count, alpha, 0.8, smallest)
        assert power.supported(found, 0.008, count, alpha, smallest) == pytest.approx(0.8)
        assert found > smallest


def test_what_is_not_known_is_not_said():
    assert math.isnan(power.detectable(math.nan, 20))
    assert math.isnan(power.detectable(0.01, 1))
    assert math.isnan(power.supported(0.1, 0.01, 1))
    assert math.isnan(power.spread_interval(0.01, 1)[0])


def test_the_interval_of_a_spread_covers_it():
    rng = np.random.default_rng(1)
    drawn = rng.normal(0, 2.0, size=(4000, 5)).std(axis=1, ddof=1)
    inside = [low < 2.0 < high for low, high in (power.spread_interval(s, 5) for s in drawn)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)


# ------------------------------------------------------------------------------ the plan

VALUES = {
    "name": "study",
    "data": {"source": "digits"},
    "models": {"teacher": {"family": "plain", "stages": [[8, 1]]},
               "student": {"family": "plain", "stages": [[4, 1]]}},
    "transfers": {"kd": {}, "other": {"soft": 0.5}},
    "chains": {"a": "teacher/student@kd", "b": "teacher/student@other", "scratch": "student"},
    "seeds": list(range(10)),
    "claims": {
        "first": {"better": "a", "than": "b"},
        "second": {"better": "a", "than": "scratch", "smallest": 0.002},
        "smaller": {"better": "a", "than": "teacher", "metric": "parameters"},
    },
}  # fmt: skip


def found_in(**changes):
    return {one.name: one for one in reaches(load(VALUES | changes))}


def printed(**changes) -> str:
    console = Console(file=io.StringIO(), width=150)
    console.print(Group(*shown(load(VALUES | changes))))
    return " ".join(console.file.getvalue().split())


def test_without_a_spread_nothing_is_known_and_that_is_said():
    found = found_in()
    assert list(found) == ["first", "second"], "what is exact has no power"
    assert all(math.isnan(one.finds) for one in found.values())
    assert "first: spread unknown: give claims.first.spread, or power" in printed()
    assert shown(load(VALUES | {"claims": {}})) == []


def test_a_given_spread_and_its_own_for_a_claim():
    claims = VALUES["claims"] | {"first": {"better": "a", "than": "b", "spread": 0.004}}
    found = found_in(claims=claims, power={"spread": 0.008})
    assert found["first"].finds == pytest.approx(power.detectable(0.004, 10))
    assert found["first"].by_holm == pytest.approx(power.detectable(0.004, 10, 0.025))
    second = power.detectable(0.008, 10, smallest=0.002)
    assert found["second"].finds == pytest.approx(second)
    said = printed(claims=claims, power={"spread": 0.008})
    assert "with 80 % power from this difference on, with 10 seeds (two-sided level 0.05" in said
    assert f"first accuracy % 0.40 {100 * found['first'].finds:.2f}" in said


def tables(folder, spread_b: float) -> None:
    rng = np.random.default_rng(5)
    rows = [
        {"dataset": "d", "seed": seed, "lineage": lineage, "model": "student", "chains": label,
         "split": "validation", "parameters": 10, "accuracy": 0.5 + rng.normal(0, spread_b)}
        for seed in range(4)
        for label, lineage in (("a", "teacher/student@kd"), ("b", "teacher/student@other"))
    ]  # fmt: skip
    write_table(folder, "models", pd.DataFrame(rows))


def test_a_finished_experiment_gives_the_spread_of_each_difference(tmp_path):
    tables(tmp_path / "tables", 0.01)
    models = pd.read_csv(tmp_path / "tables" / "models.csv")
    wide = models.pivot_table(index="seed", columns="chains", values="accuracy")
    spread = (wide["a"] - wide["b"]).std()
    for where in (tmp_path, tmp_path / "tables"):
        found = found_in(power={"tables": str(where)})
        assert found["first"].spread == pytest.approx(spread)
        assert found["first"].known_from == 4
        assert found["first"].finds == pytest.approx(power.detectable(spread, 10))
    assert math.isnan(found["second"].spread)
    said = printed(power={"tables": str(tmp_path)})
    low, high = power.spread_interval(spread, 4)
    assert f"{100 * spread:.2f} of 4 seeds [{100 * low:.2f}, {100 * high:.2f}]" in said
    assert "no results for 'scratch'" in said
    assert "give claims.second.spread" in said
    # What is not in the tables has what is given for all.
    both = found_in(power={"tables": str(tmp_path), "spread": 0.02})
    assert [one.spread for one in both.values()] == pytest.approx([spread, 0.02])


def test_with_looks_it_is_the_last_ones_level():
    looks = {"at": [4, 12], "spending": "pocock"}
    found = found_in(looks=looks, power={"spread": 0.008, "wanted": 0.9})
    level = boundaries.levels([4, 12], "pocock")[-1]
    assert found["first"].seeds == 12
    assert found["first"].finds == pytest.approx(power.detectable(0.008, 12, level, 0.9))
    assert "of the last of 2 looks, 0.05 in all" in printed(looks=looks)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tables": "nowhere/tables"}, "power.tables: found 'nowhere/tables', which is no folder"),
        ({"spread": 0}, "power.spread: found 0"),
        ({"wanted": 1.0}, "power.wanted: found 1.0"),
    ],
)
def test_what_cannot_be_is_named(given, said):
    with pytest.raises(UserError) as error:
        reaches(load(VALUES | {"power": given}))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
