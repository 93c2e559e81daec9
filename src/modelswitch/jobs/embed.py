"""Storing a recogniser's inner vectors of people that it was not trained with, on every set."""

import time

import torch

from modelswitch.config.job import DegradedSpec
from modelswitch.data.strangers import Strangers
from modelswitch.jobs.session import Session, report
from modelswitch.models.embedding import embeddings_of
from modelswitch.selector.outputs import CLEAN, degraded_images
from modelswitch.storage import artifacts


def embed(session: Session, spec: DegradedSpec, weights: str, strangers: str, outputs: str) -> None:
    """Write to ``outputs`` what the recogniser in ``weights`` makes of the people in ``strangers``:
    the inputs of its last linear layer, [sets, N, D], clean ones first."""
    model = session.stored_model(weights, kind="model", job_digest=session.job.digest)
    people = Strangers.load(strangers)
    start = time.perf_counter()
    vectors = torch.stack(
        [
            embeddings_of(
                model,
                degraded_images(people.images, name, level, spec, "strangers"),
                session.normalise,
                session.device,
                f"recogniser {session.job.lineage} of {session.job.dataset}",
            )
            for name, level in (CLEAN, *spec.sets)
        ]
    )
    artifacts.save(
        outputs,
        {"vectors": vectors, "labels": people.labels},
        session.passport(
            "embeddings",
            sets=[list(s) for s in spec.sets],
            people=people.names,
            owners=people.owners,
        ),
    )
    report(f"{len(vectors)} sets of {len(people.labels)} in {time.perf_counter() - start:.1f} s")
