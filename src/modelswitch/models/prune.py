"""A network with whole channels removed, of all layers that they go through at once.

Which layers have to lose a channel together is found by Torch-Pruning (Fang et al. 2023), as are
the channels' importances. What is left is said as sizes of layers, so that whoever reads the file
needs the library no more.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.config.architecture import (
    AdaptedModel,
    Architecture,
    LayerSize,
    MergedModel,
    NarrowedModel,
    QuantisedModel,
)
from modelswitch.config.models import PlainModel, ResnetModel
from modelswitch.config.origin import PrunedModel
from modelswitch.errors import UserError, in_one_line, missing_extra
from modelswitch.models import kept
from modelswitch.models.adapted import Adapted
from modelswitch.models.build import build, fill, give_shapes
from modelswitch.models.cost import Cost, cost
from modelswitch.models.fitting import head_of
from modelswitch.models.narrow import sizes_of
from modelswitch.models.origins import First, Images

_State = dict[str, torch.Tensor]
# Halvings of the share of channels that is looked for.
_HALVINGS = 14
_BATCH = 64


def pruned_architecture(parent: Architecture, spec: PrunedModel, images: Images) -> Architecture:
    """What a network is after pruning, where its weights are not known: with fresh ones.

    Of a share of every layer that is what comes out; where all channels are ranked together, an
    estimate.

    Raises:
        UserError: it cannot be pruned, or so much not.
    """
    _check(parent)
    height, width, in_channels = images.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(parent, in_channels, images.classes)
        give_shapes(network, images.shape)
    rank = "group_norm" if spec.importance == "taylor" else spec.importance
    example = torch.zeros(1, in_channels, height, width)
    pruning = _Pruning(parent, network, rank, example, images)
    found = pruning.architecture(pruning.chosen(spec))
    _cost(found, images)
    return found


def pruned(
    parent: Architecture,
    network: nn.Module,
    spec: PrunedModel,
    images: Images,
    examples: torch.Tensor,
    labels: torch.Tensor,
) -> First:
    """``network`` with channels removed.

    Args:
        parent: what ``network`` is.
        examples, labels: normalised images [B, C, H, W] that it is trained on, and their classes.

    Raises:
        UserError: it cannot be pruned, or so much not.
    """
    _check(parent)
    before = cost(parent, images.shape, images.classes)
    if spec.importance == "taylor":
        _take_gradients(network, examples, labels)
    pruning = _Pruning(parent, network, spec.importance, examples[:1], images)
    choice = pruning.chosen(spec)
    architecture = pruning.architecture(choice)
    pruning.remove(choice)
    result = build(architecture, images.shape[2], images.classes)
    give_shapes(result, images.shape)
    result.to(examples.device)
    # What a library left out or a network keeps elsewhere, this tells.
    with in_one_line("cannot be pruned"):
        fill(result, network.state_dict())
        with torch.no_grad():
            answers = [each.eval()(examples[:_BATCH]) for each in (network, result)]
    if apart := kept.difference(*answers):
        raise UserError(
            f"cannot be pruned: built anew in its new sizes it answers otherwise {apart}"
        )
    after = _cost(architecture, images)
    said = [
        f"pruned from {before.parameters:,} to {after.parameters:,} parameters, from "
        f"{before.macs:,} to {after.macs:,} multiply-accumulates"
    ]
    return First(result, architecture, said, drawn=False)


def _cost(architecture: Architecture, images: Images) -> Cost:
    try:
        return cost(architecture, images.shape, images.classes)
    except UserError as error:
        raise UserError(f"cannot be pruned: with fewer channels it {error}") from error


def _check(parent: Architecture) -> None:
    if isinstance(parent, AdaptedModel):
        return _check(parent.network)
    if isinstance(parent, MergedModel):
        raise UserError("an ensemble cannot be pruned; its members can")
    if isinstance(parent, NarrowedModel):
        return _check(parent.network)
    if isinstance(parent, ResnetModel) and parent.shortcut == "pad" and len(parent.widths) > 1:
        raise UserError(
            "a resnet whose shortcut is pad cannot be pruned, for channels would meet others; "
            "with shortcut: conv it can"
        )
    return None


def _take_gradients(network: nn.Module, examples: torch.Tensor, labels: torch.Tensor) -> None:
    """Leave the gradients of the mean loss in the weights, with the statistics that are kept."""
    network.eval().requires_grad_(True).zero_grad()
    batches = zip(examples.split(_BATCH), labels.split(_BATCH), strict=True)
    for pixels, truth in batches:
        loss = F.cross_entropy(network(pixels), truth, reduction="sum") / len(examples)
        loss.backward()


@dataclass(frozen=True)
class _Channels:
    """Channels that pass through several layers, of which these lose one together.

    A unit is what can go at once: a channel, or one of each of `groups` groups of channels.

    Attributes:
        importance: of each unit.
        parts: layer, whether its outputs are meant, and for each of its channels there the channel
            of the first layer that it goes with.
    """

    layer: str
    groups: int
    importance: torch.Tensor
    parts: Sequence[tuple[str, bool, Sequence[int], Sequence[int]]]
    library: Any

    @property
    def units(self) -> int:
        return len(self.importance)

    def least(self, round_to: int) -> int:
        """The fewest units whose channels are a multiple of ``round_to``, or all that there are."""
        step = round_to // math.gcd(round_to, self.groups)
        return min(step, self.units)

    def rounded(self, units: float, round_to: int) -> int:
        """So many units, to a multiple; 0 for what is nearer to none."""
        step = self.least(round_to)
        return min(step * math.floor(units / step + 0.5), step * (self.units // step))

    def lost(self, units: int) -> list[int]:
        """The channels of the first layer that go, where so many units are left: the least
        important ones."""
        order = self.importance.argsort(stable=True)[: self.units - units].tolist()
        return sorted(unit + group * self.units for unit in order for group in range(self.groups))


# Of all channels, how many units are left.
_Choice = Sequence[int]


class _Pruning:
    """A network, the channels that it can lose, and what it is without some of them."""

    def __init__(
        self,
        parent: Architecture,
        network: nn.Module,
        importance: str,
        example: torch.Tensor,
        images: Images,
    ) -> None:
        self._parent, self._images = parent, images
        self._amounts: dict[tuple[int, ...], int] = {}
        self._inner = network
        network.eval().requires_grad_(True)
        if isinstance(network, Adapted):
            self._inner, example = network.network, network.prepare(example)
        self._sizes = sizes_of(self._inner)
        base = parent.network if isinstance(parent, AdaptedModel) else parent
        if isinstance(base, NarrowedModel):
            fresh = build(base.network, example.shape[1], _classes(parent, images))
            self._base, self._own = base.network, sizes_of(fresh)
        else:
            assert not isinstance(base, AdaptedModel | MergedModel | QuantisedModel)
            self._base, self._own = base, self._sizes
        with in_one_line("cannot be pruned"):
            self._channels = list(self._found(importance, example))
        if not self._channels:
            raise UserError("cannot be pruned: it has no layer of which channels could go")

    def _found(self, importance: str, example: torch.Tensor) -> Iterator[_Channels]:
        try:
            import torch_pruning
        except ImportError as error:
            raise missing_extra("pruning", error, "family: pruned") from error
        rank: Callable[[Any], torch.Tensor | None] = {
            "magnitude": torch_pruning.importance.GroupMagnitudeImportance(1, "first"),
            "group_norm": torch_pruning.importance.GroupMagnitudeImportance(2, "mean"),
            "taylor": torch_pruning.importance.GroupTaylorImportance(),
        }[importance]
        with warnings.catch_warnings():
            # Of parameters outside of layers; whether all went well is tried afterwards.
            warnings.simplefilter("ignore")
            graph = torch_pruning.DependencyGraph().build_dependency(self._inner, example)
        head = self._inner.get_submodule(head_of(self._inner, example))
        paths = {id(module): path for path, module in self._inner.named_modules()}
        kinds = [torch_pruning.ops.TORCH_CONV, torch_pruning.ops.TORCH_LINEAR]
        for group in graph.get_all_groups(ignored_layers=[head], root_module_types=kinds):
            values = rank(group)
            if values is None:
                continue
            parts = []
            groups = 1
            for item in group.items:
                path = paths.get(id(item.dep.target.module))
                if path is None or path not in self._sizes:
                    continue
                is_output = graph.is_out_channel_pruning_fn(item.dep.handler)
                parts.append((path, is_output, list(map(int, item.idxs)), list(item.root_idxs)))
                groups = max(groups, _groups_of(self._sizes[path]))
            if len(values) % groups:
                continue
            each = values.detach().cpu().double().view(groups, -1).mean(0)
            yield _Channels(parts[0][0], groups, each, parts, group)

    # ------------------------------------------------------------------------- how many are left

    def chosen(self, spec: PrunedModel) -> _Choice:
        """How many units are left of each, for what is asked for.

        Raises:
            UserError: a layer would be left with no channel, or nothing would go.
        """
        if spec.of == "channels":
            choice = self._of_share(spec.keep, spec)
            empty = [c for c, units in zip(self._channels, choice, strict=True) if not units]
            if empty:
                raise UserError(
                    f"keep: {spec.keep:g} would leave none of the {empty[0].units} channels of "
                    f"{empty[0].layer}"
                )
        else:
            choice = self._of_amount(spec)
        if all(units == c.units for c, units in zip(self._channels, choice, strict=True)):
            raise UserError(f"keep: {spec.keep:g} removes no channel")
        return choice

    def _of_share(self, share: float, spec: PrunedModel) -> list[int]:
        """The same share of every layer, or of the channels of all."""
        if spec.scope == "layer":
            return [c.rounded(share * c.units, spec.round_to) for c in self._channels]
        ranked = torch.cat([c.importance for c in self._channels])
        count = math.floor(share * len(ranked) + 0.5)
        if count < sum(c.least(spec.round_to) for c in self._channels):
            return [0 for _ in self._channels]
        there = torch.zeros(len(ranked), dtype=torch.bool)
        there[ranked.argsort(descending=True, stable=True)[:count]] = True
        parts = there.split([c.units for c in self._channels])
        # A layer of which all channels are among the least important ones keeps the best of them.
        return [
            max(c.rounded(int(part.sum()), spec.round_to), c.least(spec.round_to))
            for c, part in zip(self._channels, parts, strict=True)
        ]

    def _of_amount(self, spec: PrunedModel) -> list[int]:
        """So much of every layer, or of all, that what is left is as large as is asked for."""
        whole = self._amount([c.units for c in self._channels], spec)

        def fits(choice: _Choice) -> bool:
            return self._amount(choice, spec) <= spec.keep * whole

        low, high, found = 0.0, 1.0, None
        for _ in range(_HALVINGS):
            share = (low + high) / 2
            choice = self._of_share(share, spec)
            if all(choice) and not fits(choice):
                high = share
            else:
                low = share
                found = choice if all(choice) else found
        if found is None:
            least = self._amount([c.least(spec.round_to) for c in self._channels], spec)
            raise UserError(
                f"keep: {spec.keep:g} of its {spec.of} would leave a layer without channels; "
                f"{'one channel' if spec.round_to == 1 else f'{spec.round_to} channels'} in every "
                f"layer are {least / whole:.2g}"
            )
        return found

    def _amount(self, choice: _Choice, spec: PrunedModel) -> int:
        """Parameters or multiply-accumulates that are left."""
        key = tuple(choice)
        if key not in self._amounts:
            architecture = self.architecture(choice)
            if spec.of == "parameters":
                with torch.device("meta"):
                    left = build(architecture, self._images.shape[2], self._images.classes)
                self._amounts[key] = sum(p.numel() for p in left.parameters())
            else:
                self._amounts[key] = _cost(architecture, self._images).macs
        return self._amounts[key]

    # -------------------------------------------------------------------------- what is left

    def architecture(self, choice: _Choice) -> Architecture:
        """What the network is after it has lost all but so many units."""
        lost: dict[tuple[str, bool], set[int]] = {}
        for those, units in zip(self._channels, choice, strict=True):
            roots = set(those.lost(units))
            for path, is_output, own, root in those.parts:
                gone = {mine for mine, other in zip(own, root, strict=True) if other in roots}
                lost.setdefault((path, is_output), set()).update(gone)
        sizes = {
            path: _smaller(size, len(lost.get((path, True), ())), len(lost.get((path, False), ())))
            for path, size in self._sizes.items()
        }
        layers = {path: size for path, size in sizes.items() if size != self._own[path]}
        inner = _as_family(self._base, sizes) or NarrowedModel(network=self._base, layers=layers)
        if isinstance(self._parent, AdaptedModel):
            return self._parent.model_copy(update={"network": inner})
        return inner

    def remove(self, choice: _Choice) -> None:
        """Remove from the network itself all but so many units."""
        with in_one_line("cannot be pruned"):
            for those, units in zip(self._channels, choice, strict=True):
                if lost := those.lost(units):
                    those.library.prune(lost)


def _classes(parent: Architecture, images: Images) -> int:
    return parent.classes if isinstance(parent, AdaptedModel) else images.classes


def _groups_of(size: LayerSize) -> int:
    """Groups of channels of which each loses as many as the others."""
    depthwise = size.groups == size.outputs == size.inputs
    return 1 if depthwise else size.groups or 1


def _smaller(size: LayerSize, outputs: int, inputs: int) -> LayerSize:
    """A layer that has lost so many of its channels."""
    if size.inputs is None:
        return size.model_copy(update={"outputs": size.outputs - max(outputs, inputs)})
    if size.groups == size.outputs == size.inputs and size.groups > 1:
        left = size.outputs - max(outputs, inputs)
        return LayerSize(outputs=left, inputs=left, groups=left)
    return LayerSize(
        outputs=size.outputs - outputs, inputs=size.inputs - inputs, groups=size.groups
    )


def _as_family(base: Architecture, sizes: Mapping[str, LayerSize]) -> Architecture | None:
    """The model of the family that a network is in spite of its other sizes, if it is: a stack has
    a width for every layer."""
    if not isinstance(base, PlainModel) or base.norm == "group":
        return None
    pieces = 2 if base.activation == "maxout" else 1
    stages = [
        [sizes[f"stage{s}_conv{n}.0"].outputs // pieces for n in range(1, len(widths) + 1)]
        for s, widths in enumerate(base.stages, 1)
    ]
    return base.model_copy(update={"stages": stages})
