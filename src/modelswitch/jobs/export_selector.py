"""Recognisers and their selector as one ONNX file, which is there only if it stays accurate."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelswitch.config.deploy import DeployJob
from modelswitch.config.job import DegradedSpec, SelectorJob
from modelswitch.data.arrays import ImageArrays
from modelswitch.deployment import predictor
from modelswitch.deployment.deployable import Deployable
from modelswitch.deployment.export import export_selector
from modelswitch.deployment.runtimes import describe, open_selector, sidecar
from modelswitch.deployment.selecting import DeployableSelector
from modelswitch.errors import UserError
from modelswitch.jobs.session import report
from modelswitch.selector.deciding import Network, decide, stored
from modelswitch.selector.outputs import (
    UNDEGRADED,
    Condition,
    PairedOutputs,
    degraded_images,
    load_outputs,
)
from modelswitch.storage import artifacts, atomic

_BATCH = 250


def export(
    job: SelectorJob,
    deploy: DeployJob,
    data: Sequence[str],
    models: Sequence[str],
    outputs: Sequence[str],
    selector: str,
    path: str,
) -> None:
    """Write the job's recognisers and ``selector`` as one graph to ``path`` and beside it.

    The file is run on the whole test set: clean, and with each modality in turn degraded by each
    degradation at its highest level; what it answers is compared with what torch answered.

    Args:
        data, models, outputs: prepared images, weights and stored outputs of the recognisers, in
            the order of the job's.

    Raises:
        UserError: a file is not what the job names, ONNX lacks an operator, or the file loses more
            accuracy than `DeployJob.tolerance`; nothing is left then.
    """
    test = load_outputs(job.recognisers, outputs)["test"]
    order = sorted(range(len(models)), key=lambda at: job.recognisers[at].modality)
    images, parts, about = [], [], []
    for at in order:
        loaded = predictor.load(models[at])
        artifacts.check_passport(
            models[at], loaded.passport, {"job_digest": job.recognisers[at].digest}
        )
        parts.append(Deployable(loaded.network, loaded.mean, loaded.std, deploy.preprocessing))
        images.append(ImageArrays.load(data[at]).test_images[:])
        about.append(loaded)
    tensors, passport = artifacts.load(selector, kind="selector")
    artifacts.check_passport(selector, passport, {"job": job.model_dump(mode="json")})
    network = stored(tensors, passport, job.spec, len(parts))
    whole = DeployableSelector(parts, network, job.spec)
    described: dict[str, Any] = {
        "selector": job.name,
        "branch": f"seed{job.seed}",
        "modalities": list(test.modalities),
        "lineages": [job.recognisers[at].lineage for at in order],
        "classes": list(about[0].class_names),
        "shapes": [list(one.image_shape) for one in about],
        "scales": [part.scale.flatten().tolist() for part in parts],
        "shifts": [part.shift.flatten().tolist() for part in parts],
        "job_digest": passport["job_digest"],
    }
    target = Path(path)
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / target.name
        export_selector(whole, images, part, described)
        found = _judgement(part, whole, network, images, test, job)
        report(
            f"{100 * found['accuracy']:.2f} % on {found['images']} test samples, torch "
            f"{100 * found['network_accuracy']:.2f} %; the same person for "
            f"{100 * found['agreement']:.2f} %, the same modality for "
            f"{100 * found['selection_agreement']:.2f} %"
        )
        lost = found["network_accuracy"] - found["accuracy"]
        if lost > deploy.tolerance:
            raise UserError(
                f"selector {job.name}: as onnx it loses {100 * lost:.2f} percentage points of "
                f"accuracy on the test set; deploy.tolerance allows {100 * deploy.tolerance:g}"
            )
        with atomic.replacing(target) as copied:
            copied.write_bytes(part.read_bytes())
        known = describe(part) | {"judgement": found}
        atomic.write_text(sidecar(target), json.dumps(known, indent=1) + "\n")


def _conditions(test: PairedOutputs, job: SelectorJob) -> Iterator[Condition]:
    yield UNDEGRADED
    for degradation in (*job.degradations.seen, *job.degradations.unseen):
        for modality in test.modalities:
            yield Condition(degradation, max(job.degradations.levels), (modality,))


def _judgement(
    path: Path,
    whole: DeployableSelector,
    selector: Network,
    images: Sequence[torch.Tensor],
    test: PairedOutputs,
    job: SelectorJob,
) -> dict[str, Any]:
    """Shares over all conditions of the test set: of right answers, of the file's and of torch's,
    and of samples for which both name the same person and pick the same modality."""
    run, labels = open_selector(path), test.labels
    names = ("accuracy", "network_accuracy", "agreement", "selection_agreement")
    found: list[torch.Tensor] = []
    for condition in _conditions(test, job):
        logits = test.at(condition)
        expected = decide(selector, logits, job.spec, test.modalities)
        shown = whole.takes(
            [
                _shown(own, name, condition, job)
                for own, name in zip(images, test.modalities, strict=True)
            ]
        )
        answers = [
            run(dict(zip(test.modalities, (own.numpy() for own in parts), strict=True)))
            for parts in zip(*(own.split(_BATCH) for own in shown), strict=True)
        ]
        person, picked = (
            torch.from_numpy(np.concatenate([answer[at] for answer in answers])) for at in (0, 1)
        )
        agrees = (
            person == labels,
            expected.predicted == labels,
            person == expected.predicted,
            # Where a lot decides, any is as good.
            (picked == expected.picked) | expected.tied,
        )
        found.append(torch.stack(agrees).double())
    each = torch.cat(found, 1)
    return {"images": each.shape[1], **dict(zip(names, each.mean(1).tolist(), strict=True))}


def _shown(
    images: torch.Tensor, modality: str, condition: Condition, job: SelectorJob
) -> torch.Tensor:
    """A modality's test images under a condition, the ones that its recogniser answered."""
    if modality not in condition.degraded:
        return images
    known = job.degradations
    spec = DegradedSpec(dataset=modality, seed=job.seed, sets=known.sets, scale=known.scale)
    return degraded_images(images, condition.degradation, condition.level, spec, "test")
