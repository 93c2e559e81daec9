"""Metrics against scikit-learn and against sums written out."""

import math

import numpy as np
import pytest
import tidy_examples
import torch
from pydantic import ValidationError
from scipy.stats import entropy
from sklearn.dummy import DummyClassifier
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from modelswitch.config.claims import Claim
from modelswitch.config.metrics import COUNT, METRICS, MILLISECONDS, SHARE, of_models
from modelswitch.errors import UserError
from modelswitch.models import metrics
from modelswitch.report import two_runs
from modelswitch.report.summaries.chains import chains_sheet
from modelswitch.results import schema
from modelswitch.results.scores import by_class, confusions, scores
from modelswitch.results.tables import Tables
from modelswitch.results.verdicts import assess

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 2 * torch.randn(300, 8, generator=GENERATOR)
LABELS = torch.randint(8, (300,), generator=GENERATOR)
TEACHER = torch.nn.functional.one_hot(LABELS, 8) + torch.randn(300, 8, generator=GENERATOR)
NAMES = [f"class {index}" for index in range(8)]


def test_metrics_agree_with_scikit_learn():
    probabilities = LOGITS.double().softmax(1).numpy()
    measured = scores(LOGITS, LABELS)
    assert measured["nll"] == pytest.approx(log_loss(LABELS, probabilities, labels=range(8)))
    for k, name in ((1, "accuracy"), (5, "top5")):
        expected = top_k_accuracy_score(LABELS, probabilities, k=k, labels=range(8))
        assert measured[name] == pytest.approx(expected)
    expected = f1_score(LABELS, LOGITS.argmax(1), average="macro")
    assert measured["macro_f1"] == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("present", [[0, 1, 2], [0, 2], [2]])
def test_shares_of_classes_agree_with_scikit_learn(present):
    """Majority share and balanced accuracy, also where the images lack classes."""
    of = torch.tensor(present)[(torch.rand(97, generator=GENERATOR) ** 3 * len(present)).long()]
    logits = torch.nn.functional.one_hot(of, 5) + 0.7 * torch.randn(97, 5, generator=GENERATOR)
    measured = scores(logits, of)
    expected = balanced_accuracy_score(of, logits.argmax(1))
    assert measured["balanced_accuracy"] == pytest.approx(expected)
    majority = DummyClassifier(strategy="most_frequent").fit(of[:, None], of)
    assert measured["majority_share"] == pytest.approx(majority.score(of[:, None], of))


def test_naming_the_frequent_class_has_the_balanced_accuracy_of_guessing():
    labels = torch.tensor([0] * 80 + [1] * 2 + [2])
    measured = scores(torch.tensor([[1.0, 0, 0]]).expand(83, 3), labels)
    assert measured["accuracy"] == measured["majority_share"] == pytest.approx(80 / 83)
    assert measured["balanced_accuracy"] == pytest.approx(1 / 3)


def test_macro_f1_leaves_out_classes_that_neither_images_nor_answers_have():
    labels, answers = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 3])
    logits = torch.nn.functional.one_hot(answers, 10).float()
    expected = f1_score(labels, answers, average="macro", zero_division=0)
    assert scores(logits, labels)["macro_f1"] == pytest.approx(expected)
    assert expected == pytest.approx((2 / 3 + 2 / 3 + 0 + 0) / 4)


def test_every_class_by_itself_agrees_with_scikit_learn():
    answers = LOGITS.argmax(1)
    table = by_class(LOGITS, LABELS, NAMES)
    precision, recall, f1, images = precision_recall_fscore_support(LABELS, answers)
    for column, expected in zip(
        ("precision", "recall", "f1", "images"), (precision, recall, f1, images), strict=True
    ):
        assert table[column].tolist() == pytest.approx(expected.tolist())
    pairs = confusions(LOGITS, LABELS, NAMES)
    counts = np.zeros((8, 8))
    counts[pairs["label"], pairs["predicted"]] = pairs["images"]
    assert (counts == confusion_matrix(LABELS, answers)).all()
    assert (pairs["images"] > 0).all()
    assert pairs["predicted_name"][0] == NAMES[pairs["predicted"][0]]


def test_a_class_without_images_has_no_accuracy():
    labels = torch.tensor([0, 0])
    table = by_class(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]), labels, ["a", "b", "c"])
    assert table["recall"].tolist() == pytest.approx([0.5, math.nan, math.nan], nan_ok=True)
    assert table["precision"].tolist() == pytest.approx([1.0, 0.0, math.nan], nan_ok=True)
    assert table["f1"].tolist() == pytest.approx([2 / 3, 0.0, math.nan], nan_ok=True)


def test_the_calibration_error_is_the_mean_gap_over_bins():
    probabilities = LOGITS.double().softmax(1).numpy()
    confidence, predicted = probabilities.max(1), probabilities.argmax(1)
    right = predicted == LABELS.numpy()
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert scores(LOGITS, LABELS)["ece"] == pytest.approx(expected)


def test_few_classes_have_no_top_5():
    assert math.isnan(scores(LOGITS[:, :5], LABELS % 5)["top5"])


def test_ties_are_counted_and_count_against_the_top_5():
    """Constant outputs know nothing, whatever the order of the classes."""
    for order in (LABELS, 7 - LABELS):
        constant = scores(torch.zeros(300, 8), order)
        assert (constant["top5"], constant["ties"]) == (0.0, 1.0)
    logits = torch.tensor([[5.0, 4, 3, 2, 1, 1, 0], [5, 4, 3, 2, 1, 0, 0], [5, 5, 4, 3, 2, 1, 0]])
    measured = scores(logits, torch.tensor([4, 4, 4]))
    # In the first row two classes share the fifth place, in the last two the first.
    assert measured["top5"] == pytest.approx(2 / 3)
    assert measured["ties"] == pytest.approx(1 / 3)


