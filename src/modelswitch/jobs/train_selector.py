"""Training a selector on held-back samples under the degradations that it is meant to know."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from modelswitch.config.base import digest
from modelswitch.config.job import SelectorJob
from modelswitch.errors import UserError
from modelswitch.execution.arithmetic import arithmetic
from modelswitch.jobs import session, write
from modelswitch.models import metrics
from modelswitch.models.kept import difference
from modelswitch.randomness import derive_seed, seeded
from modelswitch.selector import carrying, gate
from modelswitch.selector.contest import known_temperatures
from modelswitch.selector.deciding import Network, stored
from modelswitch.selector.draws import GateBatches
from modelswitch.selector.network import Selector, features
from modelswitch.selector.objective import (
    AnswerRightly,
    PickTrusted,
    SelectionBatches,
    trusted,
)
from modelswitch.selector.outputs import PairedOutputs, load_outputs, mix, selector_conditions
from modelswitch.storage import artifacts
from modelswitch.storage.code_digest import code_digest
from modelswitch.training import precision
from modelswitch.training.loop import Batches, train
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

    def seed(*purpose: object) -> int:
        return derive_seed(job.seed, "selector", job.name, *purpose)

    learning = (
        _gate(job, held_back, seed)
        if job.spec.decides == "weigh"
        else _picker(job, held_back, seed)
    )
    network, modalities = learning.network, len(held_back.modalities)
    code = code_digest(Path(sys.argv[0]).resolve())
    key = digest(f"{job.canonical()} {code} {artifacts.checksum({'inputs': learning.inputs})}")
    with session.undisturbed(resume) as folder:
        kept = ResumeFiles(folder, key, session.report, arithmetic()) if folder else None
        epochs = train(
            learning.objective,
            learning.batches,
            job.training,
            device=torch.device("cpu"),
            epoch_seed=lambda epoch: seed("epoch", epoch),
            resume=kept,
            model=network,
            report=session.report,
        )
        passport = {
            "kind": "selector",
            "job": job.model_dump(mode="json"),
            "inputs": len(network.mean),
            "at_chance": learning.at_chance(learning.scores(network)),
            "data": list(held_back.data),
        }
        passport |= {"job_digest": digest(job.canonical()), "code": code}
        if job.spec.leave_out:
            assert isinstance(network, gate.Gate)
            found = carrying.carried_over(network, held_back, job.degradations)
            passport["carried_over"] = [vars(each) for each in found]
            session.report("\n".join(map(str, found)))
        with artifacts.saving(model, network.state_dict(), passport) as part:
            copy = stored(artifacts.load(part)[0], passport, job.spec, modalities)
            if apart := difference(learning.scores(network), learning.scores(copy)):
                raise UserError(f"{model}: read back, the selector answers otherwise {apart}")
            write.write_history(history, epochs, "train")


@dataclass(frozen=True)
class _Learning:
    """What a training of a selector is made of."""

    network: Network
    objective: nn.Module
    batches: Batches
    # [N, ...]: what it is trained on, as it stands when the training begins.
    inputs: torch.Tensor
    # What a network says of that; and whether, so, it is no better than a constant guess.
    scores: Callable[[Network], torch.Tensor]
    at_chance: Callable[[torch.Tensor], bool]


Seeds = Callable[..., int]


def _picker(job: SelectorJob, held_back: PairedOutputs, seed: Seeds) -> _Learning:
    conditions = selector_conditions(held_back.modalities, job.degradations, job.spec)
    mixture = mix(held_back, conditions)
    targets, rows = trusted(mixture, job.spec.target)
    if len(rows) == 0:
        raise UserError(
            f"selector {job.name}: no held-back sample tells its modalities apart; "
            "raise selector.degradations.levels or data.validation"
        )
    inputs = features(mixture.logits[:, rows], job.spec)
    with seeded(seed("weights")):
        network = Selector(inputs.shape[1], len(held_back.modalities), job.spec.hidden)
    network.standardise(inputs)
    return _Learning(
        network,
        PickTrusted(network),
        SelectionBatches(inputs, targets, job.training.batch, lambda e: seed("epoch", e)),
        inputs,
        lambda one: _said(one, inputs),
        lambda scores: _at_chance(
            targets.gather(1, scores.argmax(1, keepdim=True)).double().mean().item(),
            targets.double().mean(0).max().item(),
            len(targets),
            "picks rightly",
            "naming one modality always",
        ),
    )


def _gate(job: SelectorJob, held_back: PairedOutputs, seed: Seeds) -> _Learning:
    known = job.degradations
    rows = len(held_back.labels) * len(selector_conditions(held_back.modalities, known, job.spec))
    temperatures = known_temperatures(held_back, known)
    batches = GateBatches(
        held_back, known.seen, rows, job.training.batch, lambda e: seed("epoch", e)
    )
    samples, sets = batches.drawn(0)
    logits, labels = batches.answers(samples, sets), held_back.labels[samples]
    seen = gate.seen(logits, temperatures, job.spec)
    with seeded(seed("weights")):
        network = gate.Gate(job.spec, seen.shape[2], temperatures)
    network.standardise(seen)
    return _Learning(
        network,
        AnswerRightly(network, carrying.left_out(job.spec, known)),
        batches,
        logits,
        lambda one: _said(one, logits),
        lambda answers: _at_chance(
            (answers.argmax(1) == labels).double().mean().item(),
            labels.bincount().max().item() / len(labels),
            len(labels),
            "answers rightly",
            "the commonest class",
        ),
    )


@torch.inference_mode()
def _said(network: Network, inputs: torch.Tensor) -> torch.Tensor:
    return metrics.finite(network.eval()(inputs))


def _at_chance(hits: float, constant: float, samples: int, does: str, guess: str) -> bool:
    """Whether a share of hits is no larger than that of a constant guess; said in the log."""
    if hits > constant:
        return False
    session.report(
        f"warning: ends no better than a constant guess: {does} on {100 * hits:.1f} % of the "
        f"{samples} samples that it was trained on, where {guess} gives {100 * constant:.1f} %"
    )
    return True
