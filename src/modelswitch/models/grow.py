"""A network made larger by maps that keep what it answers (Net2Net, Chen et al. 2016).

Wider: further channels are copies of others, and whoever reads them divides its weights among the
copies. Their statistics are those of the originals, so this holds with the statistics of a batch as
with those that were kept.

Deeper: a residual block whose last scale is 0 adds nothing, whatever statistics are used. A stack
has no such way around a layer: a convolution that passes every channel on is followed by a
normalisation that has to undo itself. It does so exactly with the statistics that it keeps; with
those of a batch, where they are those of the images that it was measured on.
"""

import copy
import math
from collections.abc import Collection, Sequence

import torch
from torch import nn

from modelswitch.config.architecture import AdaptedModel, Architecture
from modelswitch.config.models import PlainModel, ResnetModel
from modelswitch.config.origin import GrownModel
from modelswitch.errors import UserError
from modelswitch.models.adapted import Adapted
from modelswitch.models.build import build, fill
from modelswitch.models.origins import First, Images

_State = dict[str, torch.Tensor]
# Images, of which a stack of wide layers at a high resolution has all answers at once.
_MEASURED = 128
# Of nn.BatchNorm2d.
_EPSILON = 1e-5


def grown_architecture(parent: Architecture, spec: GrownModel) -> Architecture:
    """What a network is after it has grown.

    Raises:
        UserError: it is of a kind for which there is no such map, or nothing would grow.
    """
    if isinstance(parent, AdaptedModel):
        return parent.model_copy(update={"network": grown_architecture(parent.network, spec)})
    if isinstance(parent, PlainModel):
        _check_plain(parent, spec)
        widths = [[_wider(width, spec) for width in stage] for stage in parent.stages]
        more = _deeper(spec, len(widths))
        stages = [w + count * w[-1:] for w, count in zip(widths, more, strict=True)]
        found: Architecture = parent.model_copy(update={"stages": stages})
    elif isinstance(parent, ResnetModel):
        widths_of_stages = [_wider(width, spec) for width in parent.widths]
        more = _deeper(spec, len(parent.blocks))
        blocks = [own + count for own, count in zip(parent.blocks, more, strict=True)]
        found = parent.model_copy(update={"widths": widths_of_stages, "blocks": blocks})
    else:
        raise UserError(f"a model of the family {parent.family} cannot grow; plain and resnet can")
    if found == parent:
        raise UserError(f"widen: {spec.widen:g} adds no channel to any of its layers")
    return found


def _check_plain(parent: PlainModel, spec: GrownModel) -> None:
    if parent.norm == "group":
        raise UserError(
            "a model with norm: group cannot grow, for what it answers would change; batch and "
            "none can"
        )
    if any(_deeper(spec, len(parent.stages))) and parent.activation != "relu":
        raise UserError(
            f"deepen: no layer can be added behind {parent.activation} without a change of what "
            "it answers; allowed with activation: relu"
        )


def _wider(width: int, spec: GrownModel) -> int:
    # Rounded so that widths that differ never come closer to each other.
    return math.floor(width * spec.widen + 0.5)


def _deeper(spec: GrownModel, stages: int) -> list[int]:
    """Further convolutions or blocks of each stage."""
    if isinstance(spec.deepen, int):
        return [spec.deepen] * stages
    if len(spec.deepen) != stages:
        raise UserError(f"deepen: has {len(spec.deepen)} entries, its parent {stages} stages")
    return spec.deepen


