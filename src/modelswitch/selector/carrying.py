"""What a gate carries over to a degradation that it has not seen: one is left out at a time.

Each of its networks is trained without one degradation. What such a network makes of that one, on
the samples that it was trained with, is what is learnt of the others and holds there too.
"""

from dataclasses import dataclass

import torch

from modelswitch.config.degradations import Degradations
from modelswitch.config.selector import SelectorSettings
from modelswitch.selector.gate import Gate
from modelswitch.selector.outputs import PairedOutputs, mix, training_conditions


@dataclass(frozen=True)
class CarriedOver:
    """Shares of right answers where one side or more has a degradation, at all levels: of the
    networks that were trained without it, of the others, and of the calibrated product, with which
    all of them began."""

    degradation: str
    left_out: float
    learnt: float
    product: float

    def __str__(self) -> str:
        return (
            f"{self.degradation}: right on {100 * self.left_out:.1f} % where it was left out, "
            f"{100 * self.learnt:.1f} % where it was learnt; calibrated product "
            f"{100 * self.product:.1f} %"
        )


def left_out(spec: SelectorSettings, degradations: Degradations) -> torch.Tensor | None:
    """For each network [G] the place of the degradation in ``seen`` that it does without."""
    if not spec.leave_out:
        return None
    return torch.arange(spec.gates) % len(degradations.seen)


@torch.inference_mode()
def carried_over(
    gate: Gate, held_back: PairedOutputs, degradations: Degradations
) -> list[CarriedOver]:
    """For each degradation that is left out by some networks of a trained ``gate``."""
    count, found = len(degradations.seen), []
    network = torch.arange(len(gate.networks)) % count
    for at, name in enumerate(degradations.seen):
        conditions = training_conditions(held_back.modalities, [name], degradations.levels)
        mixture = mix(held_back, conditions)
        right = gate.each(mixture.logits).argmax(2) == mixture.labels
        parts = mixture.logits / gate.temperatures[:, None, None]
        product = parts.log_softmax(2).sum(0).argmax(1) == mixture.labels
        shares = [
            own.double().mean().item()
            for own in (right[network == at], right[network != at], product)
        ]
        found.append(CarriedOver(name, *shares))
    return found
