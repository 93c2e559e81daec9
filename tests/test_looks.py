"""Sequential looks: boundaries as published, the overall error as promised, what a page says."""

import math

import numpy as np
import pandas as pd
import pytest
import tidy_examples
from scipy import stats

from modelswitch.config.claims import Claim
from modelswitch.config.experiment import load
from modelswitch.config.looks import Looks
from modelswitch.errors import UserError
from modelswitch.report.summaries.claims import claims_sheet
from modelswitch.report.write import write_claims
from modelswitch.results import boundaries, sentences
from modelswitch.results.looks import Look, Schedule
from modelswitch.results.table_files import read_table, write_table
from modelswitch.results.tables import Tables
from modelswitch.results.verdicts import assess

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        # Lan & DeMets' programs for five equal looks, 5 % on both sides; they stop at 1e-7 or so.
        ("obrien_fleming", [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        ("pocock", [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
    ],
)
def test_boundaries_are_those_that_are_published(spending, published):
    assert boundaries.critical(FIVE, spending, 0.05) == pytest.approx(published, abs=1.2e-4)


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
@pytest.mark.parametrize("shares", [(0.4, 0.6, 1.0), (0.1, 0.9, 1.0), (0.5, 1.0)])
def test_what_is_spent_is_what_the_normal_distribution_says(spending, shares):
    """Not to have crossed is a rectangle's probability, of correlated normal variables."""
    found = np.array(boundaries.critical(shares, spending, 0.05))
    for count in range(1, len(shares) + 1):
        times = np.array(shares[:count])
        correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
        inside = stats.multivariate_normal.cdf(
            found[:count], cov=correlation, lower_limit=-found[:count], abseps=1e-8, releps=1e-8
        )
        expected = boundaries.spent(shares[count - 1], spending, 0.05)
        assert 1 - inside == pytest.approx(expected, abs=2e-6)


def test_all_of_alpha_is_spent_at_the_end_and_one_look_is_no_other_test():
    for spending in ("obrien_fleming", "pocock"):
        assert boundaries.spent(1.0, spending, 0.05) == pytest.approx(0.05)
        assert boundaries.levels([20], spending) == pytest.approx([0.05])
    # By hand: 4 (1 - Φ(2.2414 / √0.4)).
    assert boundaries.spent(0.4, "obrien_fleming", 0.05) == pytest.approx(
        4 * (1 - stats.norm.cdf(2.241403 / math.sqrt(0.4))), rel=1e-4
    )


def test_t_tests_at_these_levels_are_wrong_in_five_percent_of_all_studies():
    """20,000 studies in which there is nothing; unplanned looks at 5 % are wrong far more often."""
    at = [8, 12, 20]
    values = np.random.default_rng(0).normal(size=(20_000, 20))

    def crossed(levels) -> float:
        any_look = np.zeros(len(values), dtype=bool)
        for count, level in zip(at, levels, strict=True):
            seen = values[:, :count]
            t = seen.mean(1) / (seen.std(1, ddof=1) / math.sqrt(count))
            any_look |= np.abs(t) > stats.t.isf(level / 2, count - 1)
        return float(any_look.mean())

    by_rule = crossed(boundaries.levels(at, "obrien_fleming"))
    assert by_rule == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 20_000))
    assert crossed([0.05] * 3) > 0.085


# ------------------------------------------------------------------------------ verdicts

RULE = Looks(at=[4, 6, 10])


def study(folder, gains: dict[int, float]) -> Tables:
    """Two sides whose paired difference has these values by seed."""
    rows = [
        {"dataset": "d", "seed": seed, "lineage": f"teacher/student@{side}", "model": "student",
         "chains": side, "split": "test", "parameters": 10, "accuracy": 0.5 + gain * (side == "a")}
        for seed, gain in gains.items()
        for side in ("a", "b")
    ]  # fmt: skip
    write_table(folder, "models", pd.DataFrame(rows))
    return Tables(folder)


def judged(folder, gains, rule=RULE, seeds=tuple(range(10))):
    claim = Claim(better="a", than="b")
    [row] = assess({"c": claim}, study(folder, gains), Schedule(seeds, rule))
    return row


CLEAR = {seed: 0.05 + 0.002 * (-1) ** seed for seed in range(10)}
WEAK = dict(enumerate([0.01, 0.03, -0.01, 0.03, 0.02, 0.0, 0.03, 0.04, -0.01, 0.03]))


def test_a_look_has_its_level_and_its_seeds(tmp_path):
    levels = boundaries.levels([4, 6, 10], "obrien_fleming")
    row = judged(tmp_path, {seed: WEAK[seed] for seed in range(8)})
    values = [WEAK[seed] for seed in range(6)]
    low, high = stats.ttest_1samp(values, 0).confidence_interval(1 - levels[1])
    assert (row["look"], row["looks"], row["seeds"], row["planned_seeds"]) == (2, 3, 6, 10)
    assert row["alpha"] == pytest.approx(levels[1])
    assert [row["low"], row["high"]] == pytest.approx([low, high], abs=1e-9)
    assert row["verdict"] == "not supported"
    assert row["note"] == (
        f"look 2 of 3, 6 of 10 seeds, level {levels[1]:.2g}: not decided, the next look is at 10 "
        "seeds; missing: 8, 9"
    )


