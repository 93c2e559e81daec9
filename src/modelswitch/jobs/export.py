"""Turning a trained model into a file for a device, which is there only if it stays accurate."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from modelswitch.config.deploy import CALIBRATED, SUFFIXES, DeployJob
from modelswitch.deployment.deployable import Deployable
from modelswitch.deployment.export import (
    calibration_images,
    check_one_output,
    export,
    judge,
)
from modelswitch.deployment.runtimes import describe, sidecar
from modelswitch.errors import UserError
from modelswitch.jobs.session import Session, report
from modelswitch.storage import artifacts, atomic


def export_model(
    session: Session, deploy: DeployJob, weights: str, outputs: str, path: str
) -> None:
    """Write the job's model, whose ``weights`` and ``outputs`` are read, to ``path`` and beside it.

    Raises:
        UserError: the format is not installed or lacks an operator, or the file loses more accuracy
            on the test set than `DeployJob.tolerance`; nothing is left then.
    """
    job, data = session.job, session.data
    network = session.stored_model(weights, kind="model", job_digest=job.digest)
    network.to("cpu")
    model = Deployable(network, data.mean, data.std, deploy.preprocessing)
    check_one_output(job.lineage, model.network, model.normalised(data.test_images[:1]))
    stored, _ = artifacts.load(outputs, kind="outputs", job_digest=job.digest)
    index = session.train_index
    calibration = calibration_images(
        data.train_images[index],
        data.train_labels[index],
        # Others want to be shown a few alone.
        deploy.calibration if deploy.format in CALIBRATED else data.num_classes,
        data.num_classes,
        session.seed("calibration"),
    )
    about = {
        "lineage": job.lineage,
        "dataset": job.dataset,
        "branch": job.branch,
        "classes": data.class_names,
        "shape": list(data.image_shape),
        "data": data.checksum,
        "job_digest": job.digest,
    }
    suffixes = SUFFIXES[deploy.format]
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / f"{deploy.format}{suffixes[0]}"
        export(deploy.format, model, calibration, part, about)
        found = judge(
            part,
            model.takes(data.test_images[:]).numpy(),
            data.test_labels.numpy(),
            stored["test.logits"].softmax(1).numpy(),
        )
        report(
            f"{deploy.format}: {100 * found.accuracy:.2f} % on {found.images} test images, the "
            f"network {100 * found.network_accuracy:.2f} %, the same class for "
            f"{100 * found.agreement:.2f} %"
        )
        if found.lost > deploy.tolerance:
            raise UserError(
                f"{job.lineage}: as {deploy.format} it loses {100 * found.lost:.2f} percentage "
                f"points of accuracy on the test set; deploy.tolerance allows "
                f"{100 * deploy.tolerance:g}"
            )
        described = describe(part) | {"judgement": asdict(found)}
        target = Path(path)
        for suffix in suffixes:
            with atomic.replacing(target.with_suffix(suffix)) as whole:
                whole.write_bytes(part.with_suffix(suffix).read_bytes())
        atomic.write_text(sidecar(target), json.dumps(described, indent=1) + "\n")
