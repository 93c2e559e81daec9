"""Baselines: what each picks or fuses, and that fitting finds what there is to be found."""

import itertools

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import optimize, stats

from modelswitch.selector.baselines import (
    Baselines,
    fit_temperature,
    log_entropy,
    log_margin,
    log_odds,
    oracle,
    undegraded,
)
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


def test_each_calibration_has_its_own_temperatures():
    logits = 3 * torch.randn(2, 300, CLASSES, generator=torch.Generator().manual_seed(4))
    degraded, clean = torch.tensor([1.0, 4.0]), torch.tensor([3.0, 0.5])
    weights = torch.tensor([0.3, 1.7], dtype=torch.float64)
    answers = Baselines(("a", "b"), degraded, clean, weights).answers(logits)

    def softmax(temperatures) -> np.ndarray:
        scaled = logits.double().numpy() / np.reshape(temperatures, (2, 1, 1))
        return np.exp(scaled) / np.exp(scaled).sum(2, keepdims=True)

    fused = {
        "calibrated_product": np.log(softmax([1.0, 4.0])).sum(0),
        "calibrated_product_clean": np.log(softmax([3.0, 0.5])).sum(0),
        "product_rule": np.log(softmax([1.0, 1.0])).sum(0),
        "logistic_fusion": np.einsum("m,mnc->nc", [0.3, 1.7], np.log(softmax([1.0, 1.0]))),
    }
    found = {name: scores.argmax(1).tolist() for name, scores in fused.items()}
    for name, predicted in found.items():
        assert answers[name].predicted.tolist() == predicted
        assert answers[name].picked is None
    assert len({tuple(predicted) for predicted in found.values()}) == 4, "four rules"
    picked = softmax([1.0, 4.0]).max(2).argmax(0)
    assert answers["calibrated_probability"].picked.tolist() == picked.tolist()
    assert picked.tolist() != answers["largest_probability"].picked.tolist()
    for at, name in enumerate("ab"):
        assert answers[f"always_{name}"].picked.tolist() == [at] * 300
        assert answers[f"always_{name}"].predicted.equal(logits[at].argmax(1))


def test_what_is_fitted_to_degraded_samples_and_what_to_clean_ones():
    labels = torch.arange(400) % CLASSES
    worse = torch.stack([recogniser(labels, 1.0), recogniser(labels, 2.0, scale=3, seed=1)])
    clean = torch.stack([recogniser(labels, 3.0, seed=2), recogniser(labels, 2.0, 0.5, seed=3)])
    everywhere = torch.ones(400, 2, dtype=torch.bool)
    mixture = Mixture(worse, labels, everywhere, torch.arange(400))
    found = Baselines.fit(("iris", "face"), mixture, clean, labels, seed=0)

    def likeliest(logits: torch.Tensor) -> float:
        def loss(log_t: float) -> float:
            return F.cross_entropy(logits.double() / np.exp(log_t), labels).item()

        return np.exp(optimize.minimize_scalar(loss, bounds=(-4, 4), method="bounded").x)

    for fitted, logits in ((found.temperatures, worse), (found.clean_temperatures, clean)):
        assert fitted.tolist() == pytest.approx([likeliest(own) for own in logits], rel=1e-3)

    # Of every sample and class, whether it is the right one, from both log-probabilities.
    features = worse.double().log_softmax(2).numpy()
    genuine = np.eye(CLASSES)[labels]

    def penalised(values: np.ndarray) -> float:
        margin = np.einsum("m,mnc->nc", values[:2], features) + values[2]
        likelihood = np.logaddexp(0, margin) - genuine * margin
        return 1e3 * likelihood.sum() + (values[:2] ** 2).sum() / 2

    best = optimize.minimize(penalised, np.zeros(3), tol=1e-10).x
    assert found.weights.tolist() == pytest.approx(best[:2], rel=2e-3)


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
    # One that is sure and always wrong wants every class to be as likely.
    assert fit_temperature(perfect, (labels + 1) % CLASSES) == pytest.approx(np.exp(4))


def test_ceilings():
    labels = torch.tensor([0, 1, 2, 3])
    right = torch.nn.functional.one_hot(labels, CLASSES).float()
    wrong = torch.nn.functional.one_hot(labels + 1, CLASSES).float()
    first = torch.stack([right[0], right[1], wrong[2], wrong[3]])
    second = torch.stack([right[0], wrong[1], right[2], wrong[3]])
    logits = torch.stack([first, second])
    clean = torch.tensor([False, True])
    best = oracle(logits, labels, clean, ("face", "iris"))
    assert best.picked.tolist() == [1, 0, 1, 1]
    assert (best.predicted == labels).tolist() == [True, True, True, False]
    assert undegraded(logits, clean, ("face", "iris")).picked.tolist() == [1, 1, 1, 1]


