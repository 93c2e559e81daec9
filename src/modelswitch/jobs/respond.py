"""Storing a teacher's responses to the fixed views of every training image: float16 [K, N, C]."""

from collections.abc import Sequence
from pathlib import Path

import torch

from modelswitch.data.splits import fold_of
from modelswitch.jobs.session import Session, report
from modelswitch.models.answers import images_at_once
from modelswitch.storage import artifacts
from modelswitch.storage.stored_rows import ValueSpool
from modelswitch.training import precision
from modelswitch.transfer.stored import in_half_precision

_BATCH = 500


def respond(session: Session, teachers: Sequence[str], responses: str) -> None:
    """Run one model, or one a fold, over the views; write what they answer to ``responses``."""
    job = session.job
    views = session.views("responses", job.training)
    dtype = precision.dtype_for(job.training.precision, session.device)
    models = [
        session.teacher(teacher, path) for teacher, path in zip(job.teachers, teachers, strict=True)
    ]
    labels = session.data.train_labels[session.train_index]
    units = session.data.train_units[session.train_index]
    part = (
        fold_of(units, labels, job.folds, session.branch.seed)
        if job.folds
        else torch.zeros_like(labels)
    )
    logits = ValueSpool(Path(responses).parent, torch.float16)
    wrong = 0
    with precision.autocast(session.device, dtype):
        batch = images_at_once(models[0], session.example(), _BATCH)
    for view in range(job.stored_views):
        done = 0
        for images in views.bank_view(view, batch):
            here = slice(done, done + len(images))
            said = torch.empty(len(images), session.data.num_classes, dtype=torch.float16)
            for fold, model in enumerate(models):
                chosen = torch.nonzero(part[here] == fold).squeeze(1)
                if not len(chosen):
                    continue
                picked = images if len(models) == 1 else images[chosen.to(session.device)]
                with torch.inference_mode(), precision.autocast(session.device, dtype):
                    answered = model(picked)
                said[chosen] = in_half_precision(answered.cpu(), teachers[fold])
            logits.add(said)
            wrong += int((said.argmax(1) != labels[here]).sum())
            done += len(images)
        report(f"view {view + 1}/{job.stored_views}")
    shape = (job.stored_views, len(labels), session.data.num_classes)
    passport = session.passport("responses", wrong=wrong / (shape[0] * shape[1]))
    artifacts.save(responses, {"logits": logits.stored(shape)}, passport)
