"""Storing a recogniser's outputs on every degraded set, validation and test."""

import time
from pathlib import Path

import torch

from modelswitch.config.job import DegradedSpec
from modelswitch.jobs.session import Session, report
from modelswitch.models import answers
from modelswitch.selector.outputs import CLEAN, SPLITS, DegradedImages
from modelswitch.storage import artifacts
from modelswitch.storage.stored_rows import Rows, ValueSpool, chosen


def answer_degraded(session: Session, spec: DegradedSpec, weights: str, outputs: str) -> None:
    """Write the logits of the recogniser in ``weights`` on the sets of ``spec`` to ``outputs``."""
    model = session.stored_model(weights, kind="model", job_digest=session.job.digest)
    data, held = session.data, session.validation_index
    images = {
        "validation": (chosen(data.train_images, held), data.train_labels[held]),
        "test": (data.test_images, data.test_labels),
    }
    sets = (CLEAN, *spec.sets)
    tensors: dict[str, Rows] = {}
    start = time.perf_counter()
    for split in SPLITS:
        clean, labels = images[split]
        logits = ValueSpool(Path(outputs).parent, torch.float32)
        for name, level in sets:
            degraded = DegradedImages(clean, name, level, spec, split)
            logits.add(answers.logits_on(model, degraded, session.normalise, session.device))
        tensors[f"{split}.labels"] = labels
        tensors[f"{split}.logits"] = logits.stored((len(sets), len(labels), data.num_classes))
    artifacts.save(
        outputs, tensors, session.passport("degraded", sets=[list(s) for s in spec.sets])
    )
    report(f"{1 + len(spec.sets)} sets in {time.perf_counter() - start:.1f} s")
