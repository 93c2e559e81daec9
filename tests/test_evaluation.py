"""Metrics against scikit-learn and against sums written out."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, top_k_accuracy_score

from modelswitch.models import metrics

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 2 * torch.randn(300, 8, generator=GENERATOR)
LABELS = torch.randint(8, (300,), generator=GENERATOR)


def test_metrics_agree_with_scikit_learn():
    probabilities = LOGITS.double().softmax(1).numpy()
    measured = metrics.answer_metrics(LOGITS, LABELS)
    assert measured["nll"] == pytest.approx(log_loss(LABELS, probabilities, labels=range(8)))
    for k, name in ((1, "accuracy"), (5, "top5")):
        expected = top_k_accuracy_score(LABELS, probabilities, k=k, labels=range(8))
        assert measured[name] == pytest.approx(expected)


def test_the_calibration_error_is_the_mean_gap_over_bins():
    probabilities = LOGITS.double().softmax(1).numpy()
    confidence, predicted = probabilities.max(1), probabilities.argmax(1)
    right = predicted == LABELS.numpy()
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert metrics.calibration_error(LOGITS, LABELS) == pytest.approx(expected)


def test_few_classes_have_no_top_5():
    assert "top5" not in metrics.answer_metrics(LOGITS[:, :5], LABELS % 5)


def test_agreement_is_the_share_of_equal_answers():
    other = LOGITS.clone()
    other[:30, 0] = LOGITS[:30].max() + 1
    moved = (LOGITS[:30].argmax(1) != 0).sum().item()
    assert metrics.agreement(LOGITS, other) == pytest.approx(1 - moved / 300)