def grown(
    parent: Architecture,
    network: nn.Module,
    spec: GrownModel,
    images: Images,
    examples: torch.Tensor,
) -> First:
    """``network`` made larger; what is drawn is from the global generators.

    Args:
        parent: what ``network`` is.
        examples: normalised images [B, C, H, W] that it is trained on, on its device; the first
            128 are used.

    Raises:
        UserError: as `grown_architecture`.
    """
    architecture = grown_architecture(parent, spec)
    larger = build(architecture, images.shape[2], images.classes)
    before, after, own = parent, architecture, network
    if isinstance(network, Adapted):
        assert isinstance(parent, AdaptedModel)
        assert isinstance(architecture, AdaptedModel)
        before, after, own = parent.network, architecture.network, network.network
    inner = larger.network if isinstance(larger, Adapted) else larger
    state = {name: tensor.cpu() for name, tensor in own.state_dict().items()}
    if isinstance(before, PlainModel) and isinstance(after, PlainModel):
        widened, ends = _wider_plain(state, before, after, spec.noise)
        if any(_deeper(spec, len(before.stages))):
            scales = _scales(network, own, before, examples)
            widened |= _passing_on(inner.state_dict(), widened.keys(), ends, scales)
    else:
        assert isinstance(before, ResnetModel)
        assert isinstance(after, ResnetModel)
        widened = _wider_resnet(state, before, after, spec.noise)
        widened |= _adding_nothing(inner.state_dict(), widened.keys())
    fill(inner, widened)
    counts = [sum(p.numel() for p in each.parameters()) for each in (network, larger)]
    return First(larger, architecture, [f"grown from {counts[0]:,} to {counts[1]:,} parameters"])


# ----------------------------------------------------------------------------------- wider


class _Wider:
    """The tensors of wider layers, made from those of a narrower network.

    Channels are given as maps [new] from each new channel to the old one that it is.
    """

    def __init__(self, state: _State, noise: float) -> None:
        self._old, self._noise = state, noise
        self.state: _State = {}

    def weights(self, layer: str, inputs: torch.Tensor, outputs: torch.Tensor) -> None:
        """A convolution or a linear layer."""
        weight = self._old[f"{layer}.weight"]
        wide = weight[outputs][:, inputs].double()
        shares = self._shares(inputs, len(outputs), weight.shape[1])
        shares = shares.view(*shares.shape, *[1] * (weight.ndim - 2))
        self.state[f"{layer}.weight"] = (wide * shares).to(weight.dtype)
        if f"{layer}.bias" in self._old:
            self.state[f"{layer}.bias"] = self._old[f"{layer}.bias"][outputs]

    def normalisation(self, layer: str, outputs: torch.Tensor) -> None:
        for name, tensor in self._old.items():
            if name.rpartition(".")[0] == layer:
                self.state[name] = tensor[outputs] if tensor.ndim else tensor

    def _shares(self, inputs: torch.Tensor, outputs: int, before: int) -> torch.Tensor:
        """What each copy passes on of what its original did, [outputs, inputs]; 1 in all."""
        drawn = torch.rand(outputs, len(inputs), dtype=torch.float64)
        parts = 1 + self._noise * (2 * drawn - 1)
        whole = torch.zeros(outputs, before, dtype=torch.float64).index_add(1, inputs, parts)
        return parts / whole[:, inputs]


def _copies(width: int, wider: int) -> torch.Tensor:
    """All channels, then copies: of all in turn, in an order that is drawn."""
    more = [torch.randperm(width) for _ in range(math.ceil(wider / width) - 1)]
    return torch.cat([torch.arange(width), *more])[:wider]


def _wider_plain(
    state: _State, before: PlainModel, after: PlainModel, noise: float
) -> tuple[_State, list[torch.Tensor]]:
    """The tensors of all layers that were there, and the channels that each stage ends with."""
    wider, ends = _Wider(state, noise), []
    inputs = torch.arange(state["stage1_conv1.0.weight"].shape[1])
    for stage, widths in enumerate(before.stages, 1):
        for block, width in enumerate(widths, 1):
            outputs = _copies(width, after.stages[stage - 1][block - 1])
            layer = f"stage{stage}_conv{block}"
            # Of maxout each channel is of two, which stand one half apart.
            both = torch.cat([outputs, outputs + width])
            filters = both if before.activation == "maxout" else outputs
            wider.weights(f"{layer}.0", inputs, filters)
            wider.normalisation(f"{layer}.1", filters)
            inputs = outputs
        ends.append(inputs)
    _wider_head(wider, inputs, state)
    return wider.state, ends