def test_what_is_measured_beside_the_teacher():
    measured = scores(LOGITS, LABELS, TEACHER)
    own, teacher, labels = (t.numpy() for t in (LOGITS.argmax(1), TEACHER.argmax(1), LABELS))
    assert measured["agreement"] == pytest.approx((own == teacher).mean())
    assert measured["parent_accuracy"] == pytest.approx((teacher == labels).mean())
    right = teacher == labels
    assert 0 < right.mean() < 1
    for name, chosen in (("right", right), ("wrong", ~right)):
        expected = (own == labels)[chosen].mean()
        assert measured[f"accuracy_teacher_{name}"] == pytest.approx(expected)
    perfect = torch.nn.functional.one_hot(LABELS, 8)
    assert math.isnan(scores(LOGITS, LABELS, perfect)["accuracy_teacher_wrong"])
    assert "agreement" not in scores(LOGITS, LABELS)


def test_every_metric_of_answers_has_a_formula_and_no_other_has():
    for metric in METRICS.values():
        assert (metric.source in ("answers", "teacher")) == bool(metric.formula), metric.name


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return Tables(tidy_examples.write(tmp_path_factory.mktemp("t"), images=60, epochs=2))


@pytest.mark.parametrize("metric", of_models(), ids=lambda metric: metric.name)
def test_an_entry_is_all_that_tables_claims_comparisons_and_figures_need(metric, tables):
    [column] = [c for c in schema.SCHEMAS["models"].columns if c.name == metric.name]
    assert (column.meaning, column.required) == (metric.explained, metric.required)
    assert metric.meaning in schema.documentation()
    shown = [column.heading for column in chains_sheet(tables).columns]
    assert not metric.heading or any(metric.heading in heading for heading in shown)
    assert (metric.name in two_runs.METRICS) == metric.compared
    if metric.claimed:
        claim = Claim(better="chain", than="direct", metric=metric.name)
        [row] = assess({"c": claim}, tables)
        means = (
            tables.models[tables.models["split"] == "test"].groupby("chains")[metric.name].mean()
        )
        expected = means["chain"] - means["direct"]
        assert row["estimate"] == pytest.approx(-expected if metric.lower_is_better else expected)
    else:
        with pytest.raises(ValidationError, match="metric"):
            Claim(better="chain", than="direct", metric=metric.name)


def test_units_write_numbers_for_people():
    assert (SHARE.text(0.84321), SHARE.change(0.0021), SHARE.text(math.nan)) == (
        "84.3",
        "+0.21",
        "",
    )
    assert SHARE.interval(-0.001, 0.0123) == "[-0.10, +1.23]"
    assert SHARE.interval(math.nan, 1.0) == ""
    assert (COUNT.text(559_040), COUNT.change(-559_040), COUNT.change(30)) == (
        "559 k", "-559 k", "+30",
    )  # fmt: skip
    assert (MILLISECONDS.text(1.2345), MILLISECONDS.change(-0.5)) == ("1.23", "-0.500")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_nothing_is_measured_where_an_answer_is_no_number(value):
    wrong = LOGITS.clone()
    wrong[[3, 5, 5], [2, 0, 1]] = value
    for logits, teacher in ((wrong, LOGITS), (LOGITS, wrong)):
        with pytest.raises(UserError, match=f"the answers to 2 of 300 images hold {value}"):
            scores(logits, LABELS, teacher)
    for measure in (metrics.accuracy, metrics.negative_log_likelihood, metrics.at_chance):
        with pytest.raises(UserError, match="so nothing can be measured"):
            measure(wrong, LABELS)


def answering(labels, share, sharpness=3.0):
    """Logits that are right for a share of the images."""
    right = torch.rand(len(labels), generator=torch.Generator().manual_seed(1)) < share
    named = torch.where(right, labels, (labels + 1) % 8)
    return sharpness * torch.nn.functional.one_hot(named, 8).float()


SKEWED = torch.where(torch.arange(300) < 270, 0, LABELS)
CONSTANT = torch.randn(8, generator=torch.Generator().manual_seed(2)).expand(300, -1)


@pytest.mark.parametrize(
    ("logits", "labels", "expected"),
    [
        (CONSTANT, LABELS, True),
        (1e6 * CONSTANT, LABELS, True),
        (torch.zeros(300, 8), LABELS, True),
        (0 * LOGITS + torch.bincount(LABELS).log(), LABELS, True),
        # Overconfident noise.
        (10 * LOGITS, LABELS, True),
        (answering(LABELS, 0.3), LABELS, False),
        # A log-likelihood that is worse than that of the shares, but an accuracy that no guess has.
        (answering(LABELS, 0.6, sharpness=50), LABELS, False),
        # Where one class is nearly all, naming it always is the guess to beat.
        (torch.bincount(SKEWED).clamp(min=1).log().expand(300, -1), SKEWED, True),
        (answering(SKEWED, 0.9), SKEWED, True),
        (answering(SKEWED, 0.97), SKEWED, False),
    ],
)
def test_chance_is_what_the_best_constant_answer_gets(logits, labels, expected):
    assert metrics.at_chance(logits, labels) == expected


def test_the_best_constant_answer_is_beaten_by_none():
    guess = metrics.constant_guess(LABELS)
    shares = np.bincount(LABELS) / 300
    assert guess["nll"] == pytest.approx(entropy(shares))
    assert guess["accuracy"] == shares.max()
    for constant in torch.randn(50, 8, generator=torch.Generator().manual_seed(4)):
        logits = shares.size * constant.expand(300, -1)
        assert metrics.accuracy(logits, LABELS) <= guess["accuracy"]
        assert metrics.negative_log_likelihood(logits, LABELS) > guess["nll"]
