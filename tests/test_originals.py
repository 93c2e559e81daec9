"""Losses against their originals: fixed numbers that `originals.py` printed once, see there."""

from pathlib import Path

import pytest
import torch
from originals import COARSE, LABELS, MAPS, STUDENT, TEACHER, VECTORS, fill

from modelswitch.__main__ import main
from modelswitch.config import method_docs
from modelswitch.config.losses import OutputLoss
from modelswitch.config.transfer import LayerPair, Transfer
from modelswitch.transfer.inner_losses.registry import INNER_LOSSES, OVER_STAGES, inner_loss_for
from modelswitch.transfer.output_losses.registry import OUTPUT_LOSSES, output_loss_for

# By torchdistill 1.1.5 and, where it has none, by the authors' functions.
OF_OUTPUTS = {
    "kl": 2.399956,
    "standardised": 1.15837,
    "dist": 80.87556,
    "mse": 5.285257,
    "dkd": 18.47538,
    "multi_level": 12.05192,
    "tf_kd": 0.7140945,
}
SETTINGS = {
    "dkd": {"alpha": 1.5, "beta": 8.0},
    "dist": {"beta": 1.5, "gamma": 2.0},
    "multi_level": {"temperatures": [2, 3, 4, 5, 6]},
    "standardised": {"base_temperature": 2.0},
}
TEMPERATURES = {"tf_kd": 20.0}
# Label smoothing is torch's own, see test_losses.py.
WITHOUT = {"ls"}


def test_every_output_loss_has_an_original():
    assert set(OF_OUTPUTS) | WITHOUT == set(OUTPUT_LOSSES)


@pytest.mark.parametrize("name", OF_OUTPUTS)
def test_an_output_loss_is_what_its_original_is(name):
    loss: OutputLoss = Transfer(loss={"name": name, **SETTINGS.get(name, {})}).loss
    value = output_loss_for(loss)(STUDENT, TEACHER, TEMPERATURES.get(name, 4.0), LABELS).mean()
    torch.testing.assert_close(value.item(), OF_OUTPUTS[name], rtol=1e-5, atol=1e-6)


# The same; `similarity` by mdistiller, for torchdistill 1.1.5 hands normalize its axis as p and so
# scales rows by the sum of absolute values. `correlation` is squared as in the paper.
OF_LAYERS = {
    "attention": (MAPS, 0.007862795),
    "similarity": (MAPS, 0.009020786),
    "relational": (VECTORS, 0.181668),
    "correlation": (VECTORS, 0.03050599),
}
REVIEW = 2.904105


def inner_loss(name, *layers):
    """Of the pairs of layers, finest first, with parameters that are fixed."""
    students, teachers = zip(*layers, strict=True)
    settings = LayerPair(loss={"name": name}).loss
    loss = inner_loss_for(settings, *([x.shape for x in side] for side in (students, teachers)))
    fill(loss)
    return loss(students, teachers).item()


def test_every_inner_loss_has_an_original():
    # The squared error is torch's own, see test_inner_losses.py.
    assert set(OF_LAYERS) | {"mse"} == set(INNER_LOSSES)
    assert set(OVER_STAGES) == {"review"}


@pytest.mark.parametrize("name", OF_LAYERS)
def test_an_inner_loss_is_what_its_original_is(name):
    layers, wanted = OF_LAYERS[name]
    torch.testing.assert_close(inner_loss(name, layers), wanted, rtol=1e-5, atol=1e-7)


def test_a_review_of_two_stages_is_what_its_original_is():
    """Parameters of the original are numbered in each fusion by itself."""
    settings = LayerPair(loss="review").loss
    pairs = MAPS, COARSE
    shapes = [[pair[side].shape for pair in pairs] for side in (0, 1)]
    loss = inner_loss_for(settings, *shapes)
    for fusion in loss.fusions:
        fill(fusion)
    value = loss(*([pair[side] for pair in pairs] for side in (0, 1)))
    torch.testing.assert_close(value.item(), REVIEW, rtol=1e-5, atol=1e-6)


def test_the_page_of_methods_is_in_step():
    page = Path(__file__).parents[1] / "docs" / "methods.md"
    assert page.read_text(encoding="utf-8") == method_docs.document(), "run `make docs`"


def test_methods_are_listed_on_the_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["modelswitch", "methods"])
    monkeypatch.setenv("COLUMNS", "80")
    main()
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    rows = [line.split() for line in shown.splitlines()]
    for _, name, _, _ in method_docs.overview():
        assert any(name in row[:3] for row in rows), name
    assert {"kl", "review", "hard_switch"} <= {name for _, name, _, _ in method_docs.overview()}


def test_every_loss_has_a_formula_and_a_source():
    for title, _, union in method_docs._PARTS:
        for kind in method_docs._kinds(union):
            assert kind.formula or kind.__doc__.startswith("Old name"), kind
            assert kind.source or "Weighting rules" in title, kind
