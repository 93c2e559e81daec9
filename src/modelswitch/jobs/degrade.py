"""Storing a recogniser's outputs on every degraded set, validation and test."""

import time

import torch

from modelswitch.config.job import DegradedSpec
from modelswitch.jobs.session import Session, report
from modelswitch.models import answers
from modelswitch.selector.outputs import CLEAN, SPLITS, degraded_images
from modelswitch.storage import artifacts


def answer_degraded(session: Session, spec: DegradedSpec, weights: str, outputs: str) -> None:
    """Write the logits of the recogniser in ``weights`` on the sets of ``spec`` to ``outputs``."""
    model = session.stored_model(weights, kind="model", job_digest=session.job.digest)
    data, held = session.data, session.validation_index
    images = {
        "validation": (data.train_images[held], data.train_labels[held]),
        "test": (data.test_images[:], data.test_labels),
    }
    tensors = {}
    start = time.perf_counter()
    for split in SPLITS:
        clean, labels = images[split]
        tensors[f"{split}.labels"] = labels
        tensors[f"{split}.logits"] = torch.stack(
            [
                answers.logits_on(
                    model,
                    degraded_images(clean, name, level, spec, split),
                    session.normalise,
                    session.device,
                )
                for name, level in (CLEAN, *spec.sets)
            ]
        )
    artifacts.save(
        outputs, tensors, session.passport("degraded", sets=[list(s) for s in spec.sets])
    )
    report(f"{1 + len(spec.sets)} sets in {time.perf_counter() - start:.1f} s")
