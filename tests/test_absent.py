"""A modality that is not there at all: nobody listens to it, and nothing else changes."""

import pytest
import torch
from test_gate import SETTINGS, WEIGH, outputs

from modelswitch.config.degradations import Degradations
from modelswitch.config.selector import SelectorSettings
from modelswitch.results.selection import situations, summarise
from modelswitch.selector.baselines import Baselines
from modelswitch.selector.contest import Contest, Rivals, fit_baselines
from modelswitch.selector.deciding import decide, made
from modelswitch.selector.gate import seen
from modelswitch.selector.outputs import ABSENT, Condition, all_conditions, named

NAMES = ("ear", "face", "iris")
KNOWN = SETTINGS.model_copy(update={"absent": True})


def test_it_is_asked_for_and_no_part_of_what_was_stored_before():
    assert "absent" not in Degradations().canonical()
    assert not [c for c in all_conditions(NAMES, SETTINGS) if c.degradation == ABSENT]
    found = [c.degraded for c in all_conditions(NAMES, KNOWN) if c.degradation == ABSENT]
    assert found == [(a,) for a in NAMES] + [NAMES[:2], ("ear", "iris"), NAMES[1:]]


def test_baselines_answer_as_if_there_were_only_the_others():
    paired = outputs(modalities=NAMES)
    logits = paired.at(Condition(ABSENT, 1.0, ("face",)))
    assert (named(logits)[1] == -1).all()
    t, w = torch.tensor([0.7, 1.0, 2.0]), torch.tensor([0.5, 1.0, 2.0])
    three = Baselines(NAMES, t, t, w).answers(logits)
    two = Baselines(("ear", "iris"), t[[0, 2]], t[[0, 2]], w[[0, 2]]).answers(logits[[0, 2]])
    for name, answer in two.items():
        assert torch.equal(three[name].predicted, answer.predicted), name
        if answer.picked is not None:
            assert not (three[name].picked == 1).any()
    assert (three["always_face"].predicted == -1).all()


@pytest.mark.parametrize("absent", [("face",), ("ear", "iris")])
def test_a_gate_that_has_learnt_nothing_is_that_of_the_others(absent):
    paired = outputs(modalities=NAMES)
    logits = paired.at(Condition(ABSENT, 1.0, absent))
    left = [m for m, name in enumerate(NAMES) if name not in absent]
    temperatures = torch.tensor([0.7, 1.0, 2.0])
    gate = made(WEIGH, seen(logits, temperatures, WEIGH).shape[2], 3, temperatures)
    answer = gate(logits)
    parts = (logits[left] / temperatures[left, None, None]).log_softmax(2)
    share = torch.sigmoid(torch.tensor(-3.0))
    product = parts.sum(0).softmax(1)
    expected = (1 - share) * product + share * parts.exp().mean(0)
    torch.testing.assert_close(answer.exp(), expected, rtol=1e-4, atol=1e-5)
    said = decide(gate, logits, WEIGH, NAMES)
    assert set(said.picked.tolist()) <= set(left)
    spec = SelectorSettings(recognisers="x", parts="sorted", top=2, hidden=[4])
    picker = made(spec, 6, 3)
    picked = decide(picker, logits, spec, NAMES)
    assert set(picked.picked.tolist()) <= set(left)
    assert torch.isfinite(picked.confidence).all()


def test_the_tables_have_it_as_a_situation_of_its_own():
    import pandas as pd

    held_back, test = outputs(seed=2, modalities=NAMES), outputs(seed=3, modalities=NAMES)
    temperatures = torch.ones(3)
    gate = made(WEIGH, seen(test.logits[:, 0], temperatures, WEIGH).shape[2], 3, temperatures)

    def table(known):
        rivals = Rivals(test, held_back, fit_baselines(held_back, known, seed=0), known)
        return pd.DataFrame(Contest(rivals, gate, WEIGH).rows()).assign(selector="s", seed=0)

    with_it, without = table(KNOWN), table(SETTINGS)
    own = situations(with_it)
    assert set(own["absent"]["degradation"]) == {ABSENT}
    assert set(own["absent"]["side"]) == {*NAMES, "ear+face", "ear+iris", "face+iris"}
    for name in ("clean", "seen", "unseen", "everywhere"):
        plain = situations(without)[name].reset_index(drop=True)
        pd.testing.assert_frame_equal(own[name].reset_index(drop=True), plain)
    rows = {(r["situation"], r["method"]): r for r in summarise(with_it)}
    assert rows[ABSENT, "selector"]["accuracy"] > 0.5
    assert rows[ABSENT, "oracle"]["accuracy"] >= rows[ABSENT, "always_ear"]["accuracy"]