def saturated(seed: int = 0):
    """Logits [3, 200, C] whose probabilities are all rounded to 1, of recognisers 2/3 right."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(200) % CLASSES
    logits = torch.rand(3, 200, CLASSES, generator=generator)
    wrong = torch.rand(3, 200, generator=generator) < 1 / 3
    answers = torch.where(wrong, (labels + 1) % CLASSES, labels)
    height = 40 + 60 * torch.rand(3, 200, 1, generator=generator)
    return logits + height * torch.nn.functional.one_hot(answers, CLASSES), labels


NAMES = ("iris", "face", "ear")


def fitted_in(order, logits, labels) -> tuple[Baselines, torch.Tensor]:
    names, logits = tuple(NAMES[i] for i in order), logits[list(order)]
    clean = torch.ones(len(labels), 3, dtype=torch.bool)
    mixture = Mixture(logits, labels, clean, torch.arange(len(labels)))
    return Baselines.fit(names, mixture, logits, labels, seed=0), logits


@pytest.mark.parametrize("equal", [False, True], ids=["saturated", "equal"])
def test_no_baseline_depends_on_the_order_of_the_modalities(equal):
    logits, labels = saturated()
    if equal:  # no formula can tell these apart: half of the pairs have two equally sure sides
        logits[1, ::2] = logits[0, ::2].roll(1, dims=-1)
    clean = torch.tensor([True, True, False])
    found = []
    for order in itertools.permutations(range(3)):
        baselines, own = fitted_in(order, logits, labels)
        answers = baselines.answers(own)
        own_clean = clean[list(order)]
        answers["oracle"] = oracle(own, labels, own_clean, baselines.modalities)
        answers["undegraded"] = undegraded(own, own_clean, baselines.modalities)
        found.append(
            {
                name: (
                    answer.predicted.tolist(),
                    answer.tied.tolist(),
                    None
                    if answer.picked is None
                    else [baselines.modalities[at] for at in answer.picked.tolist()],
                )
                for name, answer in answers.items()
            }
        )
    for other in found[1:]:
        assert other == found[0]
    ties = {name: sum(tied) for name, (_, tied, _) in found[0].items()}
    assert ties["largest_probability"] == ties["margin"] == ties["entropy"]
    assert (ties["margin"] > 20) == equal
    # Two of three are undegraded, so which of them is picked is always a lot.
    assert ties["undegraded"] == 200


def test_a_lot_favours_nobody():
    logits = torch.zeros(2, 2000, CLASSES)
    logits[0, :, 0] = logits[1, :, 1] = 3.0
    ones = torch.ones(2)
    answers = Baselines(("b", "a"), ones, ones, ones).answers(logits)
    for name in ("largest_probability", "calibrated_probability", "entropy", "margin"):
        assert answers[name].tied.all()
        assert 0.45 < answers[name].picked.double().mean() < 0.55
        assert answers[name].predicted.tolist() == answers[name].picked.tolist()


@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0, 400.0])
def test_confidences_match_their_definitions_with_all_digits(scale):
    """p, margin and entropy from fifty digits: float64 itself rounds such probabilities to 1."""
    logits = scale * torch.randn(40, CLASSES, generator=torch.Generator().manual_seed(1))
    with mpmath.workdps(400):
        for row, odds, margin, entropy in zip(
            logits.double().tolist(),
            log_odds(logits).tolist(),
            log_margin(logits).tolist(),
            log_entropy(logits).tolist(),
            strict=True,
        ):
            exponentials = [mpmath.exp(x) for x in row]
            p = sorted((e / mpmath.fsum(exponentials) for e in exponentials), reverse=True)
            assert odds == pytest.approx(float(mpmath.log(p[0] / (1 - p[0]))))
            assert margin == pytest.approx(float(-mpmath.log(1 - (p[0] - p[1]))), rel=1e-6)
            nats = -mpmath.fsum(x * mpmath.log(x) for x in p)
            assert entropy == pytest.approx(float(mpmath.log(nats)), rel=1e-6, abs=1e-9)


def test_picks_follow_the_formulas_where_probabilities_are_not_saturated():
    logits = 2 * torch.randn(3, 500, CLASSES, generator=torch.Generator().manual_seed(2))
    ones = torch.ones(3)
    answers = Baselines(("a", "b", "c"), ones, ones, ones).answers(logits)
    p = logits.double().softmax(2).numpy()
    ordered = np.sort(p, 2)
    expected = {
        "largest_probability": p.max(2).argmax(0),
        "entropy": stats.entropy(p, axis=2).argmin(0),
        "margin": (ordered[..., -1] - ordered[..., -2]).argmax(0),
    }
    for name, picked in expected.items():
        assert answers[name].picked.tolist() == picked.tolist(), name
        assert not answers[name].tied.any()
    # They are three rules, not one under three names.
    assert (expected["entropy"] != expected["margin"]).any()
    assert (expected["entropy"] != expected["largest_probability"]).any()


def test_a_tie_of_sums_goes_to_the_larger_product():
    # Each is sure of another class; the second gives the first's class more than the other way.
    logits = torch.tensor([[[90.0, 0.0, 0.0]], [[30.0, 100.0, 0.0]]])
    ones = torch.ones(2)
    for order in ((0, 1), (1, 0)):
        answers = Baselines(("a", "b"), ones, ones, ones).answers(logits[list(order)])
        assert answers["sum_rule"].predicted.tolist() == [0]
        assert not answers["sum_rule"].tied.any()