def _wider_head(wider: _Wider, inputs: torch.Tensor, state: _State) -> None:
    wider.weights("classifier", inputs, torch.arange(len(state["classifier.weight"])))


def _wider_resnet(state: _State, before: ResnetModel, after: ResnetModel, noise: float) -> _State:
    """The tensors of all layers that were there.

    A shortcut without weights passes channels on by their numbers, so that a channel has to be a
    copy of the same one in all stages: copies stand behind the channels that are in all stages
    that have these, and before those that only wider stages have.
    """
    wider = _Wider(state, noise)
    narrow, wide, layout = 0, 0, torch.arange(0)
    for own, new in sorted({*zip(before.widths, after.widths, strict=True)}):
        layout = torch.cat([layout, narrow + _copies(own - narrow, new - wide)])
        narrow, wide = own, new
    channels = [layout[:width] for width in after.widths]
    wider.weights("stem.0", torch.arange(state["stem.0.weight"].shape[1]), channels[0])
    wider.normalisation("stem.1", channels[0])
    inputs = channels[0]
    for stage, (outputs, blocks) in enumerate(zip(channels, before.blocks, strict=True), 1):
        for number in range(1, blocks + 1):
            block = f"stage{stage}_block{number}"
            wider.weights(f"{block}.conv1.0", inputs, outputs)
            wider.normalisation(f"{block}.conv1.1", outputs)
            wider.weights(f"{block}.conv2", outputs, outputs)
            wider.normalisation(f"{block}.norm2", outputs)
            if f"{block}.project.0.weight" in state:
                wider.weights(f"{block}.project.0", inputs, outputs)
                wider.normalisation(f"{block}.project.1", outputs)
            inputs = outputs
    _wider_head(wider, inputs, state)
    return wider.state


# ---------------------------------------------------------------------------------- deeper


def _adding_nothing(fresh: _State, there: Collection[str]) -> _State:
    """The tensors of residual blocks that were not there: the last scale is 0, all else drawn."""
    return {
        name: torch.zeros_like(tensor) if name.endswith(".norm2.weight") else tensor
        for name, tensor in fresh.items()
        if name not in there
    }


def _passing_on(
    fresh: _State,
    there: Collection[str],
    ends: Sequence[torch.Tensor],
    scales: Sequence[tuple[torch.Tensor, torch.Tensor]],
) -> _State:
    """The tensors of a stack's layers that were not there, which pass on what is not negative.

    Args:
        ends: the old channel that each channel is, at the end of each stage.
        scales: mean and variance of the old channels there.
    """
    found = {}
    for name, tensor in fresh.items():
        if name in there:
            continue
        stage = int(name.removeprefix("stage").partition("_")[0]) - 1
        mean, variance = (values[ends[stage]] for values in scales[stage])
        layer, _, key = name.removeprefix(name.partition(".")[0] + ".").partition(".")
        if layer == "0":
            value = torch.zeros_like(tensor)
            if key == "weight":
                nn.init.dirac_(value)
        else:
            undone = {
                "weight": torch.sqrt(variance + _EPSILON),
                "bias": mean,
                "running_mean": mean,
                "running_var": variance,
            }
            value = undone.get(key, tensor)
        found[name] = value
    return found


def _scales(
    network: nn.Module, stack: nn.Module, spec: PlainModel, examples: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Mean and variance [C] of what each stage ends with, with the statistics of a batch.

    Args:
        stack: the part of ``network`` that has the stages.
    """
    # What a pass in training changes is changed in a copy.
    paths = {id(module): path for path, module in network.named_modules()}
    copied = copy.deepcopy(network).train()
    inner = copied.get_submodule(paths[id(stack)])
    found = []

    def measure(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        values = output.detach().cpu().double().transpose(0, 1).flatten(1)
        mean, variance = values.mean(1), values.var(1, correction=0)
        found.append((mean.float(), variance.float()))

    for stage, widths in enumerate(spec.stages, 1):
        inner.get_submodule(f"stage{stage}_conv{len(widths)}").register_forward_hook(measure)
    with torch.no_grad():
        copied(examples[:_MEASURED])
    return found
