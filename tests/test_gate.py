"""Selectors that weigh: where they begin, what they are alike for, what they learn."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax, logsumexp

from modelswitch.config.degradations import Degradations
from modelswitch.config.job import Recogniser, SelectorJob
from modelswitch.config.methods import CHOSEN
from modelswitch.config.selector import SelectorComparison, SelectorSettings
from modelswitch.config.training import Training
from modelswitch.jobs.train_selector import train_selector
from modelswitch.results.selection import summarise
from modelswitch.selector.carrying import left_out
from modelswitch.selector.contest import Contest, Rivals, fit_baselines, known_temperatures
from modelswitch.selector.deciding import decide, made, stored
from modelswitch.selector.draws import CLEAN_SHARE, EVERYWHERE_SHARE, GateBatches
from modelswitch.selector.gate import Gate, seen
from modelswitch.selector.objective import AnswerRightly
from modelswitch.selector.outputs import CLEAN, PairedOutputs, all_conditions
from modelswitch.storage import artifacts

WEIGH = SelectorSettings(recognisers="x", decides="weigh", parts="agreement", hidden=[16], gates=2)
SETTINGS = Degradations(seen=["lid", "jpeg"], unseen=["rectangle"], levels=[0.5, 1.0])
TRAINING = Training(
    epochs=8, batch=64, optimizer="adamw", learning_rate=0.01, precision="float32", warmup=0.5
)


def outputs(classes=6, samples=120, seed=0, modalities=("face", "iris")) -> PairedOutputs:
    """Recognisers that become sure of a wrong class as their input gets worse."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % classes
    sets = (CLEAN, *SETTINGS.sets)
    logits = torch.randn(len(modalities), len(sets), samples, classes, generator=generator)
    rows = torch.arange(samples)
    for m, (at, (_, level)) in itertools.product(range(len(modalities)), enumerate(sets)):
        wrong = torch.randint(classes, (samples,), generator=generator)
        logits[m, at, rows, labels] += 4 * (1 - level)
        # Surer than of what is right, but with all other classes spread out.
        logits[m, at, rows, wrong] += 7 * level
        logits[m, at] *= 1 + level
    return PairedOutputs(tuple(modalities), sets, logits, labels)


def test_it_begins_with_the_calibrated_product_and_a_little_of_the_mixture():
    logits, temperatures = torch.randn(2, 30, 6), torch.tensor([0.7, 2.0])
    gate = made(WEIGH, seen(logits, temperatures, WEIGH).shape[2], 2, temperatures)
    parts = log_softmax(logits.numpy() / temperatures.numpy()[:, None, None], axis=2)
    product = log_softmax(parts.sum(0), axis=1)
    mixture = logsumexp(parts, axis=0) - np.log(2)
    share = 1 / (1 + np.exp(3))
    expected = np.log((1 - share) * np.exp(product) + share * np.exp(mixture))
    np.testing.assert_allclose(gate(logits).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gate(logits).detach().exp().sum(1), 1, rtol=1e-5)


def told(classes: int, modalities: int, spec=WEIGH) -> tuple[Gate, torch.Tensor]:
    """A gate with weights of any kind, and logits for it."""
    generator = torch.Generator().manual_seed(classes)
    logits = 3 * torch.randn(modalities, 40, classes, generator=generator)
    temperatures = torch.linspace(0.5, 1.5, modalities)
    gate = Gate(spec, seen(logits, temperatures, spec).shape[2], temperatures)
    for values in gate.networks.parameters():
        torch.nn.init.normal_(values, std=0.5, generator=generator)
    gate.standardise(gate.seen(logits))
    return gate, logits


