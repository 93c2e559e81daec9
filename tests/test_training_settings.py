"""How a model is trained, setting by setting: against torch's own and formulas, and to the bit
across stops."""

import copy
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from test_config import BASE, changed
from test_training import CPU, Numbers, Squares, run
from torch import nn

from modelswitch.config.augment import Augmentation
from modelswitch.config.experiment import load
from modelswitch.config.models import PlainModel, ResnetModel
from modelswitch.config.training import Training, TrainingChange, merged
from modelswitch.data.sampling import balanced_order
from modelswitch.data.views import Batch, Normaliser, Views
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.lineage import Step
from modelswitch.models.build import build
from modelswitch.planning.model_checks import check_models
from modelswitch.results.pooling import models_apart
from modelswitch.training import loop
from modelswitch.training.loop import Interrupted, train
from modelswitch.training.optimizer import (
    blocks_of,
    layer_factors,
    learning_rate,
    make_optimizer,
    set_rate,
)
from modelswitch.training.result import Result, decay_at
from modelswitch.training.resume import ResumeFiles
from modelswitch.transfer.distillation import Distillation
from modelswitch.transfer.labels import CrossEntropy, weights_of
from modelswitch.transfer.weighting import fixed

# --------------------------------------------------------------------------------- the rate


@pytest.mark.parametrize("given", [[2, 5.5], 3, [1]])
def test_a_rate_that_falls_is_torch_s(given):
    settings = Training(
        epochs=8, schedule="step", milestones=given, step_factor=0.2, learning_rate=0.4, warmup=0
    )
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], 0.4)
    if isinstance(given, list):
        ends = [int(4 * epoch) for epoch in given]
        theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, ends, 0.2)
    else:
        theirs = torch.optim.lr_scheduler.StepLR(optimizer, 4 * given, 0.2)
    for step in range(32):
        expected = optimizer.param_groups[0]["lr"]
        assert learning_rate(settings, step, 4) == pytest.approx(expected)
        optimizer.step()
        theirs.step()


def test_a_falling_rate_grows_before_it_falls():
    settings = Training(epochs=4, schedule="step", milestones=[2], learning_rate=0.4, warmup=1)
    rates = [learning_rate(settings, step, 2) for step in range(8)]
    assert rates == pytest.approx([0.2, 0.4, 0.4, 0.4, 0.04, 0.04, 0.04, 0.04])


def test_rmsprop_is_torch_s():
    ours = Squares()
    run(
        ours, epochs=2, warmup=0, schedule="constant", optimizer="rmsprop", momentum=0.8,
        weight_decay=0.01, rms_decay=0.95, learning_rate=0.01,
    )  # fmt: skip
    theirs = Squares()
    optimizer = torch.optim.RMSprop(
        theirs.parameters(), 0.01, alpha=0.95, momentum=0.8, weight_decay=0.01
    )
    for epoch in range(2):
        for batch in Numbers().epoch(epoch):
            optimizer.zero_grad()
            theirs(batch)["loss"].backward()
            optimizer.step()
    torch.testing.assert_close(ours.line.weight, theirs.line.weight)


def test_a_gradient_is_scaled_down_to_the_largest_norm_and_never_up():
    for clip in (0.5, 1e6):
        ours, theirs = Squares(), Squares()
        run(ours, epochs=1, warmup=0, schedule="constant", momentum=0, weight_decay=0, clip=clip)
        weights = [theirs.line.weight, theirs.line.bias]
        for batch in Numbers().epoch(0):
            gradients = torch.autograd.grad(theirs(batch)["loss"], weights)
            norm = torch.sqrt(sum((g**2).sum() for g in gradients))
            scale = min(1.0, clip / float(norm))
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight -= 0.05 * scale * gradient
        torch.testing.assert_close(ours.line.weight, theirs.line.weight)


def test_rates_fall_from_block_to_block_towards_the_image():
    model = build(ResnetModel(family="resnet", widths=[4, 6], blocks=[2, 1]), 3, 5)
    names = {parameter: name for name, parameter in model.named_parameters()}
    parts = [{names[p].split(".")[0] for p in part} for part in blocks_of(model)]
    assert parts == [
        {"stem"}, {"stage1_block1"}, {"stage1_block2"}, {"stage2_block1"}, {"classifier"},
    ]  # fmt: skip
    settings = Training(layer_decay=0.5, head_rate=10, learning_rate=0.2)
    objective = CrossEntropy(model)
    objective.extra = nn.Linear(2, 2)
    optimizer = make_optimizer(objective, settings, model)
    set_rate(optimizer, 0.2)
    rates = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    expected = {"stem": 1 / 16, "stage1_block1": 1 / 8, "stage1_block2": 1 / 4}
    expected |= {"stage2_block1": 1 / 2, "classifier": 10}
    for parameter, name in names.items():
        assert rates[parameter] == pytest.approx(0.2 * expected[name.split(".")[0]])
    assert rates[objective.extra.weight] == pytest.approx(0.2)
    assert len(rates) == len(list(objective.parameters()))


