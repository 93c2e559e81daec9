"""Findings in words: what they say is what the tables hold, also where little was found."""

import pandas as pd
import pytest
import tidy_examples

from modelswitch.results import intervals, sentences
from modelswitch.results.intervals import PairedDifference
from modelswitch.results.tables import Tables


def told(folder) -> dict[str, str]:
    return {one.about: one.text for one in sentences.sentences(Tables(folder))}


def set_accuracy(folder, values: dict[str, list[float]]) -> None:
    """Give lineages a test accuracy for each seed."""
    models = pd.read_csv(folder / "models.csv")
    for lineage, by_seed in values.items():
        for seed, value in enumerate(by_seed):
            at = (models["lineage"] == lineage) & (models["seed"] == seed)
            models.loc[at & (models["split"] == "test"), "accuracy"] = value
    models.to_csv(folder / "models.csv", index=False)


CHAIN = "teacher/middle@kd/student@kd"


@pytest.mark.parametrize(
    ("low", "high", "estimate", "said"),
    [
        (0.01, 0.03, 0.02, "beats it by 2.00 points [+1.00, +3.00]"),
        (-0.03, -0.01, -0.02, "is 2.00 points below it [-3.00, -1.00]"),
        (-0.01, 0.03, 0.01, "is not to be told from it: +1.00 points [-1.00, +3.00]"),
        (0.0, 0.0, 0.0, "is not to be told from it: +0.00 points [+0.00, +0.00]"),
    ],
)
def test_what_is_said_of_a_difference_is_what_its_interval_allows(low, high, estimate, said):
    difference = PairedDifference(estimate, low, high, *[0.5] * 5, count=4)
    assert sentences.beside(difference, "it") == said


def test_gains_are_those_of_the_table_paired_by_seed(tmp_path):
    folder = tidy_examples.write(tmp_path / "tables")
    values = {CHAIN: [0.80, 0.82, 0.85], "student": [0.70, 0.73, 0.74], "teacher": [0.9, 0.9, 0.91]}
    set_accuracy(folder, values | {"teacher/student@kd": [0.80, 0.81, 0.86]})
    gained = intervals.paired_difference(values[CHAIN], values["student"])
    text = told(folder)["gain"]
    assert (
        f"beats the same network from scratch (72.3 ± 5.2 %) by {100 * gained.estimate:.2f} points "
        f"[+{100 * gained.low:.2f}, +{100 * gained.high:.2f}]"
    ) in text
    assert "is not to be told from a direct switch" in text
    assert "points below teacher (90.3 ± 1.4 %)" in text
    assert text.endswith("(3 seeds).")
    assert text.startswith("The chain beats"), "not `the chain chain`"
    small = told(folder)["compression"]
    assert "teacher (5 layers, 559 k parameters) was switched through middle into student" in small
    assert "68.8 k parameters, 1/8.1 of these" in small


def test_a_direct_switch_by_another_transfer_is_told_and_named(tmp_path):
    chains = {"scratch": "student", "fitted": "teacher/student@kd_hint_pretrain",
              "direct": "teacher/student@kd",
              "chain": "teacher/middle@kd_hint_joint/student@kd_hint_joint"}  # fmt: skip
    folder = tidy_examples.write(tmp_path / "tables", chains)
    assert "a direct switch by kd_hint_pretrain (" in told(folder)["gain"]
    claim = {"claim": "better", "verdict": "not supported", "better": "chain", "than": "direct",
             "metric": "accuracy", "smallest": 0.0}  # fmt: skip
    pd.DataFrame([claim]).to_csv(folder / "claims.csv", index=False)
    set_accuracy(folder, {chains["direct"]: [0.9, 0.91, 0.9], chains["chain"]: [0.8, 0.8, 0.82]})
    assert "points below a direct switch by kd (90.3 ± 1.4 %)" in told(folder)["gain"]


