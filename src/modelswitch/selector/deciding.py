"""The two ways of deciding behind one face: networks that pick a recogniser, and gates."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from modelswitch.config.selector import SelectorSettings
from modelswitch.models.build import fill
from modelswitch.selector.baselines import Decision, fuse, pick_largest
from modelswitch.selector.gate import Gate
from modelswitch.selector.network import Selector, features

Network = Selector | Gate


def stored(
    tensors: dict[str, torch.Tensor],
    passport: Mapping[str, Any],
    spec: SelectorSettings,
    modalities: int,
) -> Network:
    """The network of a selector's file, ready to answer."""
    network = made(spec, passport["inputs"], modalities)
    fill(network, tensors)
    return network.eval()


def made(
    spec: SelectorSettings,
    inputs: int,
    modalities: int,
    temperatures: torch.Tensor | None = None,
) -> Network:
    """A fresh one, which sees ``inputs`` numbers: of all recognisers, or a gate of each."""
    if spec.decides == "pick":
        return Selector(inputs, modalities, spec.hidden)
    return Gate(spec, inputs, torch.ones(modalities) if temperatures is None else temperatures)


@torch.inference_mode()
def decide(
    network: Network, logits: torch.Tensor, spec: SelectorSettings, modalities: Sequence[str]
) -> Decision:
    """What is said about logits [M, N, C]. Of a gate the modality that it listens to most counts as
    picked."""
    if isinstance(network, Selector):
        return pick_largest(logits, network(features(logits, spec)).T, modalities)
    answer, heard = network.judge(logits)
    said = fuse(answer, answer)
    return Decision(said.predicted, said.tied, pick_largest(logits, heard.T, modalities).picked)
