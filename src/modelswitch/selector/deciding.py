"""The two ways of deciding behind one face: networks that pick a recogniser, and gates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from modelswitch.config.selector import SelectorSettings
from modelswitch.models.build import fill
from modelswitch.selector.baselines import Decision, fuse, pick_largest
from modelswitch.selector.gate import Gate
from modelswitch.selector.network import Selector, features
from modelswitch.selector.outputs import silent

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
        scores = network(features(logits, spec)).T.masked_fill(silent(logits), -torch.inf)
        trust = scores.log_softmax(0)
        said = pick_largest(logits, scores, modalities)
        # That the side is to be trusted, and that its recogniser is right then.
        sure = (logits.log_softmax(2).amax(2) + trust).gather(0, _row(said.picked))[0]
        return replace(said, confidence=sure)
    answer, heard = network.judge(logits)
    said = fuse(answer, answer)
    return replace(said, picked=pick_largest(logits, heard.T, modalities).picked)


def _row(picked: torch.Tensor | None) -> torch.Tensor:
    assert picked is not None
    return picked[None]