def test_a_screen_is_told_of_what_the_selector_has_not_seen_as_well(tmp_path):
    folder = tidy_examples.write(tmp_path / "tables")
    tidy_examples.write_selection(folder)
    rows = pd.read_csv(folder / "selection.csv")
    worse = (rows["method"] == "selector") & ~rows["seen"]
    rows.loc[worse, "accuracy"] = 0.1
    rows.to_csv(folder / "selection.csv", index=False)
    [one] = [s for s in sentences.sentences(Tables(folder)) if s.about == sentences.SELECTOR]
    seen, unseen = one.brief.split("; ")
    assert "which beats the best baseline" in seen
    assert unseen.startswith("in ways it has not seen in 10.0 %, which is")
    assert "points below the best baseline" in unseen


def test_one_seed_has_no_interval(tmp_path):
    text = told(tidy_examples.write(tmp_path / "tables", seeds=(0,)))["gain"]
    assert "one seed, so no interval" in text
    assert "beats" not in text
    assert "told from" not in text


def test_a_claim_decides_which_chain_is_told_and_never_the_result(tmp_path):
    chains = {"a": "teacher/middle@kd/student@kd", "b": "teacher/large@kd/student@kd"}
    folder = tidy_examples.write(tmp_path / "tables", chains)
    last = "teacher/large@kd/student@kd"
    for best in chains.values():
        set_accuracy(folder, {lineage: [0.9 if lineage == best else 0.5] * 3
                              for lineage in chains.values()})  # fmt: skip
        assert sentences.told_chain(Tables(folder)).lineage == last
    claim = {"claim": "better", "verdict": "contradicted", "better": "a", "than": "teacher",
             "metric": "accuracy", "smallest": 0.0}  # fmt: skip
    pd.DataFrame([claim]).to_csv(folder / "claims.csv", index=False)
    assert sentences.told_chain(Tables(folder)).labels == ["a"]
    assert told(folder)["claims"] == "The one claim is contradicted."


def test_rules_are_counted_after_the_correction_for_their_number(tmp_path):
    folder = tidy_examples.write(tmp_path / "tables", tidy_examples.rule_chains(), seeds=range(5))
    spread = [0.0, 0.001, -0.001, 0.0005, -0.0005]
    rules = list(tidy_examples.rule_chains().values())
    set_accuracy(folder, {one: [0.8 + s * (1 + i) for s in spread] for i, one in enumerate(rules)})
    apart = {"hard_switch": 0.7, "correctness_0.05": 0.9}
    set_accuracy(
        folder,
        {f"teacher/student@{name}": [m - 2 * s for s in spread] for name, m in apart.items()},
    )
    text = told(folder)["transfer"]
    assert "student under the rule correctness ±0.05 beats a fixed weight (80.0 ± 0.1 %)" in text
    assert "one is better than the fixed weight (correctness ±0.05) and one is worse" in text


def test_the_selector_stands_beside_the_best_baseline(tmp_path):
    folder = tidy_examples.write(tmp_path / "tables")
    tidy_examples.write_selection(folder)
    seen, unseen = told(folder)["selector"].split("; ")
    assert seen.startswith("With one modality degraded the selector mms picks an undegraded one")
    assert "which beats the best baseline" in seen
    assert unseen.startswith("with one modality degraded in ways it has not seen")
    rows = pd.read_csv(folder / "selection.csv")
    clean = rows[(rows["level"] == 0) & (rows["method"] == "selector")]
    text = told(folder)["clean"]
    share = 100 * clean["accuracy"].mean()
    assert text.startswith(
        f"With nothing degraded the selector mms answers rightly in {share:.1f} %"
    )
    assert "the best baseline (" in text


def test_tables_with_nothing_switched_say_nothing_of_it(tmp_path):
    folder = tidy_examples.write(tmp_path / "tables", {"scratch": "student"})
    assert not told(folder).keys() & {"compression", "gain", "device", "transfer", "selector"}