def test_a_claim_is_decided_at_the_first_look_that_decides_it(tmp_path):
    row = judged(tmp_path, CLEAR)
    levels = boundaries.levels([4, 6, 10], "obrien_fleming")
    p = {n: stats.ttest_1samp([CLEAR[s] for s in range(n)], 0).pvalue for n in (4, 6)}
    first = 1 if p[4] < levels[0] else 2
    assert p[(4, 6)[first - 1]] < levels[first - 1]
    assert (row["verdict"], row["look"]) == ("supported", first)
    assert "decided, so that this claim needs no more seeds" in row["note"]
    # What comes after does not take it back.
    noise = CLEAR | dict.fromkeys(range(6, 10), -0.5)
    assert judged(tmp_path, noise)["verdict"] == "supported"


def test_what_five_percent_would_settle_is_not_settled_at_the_first_look(tmp_path):
    gains = dict(enumerate([0.010, 0.013, 0.016, 0.011]))
    assert stats.ttest_1samp(list(gains.values()), 0).pvalue < 0.05
    assert judged(tmp_path, gains)["verdict"] == "not supported"
    assert judged(tmp_path, gains, rule=None)["verdict"] == "supported"


def test_before_the_first_look_nothing_is_judged(tmp_path):
    row = judged(tmp_path, {seed: CLEAR[seed] for seed in (0, 1, 2, 4, 5, 7)})
    assert row["verdict"] == "not tested"
    assert math.isnan(row["low"])
    assert row["estimate"] == pytest.approx(np.mean([CLEAR[s] for s in (0, 1, 2, 4, 5, 7)]))
    assert row["note"] == "nothing is judged before the first look at 4 seeds; missing: 3"


def test_the_last_look_says_so(tmp_path):
    row = judged(tmp_path, WEAK)
    assert (row["look"], row["seeds"]) == (3, 10)
    assert row["note"].endswith(": the last")


def test_the_plans_order_decides_which_seeds_come_first():
    schedule = Schedule((7, 3, 5, 1, 0, 2), Looks(at=[2, 4, 6]))
    looks = schedule.reached({1, 3, 5, 7})
    assert [look.seeds for look in looks] == [(7, 3), (7, 3, 5, 1)]
    assert schedule.reached({3, 5, 1, 0, 2}) == []
    assert schedule.waiting_for({3, 5}, 1) == "2 seeds; missing: 7"
    assert Schedule((2, 1)).reached({1, 2}) == [Look((1, 2))]
    # A part of a study, which has not all seeds in its configuration.
    part = Schedule((4, 5, 6), Looks(at=[2, 8]))
    assert [look.number for look in part.reached({4, 5, 6})] == [1]
    assert part.waiting_for({4, 5, 6}, 2) == ("8 seeds; missing: 5 more than the configuration has")


def test_the_page_says_which_look_it_is_and_whether_stopping_is_allowed(tmp_path):
    tables, claim = study(tmp_path, {s: CLEAR[s] for s in range(7)}), Claim(better="a", than="b")
    write_claims({"c": claim}, tmp_path, Schedule(tuple(range(10)), RULE))
    sheet = claims_sheet(Tables(tmp_path))
    headings = [column.heading for column in sheet.visible()]
    cells = dict(zip(headings, sheet.cells()[0], strict=True))
    look = read_table(tmp_path, "claims")["look"].item()
    assert cells["look"] == f"{look:.0f} of 3"
    assert "look's interval" in headings
    assert "the study may stop when all are" in sheet.note
    assert sheet.warnings == []
    # The same seeds without a rule: they are too few to stop.
    write_claims({"c": claim}, tmp_path, Schedule(tuple(range(10))))
    sheet = claims_sheet(Tables(tmp_path))
    assert "look" not in [column.heading for column in sheet.visible()]
    [warning] = sheet.warnings
    assert warning.startswith("7 of 10 seeds: no rule (`looks`)")
    assert "not allowed" in warning
    write_claims({"c": claim}, tmp_path, Schedule(tuple(range(7))))
    assert claims_sheet(Tables(tmp_path)).warnings == []
    assert tables.models["seed"].nunique() == 7


SEVERAL = {"at": [2, 3]}


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ({"at": [8, 8]}, "looks.at: found [8, 8]; numbers of seeds have to rise"),
        ({"at": [1, 3]}, "looks.at.0: found 1"),
        ({"at": []}, "looks.at"),
        ({"at": [2], "spending": "bonferroni"}, "looks.spending: found 'bonferroni'"),
        ({"at": [2]}, "looks.at: found [2], but there are 3 seeds"),
        (SEVERAL, "claims.best.than: found n, o, and with looks the best of several can change"),
    ],
)
def test_a_rule_that_is_none_is_named(looks, said):
    values = {
        "name": "x",
        "data": {"source": "digits"},
        "models": {name: {"family": "plain", "stages": [[4, 1]]} for name in "mno"},
        "chains": {name: name for name in "mno"},
        "claims": {"best": {"better": "m", "than": ["n", "o"] if looks == SEVERAL else "n"}},
        "seeds": [0, 1, 2],
    }
    with pytest.raises(UserError) as error:
        load(values | {"looks": looks})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