def test_blocks_are_those_that_libraries_list():
    import timm

    for name, first, last, count in (
        ("resnet18", "conv1.weight", "fc.bias", 1 + 8 + 1),
        ("vit_tiny_patch16_224", "cls_token", "head.bias", 3 + 12 + 1),
    ):
        model = timm.create_model(name, num_classes=3)
        names = {parameter: name for name, parameter in model.named_parameters()}
        parts = [[names[p] for p in part] for part in blocks_of(model)]
        assert sorted(n for part in parts for n in part) == sorted(names.values())
        assert len(parts) == count
        assert parts[0][0] == first
        assert parts[-1][-1] == last
        assert all(
            factor < 1 for factor in layer_factors(model, Training(layer_decay=0.9)).values()
        )


def test_without_factors_there_is_one_group_as_before():
    model = build(PlainModel(family="plain", stages=[[4]]), 3, 5)
    [group] = make_optimizer(model, Training()).param_groups
    assert group["params"] == list(model.parameters())


# ---------------------------------------------------------------------------- which weights


class Normalised(Squares):
    """With statistics, a counter and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

    def forward(self, batch):
        return super().forward((self.norm(batch[0]), batch[1]))


def test_the_average_is_torch_s():
    def averaged(average, new, count):
        decay = min(0.8, (1 + int(count)) / (10 + int(count)))
        return decay * average + (1 - decay) * new

    theirs = Squares()
    average = torch.optim.swa_utils.AveragedModel(theirs, avg_fn=averaged)
    optimizer = torch.optim.SGD(theirs.parameters(), 0.05, momentum=0.9, nesterov=True)
    for epoch in range(4):
        for batch in Numbers().epoch(epoch):
            optimizer.zero_grad()
            theirs(batch)["loss"].backward()
            optimizer.step()
            average.update_parameters(theirs)
    settings = {"warmup": 0, "schedule": "constant", "weight_decay": 0, "average": 0.8}
    for chosen in ("average", "last"):
        ours = Squares()
        training = Training(
            epochs=4, learning_rate=0.05, precision="float32", result=chosen, **settings
        )
        result = Result(ours, training)
        train(ours, Numbers(), training, device=CPU, epoch_seed=lambda epoch: epoch, result=result)
        found = {"average": ours.line.weight, "last": result.beside["line.weight"]}
        if chosen == "last":
            found = {"average": found["last"], "last": found["average"]}
        torch.testing.assert_close(found["average"], average.module.line.weight)
        torch.testing.assert_close(found["last"], theirs.line.weight)
        assert not torch.equal(found["last"], found["average"])


def test_statistics_are_averaged_and_counters_and_masks_are_not():
    model = Normalised()
    result = Result(model, Training(average=0.9))
    expected = torch.zeros(3)
    for step, batch in enumerate(Numbers().epoch(0)):
        model.train()(batch)
        result.update(step)
        decay = 0.0 if step == 0 else decay_at(step, 0.9)
        expected = decay * expected + (1 - decay) * model.norm.running_mean
    last = model.norm.running_mean.clone()
    with result.shown():
        torch.testing.assert_close(model.norm.running_mean, expected)
        assert model.norm.num_batches_tracked == 5
        assert model.mask.tolist() == [0, -torch.inf]
    assert torch.equal(model.norm.running_mean, last)


def scores(values):
    """A validation that has these accuracies, and the weights that it saw."""
    left, seen = list(values), []

    def validate(model):
        seen.append(model.line.weight.detach().clone())
        value = left[len(seen) - 1]
        return {"validation_accuracy": value, "validation_nll": 1 - value}

    return validate, seen


@pytest.mark.parametrize("metric", ["accuracy", "nll"])
@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("average", [0, 0.9])
def test_a_training_ends_when_nothing_gets_better(metric, keep, average):
    validate, seen = scores([0.1, 0.5, 0.5, 0.4, 0.3, 0.9])
    model = Squares()
    stop = {"patience": 3, "metric": metric, "keep": keep}
    history = run(model, validate=lambda: validate(model), epochs=6, stop=stop, average=average)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
    # Of equally good epochs the first is the best.
    assert torch.equal(model.line.weight, seen[1 if keep == "best" else 4])


def test_a_training_that_gets_better_has_all_its_epochs():
    validate, seen = scores([0.1, 0.2, 0.2, 0.3, 0.2])
    model = Squares()
    history = run(model, validate=lambda: validate(model), epochs=5, stop={"patience": 2})
    assert len(history) == 5
    assert torch.equal(model.line.weight, seen[3])


def test_patience_with_nothing_to_look_at_is_refused():
    with pytest.raises(UserError, match=r"training.stop.patience: no images are held back"):
        run(stop={"patience": 2})


# ------------------------------------------------------------------------------- unequal classes

SHARES = torch.tensor([0] * 40 + [1] * 9 + [2] * 3)


def test_a_balanced_epoch_has_as_many_images_of_every_class():
    def order(seed):
        return balanced_order(SHARES, torch.Generator().manual_seed(seed))

    first = order(1)
    assert torch.equal(first, order(1))
    assert not torch.equal(first, order(2))
    assert len(first) == len(SHARES)
    counts = torch.bincount(SHARES[first])
    assert counts.max() - counts.min() <= 1
    # Of a class every image comes about as often as any other, and none twice before all came once.
    for label in range(3):
        seen = torch.bincount(first, minlength=len(SHARES))[label == SHARES]
        assert seen.max() - seen.min() <= 1
    assert set(torch.cat([order(seed) for seed in range(20)]).tolist()) == set(range(len(SHARES)))


def test_a_class_without_images_is_left_out_of_a_balanced_epoch():
    labels = torch.tensor([0, 0, 0, 2])
    order = balanced_order(labels, torch.Generator().manual_seed(0))
    assert torch.bincount(labels[order], minlength=3).tolist() == [2, 0, 2]


def views(bank=0, **settings):
    generator = torch.Generator().manual_seed(0)
    return Views(
        torch.randint(0, 256, (len(SHARES), 8, 8, 3), dtype=torch.uint8, generator=generator),
        SHARES,
        Normaliser([0.5] * 3, [0.25] * 3),
        batch=8,
        augmentation=Augmentation(crop=1, **settings),
        order_seed=lambda epoch: 100 + epoch,
        bank_seed=7,
        bank=bank,
        balanced=True,
    )


def test_an_epoch_of_views_is_balanced():
    for epoch in (0, 1):
        shown = torch.cat([batch.labels for batch in views().epoch(epoch)])
        counts = torch.bincount(shown, minlength=3)
        # An incomplete last batch of four is left out.
        assert counts.max() - counts.min() <= 5
        assert counts.min() >= 13


def test_stored_responses_belong_to_the_views_of_a_balanced_epoch():
    several = views(bank=2, mixup=0.4)
    for epoch in (0, 1):
        stored = torch.cat(list(several.bank_view(epoch, 10)))
        for batch in several.epoch(epoch):
            torch.testing.assert_close(batch.images, stored[batch.positions], atol=1e-5, rtol=0)
            assert torch.equal(batch.labels, SHARES[batch.positions])


def test_class_weights_multiply_the_hard_loss_of_a_sample():
    logits = torch.randn(6, 3)
    labels, others = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([1, 1, 0, 2, 2, 0])
    weights, shares = torch.tensor([0.5, 2.0, 3.0]), torch.rand(6)
    batch = Batch(logits, labels, torch.arange(6), None)
    mixed = Batch(logits, labels, torch.arange(6), None, others, shares)
    values = [
        F.cross_entropy(logits, of, weight=weights, reduction="none") for of in (labels, others)
    ]
    objective = CrossEntropy(nn.Identity(), class_weights=weights)
    torch.testing.assert_close(objective(batch)["loss"], values[0].mean())
    expected = shares * values[0] + (1 - shares) * values[1]
    torch.testing.assert_close(objective(mixed)["loss"], expected.mean())
    transfer = Distillation(
        nn.Identity(), [lambda batch: logits], fixed, soft=0.25, temperature=1.0,
        class_weights=weights,
    )  # fmt: skip
    torch.testing.assert_close(transfer(mixed)["loss"], 0.75 * expected.mean())


def test_balanced_weights_are_scikit_learn_s():
    from sklearn.utils.class_weight import compute_class_weight

    expected = compute_class_weight("balanced", classes=np.arange(3), y=SHARES.numpy())
    found = weights_of("balanced", SHARES, ["a", "b", "c"])
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=1e-6, atol=0)
    assert weights_of("balanced", SHARES, ["a", "b", "c"])[SHARES].mean() == pytest.approx(1)
    # A class that a fold has no images of takes nothing from the others.
    two = weights_of("balanced", SHARES[:49], ["a", "b", "c"])
    assert two[SHARES[:49]].mean() == pytest.approx(1)
    assert torch.isfinite(two).all()


def test_given_weights_are_those_of_all_classes():
    names = ["a", "b"]
    assert weights_of("none", SHARES, names) is None
    assert weights_of({"b": 2.0, "a": 1.0}, SHARES, names).tolist() == [1, 2]
    for given, said in (
        ({"a": 1.0}, "no factor for 'b'; needed: a, b"),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, "unknown class 'c'; needed: a, b"),
    ):
        with pytest.raises(UserError, match=said):
            weights_of(given, SHARES, names)


def test_too_few_weights_are_told_before_anything_is_trained():
    experiment = load(changed("training.class_weights", {"0": 1.0, "1": 2.0}))
    with pytest.raises(UserError, match=r"class_weights: found 2 classes, the data has 10"):
        check_models(experiment)


# ------------------------------------------------------------------------------ across stops


def fit(folder=None, stop_at=None, settings=None):
    """A training with everything that has a state; killed at a step if asked for."""
    torch.manual_seed(0)
    spec = PlainModel(family="plain", stages=[[4], [6]], dropout=0.2)
    model = build(spec, 3, 3)
    training = Training.model_validate(
        {
            "epochs": 9, "batch": 8, "learning_rate": 0.05, "precision": "float32",
            "average": 0.9, "clip": 1.0, "sampling": "balanced", "optimizer": "rmsprop",
            "layer_decay": 0.7, "schedule": "step", "milestones": 2, "warmup": 0.5,
            "stop": {"patience": 3},
        } | (settings or {})
    )  # fmt: skip
    calls = 0

    class Stops(CrossEntropy):
        def forward(self, batch):
            nonlocal calls
            calls += 1
            if calls == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().forward(batch)

    objective = Stops(model, class_weights=torch.tensor([0.5, 2.0, 3.0]))
    result = Result(model, training)
    held = torch.randn(30, 3, 8, 8, generator=torch.Generator().manual_seed(1))

    def validate():
        # Best in the third epoch, whatever is learned.
        epoch = len(seen) + 1
        with torch.no_grad():
            seen.append(model(held).sum().item())
        return {"validation_accuracy": 1 - abs(epoch - 3) / 10, "validation_nll": abs(seen[-1])}

    seen: list[float] = []
    if folder is not None and (stored := ResumeFiles(folder, "key").load()) is not None:
        seen = [0.0] * stored[1]["epoch"]
    history = train(
        objective,
        views(mixup=0.3),
        training,
        device=CPU,
        epoch_seed=lambda epoch: 50 + epoch,
        resume=None if folder is None else ResumeFiles(folder, "key"),
        validate=validate,
        model=model,
        result=result,
    )
    rows = [{k: v for k, v in row.items() if "seconds" not in k} for row in history]
    return model.state_dict(), result.beside, rows


@pytest.mark.parametrize(
    "settings",
    [{}, {"result": "last", "stop": {"patience": 3, "keep": "last"}}, {"optimizer": "adamw"}],
    ids=["best", "last", "adamw"],
)
def test_a_stopped_training_goes_on_to_the_same_bits(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "BETWEEN_SAVES", 0)
    weights, beside, rows = fit(settings=settings)
    assert len(rows) == 6
    # In mid-epoch, in an epoch's last step, after the best epoch, and in the last epoch of all.
    for stop_at in (2, 6, 3 * 6 + 4, 6 * 6):
        folder = tmp_path / str(stop_at)
        with pytest.raises(Interrupted):
            fit(folder, stop_at, settings)
        again, other, more = fit(folder, settings=settings)
        assert more == rows
        for found, expected in ((again, weights), (other, beside)):
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[name], expected[name]) for name in expected)


# --------------------------------------------------------------------------- the configuration


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("training.average", 1, "training.average: found 1; input should be less than 1"),
        ("training.average", -0.1, "training.average: found -0.1; "),
        ("training.result", "mean", "'average' or 'last'"),
        ("training.clip", -1, "training.clip: found -1; "),
        ("training.layer_decay", 0, "training.layer_decay: found 0; "),
        ("training.layer_decay", 1.5, "training.layer_decay: found 1.5; "),
        ("training.head_rate", 0, "training.head_rate: found 0; "),
        ("training.rms_decay", 1, "training.rms_decay: found 1; "),
        ("training.sampling", "equal", "'all' or 'balanced'"),
        ("training.class_weights", "equal", "training.class_weights: found 'equal'; "),
        ("training.class_weights", {"a": -1}, "training.class_weights.a: found -1; "),
        ("training.class_weights", {7: 1.0}, "training.class_weights: "),
        ("training.stop", 3, "training.stop: found 3; a section is expected"),
        ("training.stop", {"patience": -1}, "training.stop.patience: found -1; "),
        ("training.stop", {"metric": "loss"}, "'accuracy' or 'nll'"),
        ("training.stop", {"patient": 2}, "did you mean 'patience'"),
        ("training.schedule", "step", "milestones: missing; the schedule step needs them"),
        ("training.milestones", [3], "found [3.0] beside the schedule cosine"),
        ("training.optimizer", "adam", "'sgd', 'adamw' or 'rmsprop'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(key, value, said):
    with pytest.raises(UserError) as caught:
        load(changed(key, value), "my.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("milestones", "said"),
    [
        ([5, 3], "they have to rise"),
        ([5, 10], "there are 10 epochs, so that the rate would not fall there"),
        (20, "there are 10 epochs"),
        ([0.5, 5], "the first in the warmup of 1 epochs"),
        ([0], "greater than 0"),
    ],
)
def test_milestones_are_within_the_training(milestones, said):
    with pytest.raises(ValueError, match=said):
        Training(epochs=10, schedule="step", milestones=milestones)


def test_patience_needs_images_that_are_held_back():
    values = changed("training.stop", {"patience": 2})
    values["data"] = values["data"] | {"validation": 0}
    with pytest.raises(UserError, match=r"stop.patience: found 2, but data.validation is 0"):
        load(values)


def test_every_setting_can_differ_for_one_model_and_is_part_of_the_job():
    values = {
        "average": 0.99, "result": "last", "clip": 2.0, "class_weights": "balanced",
        "sampling": "balanced", "layer_decay": 0.8, "head_rate": 5.0, "optimizer": "rmsprop",
        "rms_decay": 0.99, "stop": {"patience": 4}, "step_factor": 0.5,
    }  # fmt: skip
    digests = set()
    for key, value in values.items():
        experiment = load(changed("model_training", {"teacher": {key: value}}))
        graph = Graph(experiment)
        place = next(p for p in graph.all_places() if str(p.lineage) == "teacher")
        found = graph.train_job(place).training.model_dump(mode="json")[key]
        assert found == (value if key != "stop" else value | {"metric": "accuracy", "keep": "best"})
        digests.add(graph.train_job(place).digest)
    assert len(digests) == len(values)
    change = TrainingChange.model_validate({"stop": {"patience": 0}})
    assert merged(Training.model_validate({"stop": {"patience": 5}}), change).stop.patience == 0


def test_labels_are_not_smoothed_beside_a_soft_loss_unless_the_transfer_says_so():
    values = copy.deepcopy(BASE)
    values["training"] = values.get("training", {}) | {"label_smoothing": 0.1}
    name = next(iter(values["transfers"]))

    def smoothing(step, **transfer):
        values["transfers"][name] = BASE["transfers"][name] | transfer
        return load(values).training_of(step).label_smoothing

    model = next(iter(values["models"]))
    assert smoothing(Step(model)) == 0.1
    assert smoothing(Step(model, name)) == 0
    assert smoothing(Step(model, name), training={"label_smoothing": 0.05}) == 0.05
    assert smoothing(Step(model, name), soft=0) == 0.1


def test_seeds_that_ended_after_different_epochs_are_of_one_thing():
    pd = pytest.importorskip("pandas")

    def apart(settings):
        rows = [
            {
                "dataset": "d",
                "seed": seed,
                "repeat": 0,
                "lineage": "t",
                "epochs": 5 + seed,
                "settings": settings,
            }
            for seed in (0, 1)
        ]
        return models_apart(pd.DataFrame(rows))

    assert apart('{"training": {"stop": {"patience": 3}}}') == []
    assert len(apart('{"training": {"stop": {"patience": 0}}}')) == 1


def test_recipes_of_the_page_are_valid():
    page = Path(__file__).parents[1] / "docs" / "training.md"
    recipes = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(recipes) == 2
    for recipe in recipes:
        assert load(yaml.safe_load(recipe)).lineages