@pytest.mark.parametrize("modalities", [2, 3])
def test_names_and_order_of_modalities_and_classes_change_nothing(modalities):
    gate, logits = told(7, modalities)
    order = torch.randperm(modalities, generator=torch.Generator().manual_seed(1))
    other, _ = told(7, modalities)
    other.temperatures.copy_(gate.temperatures[order])
    torch.testing.assert_close(other(logits[order]), gate(logits))
    torch.testing.assert_close(other.judge(logits[order])[1], gate.judge(logits)[1][:, order])
    classes = torch.randperm(7, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(gate(logits[:, :, classes]), gate(logits)[:, classes])


@pytest.mark.parametrize(
    ("classes", "samples", "other_classes", "others"),
    [(12, 120, 5, ("ear", "gait", "voice")), (64, 384, 20, ("face", "iris"))],
)
def test_the_same_gate_serves_other_people_and_recognisers(classes, samples, other_classes, others):
    gate = learnt(outputs(classes, samples))
    others = outputs(other_classes, seed=9, modalities=others)
    known = Degradations(seen=["lid", "jpeg"], unseen=["rectangle"], levels=[0.5, 1.0])
    fresh = Gate(WEIGH, len(gate.mean), known_temperatures(others, known))
    kept = {k: v for k, v in gate.state_dict().items() if k != "temperatures"}
    fresh.load_state_dict(kept | {"temperatures": fresh.temperatures})
    right, product = accuracies(fresh, others)
    assert right > product + 0.1


def learnt(held_back: PairedOutputs) -> Gate:
    batches = GateBatches(held_back, SETTINGS.seen, 2000, 100, lambda epoch: epoch)
    temperatures = known_temperatures(held_back, SETTINGS)
    samples, sets = batches.drawn(0)
    inputs = seen(batches.answers(samples, sets), temperatures, WEIGH)
    torch.manual_seed(0)
    gate = Gate(WEIGH, inputs.shape[2], temperatures)
    gate.standardise(inputs)
    optimizer = torch.optim.Adam(gate.parameters(), 0.01)
    for epoch in range(8):
        for batch in batches.epoch(epoch):
            each = gate.each(batch.logits)
            loss = -each.gather(2, batch.labels[None, :, None].expand(len(each), -1, 1)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return gate


def accuracies(gate: Gate, test: PairedOutputs) -> tuple[float, float]:
    """Of a gate and of the calibrated product, with one side at its worst."""
    logits = test.logits[:, 0].clone()
    logits[0] = test.logits[0, 2]
    product = (logits / gate.temperatures[:, None, None]).log_softmax(2).sum(0).argmax(1)
    with torch.no_grad():
        said = gate(logits).argmax(1)
    return tuple((answer == test.labels).double().mean().item() for answer in (said, product))


def test_conditions_are_drawn_anew_in_the_shares_that_are_said():
    paired = outputs(samples=50)
    batches = GateBatches(paired, ["lid"], 20_000, 128, lambda epoch: epoch)
    samples, sets = batches.drawn(3)
    assert np.bincount(samples).tolist() == [400] * 50
    degraded = (sets > 0).sum(1)
    for count, share in ((0, CLEAN_SHARE), (2, EVERYWHERE_SHARE)):
        assert (degraded == count).double().mean().item() == pytest.approx(share, abs=0.02)
    # One side as often as the other, and each modality with a level of its own.
    one = sets[degraded == 1] > 0
    assert one[:, 0].double().mean().item() == pytest.approx(0.5, abs=0.03)
    both = sets[degraded == 2]
    assert (both[:, 0] == both[:, 1]).double().mean().item() == pytest.approx(0.5, abs=0.03)
    names = {paired.sets[at][0] for at in sets.unique().tolist()}
    assert names == {"none", "lid"}
    assert not torch.equal(batches.drawn(4)[1], sets)
    whole = list(batches.epoch(3))
    rest = list(batches.epoch(3, skip=5))
    assert len(whole) == batches.steps
    assert torch.equal(rest[0].logits, whole[5].logits)
    row = 700
    together = torch.cat([batch.logits for batch in whole], 1)
    expected = paired.logits[1, int(sets[row, 1]), samples[row]]
    assert torch.equal(together[1, row], expected)
    labels = torch.cat([batch.labels for batch in whole])
    assert torch.equal(labels, paired.labels[samples[: len(labels)]])


def job(**changes) -> SelectorJob:
    spec = SelectorSettings(**{"recognisers": "x", "decides": "weigh", "hidden": [16]} | changes)
    recognisers = [Recogniser(modality=m, lineage="t", digest="d") for m in ("face", "iris")]
    return SelectorJob(
        name="s", seed=0, spec=spec, degradations=SETTINGS, training=TRAINING,
        recognisers=recognisers,
    )  # fmt: skip


def stored_outputs(folder, held_back, test):
    files = []
    for m, name in enumerate(held_back.modalities):
        tensors = {}
        for split, paired in (("validation", held_back), ("test", test)):
            tensors |= {
                f"{split}.logits": paired.logits[m].clone(),
                f"{split}.labels": paired.labels,
            }
        passport = {"kind": "degraded", "job_digest": "d", "classes": ["c"] * 6}
        artifacts.save(folder / f"{name}.st", tensors, passport | {"sets": [*SETTINGS.sets]})
        files.append(folder / f"{name}.st")
    return files


@pytest.mark.parametrize("parts", ["agreement", "whole", "sorted", "matched"])
def test_it_is_trained_stored_and_beats_what_was_chosen_on_held_back_samples(
    tmp_path, parts, monkeypatch
):
    monkeypatch.setattr("sys.argv", ["workflow/scripts/train_selector.py"])
    held_back, test = outputs(), outputs(seed=1)
    model = tmp_path / "selector.safetensors"
    weigh = job(parts=parts)
    files = stored_outputs(tmp_path, held_back, test)
    train_selector(
        weigh, files, str(model), str(tmp_path / "history.csv"), str(tmp_path / "resume")
    )
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    tensors, passport = artifacts.load(model)
    gate = stored(tensors, passport, weigh.spec, 2)
    baselines = fit_baselines(held_back, SETTINGS, seed=0)
    contest = Contest(Rivals(test, held_back, baselines, SETTINGS), gate, weigh.spec)
    table = pd.DataFrame(contest.rows()).assign(selector="s", seed=0)
    mean = table[table["level"] == 1.0].groupby(["side", "method"])["accuracy"].mean()
    assert mean["face", "selector"] > mean["face", CHOSEN] + (0.05 if parts == "agreement" else -1)
    rows = {(r["situation"], r["method"]): r for r in summarise(table)}
    row = rows["seen", "selector"]
    assert row["difference"] == pytest.approx(row["accuracy"] - rows["seen", CHOSEN]["accuracy"])
    # It listens to the one that can be trusted.
    sides = table[(table["method"] == "selector") & (table["side"] == "face")]
    if parts == "agreement":
        assert sides.loc[sides["level"] == 1.0, "selection_accuracy"].mean() > 0.8
    said = decide(
        gate,
        test.at(all_conditions(contest.outputs.modalities, SETTINGS)[0]),
        weigh.spec,
        test.modalities,
    )
    assert said.picked is not None


def test_the_chosen_baseline_is_that_of_the_held_back_samples():
    held_back, test = outputs(seed=2), outputs(seed=3)
    baselines = fit_baselines(held_back, SETTINGS, seed=0)
    gate = learnt(held_back)
    table = pd.DataFrame(Contest(Rivals(test, held_back, baselines, SETTINGS), gate, WEIGH).rows())
    own = pd.DataFrame(
        Contest(Rivals(held_back, held_back, baselines, SETTINGS), gate, WEIGH).rows()
    )
    for chosen, rows in (("seen", True), ("unseen", False)):
        where = (own["seen"] == rows) & own["side"].isin(["face", "iris"]) & (own["level"] > 0)
        means = own[where].groupby("method")["accuracy"].mean()
        best = means.drop(["selector", CHOSEN, "undegraded", "oracle"]).idxmax()
        there = table[where.to_numpy()].groupby("method")["accuracy"].mean()
        assert there[CHOSEN] == pytest.approx(there[best]), chosen


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"decides": "weigh", "target": "right"}, "target: only with decides: pick"),
        ({"gates": 5}, "gates: only with decides: weigh"),
        ({"leave_out": True}, "leave_out: only with decides: weigh"),
        ({"parts": "agreement"}, "agreement, which is for decides: weigh"),
        ({"decides": "weight"}, "pick"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        SelectorSettings(recognisers="x", **changes)


def test_what_picks_is_stored_as_before():
    kept = SelectorSettings(recognisers="x").model_dump(mode="json")
    assert not {"decides", "gates", "leave_out"} & set(kept)


@pytest.mark.parametrize(("seen", "gates"), [(["lid", "jpeg"], 3), (["lid"], 2)])
def test_every_degradation_is_left_out_as_often_or_it_is_refused(seen, gates):
    selector = {"recognisers": "x", "decides": "weigh", "leave_out": True, "gates": gates}
    degradations = {"seen": seen, "unseen": []}
    with pytest.raises(ValueError, match=f"s.gates: found {gates}, of which with leave_out each"):
        SelectorComparison(selectors={"s": selector}, degradations=degradations)


def test_a_network_learns_nothing_of_the_degradation_that_it_leaves_out():
    paired = outputs()
    temperatures = known_temperatures(paired, SETTINGS)
    spec = WEIGH.model_copy(update={"gates": 4, "leave_out": True})
    batches = GateBatches(paired, SETTINGS.seen, 2000, 500, lambda epoch: epoch)
    batch = next(batches.epoch(0))
    lid = (batch.degraded == SETTINGS.seen.index("lid")).any(1)
    assert 0 < lid.sum() < len(lid)
    gradients = []
    for spoilt in (False, True):
        torch.manual_seed(0)
        gate = Gate(spec, seen(batch.logits, temperatures, spec).shape[2], temperatures)
        # Who is right under the lid is turned round.
        labels = torch.where(lid & spoilt, (batch.labels + 1) % 6, batch.labels)
        objective = AnswerRightly(gate, left_out(spec, SETTINGS))
        objective(dataclasses.replace(batch, labels=labels))["loss"].backward()
        gradients.append([network[-1].weight.grad for network in gate.networks])
    same = [torch.equal(a, b) for a, b in zip(*gradients, strict=True)]
    assert same == [True, False, True, False]
    assert all(own.abs().sum() > 0 for own in gradients[0])


def test_what_carries_over_is_told_of_every_degradation(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["workflow/scripts/train_selector.py"])
    weigh = job(parts="agreement", leave_out=True, gates=2)
    held_back, model = outputs(), tmp_path / "selector.safetensors"
    files = stored_outputs(tmp_path, held_back, outputs(seed=1))
    train_selector(weigh, files, str(model), str(tmp_path / "history.csv"))
    tensors, passport = artifacts.load(model)
    gate = stored(tensors, passport, weigh.spec, 2)
    told = {each["degradation"]: each for each in passport["carried_over"]}
    assert list(told) == SETTINGS.seen
    conditions = [
        c for c in all_conditions(held_back.modalities, SETTINGS)
        if c.degradation == "lid" and len(c.degraded) == 1
    ]  # fmt: skip
    logits = torch.cat([held_back.at(c) for c in conditions], 1)
    labels = held_back.labels.repeat(len(conditions))
    with torch.no_grad():
        without, learnt = (own.argmax(1) for own in gate.each(logits))
    assert told["lid"]["left_out"] == pytest.approx((without == labels).double().mean().item())
    assert told["lid"]["learnt"] == pytest.approx((learnt == labels).double().mean().item())
    # What is learnt of one degradation holds for the other, which works in the same way here.
    assert told["lid"]["left_out"] > told["lid"]["product"]
    assert "lid: right on" in capsys.readouterr().err
