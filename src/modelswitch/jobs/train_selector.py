"""Training a selector on held-back samples under the degradations that it is meant to know."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from modelswitch.config.base import digest
from modelswitch.config.job import SelectorJob
from modelswitch.errors import UserError
from modelswitch.jobs import session, write
from modelswitch.randomness import derive_seed
from modelswitch.selector.network import Selector, features
from modelswitch.selector.objective import PickTrusted, SelectionBatches, trusted
from modelswitch.selector.outputs import load_outputs, mix, selector_conditions
from modelswitch.storage import artifacts
from modelswitch.storage.code_digest import code_digest
from modelswitch.training import precision
from modelswitch.training.loop import train
from modelswitch.training.resume import ResumeFiles


def train_selector(
    job: SelectorJob, outputs: Sequence[str], model: str, history: str, resume: str | None = None
) -> None:
    """Train the job's selector; write its weights and history to these paths.

    Args:
        outputs: the recognisers' stored outputs, one file a modality, in order.
        resume: folder for resume files.

    Raises:
        UserError: nothing in the outputs tells the modalities apart.
    """
    precision.make_deterministic()
    held_back = load_outputs(job.recognisers, outputs)["validation"]

    conditions = selector_conditions(held_back.modalities, job.degradations, job.spec.target)
    mixture = mix(held_back, conditions)
    targets, rows = trusted(mixture, job.spec.target)
    if len(rows) == 0:
        raise UserError(
            f"selector {job.name}: no held-back sample tells its modalities apart; "
            "raise selector.degradations.levels or data.validation"
        )
    inputs = features(mixture.logits[:, rows], job.spec)

    def seed(*purpose: object) -> int:
        return derive_seed(job.seed, "selector", job.name, *purpose)

    torch.manual_seed(seed("weights"))
    selector = Selector(inputs.shape[1], len(held_back.modalities), job.spec.hidden)
    selector.standardise(inputs)
    code = code_digest(Path(sys.argv[0]).resolve())
    key = digest(f"{job.canonical()} {code} {artifacts.checksum({'inputs': inputs})}")
    with session.undisturbed(resume) as folder:
        epochs = train(
            PickTrusted(selector),
            SelectionBatches(inputs, targets, job.training.batch, lambda e: seed("epoch", e)),
            job.training,
            device=torch.device("cpu"),
            epoch_seed=lambda epoch: seed("epoch", epoch),
            resume=ResumeFiles(folder, key, session.report) if folder else None,
            report=session.report,
        )
        write.write_history(history, epochs, "train")
        passport = {
            "kind": "selector",
            "job": job.model_dump(mode="json"),
            "inputs": inputs.shape[1],
        }
        passport |= {"job_digest": digest(job.canonical()), "code": code}
        artifacts.save(model, selector.state_dict(), passport)
