"""Losses against their originals: fixed numbers that `originals.py` printed once, see there."""

from pathlib import Path

import pytest
import torch
from originals import LABELS, STUDENT, TEACHER

from modelswitch.config import method_docs
from modelswitch.config.losses import OutputLoss
from modelswitch.config.transfer import Transfer
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


def test_the_page_of_methods_is_in_step():
    page = Path(__file__).parents[1] / "docs" / "methods.md"
    assert page.read_text(encoding="utf-8") == method_docs.document(), "run `make docs`"


def test_every_loss_has_a_formula_and_a_source():
    for title, _, union in method_docs._PARTS:
        for kind in method_docs._kinds(union):
            assert kind.formula or kind.__doc__.startswith("Old name"), kind
            assert kind.source or "Weighting rules" in title, kind
