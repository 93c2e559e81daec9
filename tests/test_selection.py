"""The selector's data, features, objective and judgement, with two and with three modalities."""

import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest
import tidy_examples
import torch
from scipy import stats

from modelswitch.config.claim_checks import check_claims
from modelswitch.config.claims import Claim
from modelswitch.config.degradations import DEGRADATION_NAMES, Degradations, side_name, sides
from modelswitch.config.job import DegradedSpec, Recogniser
from modelswitch.config.methods import FUSIONS, methods
from modelswitch.config.selector import SelectorComparison, SelectorSettings
from modelswitch.config.training import Training
from modelswitch.data.degradations import DEGRADATIONS
from modelswitch.errors import UserError
from modelswitch.randomness import derive_seed
from modelswitch.report.summaries.selection import markdown, selection_sheet
from modelswitch.results.selection import summarise
from modelswitch.results.tables import Tables
from modelswitch.selector.contest import Contest, Rivals, fit_baselines
from modelswitch.selector.network import Selector, features
from modelswitch.selector.objective import PickTrusted, SelectionBatch, SelectionBatches, trusted
from modelswitch.selector.outputs import (
    CLEAN,
    Condition,
    PairedOutputs,
    degraded_images,
    load_outputs,
    mix,
    selector_conditions,
    training_conditions,
)
from modelswitch.storage import artifacts
from modelswitch.training.loop import train
from modelswitch.training.resume import ResumeFiles

CLASSES = 6
CHOSEN = ("degradation", "side", "level", "seen")
SETTINGS = Degradations(seen=["lid", "jpeg"], unseen=["rectangle"], levels=[0.5, 1.0])
TRAINING = Training(
    epochs=6, batch=64, optimizer="adamw", learning_rate=0.01, precision="float32", warmup=0.5
)


