"""Storing a teacher's responses to the fixed views of every training image: float16 [K, N, C]."""

from collections.abc import Sequence

import torch

from modelswitch.data.splits import fold_of
from modelswitch.jobs.session import Session, report
from modelswitch.models.answers import images_at_once
from modelswitch.storage import artifacts
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
    logits = torch.empty(
        job.stored_views, len(labels), session.data.num_classes, dtype=torch.float16
    )
    with precision.autocast(session.device, dtype):
        batch = images_at_once(models[0], session.example(), _BATCH)
    for view in range(job.stored_views):
        done = 0
        for images in views.bank_view(view, batch):
            here = slice(done, done + len(images))
            for fold, model in enumerate(models):
                chosen = torch.nonzero(part[here] == fold).squeeze(1)
                if not len(chosen):
                    continue
                picked = images if len(models) == 1 else images[chosen.to(session.device)]
                with torch.inference_mode(), precision.autocast(session.device, dtype):
                    answered = model(picked)
                logits[view, chosen + done] = in_half_precision(answered.cpu(), teachers[fold])
            done += len(images)
        report(f"view {view + 1}/{job.stored_views}")
    wrong = (logits.argmax(2) != labels).double().mean().item()
    artifacts.save(responses, {"logits": logits}, session.passport("responses", wrong=wrong))
