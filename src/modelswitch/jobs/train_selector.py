"""Training a selector on held-back samples under the degradations that it is meant to know."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from modelswitch.config.base import digest
from modelswitch.config.job import SelectorJob
from modelswitch.errors import UserError
from modelswitch.execution.arithmetic import arithmetic
from modelswitch.jobs import session, write
from modelswitch.models import metrics
from modelswitch.models.build import fill
from modelswitch.models.kept import difference
from modelswitch.randomness import derive_seed, seeded
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

    with seeded(seed("weights")):
        selector = Selector(inputs.shape[1], len(held_back.modalities), job.spec.hidden)
    selector.standardise(inputs)
    code = code_digest(Path(sys.argv[0]).resolve())
    key = digest(f"{job.canonical()} {code} {artifacts.checksum({'inputs': inputs})}")
    with session.undisturbed(resume) as folder:
        kept = ResumeFiles(folder, key, session.report, arithmetic()) if folder else None
        epochs = train(
            PickTrusted(selector),
            SelectionBatches(inputs, targets, job.training.batch, lambda e: seed("epoch", e)),
            job.training,
            device=torch.device("cpu"),
            epoch_seed=lambda epoch: seed("epoch", epoch),
            resume=kept,
            model=selector,
            report=session.report,
        )
        passport = {
            "kind": "selector",
            "job": job.model_dump(mode="json"),
            "inputs": inputs.shape[1],
            "at_chance": _at_chance(_scores(selector, inputs), targets),
            "data": list(held_back.data),
        }
        passport |= {"job_digest": digest(job.canonical()), "code": code}
        with artifacts.saving(model, selector.state_dict(), passport) as part:
            copy = Selector(inputs.shape[1], len(held_back.modalities), job.spec.hidden)
            fill(copy, artifacts.load(part)[0])
            if apart := difference(_scores(selector, inputs), _scores(copy, inputs)):
                raise UserError(f"{model}: read back, the selector answers otherwise {apart}")
            write.write_history(history, epochs, "train")


@torch.inference_mode()
def _scores(selector: Selector, inputs: torch.Tensor) -> torch.Tensor:
    return metrics.finite(selector.eval()(inputs))


def _at_chance(scores: torch.Tensor, trusted: torch.Tensor) -> bool:
    """Whether scores [N, M] pick a modality to be trusted, bool [N, M], no more often than naming
    always the same one does; said in the log."""
    hits = trusted.gather(1, scores.argmax(1, keepdim=True)).double().mean().item()
    constant = trusted.double().mean(0).max().item()
    if hits > constant:
        return False
    session.report(
        "warning: ends no better than a constant guess: picks rightly on "
        f"{100 * hits:.1f} % of the {len(trusted)} samples that it was trained on, where naming "
        f"one modality always gives {100 * constant:.1f} %"
    )
    return True