def outputs(modalities=("face", "iris"), samples: int = 90, seed: int = 0) -> PairedOutputs:
    """Recognisers that get weaker, and flatter, as their input gets worse."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % CLASSES
    sets = (CLEAN, *SETTINGS.sets)
    logits = torch.randn(len(modalities), len(sets), samples, CLASSES, generator=generator)
    for (_, level), at in zip(sets, itertools.count()):
        logits[:, at, torch.arange(samples), labels] += 5 * (1 - level)
    return PairedOutputs(tuple(modalities), sets, logits, labels)


def seeing(target: str) -> SelectorSettings:
    return SelectorSettings(recognisers="x", target=target)


def fitted(
    held_back: PairedOutputs, spec: SelectorSettings, resume=None, epochs: int = 6
) -> Selector:
    conditions = selector_conditions(held_back.modalities, SETTINGS, spec)
    mixture = mix(held_back, conditions)
    targets, rows = trusted(mixture, spec.target)
    inputs = features(mixture.logits[:, rows], spec)
    torch.manual_seed(0)
    selector = Selector(inputs.shape[1], len(held_back.modalities), [16])
    selector.standardise(inputs)
    train(
        PickTrusted(selector),
        SelectionBatches(inputs, targets, 64, lambda epoch: derive_seed(0, epoch)),
        TRAINING.model_copy(update={"epochs": epochs}),
        device=torch.device("cpu"),
        epoch_seed=lambda epoch: epoch,
        resume=resume,
    )
    return selector


def test_names_in_the_configuration_are_the_degradations_there_are():
    assert set(DEGRADATION_NAMES) == set(DEGRADATIONS)


def test_sides():
    assert [side_name(s, ("a", "b")) for s in ((), *sides(("a", "b")))] == [
        "none",
        "a",
        "b",
        "both",
    ]
    assert [side_name(s, "abc") for s in sides("abc")] == [
        *("a", "b", "c", "a+b", "a+c", "b+c", "all")
    ]


def test_a_degradation_is_drawn_anew_for_every_seed_data_set_and_split_and_alike_in_parts(
    monkeypatch,
):
    images = torch.full((7, 16, 16, 1), 128, dtype=torch.uint8)
    spec = DegradedSpec(dataset="iris", seed=0, sets=[("gaussian_noise", 0.5)])
    first = degraded_images(images, "gaussian_noise", 0.5, spec, "test")
    assert first.equal(degraded_images(images, "gaussian_noise", 0.5, spec, "test"))
    others = [
        degraded_images(images, "gaussian_noise", 0.5, spec.model_copy(update={"seed": 1}), "test"),
        degraded_images(
            images, "gaussian_noise", 0.5, spec.model_copy(update={"dataset": "face"}), "test"
        ),
        degraded_images(images, "gaussian_noise", 0.5, spec, "validation"),
    ]
    for a, b in itertools.combinations([first, *others], 2):
        assert not a.equal(b)
    assert images.equal(degraded_images(images, "none", 0.0, spec, "test"))
    monkeypatch.setattr("modelswitch.selector.outputs._AT_ONCE", 3)
    assert first.equal(degraded_images(images, "gaussian_noise", 0.5, spec, "test"))


def test_only_the_degraded_side_is_replaced():
    stored = outputs()
    at = stored.at(Condition("jpeg", 1.0, ("iris",)))
    assert torch.equal(at[0], stored.logits[0, 0])
    assert torch.equal(at[1], stored.logits[1, stored.sets.index(("jpeg", 1.0))])


@pytest.mark.parametrize(("modalities", "conditions"), [("ab", 2), ("abc", 6)])
def test_the_mixture_names_what_is_clean(modalities, conditions):
    chosen = training_conditions(modalities, ["lid"], [1.0])
    assert len(chosen) == conditions
    mixture = mix(outputs(modalities, 12), chosen)
    assert mixture.logits.shape == (len(modalities), 12 * conditions, CLASSES)
    assert (mixture.clean.any(1) & ~mixture.clean.all(1)).all()
    stored = outputs(modalities, 12)
    row = 0
    for condition in chosen:
        for sample in range(12):
            assert mixture.samples[row] == sample
            assert mixture.labels[row] == stored.labels[sample]
            for at, name in enumerate(modalities):
                worse = name in condition.degraded
                assert mixture.clean[row, at] == (not worse)
                which = stored.sets.index(("lid", 1.0)) if worse else 0
                assert torch.equal(mixture.logits[at, row], stored.logits[at, which, sample])
            row += 1
    assert row == len(mixture.labels)


def test_features():
    logits = outputs().logits[:, 0]
    whole = features(
        logits, SelectorSettings(recognisers="x", parts="whole", values="probabilities")
    )
    assert whole.shape == (90, 2 * CLASSES)
    assert torch.allclose(whole[:, :CLASSES].sum(1), torch.ones(90))
    ordered = features(logits, SelectorSettings(recognisers="x", parts="sorted", top=3))
    assert ordered.shape == (90, 6)
    assert (ordered[:, 0] >= ordered[:, 1]).all()
    matched = features(logits, SelectorSettings(recognisers="x", parts="matched", top=2))
    assert matched.shape == (90, 8)
    # the second recogniser's output at the class that the first finds likeliest
    at = logits[1].log_softmax(1).gather(1, logits[0].argmax(1, keepdim=True))[:, 0]
    assert torch.equal(matched.reshape(90, 2, 2, 2)[:, 0, 1, 0], at)
    # a top beyond the number of classes is the whole vector, sorted
    assert features(logits, SelectorSettings(recognisers="x", parts="sorted", top=99)).shape == (
        90,
        12,
    )


def test_the_objective_is_cross_entropy_for_two_and_any_of_the_trusted_for_more():
    torch.manual_seed(0)
    for modalities in (2, 3):
        selector = Selector(4, modalities, [8])
        inputs = torch.randn(5, 4)
        probability = selector(inputs).softmax(1)
        mask = torch.zeros(5, modalities, dtype=torch.bool)
        mask[:, 1:] = True
        terms = PickTrusted(selector)(SelectionBatch(inputs, mask))
        assert terms["loss"].item() == pytest.approx(
            -probability[:, 1:].sum(1).log().mean().item(), rel=1e-5
        )


def test_a_step_tells_how_often_a_trusted_modality_has_the_highest_score():
    torch.manual_seed(1)
    selector, inputs = Selector(4, 3, []), torch.randn(40, 4)
    trusted_ones = torch.rand(40, 3) < 0.4
    trusted_ones[:, 0] |= ~trusted_ones.any(1)
    terms = PickTrusted(selector)(SelectionBatch(inputs, trusted_ones))
    picked = selector(inputs).argmax(1).tolist()
    hits = [bool(trusted_ones[row, at]) for row, at in enumerate(picked)]
    assert 0 < sum(hits) < 40
    assert terms["selection_accuracy"].item() == pytest.approx(sum(hits) / 40)
    assert terms["loss_selection"].item() == terms["loss"].item()
    assert not terms["loss_selection"].requires_grad


def test_a_selector_sees_its_training_features_with_mean_0_and_deviation_1():
    inputs = torch.cat([3 + 5 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0)),
                        torch.full((50, 1), 7.0)], 1)  # fmt: skip
    selector = Selector(3, 2, [])
    selector.standardise(inputs)
    [linear] = selector.layers
    numbers = inputs.double().numpy()
    expected = (numbers - numbers.mean(0)) / np.maximum(numbers.std(0), 1e-3)
    expected = expected @ linear.weight.detach().double().numpy().T + linear.bias.tolist()
    assert selector(inputs).detach().numpy() == pytest.approx(expected, abs=1e-4)
    # What does not vary says nothing, whatever it is.
    assert np.isfinite(expected).all()
    assert [type(layer).__name__ for layer in Selector(3, 2, [5, 4]).layers] == [
        "Linear", "ReLU", "Linear", "ReLU", "Linear",
    ]  # fmt: skip


def test_every_row_of_an_epoch_is_seen_once_in_an_order_of_its_own():
    inputs, mask = torch.arange(20.0)[:, None], torch.arange(20)[:, None] % 2 == 0
    batches = SelectionBatches(inputs, mask, 5, lambda epoch: epoch)
    assert batches.steps == 4
    orders = []
    for epoch in (1, 2):
        seen = list(batches.epoch(epoch))
        assert [len(batch.inputs) for batch in seen] == [5, 5, 5, 5]
        for batch in seen:
            assert (batch.inputs.long() % 2 == 0).equal(batch.trusted)
        orders.append(torch.cat([batch.inputs for batch in seen]).flatten().tolist())
        later = torch.cat([batch.inputs for batch in batches.epoch(epoch, skip=2)])
        assert later.flatten().tolist() == orders[-1][10:]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(20))
    assert orders[0] != orders[1]


@pytest.mark.parametrize("target", ["undegraded", "right"])
def test_what_is_to_be_trusted_follows_from_its_definition(target):
    mixture = mix(outputs(), selector_conditions(("face", "iris"), SETTINGS, seeing(target)))
    mask, rows = trusted(mixture, target)
    expected = {}
    for row in range(len(mixture.labels)):
        right = [bool(mixture.logits[m, row].argmax() == mixture.labels[row]) for m in (0, 1)]
        able = right if target == "right" else mixture.clean[row].tolist()
        if any(able) and not all(able):
            expected[row] = able
    assert rows.tolist() == list(expected)
    assert mask.tolist() == list(expected.values())


def test_rows_of_the_comparison_are_shares_of_the_pairs():
    spec = SelectorSettings(recognisers="x")
    held_back, test = outputs(), outputs(seed=1)
    selector = Selector(2 * CLASSES, 2, [])
    baselines = fit_baselines(held_back, SETTINGS, seed=0)
    table = pd.DataFrame(
        Contest(Rivals(test, held_back, baselines, SETTINGS), selector, spec).rows()
    )
    key = ["degradation", "side", "level", "method"]
    assert not table.duplicated(key).any()
    table = table.set_index(key).sort_index()
    labels = test.labels.numpy()
    for degradation, level in (("lid", 0.5), ("rectangle", 1.0)):
        worse = test.sets.index((degradation, level))
        face, iris = test.logits[0, 0].numpy(), test.logits[1, worse].numpy()
        answers = {"face": face.argmax(1), "iris": iris.argmax(1)}
        of = table.loc[degradation, "iris", level]
        assert set(of["images"]) == {90}
        assert set(of["seen"]) == {degradation != "rectangle"}
        for name in answers:
            right = (answers[name] == labels).mean()
            assert of.loc[f"always_{name}", "accuracy"] == pytest.approx(right)
            assert of.loc[f"always_{name}", "selection_accuracy"] == (name == "face")
        either = (answers["face"] == labels) | (answers["iris"] == labels)
        assert of.loc["oracle", "accuracy"] == pytest.approx(either.mean())
        sure = {name: np.exp(v - v.max(1, keepdims=True)).sum(1) for name, v in
                (("face", face), ("iris", iris))}  # fmt: skip
        takes_face = sure["face"] < sure["iris"]  # 1 / the largest probability
        picked = np.where(takes_face, answers["face"], answers["iris"])
        assert of.loc["largest_probability", "accuracy"] == pytest.approx((picked == labels).mean())
        assert of.loc["largest_probability", "selection_accuracy"] == pytest.approx(
            takes_face.mean()
        )
        seen = features(torch.stack([torch.from_numpy(face), torch.from_numpy(iris)]), spec)
        takes_face = (selector(seen).argmax(1) == 0).numpy()
        picked = np.where(takes_face, answers["face"], answers["iris"])
        assert of.loc["selector", "accuracy"] == pytest.approx((picked == labels).mean())
        assert of.loc["selector", "selection_accuracy"] == pytest.approx(takes_face.mean())
        assert math.isnan(of.loc["sum_rule", "selection_accuracy"])
    # Each curve begins with the clean set.
    clean = (test.logits[0, 0].argmax(1) == test.labels).double().mean().item()
    for degradation in ("lid", "jpeg", "rectangle"):
        for side in ("face", "iris", "both"):
            row = table.loc[degradation, side, 0.0].loc["always_face"]
            assert row["accuracy"] == pytest.approx(clean)


def test_the_summary_s_numbers_follow_from_the_table(tmp_path):
    table = Tables(tidy_examples.write_selection(tmp_path)).selection
    summary = {(r["situation"], r["method"]): r for r in summarise(table)}
    known = table["degradation"] != "blur"
    parts = {
        "seen": known & (table["level"] > 0) & (table["side"] != "both"),
        "unseen": ~known & (table["level"] > 0) & (table["side"] != "both"),
        "everywhere": (table["level"] > 0) & (table["side"] == "both"),
        # Level 0 is repeated for every curve.
        "clean": (table["level"] == 0) & (table["degradation"] == "noise")
        & (table["side"] == "periocular"),
    }  # fmt: skip
    assert {situation for situation, _ in summary} == set(parts)
    for situation, chosen in parts.items():
        means = {
            metric: table[chosen].pivot_table(index="seed", columns="method", values=metric)
            for metric in ("accuracy", "selection_accuracy")
        }
        rivals = means["accuracy"].mean().drop(["selector", "oracle"])
        best = rivals.idxmax()
        for method in ("selector", "oracle", "margin", best):
            row = summary[situation, method]
            for metric, values in means.items():
                low, high = stats.ttest_1samp(values[method], 0).confidence_interval()
                assert [row[f"{metric}{end}"] for end in ("", "_low", "_high")] == pytest.approx(
                    [values[method].mean(), low, high]
                )
            assert (row["seeds"], row["best_baseline"]) == (3, method == best)
            assert row["ties"] == 0, "a table from before they were counted"
            gains = means["accuracy"][method] - means["accuracy"][best]
            expected = [0.0, 0.0, 0.0, 1.0]
            if gains.any():
                test = stats.ttest_1samp(gains, 0)
                expected = [gains.mean(), *test.confidence_interval(), test.pvalue]
            keys = ("difference", "difference_low", "difference_high", "p")
            assert [row[key] for key in keys] == pytest.approx(expected)


def test_the_summary_shows_percent_intervals_and_confusions(tmp_path):
    path = tidy_examples.write_selection(tmp_path) / "selection.csv"
    table = pd.read_csv(path)
    table.assign(ties=np.where(table["method"] == "margin", 0.0345, 0.0)).to_csv(path, index=False)
    rows = summarise(Tables(tmp_path).selection)
    counts = {
        ("face", "face"): (30, 10), ("face", "iris"): (5, 55), ("iris", "both"): (150, 50),
    }  # fmt: skip
    confusion = pd.DataFrame(
        [{"selector": "mms", "method": method, "side": side, "right": right, "picked": picked,
          "images": number + (method == "margin")}
         for (side, right), numbers in counts.items()
         for picked, number in zip(("face", "iris"), numbers, strict=True)
         for method in ("selector", "margin")]
    )  # fmt: skip
    text = markdown(rows, confusion)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
             if line.startswith("|")]  # fmt: skip
    # In percent of the 100 pairs with that side degraded, and of 200 with the other.
    assert cells[-5] == ["degraded", "right recogniser", "face picked", "iris picked"]
    assert cells[-3:] == [
        ["face", "face", "30.0", "10.0"], ["face", "iris", "5.0", "55.0"],
        ["iris", "both", "75.0", "25.0"],
    ]  # fmt: skip
    assert "sides and 3 seeds, ± half" in text

    def shown(row: dict, key: str) -> str:
        half = 50 * (row[f"{key}_high"] - row[f"{key}_low"])
        return f"{100 * row[key]:.1f} ± {half:.1f}"

    of_seen = [row for row in rows if row["situation"] == "seen"]
    below = text[text.index("### One modality degraded, in a way seen") :].splitlines()[2:]
    for row, line in zip(of_seen, below[2:], strict=False):
        name, picked, accuracy, difference = (cell.strip() for cell in line.strip("|").split("|"))
        best = " (best baseline)" if row["best_baseline"] else ""
        assert name == row["method"].replace("_", " ") + best
        assert (picked, accuracy) == (shown(row, "selection_accuracy"), shown(row, "accuracy"))
        low, high = 100 * row["difference_low"], 100 * row["difference_high"]
        interval = f"{100 * row['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"
        assert difference == ("" if best else interval)
    # The page's table shows the same numbers, and where a lot decided.
    sheet = selection_sheet(Tables(tmp_path))
    headings = [column.heading for column in sheet.visible()]
    for row, line in zip(sheet.rows, sheet.cells(), strict=True):
        found = dict(zip(headings, line, strict=True))
        assert found["accuracy %"] == shown(row, "accuracy") or row["situation"] == "clean"
        assert found["by lot %"] == ("3.45" if row["method"] == "margin" else "–")
        assert found["best baseline"] == ("yes" if row["best_baseline"] else "–")
        assert (found["degraded"], found["seeds"]) == (row["situation"], "3")


def test_what_is_trained_on_does_not_depend_on_the_order_of_the_modalities():
    assert side_name(("b", "a"), ("c", "b", "a")) == side_name(("a", "b"), ("a", "b", "c")) == "a+b"
    stored = outputs(("a", "b", "c"), 12)
    other = PairedOutputs(("c", "a", "b"), stored.sets, stored.logits[[2, 0, 1]], stored.labels)
    mixtures = [mix(o, training_conditions(o.modalities, ["lid"], [1.0])) for o in (stored, other)]
    assert torch.equal(mixtures[0].logits, mixtures[1].logits[[1, 2, 0]])
    assert torch.equal(mixtures[0].clean, mixtures[1].clean[:, [1, 2, 0]])


def test_a_comparison_is_the_same_whatever_the_order_and_counts_its_ties():
    spec = SelectorSettings(recognisers="x", parts="sorted")
    held_back, test = outputs(), outputs(seed=1)
    test.logits[:, :, ::3] = test.logits[:1, :, ::3].flip(0)  # a third of the pairs are equal
    selector = fitted(held_back, spec)
    tables = []
    for order in ([0, 1], [1, 0]):
        names = tuple(test.modalities[i] for i in order)
        held, own = (dataclasses.replace(o, modalities=names, logits=o.logits[order])
                     for o in (held_back, test))  # fmt: skip
        baselines = fit_baselines(held, SETTINGS, seed=0)
        rows = pd.DataFrame(
            Contest(Rivals(own, held_back, baselines, SETTINGS), selector, spec).rows()
        )
        tables.append(rows[rows["method"] != "selector"].sort_values(
            ["degradation", "side", "level", "method"], ignore_index=True))  # fmt: skip
    pd.testing.assert_frame_equal(*tables)
    ties = tables[0][tables[0]["side"] == "both"].groupby("method")["ties"].mean()
    assert ties["margin"] == ties["entropy"] == pytest.approx(1 / 3)
    assert ties["always_face"] == 0


def test_rows_that_teach_nothing_are_left_out():
    mixture = mix(outputs(), selector_conditions(("face", "iris"), SETTINGS, seeing("right")))
    mask, rows = trusted(mixture, "right")
    assert 0 < len(rows) < len(mixture.labels)
    assert (mask.any(1) & ~mask.all(1)).all()


@pytest.mark.parametrize("modalities", [("face", "iris"), ("face", "iris", "ear")])
def test_a_selector_learns_and_is_judged(modalities):
    spec = SelectorSettings(recognisers="x")
    held_back, test = outputs(modalities), outputs(modalities, seed=1)
    selector = fitted(held_back, spec)
    baselines = fit_baselines(held_back, SETTINGS, seed=0)
    contest = Contest(Rivals(test, held_back, baselines, SETTINGS), selector, spec)
    table = pd.DataFrame(contest.rows())
    assert set(table["degradation"]) == {"lid", "jpeg", "rectangle"}
    assert set(table.loc[~table["seen"], "degradation"]) == {"rectangle"}
    assert len(set(table["side"])) == 2 ** len(modalities) - 1
    # What a claim may name is what there are rows of, and what has a selection accuracy.
    assert set(table["method"]) == set(methods(modalities))
    picking = table.groupby("method")["selection_accuracy"].count() > 0
    assert set(picking[~picking].index) == set(FUSIONS)
    comparison = SelectorComparison(selectors={"x": spec}, degradations=SETTINGS)
    rows = {column: tuple(table[column].unique().tolist()) for column in CHOSEN}
    claim = Claim(better="selector", than="oracle", where=rows)
    check_claims({"c": claim}, [], comparison, modalities)
    own = table[table["method"] == "selector"]
    single = own[own["side"] == "face"]
    # picking at random finds a clean one in 1/2 (or, of three, 2/3) of all cases
    assert single[single["level"] == 1.0]["selection_accuracy"].min() > 0.8
    everywhere = own[own["side"].isin(("both", "all"))]
    assert everywhere["selection_accuracy"].isna().all()
    means = table[(table["side"] == "face") & (table["level"] == 1.0)].groupby("method")["accuracy"]
    assert means.mean()["selector"] > means.mean()["always_face"] + 0.3
    assert means.mean()["oracle"] == means.mean().drop("oracle").max() or (
        means.mean()["oracle"] >= means.mean()["selector"]
    )
    perfect = table[(table["method"] == "undegraded") & (table["side"] == "face")]
    assert perfect["selection_accuracy"].dropna().eq(1).all()


def test_the_confusion_counts_every_pair_once():
    spec = SelectorSettings(recognisers="x", parts="sorted")
    held_back, test = outputs(), outputs(seed=1)
    baselines = fit_baselines(held_back, SETTINGS, seed=0)
    contest = Contest(Rivals(test, held_back, baselines, SETTINGS), fitted(held_back, spec), spec)
    contest.rows()
    table = pd.DataFrame(contest.confusions())
    counts = table[table["method"] == "selector"].groupby("side")["images"].sum()
    per_side = 90 * 3 * 2  # samples, degradations, levels
    assert counts.to_dict() == {"none": 90, "face": per_side, "iris": per_side, "both": per_side}
    assert set(table["right"]) == {"none", "face", "iris", "both"}
    assert set(table["picked"]) == {"face", "iris"}


def test_the_summary_compares_with_the_best_baseline():
    spec = SelectorSettings(recognisers="x")
    rows, confusion = [], []
    for seed in (0, 1):
        held_back, test = outputs(seed=2 * seed), outputs(seed=2 * seed + 1)
        baselines = fit_baselines(held_back, SETTINGS, seed)
        contest = Contest(
            Rivals(test, held_back, baselines, SETTINGS), fitted(held_back, spec), spec
        )
        key = {"experiment": "e", "seed": seed, "selector": "mms"}
        rows += [key | row for row in contest.rows()]
        confusion += [key | row for row in contest.confusions()]
    table = pd.DataFrame(rows)
    summary = summarise(table)
    for situation in ("seen", "unseen", "everywhere", "clean"):
        chosen = {row["method"]: row for row in summary if row["situation"] == situation}
        best = [row for row in chosen.values() if row["best_baseline"]]
        assert len(best) == 1
        assert best[0]["method"] not in ("selector", "oracle", "undegraded")
        gap = chosen["selector"]["accuracy"] - best[0]["accuracy"]
        assert chosen["selector"]["difference"] == pytest.approx(gap)
    clean = table[(table["level"] == 0) & (table["method"] == "selector")]
    assert next(
        row["accuracy"]
        for row in summary
        if row["situation"] == "clean" and row["method"] == "selector"
    ) == pytest.approx(clean.groupby("seed")["accuracy"].first().mean())
    text = markdown(summary, pd.DataFrame(confusion))
    assert "best baseline" in text
    assert "right recogniser" in text


def test_a_selector_resumes_to_the_same_bits(tmp_path):
    spec = SelectorSettings(recognisers="x")
    whole = fitted(outputs(), spec)
    folder = tmp_path / "resume"
    stored = ResumeFiles(folder, "key")
    # a schedule without decay, so that the shorter training is a beginning of the longer one
    constant = TRAINING.model_copy(update={"schedule": "constant"})

    def run(epochs, resume):
        torch.manual_seed(0)
        mixture = mix(
            outputs(), selector_conditions(("face", "iris"), SETTINGS, seeing("undegraded"))
        )
        inputs = features(mixture.logits, spec)
        selector = Selector(inputs.shape[1], 2, [16])
        selector.standardise(inputs)
        history = train(
            PickTrusted(selector),
            SelectionBatches(inputs, mixture.clean, 64, lambda epoch: derive_seed(0, epoch)),
            constant.model_copy(update={"epochs": epochs}),
            device=torch.device("cpu"),
            epoch_seed=lambda epoch: epoch,
            resume=resume,
        )
        return selector, history

    straight, _ = run(5, None)
    run(2, stored)
    resumed, history = run(5, ResumeFiles(folder, "key"))
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert whole.state_dict().keys() == resumed.state_dict().keys()


def write_outputs(path, paired: PairedOutputs, at: int, digest: str = "d"):
    tensors = {}
    for split in ("validation", "test"):
        tensors[f"{split}.logits"] = paired.logits[at].clone()
        tensors[f"{split}.labels"] = paired.labels.clone()
    passport = {"kind": "degraded", "job_digest": digest, "classes": ["c"] * CLASSES}
    artifacts.save(path, tensors, passport | {"sets": [list(s) for s in paired.sets[1:]]})
    return path


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    paired = outputs()
    recognisers = [Recogniser(modality=m, lineage="t", digest="d") for m in paired.modalities]
    paths = [write_outputs(tmp_path / f"{m}.st", paired, m) for m in range(2)]
    loaded = load_outputs(recognisers, paths)["test"]
    assert torch.equal(loaded.logits, paired.logits)
    assert loaded.sets == paired.sets

    # In whatever order a configuration has the modalities, it is the same outputs.
    other = load_outputs(recognisers[::-1], paths[::-1])["validation"]
    assert other.modalities == loaded.modalities
    assert torch.equal(other.logits, loaded.logits)

    shuffled = dataclasses.replace(paired, labels=paired.labels.flip(0))
    write_outputs(paths[1], shuffled, 1)
    with pytest.raises(UserError, match="90 validation samples are not paired with the 90"):
        load_outputs(recognisers, paths)
    write_outputs(paths[1], dataclasses.replace(paired, sets=paired.sets[:-1]), 1)
    with pytest.raises(UserError, match="other degradations or classes"):
        load_outputs(recognisers, paths)
    write_outputs(paths[1], paired, 1, digest="another")
    with pytest.raises(UserError, match="belongs to another configuration"):
        load_outputs(recognisers, paths)


def test_several_selectors_are_told_apart_on_the_terminal(tmp_path):
    path = tidy_examples.write_selection(tmp_path) / "selection.csv"
    table = pd.read_csv(path)
    pd.concat([table, table.assign(selector="gate")]).to_csv(path, index=False)
    sheet = selection_sheet(Tables(tmp_path))
    [method] = [column for column in sheet.columns if column.heading == "method"]
    brief = [row for row in sheet.rows if sheet.in_brief(row)]
    for situation in ("seen", "unseen"):
        shown = [method.text(row) for row in brief if row["situation"] == situation]
        # Each once: both selectors, and the rivals that they share.
        assert shown[:2] == ["selector mms", "selector gate"]
        assert sorted(set(shown)) == sorted(shown)
