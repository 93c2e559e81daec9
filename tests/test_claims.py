"""Verdicts follow from the numbers: each claim here is settled by tables made to settle it."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tidy_examples
from pydantic import ValidationError
from scipy import stats

from modelswitch.config.claim_checks import check_claims
from modelswitch.config.claims import Claim
from modelswitch.config.selector import SelectorComparison, SelectorSettings
from modelswitch.results import intervals
from modelswitch.results.judgement import Findings, verdict
from modelswitch.results.tables import Tables
from modelswitch.results.verdicts import _selected, assess


def models(values: dict[str, list[float]], metric: str = "accuracy") -> pd.DataFrame:
    """models.csv with one chain per entry and one value per seed."""
    return pd.DataFrame(
        [
            {"dataset": "d", "seed": seed, "lineage": f"teacher/student@{label}",
             "model": "student", "chains": label, "split": "test",
             "parameters": 10, "accuracy": 0.5, metric: value}
            for label, per_seed in values.items()
            for seed, value in enumerate(per_seed)
        ]
    )  # fmt: skip


def tables(folder, values, metric="accuracy") -> Tables:
    models(values, metric).to_csv(folder / "models.csv", index=False)
    return Tables(folder)


@pytest.mark.parametrize(
    ("estimate", "low", "high", "smallest", "expected"),
    [
        (0.02, 0.01, 0.03, 0.0, "supported"),
        (0.02, 0.01, 0.03, 0.02, "supported"),
        (0.02, 0.01, 0.03, 0.025, "not supported"),  # surely above zero, perhaps not enough
        (0.02, 0.01, 0.03, 0.05, "contradicted"),  # an effect of interest is ruled out
        (0.01, -0.01, 0.03, 0.0, "not supported"),
        (-0.02, -0.03, -0.01, 0.0, "contradicted"),
        (0.0, 0.0, 0.0, 0.0, "not supported"),
        (0.0, 0.0, 0.0, 0.01, "contradicted"),
        (0.02, math.nan, math.nan, 0.0, "not supported"),
        # A loss of 0.003 is allowed.
        (0.0, -0.002, 0.002, -0.003, "supported"),
        (-0.001, -0.002, -0.0005, -0.003, "supported"),
        (0.01, -0.004, 0.02, -0.003, "not supported"),
        (-0.01, -0.015, -0.005, -0.003, "contradicted"),
        (-0.001, math.nan, math.nan, -0.003, "not supported"),
    ],
)
def test_verdict(estimate, low, high, smallest, expected):
    assert verdict(estimate, low, high, smallest) == expected


def test_a_claim_is_settled_by_paired_differences_and_corrected(tmp_path):
    found = tables(
        tmp_path,
        {
            "chain": [0.90, 0.80, 0.71],
            "direct": [0.88, 0.785, 0.69],
            "scratch": [0.91, 0.815, 0.73],
        },
    )
    claims = {
        "chain_beats_direct": Claim(better="chain", than="direct"),
        "chain_beats_scratch": Claim(better="chain", than="scratch"),
        "untested": Claim(better="chain", than="nowhere"),
    }
    first, second, third = assess(claims, found)
    expected = intervals.paired_difference([0.90, 0.80, 0.71], [0.88, 0.785, 0.69])
    assert first["verdict"] == "supported"
    assert (first["estimate"], first["low"]) == (expected.estimate, pytest.approx(expected.low))
    assert first["p_holm"] == pytest.approx(3 * min(first["p"], second["p"]))
    assert second["verdict"] == "contradicted"
    assert (third["verdict"], third["note"]) == ("not tested", "no results for 'nowhere'")
    assert math.isnan(third["p_holm"])


def test_every_number_of_a_claims_row_follows_from_its_formula(tmp_path):
    values = {
        "chain": [0.91, 0.84, 0.77, 0.90],
        "direct": [0.88, 0.825, 0.74, 0.86],
        "scratch": [0.90, 0.85, 0.74, 0.91],
    }
    claims = {
        "any": Claim(better="chain", than="direct"),
        "least": Claim(better="chain", than="direct", smallest=0.02),
        "other": Claim(better="chain", than="scratch"),
    }
    rows = assess(claims, tables(tmp_path, values))
    for row, rival in zip(rows, ("direct", "direct", "scratch"), strict=True):
        gains = np.subtract(values["chain"], values[rival])
        mean, spread = gains.mean(), gains.std(ddof=1)
        half = stats.t.ppf(0.975, 3) * spread / 2
        assert [row[key] for key in ("estimate", "low", "high")] == pytest.approx(
            [mean, mean - half, mean + half]
        )
        assert row["p"] == pytest.approx(2 * stats.t.sf(abs(mean) / (spread / 2), 3))
        flips = [np.mean(gains * signs) for signs in itertools.product([1, -1], repeat=4)]
        as_far = np.mean(np.abs(flips) >= abs(mean) - 1e-12)
        assert row["permutation_p"] == pytest.approx(as_far)
        resampled = [np.mean(drawn) for drawn in itertools.product(gains, repeat=4)]
        ends = np.quantile(resampled, [0.025, 0.975])
        assert [row["bootstrap_low"], row["bootstrap_high"]] == pytest.approx(ends, abs=0.002)
        sought = row["smallest"] or mean
        needed = next(n for n in range(2, 2000) if _power(sought / spread, n) >= 0.8)
        assert row["seeds_needed"] == needed
        assert (row["seeds"], row["than"], row["split"]) == (4, rival, "test")
        assert math.isnan(row["mcnemar_p"]), "there are no answers to single images"
    assert [row["smallest"] for row in rows] == [0, 0.02, 0]
    # Holm, by hand: the largest stays, the others count those that are not smaller.
    p = sorted(row["p"] for row in rows)
    assert p[0] == p[1] < p[2]
    assert [row["p_holm"] for row in rows] == pytest.approx(
        [3 * p[0], 3 * p[0], max(3 * p[0], p[2])]
    )


def _power(effect: float, count: int) -> float:
    """Of a two-sided paired t test at 5 %, from the non-central t distribution."""
    shift, quantile = effect * count**0.5, stats.t.ppf(0.975, count - 1)
    return stats.nct.sf(quantile, count - 1, shift) + stats.nct.cdf(-quantile, count - 1, shift)


def test_less_is_better_for_some_metrics(tmp_path):
    found = tables(tmp_path, {"a": [0.1, 0.12, 0.11], "b": [0.3, 0.31, 0.33]}, metric="nll")
    [row] = assess({"c": Claim(better="a", than="b", metric="nll")}, found)
    assert row["verdict"] == "supported"
    assert row["estimate"] == pytest.approx(0.61 / 3)


def test_of_several_rivals_the_best_is_the_one_to_beat(tmp_path):
    found = tables(tmp_path, {"s": [0.9, 0.91], "a": [0.7, 0.7], "b": [0.8, 0.82]})
    [row] = assess({"c": Claim(better="s", than=("a", "b"))}, found)
    assert row["than"] == "b"
    assert "best of a, b" in row["note"]


def test_a_rival_that_happens_to_be_the_best_hides_no_other(tmp_path):
    ahead = [0.80, 0.82, 0.78, 0.81, 0.79]
    close = np.subtract(ahead, [0.0020, 0.0022, 0.0018, 0.0021, 0.0019])
    values = {"s": ahead, "close": close, "wild": [0.82, 0.775, 0.80, 0.782, 0.812]}
    found = tables(tmp_path, values)
    several, close_alone, wild_alone = assess(
        {
            "both": Claim(better="s", than=("close", "wild")),
            "close": Claim(better="s", than="close"),
            "wild": Claim(better="s", than="wild"),
        },
        found,
    )
    assert several["than"] == "close"
    assert (close_alone["verdict"], wild_alone["verdict"]) == ("supported", "not supported")
    assert several["verdict"] == "not supported"
    assert several["low"] == wild_alone["low"]
    assert several["p"] == max(close_alone["p"], wild_alone["p"])
    # That the best of two is ahead takes twice the evidence.
    behind = {
        "s": ahead,
        "a": np.add(ahead, [0.002, 0.006, 0.001, 0.007, 0.003]),
        "b": values["wild"],
    }
    [both, alone] = assess(
        {"both": Claim(better="s", than=("a", "b")), "a": Claim(better="s", than="a")},
        tables(tmp_path, behind),
    )
    gains = np.subtract(ahead, behind["a"])
    half = stats.t.ppf(1 - 0.025 / 2, 4) * gains.std(ddof=1) / 5**0.5
    assert both["high"] == pytest.approx(gains.mean() + half)
    assert both["p"] == pytest.approx(2 * alone["p"])
    assert (alone["verdict"], both["verdict"]) == ("contradicted", "not supported")
    # Where one of several has no interval, the lead has none.
    values = {"s": ahead, "a": values["close"], "same": np.subtract(ahead, 0.3)}
    [row] = assess({"c": Claim(better="s", than=("a", "same"))}, tables(tmp_path, values))
    assert math.isnan(row["low"])
    assert "the same difference in every seed over 'same': no interval; 'a' came" in row["note"]
    assert "the lead" not in row["note"]
    behind = {"s": ahead, "a": values["a"], "same": np.add(ahead, 0.1)}
    [row] = assess({"c": Claim(better="s", than=("a", "same"))}, tables(tmp_path, behind))
    assert math.isnan(row["p"])
    assert math.isnan(row["high"])


def test_what_was_claimed_and_has_no_results_yet_counts_in_the_correction(tmp_path):
    found = tables(tmp_path, {"a": [0.9, 0.91, 0.93], "b": [0.8, 0.82, 0.81], "c": [0.5] * 3})
    claims = {"one": Claim(better="a", than="b")}
    later = {f"later{n}": Claim(better="a", than=f"x{n}") for n in range(3)}
    exact = {"smaller": Claim(better="a", than="b", metric="parameters")}
    row = assess(claims | later | exact, found)[0]
    assert row["p_holm"] == pytest.approx(4 * row["p"])


def test_a_lineage_is_a_side_too_and_one_seed_has_no_interval(tmp_path):
    found = tables(tmp_path, {"a": [0.9], "b": [0.7]})
    [row] = assess({"c": Claim(better="teacher/student@a", than="b")}, found)
    assert (row["verdict"], row["seeds"]) == ("not supported", 1)
    assert "no interval" in row["note"]


def test_selector_claims(tmp_path):
    tidy_examples.write_selection(tmp_path)
    found = Tables(tmp_path)
    claims = {
        "improves": Claim(
            better="selector",
            rises_with="level",
            metric="selection_accuracy",
            where={"side": ("periocular", "iris"), "seen": True},
        ),
        "always_a_improves": Claim(
            better="always_iris", rises_with="level", metric="selection_accuracy", smallest=0.1
        ),
        "beats_single": Claim(
            better="selector",
            than=("always_periocular", "always_iris"),
            where={"degradation": "noise", "level": 1},
        ),
    }
    improves, flat, beats = assess(claims, found)
    assert improves["verdict"] == "supported"
    assert improves["estimate"] == pytest.approx(0.4, abs=0.03), "rise over the range of levels"
    assert "Spearman" in improves["note"]
    assert flat["verdict"] == "contradicted"
    assert beats["verdict"] == "supported"


@pytest.mark.parametrize(
    ("values", "smallest", "expected"),
    [
        ({"a": [10, 10], "b": [30, 30]}, 0, "supported"),
        ({"a": [10], "b": [30]}, 20, "supported"),
        ({"a": [10, 10], "b": [30, 30]}, 21, "contradicted"),
        ({"a": [30, 30], "b": [10, 10]}, 0, "contradicted"),
        ({"a": [10, 10], "b": [10, 10]}, 0, "contradicted"),  # not fewer
        ({"a": [10, 40], "b": [30, 30]}, 0, "not supported"),  # one seed so, one seed so
        ({"a": [10, 10], "b": [30]}, 0, "supported"),
    ],
)
@pytest.mark.parametrize("metric", ["parameters", "macs", "file_bytes"])
def test_what_has_no_error_is_compared_exactly(tmp_path, metric, values, smallest, expected):
    found = tables(tmp_path, values, metric)
    claim = Claim(better="a", than="b", metric=metric, smallest=smallest)
    [row] = assess({"c": claim}, found)
    assert row["verdict"] == expected
    assert row["note"].startswith(("exact", "compared where both"))
    assert all(math.isnan(row[key]) for key in ("low", "high", "p", "p_holm"))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0.55, 0.65], [0.5, 0.6]),  # equal but for rounding
        ([0.3, 0.7, 0.1 + 0.2], [0.1, 0.5, 0.1]),
        ([0.833333, 0.9], [0.766667, 0.833333]),  # 1/15 twice, written with six figures
    ],
)
def test_equal_differences_are_no_certainty(tmp_path, a, b):
    [row] = assess({"c": Claim(better="a", than="b")}, tables(tmp_path, {"a": a, "b": b}))
    assert row["verdict"] == "not supported"
    assert math.isnan(row["p"])
    assert "the same difference in every seed" in row["note"]


def test_equal_sides_differ_by_nothing(tmp_path):
    values = {"a": [0.5, 0.6, 0.7], "b": [0.5, 0.6, 0.7]}
    [row] = assess({"c": Claim(better="a", than="b")}, tables(tmp_path, values))
    assert (row["verdict"], row["p"], row["low"], row["high"]) == ("not supported", 1, 0, 0)


def test_sides_are_compared_where_both_have_results(tmp_path):
    """`undegraded` has no rows with all sides degraded, where every method is worse."""
    tidy_examples.write_selection(tmp_path)
    frame = pd.read_csv(tmp_path / "selection.csv")
    known = frame[(frame["method"] == "oracle") & (frame["side"] != "both")]
    frame = pd.concat([frame, known.assign(method="undegraded")])
    frame.to_csv(tmp_path / "selection.csv", index=False)
    [row] = assess({"c": Claim(better="oracle", than="undegraded")}, Tables(tmp_path))
    assert row["estimate"] == 0
    assert "compared where both have results, 90 of 135" in row["note"]


def test_a_rise_is_that_of_the_least_squares_line_of_every_seed(tmp_path):
    tidy_examples.write_selection(tmp_path)
    table = Tables(tmp_path).selection
    claims = {
        "rises": Claim(better="selector", rises_with="level", metric="selection_accuracy"),
        "falls": Claim(better="selector", rises_with="level", where={"side": "both"}),
    }
    rises, falls = assess(claims, Tables(tmp_path))
    own = table[table["method"] == "selector"]
    for row, metric, rows in (
        (rises, "selection_accuracy", own),
        (falls, "accuracy", own[own["side"] == "both"]),
    ):
        slopes, ranks = [], []
        for _, of_seed in rows.groupby("seed"):
            means = of_seed.groupby("level")[metric].mean()
            # The levels reach from 0 to 1, so the slope is the rise.
            slopes.append(np.polyfit(means.index, means, 1)[0])
            ranks.append(np.corrcoef(means.index, means.rank())[0, 1])
        low, high = stats.ttest_1samp(slopes, 0).confidence_interval()
        assert row["estimate"] == pytest.approx(np.mean(slopes))
        assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
        assert row["note"] == f"Spearman's rank correlation {np.mean(ranks):.2f}"
        assert (row["seeds"], row["rises_with"]) == (3, "level")
    assert falls["verdict"] == "contradicted"


def test_a_rise_over_models_takes_every_size_once(tmp_path):
    values = {
        "a": (10, [0.5, 0.52, 0.49]),
        "b": (30, [0.6, 0.58, 0.62]),
        "c": (40, [0.7, 0.71, 0.72]),
    }
    frames = [
        models({"chain": accuracies}).assign(dataset=dataset, parameters=size)
        for dataset, (size, accuracies) in values.items()
    ]
    pd.concat(frames).to_csv(tmp_path / "models.csv", index=False)
    [row] = assess({"c": Claim(better="chain", rises_with="parameters")}, Tables(tmp_path))
    by_seed = zip(*(accuracies for _, accuracies in values.values()), strict=True)
    # From 10 to 40 along the least-squares line.
    rises = [30 * np.polyfit([10, 30, 40], each, 1)[0] for each in by_seed]
    assert row["estimate"] == pytest.approx(np.mean(rises))
    assert (row["verdict"], row["seeds"]) == ("supported", 3)
    assert row["note"] == "Spearman's rank correlation 1.00"


def test_a_rise_where_there_are_no_rows_is_not_tested(tmp_path):
    tidy_examples.write_selection(tmp_path)
    claim = Claim(better="selector", rises_with="level", where={"degradation": "fog"})
    [row] = assess({"c": claim}, Tables(tmp_path))
    assert (row["verdict"], row["note"]) == ("not tested", "no rows where degradation: fog")


def test_a_claim_about_several_selectors_has_to_say_which(tmp_path):
    tidy_examples.write_selection(tmp_path)
    frame = pd.read_csv(tmp_path / "selection.csv")
    frame = pd.concat([frame, frame.assign(selector="1e5", accuracy=0.1)])
    frame.to_csv(tmp_path / "selection.csv", index=False)
    claims = {
        "both": Claim(better="selector", than="always_iris"),
        "one": Claim(better="selector", than="always_iris", where={"selector": "mms"}),
        "named": Claim(better="selector", than="always_iris", where={"selector": "1e5"}),
        "number": Claim(better="selector", than="always_iris", where={"selector": 100000}),
    }
    both, one, named, number = assess(claims, Tables(tmp_path))
    assert both["verdict"] == "not tested"
    assert "several selectors (mms, 1e5)" in both["note"]
    assert one["verdict"] == "supported"
    assert (named["estimate"], number["verdict"]) == (0, "not tested")


@pytest.mark.parametrize(
    ("where", "rows"),
    [({"seen": True}, 10), ({"seen": "true"}, 10), ({"seen": False}, 5), ({"level": 0.5}, 3),
     ({"level": (0, "1")}, 6), ({"degradation": ("noise", "blur")}, 10)],
)  # fmt: skip
def test_rows_are_chosen_by_what_a_yaml_says(tmp_path, where, rows):
    tidy_examples.write_selection(tmp_path, seeds=(0, 1))
    claim = Claim(better="always_iris", than="oracle", where=where | {"side": "iris"})
    seen = Findings()
    table = _selected(claim, Tables(tmp_path), seen)
    assert len(table[(table["method"] == "oracle") & (table["seed"] == 0)]) == rows


def test_a_trend_over_words_is_not_tested(tmp_path):
    tidy_examples.write_selection(tmp_path)
    claims = {
        "words": Claim(better="selector", rises_with="degradation"),
        "truth": Claim(better="always_iris", rises_with="seen"),
    }
    words, truth = assess(claims, Tables(tmp_path))
    assert (words["verdict"], words["note"]) == ("not tested", "'degradation' holds no numbers")
    assert truth["seeds"] == 3


def test_mcnemar_is_pooled_over_seeds(tmp_path):
    tidy_examples.write(tmp_path, images=200)
    # Another order of the rows pairs the same images.
    path = tmp_path / "predictions.parquet"
    pd.read_parquet(path).sort_values("predicted").to_parquet(path)
    found = Tables(tmp_path)
    claims = {
        "c": Claim(better="chain", than="scratch"),
        "n": Claim(better="chain", than="scratch", metric="nll"),
    }
    row, other = assess(claims, found)
    answers = found.predictions.assign(
        right=found.predictions["predicted"] == found.predictions["label"]
    )
    answers = answers.pivot(index=["seed", "index"], columns="lineage", values="right")
    chain, scratch = answers[tidy_examples.FEW["chain"]], answers["student"]
    assert len(answers) == 3 * 200
    only = int((chain & ~scratch).sum()), int((~chain & scratch).sum())
    assert row["mcnemar_p"] == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)
    assert math.isnan(other["mcnemar_p"]), "answers are right or wrong; that says nothing of an nll"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"better": "a"}, "either `than` or `rises_with`"),
        ({"better": "a", "than": "b", "rises_with": "level"}, "either `than` or `rises_with`"),
        ({"better": "a", "than": "a"}, "two different sides"),
        ({"better": "a", "than": "b", "metric": "beauty"}, "Input should be 'accuracy'"),
        ({"better": "a", "than": "b", "smallest": "much"}, "valid number"),
        ({"better": "a", "than": "b", "bigger": 1}, "unknown key 'bigger'"),
        ({"better": "a", "than": "b", "where": {"colour": "x"}}, "allowed are selector"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        Claim(**wrong)


CHAINS = ["chain", "direct", "oracle"]
MODALITIES = ("face", "iris")
COMPARISON = SelectorComparison(
    selectors={"mms": SelectorSettings(recognisers="chain"), "Two": {"recognisers": "direct"}},
    degradations={"seen": ["lid"], "unseen": ["jpeg"], "levels": [0.2, 1]},
)


def checked(selector: SelectorComparison | None, **claim) -> None:
    check_claims({"c": Claim(**claim)}, CHAINS, selector, MODALITIES)


@pytest.mark.parametrize("selector", [None, COMPARISON], ids=["without selectors", "with some"])
@pytest.mark.parametrize(("better", "than"), [("chian", "direct"), ("direct", ("direkt", "chain"))])
def test_a_misspelt_chain_is_refused_with_what_is_allowed(selector, better, than):
    with pytest.raises(
        ValueError, match=r"claims\.c: '.*' is no chain .*did you mean '(chain|direct)'"
    ):
        checked(selector, better=better, than=than)
    checked(selector, better="chain", than="direct")


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ({"better": "selectro", "than": "always_iris"}, "'selectro'.*did you mean 'selector'"),
        ({"better": "selector", "than": "always_eye"}, "'always_eye'.*allowed: .*always_iris"),
        ({"better": "selector", "than": ("margin", "max")}, "'max'.*allowed: .*sum_rule"),
        ({"better": "selectr", "rises_with": "level"}, "'selectr'.*did you mean 'selector'"),
        ({"better": "mms", "than": "margin"}, "'mms' is one of the selectors; .*selector: mms}"),
        ({"better": "mms", "than": "chain"}, "'mms' is one of the selectors"),
        ({"better": "selector", "than": "chain"}, "'chain' is a chain, and the claim is about"),
        ({"better": "selector", "than": "oracle"}, "'oracle' is a way to select and a chain"),
        ({"better": "selector", "than": "margin", "metric": "nll"}, "metric: found 'nll'; .*accur"),
        (
            {"better": "selector", "than": "sum_rule", "metric": "selection_accuracy"},
            "'sum_rule' picks no modality",
        ),
        ({"better": "selector", "rises_with": "levle"}, "rises_with: found 'levle'; .*level"),
    ],
)
def test_with_selectors_the_sides_are_known_before_anything_runs(claim, said):
    with pytest.raises(ValueError, match=rf"^claims\.c.*{said}"):
        checked(COMPARISON, **claim)


@pytest.mark.parametrize(
    ("column", "wrong", "right"),
    [
        ("selector", "msm", ("mms", ("mms", "Two"))),
        ("degradation", False, ("lid", ("jpeg", "lid"))),
        ("degradation", "lip", ("lid",)),
        ("side", ("iris", "none"), ("iris", "both", ("face", "iris"))),
        ("level", 0.3, (0, 0.2, 1, "2e-1", (0.2, 1.0))),
        ("level", True, (1.0,)),
        ("seen", "yes", (True, "true", (True, False))),
        ("seen", 1, (False,)),
    ],
)
def test_rows_that_no_comparison_has_are_refused(column, wrong, right):
    claim = {"better": "selector", "than": "always_iris"}
    with pytest.raises(ValueError, match=rf"^claims\.c\.where\.{column}: found .*; allowed: "):
        checked(COMPARISON, **claim, where={column: wrong})
    for value in right:
        checked(COMPARISON, **claim, where={column: value})


@pytest.mark.parametrize(
    "claim",
    [
        {"than": "direct", "where": {"level": 1}},
        {"rises_with": "level"},
        {"than": "direct", "metric": "selection_accuracy"},
    ],
)
def test_without_selectors_nothing_can_be_claimed_of_them(claim):
    with pytest.raises(ValueError, match=r"^claims\.c: .*there is no selector$"):
        checked(None, better="chain", **claim)


def test_a_training_job_that_reads_claims_does_not_pay_for_pandas():
    code = (
        "import sys, modelswitch.config.claims, modelswitch.results.verdicts;"
        "import modelswitch.results.tables;"
        "sys.exit(any(m in sys.modules for m in ('pandas', 'scipy', 'matplotlib', 'statsmodels')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_modality_that_is_not_there_is_no_degradation_at_level_1(tmp_path):
    tidy_examples.write_selection(tmp_path)
    table = pd.read_csv(tmp_path / "selection.csv")
    claims = {
        "unseen": Claim(better="selector", than="sum_rule", where={"seen": False}),
        "rises": Claim(better="selector", rises_with="level", metric="accuracy",
                       where={"side": "iris"}),
    }  # fmt: skip
    before = assess(claims, Tables(tmp_path))
    gone = table[(table["degradation"] == "blur") & table["level"].isin((0, 1))]
    accuracy = np.where(gone["method"] == "selector", 0.9, 0.1)
    gone = gone.assign(degradation="absent", accuracy=accuracy)
    pd.concat([table, gone]).to_csv(tmp_path / "selection.csv", index=False)
    assert [row["estimate"] for row in assess(claims, Tables(tmp_path))] == [
        row["estimate"] for row in before
    ]
    named = Claim(better="selector", than="sum_rule", where={"degradation": "absent"})
    [row] = assess({"c": named}, Tables(tmp_path))
    assert row["estimate"] == pytest.approx(0.8)