# -------------------------------------------------------- what a look must not count, or forget


def test_a_seed_without_all_its_repeats_and_data_sets_is_not_looked_at(tmp_path):
    def rows(seeds, repeats=(0, 1), datasets=("d", "e")):
        return [
            {"dataset": dataset, "seed": seed, "repeat": repeat, "lineage": f"teacher/student@{s}",
             "model": "student", "chains": s, "split": "test", "parameters": 10,
             "accuracy": 0.5 + (s == "a") * CLEAR[seed]}
            for dataset in datasets for seed in seeds for repeat in repeats for s in ("a", "b")
        ]  # fmt: skip

    plan = Schedule(tuple(range(10)), RULE, ("d", "e"), {"student": 2})
    claim = {"c": Claim(better="a", than="b")}
    for short in ({"repeats": (0,)}, {"datasets": ("d",)}):
        found = rows(range(3)) + rows([3], **short)
        write_table(tmp_path, "models", pd.DataFrame(found))
        [row] = assess(claim, Tables(tmp_path), plan)
        assert (row["verdict"], row["seeds"]) == ("not tested", 3)
        assert row["note"].startswith("nothing is judged before the first look at 4 seeds; miss")
        write_table(tmp_path, "models", pd.DataFrame(rows([3], **short)))
        [row] = assess(claim, Tables(tmp_path), plan)
        assert row["note"] == "no seed of 'a' has all its repeats and data sets yet"
        write_claims(claim, tmp_path, plan)
        # Not a word, rather than one without a number.
        assert not [s for s in sentences.sentences(Tables(tmp_path)) if s.about == "gain"]
        (tmp_path / "claims.csv").unlink()
    write_table(tmp_path, "models", pd.DataFrame(rows(range(4))))
    [row] = assess(claim, Tables(tmp_path), plan)
    assert (row["look"], row["seeds"]) == (1, 4)


def test_images_count_that_are_of_the_look_s_seeds(tmp_path):
    tables = study(tmp_path, CLEAR)
    # All that the two differ in is right for `a` in the look's seeds, and for `b` in later ones.
    rows = [
        {"dataset": "d", "seed": seed, "lineage": f"teacher/student@{side}", "split": "test",
         "index": index, "label": 1, "predicted": int((side == "a") == (seed < 4)), "p_label": 0.5,
         "confidence": 0.5}
        for seed in range(8) for side in ("a", "b") for index in range(5)
    ]  # fmt: skip
    write_table(tmp_path, "predictions", pd.DataFrame(rows))
    [row] = assess({"c": Claim(better="a", than="b")}, tables, Schedule(tuple(range(8)), RULE))
    for_a = 5 * min(row["seeds"], 4)
    assert row["seeds"] < 8
    assert row["mcnemar_p"] == pytest.approx(stats.binomtest(for_a, 5 * row["seeds"]).pvalue)


def test_the_page_s_first_sentences_do_not_say_what_the_look_does_not(tmp_path):
    folder = tidy_examples.write(tmp_path, seeds=range(8))
    models = pd.read_csv(folder / "models.csv")
    at = (models["lineage"] == "teacher/middle@kd/student@kd") & (models["split"] == "test")
    other = (models["lineage"] == "student") & (models["split"] == "test")
    gains = [0.010, 0.013, 0.016, 0.011, 0.012, 0.012, 0.013, 0.012]
    models.loc[other, "accuracy"] = 0.5
    models.loc[at, "accuracy"] = models.loc[at, "seed"].map(lambda seed: 0.5 + gains[seed])
    models.to_csv(folder / "models.csv", index=False)
    claims = {"c": Claim(better="chain", than="scratch"), "d": Claim(better="direct", than="chain")}
    # Four seeds of a plan whose second look is at nine.
    write_claims(claims, folder, Schedule(tuple(range(9)), Looks(at=[4, 9])))
    row = read_table(folder, "claims").iloc[0]
    assert (row["verdict"], row["seeds"]) == ("not supported", 4)
    [gain] = [s.text for s in sentences.sentences(Tables(folder)) if s.about == "gain"]
    interval = f"[{100 * row['low']:+.2f}, {100 * row['high']:+.2f}]"
    assert f"+1.25 points {interval} (4 seeds)" in gain
    assert "beats the same network" not in gain
    # The other way round the claim is the same.
    back = read_table(folder, "claims").iloc[1]
    assert f"{-100 * back['high']:+.2f}, {-100 * back['low']:+.2f}]" in gain
    write_claims(claims, folder, Schedule(tuple(range(9)), Looks(at=[9, 10])))
    [gain] = [s.text for s in sentences.sentences(Tables(folder)) if s.about == "gain"]
    assert "1.24 points above the same network from scratch" in gain
    assert "[no interval]" in gain
