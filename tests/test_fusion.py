"""Baselines: what each picks or fuses, and that fitting finds what there is to be found."""

import numpy as np
import pytest
import torch

from modelswitch.selector.baselines import Baselines, fit_temperature, oracle, undegraded
from modelswitch.selector.outputs import Mixture

CLASSES = 5


def recogniser(labels: torch.Tensor, quality: float, scale: float = 1.0, seed: int = 0):
    """Logits [N, C] that favour the right class by `quality`, sharpened by `scale`."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(labels), CLASSES, generator=generator)
    logits[torch.arange(len(labels)), labels] += quality
    return logits * scale


@pytest.fixture(scope="module")
def setting():
    labels = torch.arange(600) % CLASSES
    # the second recogniser is worse and far too sure of itself
    logits = torch.stack([recogniser(labels, 3.0), recogniser(labels, 1.0, scale=8, seed=1)])
    clean = torch.ones(len(labels), 2, dtype=torch.bool)
    mixture = Mixture(logits, labels, clean, torch.arange(len(labels)))
    return Baselines.fit(("face", "iris"), mixture, logits, labels, seed=0), logits, labels


def accuracy(answer, labels) -> float:
    return (answer.predicted == labels).double().mean().item()


def test_every_baseline_of_the_comparison_answers(setting):
    baselines, logits, labels = setting
    answers = baselines.answers(logits)
    assert set(answers) == {
        "always_face",
        "always_iris",
        "largest_probability",
        "calibrated_probability",
        "entropy",
        "margin",
        "sum_rule",
        "product_rule",
        "calibrated_product",
        "calibrated_product_clean",
        "logistic_fusion",
    }
    for answer in answers.values():
        assert answer.predicted.shape == labels.shape


def test_picking_baselines_answer_with_the_picked_recogniser(setting):
    baselines, logits, _ = setting
    classes = logits.argmax(2)
    for name, answer in baselines.answers(logits).items():
        if answer.picked is not None:
            rows = torch.arange(logits.shape[1])
            assert torch.equal(answer.predicted, classes[answer.picked, rows]), name
    assert torch.equal(baselines.answers(logits)["always_iris"].predicted, classes[1])


def test_confidence_rules_pick_the_more_confident_recogniser():
    sure = torch.tensor([[6.0, 0.0, 0.0]])
    torn = torch.tensor([[2.0, 1.9, 0.0]])
    logits = torch.stack([torch.cat([sure, torn]), torch.cat([torn, sure])])
    ones = torch.ones(2)
    answers = Baselines(("a", "b"), ones, ones, ones).answers(logits)
    for name in ("largest_probability", "calibrated_probability", "entropy", "margin"):
        assert answers[name].picked.tolist() == [0, 1], name


def test_rules_match_their_formulas():
    logits = torch.randn(3, 7, CLASSES, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([1.0, 2.0, 0.5])
    answers = Baselines(("a", "b", "c"), t, torch.ones(3), torch.ones(3)).answers(logits)
    p = logits.double().softmax(2)
    assert torch.equal(answers["sum_rule"].predicted, p.sum(0).argmax(1))
    assert torch.equal(answers["product_rule"].predicted, p.prod(0).argmax(1))
    scaled = (logits / t[:, None, None]).double().softmax(2)
    assert torch.equal(answers["calibrated_product"].predicted, scaled.prod(0).argmax(1))


def test_temperature_scaling_undoes_a_scale():
    labels = torch.arange(4000) % CLASSES
    logits = recogniser(labels, 2.0)
    # draw labels from the very probabilities, so that temperature 1 is right
    drawn = torch.from_numpy(
        np.array(
            [
                np.random.default_rng(i).choice(CLASSES, p=p)
                for i, p in enumerate(logits.double().softmax(1).numpy())
            ]
        )
    )
    assert fit_temperature(logits, drawn) == pytest.approx(1, abs=0.07)
    assert fit_temperature(logits * 5, drawn) == pytest.approx(5, abs=0.35)


def test_calibration_and_fusion_help_against_an_overconfident_recogniser(setting):
    baselines, logits, labels = setting
    answers = baselines.answers(logits)
    assert baselines.temperatures[1] > 2 * baselines.temperatures[0]
    plain = accuracy(answers["product_rule"], labels)
    best_single = accuracy(answers["always_face"], labels)
    for name in ("calibrated_product", "logistic_fusion"):
        assert accuracy(answers[name], labels) > max(plain, best_single), name
    assert accuracy(answers["calibrated_probability"], labels) > accuracy(
        answers["largest_probability"], labels
    )


def test_a_perfect_recogniser_leaves_finite_numbers():
    labels = torch.arange(50) % CLASSES
    perfect = torch.nn.functional.one_hot(labels, CLASSES).float() * 20
    assert 0 < fit_temperature(perfect, labels) <= 1


def test_ceilings():
    labels = torch.tensor([0, 1, 2, 3])
    right = torch.nn.functional.one_hot(labels, CLASSES).float()
    wrong = torch.nn.functional.one_hot(labels + 1, CLASSES).float()
    first = torch.stack([right[0], right[1], wrong[2], wrong[3]])
    second = torch.stack([right[0], wrong[1], right[2], wrong[3]])
    logits = torch.stack([first, second])
    clean = torch.tensor([False, True])
    best = oracle(logits, labels, clean)
    assert best.picked.tolist() == [1, 0, 1, 1]
    assert (best.predicted == labels).tolist() == [True, True, True, False]
    assert undegraded(logits, clean).picked.tolist() == [1, 1, 1, 1]
