"""A network that calculates as a device of eight bits will, to be trained so and written so."""

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils import _pytree

from modelswitch.config.architecture import Architecture, QuantisedModel
from modelswitch.errors import UserError, in_one_line
from modelswitch.models.origins import First
from modelswitch.models.rounding import RoundedActivation, RoundedWeight

# Of an operation's arguments torch knows that they may be anything.
Node = Any
_aten = torch.ops.aten
WEIGHTED = (_aten.conv1d.default, _aten.conv2d.default, _aten.linear.default)
# Where the number is that keeps a variance from 0.
_NORMALISED = {_aten.batch_norm.default: 7, _aten._native_batch_norm_legit_no_training.default: 6}
# Of two activations each.
_JOINED = (_aten.add.Tensor, _aten.mul.Tensor)
_POOLED = (_aten.avg_pool2d.default, _aten.adaptive_avg_pool2d.default, _aten.mean.dim)
# What a device does while it writes the result of the operation before.
_FUSED = (_aten.relu.default, _aten.hardtanh.default, _aten.relu6.default)
# What changes no value, so that what was rounded stays so.
_MOVED = (
    _aten.max_pool2d.default,
    _aten.view.default,
    _aten.reshape.default,
    _aten.flatten.using_ints,
    _aten.permute.default,
    _aten.transpose.int,
    _aten.squeeze.dims,
    _aten.unsqueeze.default,
    _aten.slice.Tensor,
    _aten.pad.default,
    _aten.clone.default,
)
# Images that a range is found on at a time.
_OBSERVED = 32
# How far a trace may be from its network, as a share of the largest answer: what other orders of
# sums do stays far below it.
_TOLERANCE = 1e-3
_PICKED = _aten.max_pool2d_with_indices.default


class Quantised(nn.Module):
    """See `QuantisedModel`: images [B, C, H, W] to logits [B, classes], float32.

    It is a trace of the network in eval mode with batch normalisation folded into the convolutions
    before it; an operation that is not quantised stays as it is. It calculates in float32 whatever
    the training's precision, for that is what is rounded.
    """

    def __init__(self, network: nn.Module, spec: QuantisedModel) -> None:
        super().__init__()
        self.spec = spec
        self.graph = _rounded(*_folded(*_traced(network, spec.shape)), spec.weight_bits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.graph(x.float())

    def observe(self, observing: bool) -> None:
        """Whether the ranges of activations follow what is seen in training."""
        for layer in self.modules():
            if isinstance(layer, RoundedActivation):
                layer.observing = observing


def quantised(
    architecture: Architecture,
    network: nn.Module,
    shape: tuple[int, int, int],
    weight_bits: int,
    images: torch.Tensor,
) -> First:
    """A trained network as integers; the ranges of its activations are those on ``images``
    [N, C, H, W], normalised.

    Raises:
        UserError: it is quantised already, or has nothing to quantise, or its trace answers
            otherwise than it does.
    """
    if isinstance(architecture, QuantisedModel):
        raise UserError("is quantised already")
    spec = QuantisedModel(network=architecture, shape=shape, weight_bits=weight_bits)
    result, network = Quantised(network, spec), network.eval()
    result.train()
    apart = spread = 0.0
    with torch.no_grad():
        for batch in images.split(_OBSERVED):
            answers, traced = network(batch), set_rounding(result, False)(batch)
            apart = max(apart, (answers - traced).abs().max().item())
            spread = max(spread, answers.abs().max().item())
    if not apart <= _TOLERANCE * spread:
        raise UserError(
            f"cannot be quantised: traced, with batch normalisation in its convolutions, it "
            f"answers otherwise (by {apart:.3g}, where logits are up to {spread:.3g})"
        )
    said = f"calculates with integers; ranges of activations are from {len(images)} images at first"
    # What was drawn is in the weights of its parent.
    return First(set_rounding(result, True), spec, [said], drawn=False)


def set_rounding(network: nn.Module, rounding: bool) -> nn.Module:
    """``network`` itself, of which whatever was quantised rounds, or calculates with floats."""
    for layer in network.modules():
        if isinstance(layer, RoundedActivation | RoundedWeight):
            layer.rounding = rounding
    return network


def _traced(
    network: nn.Module, shape: tuple[int, int, int]
) -> tuple[fx.Graph, dict[str, torch.Tensor]]:
    """The operations of a network in eval mode, none in place, and its tensors by name; raises
    `UserError` where torch cannot trace it."""
    height, width, channels = shape
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    example = torch.zeros(2, channels, height, width, device=device)
    batch = {0: torch.export.Dim("batch", min=1)}
    with in_one_line("cannot be quantised"):
        program = torch.export.export(
            network.eval(), (example,), dynamic_shapes=(batch,), strict=False
        )
        traced = program.module(check_guards=False)
        if not all(map(_can_be_copied, traced.graph.nodes)):
            # Takes four times as long.
            traced = program.run_decompositions({}).module(check_guards=False)
    assert isinstance(traced, fx.GraphModule)
    graph = fx.Graph()
    copies: dict[Node, Node] = {}
    tensors: dict[str, torch.Tensor] = {}
    for node in traced.graph.nodes:
        if node.op == "output":
            answers = [n for n in _pytree.tree_leaves(node.args) if isinstance(n, fx.Node)]
            if len(answers) != 1:
                raise UserError(f"cannot be quantised: returns {len(answers)} tensors")
            graph.output(copies[answers[0]])
            continue
        if node.target is _aten.dropout.default:
            copies[node] = copies[node.args[0]]
            continue
        copies[node] = graph.node_copy(node, lambda inner: copies[inner])
        if _writes(node):
            copies[node].target = _copying(node.target)
        if node.op == "get_attr":
            tensors[node.target] = _attribute(traced, node.target)
    return graph, tensors


def _schema(node: Node) -> Any:
    """What an operation says of its arguments and results; None if it is none of torch's."""
    return getattr(node.target, "_schema", None) if node.op == "call_function" else None


def _writes(node: Node) -> bool:
    """Whether an operation works in place."""
    schema = _schema(node)
    return schema is not None and bool(schema.is_mutable)


def _copying(target: Any) -> Any:
    """The operation that gives a new tensor instead of working in place; None if there is none."""
    packet, _, overload = str(target).removeprefix("aten.").partition(".")
    return getattr(getattr(_aten, packet.removesuffix("_"), None), overload, None)


def _can_be_copied(node: Node) -> bool:
    """Whether it makes no difference that an operation works in place."""
    if not _writes(node):
        return True
    changed = node.args[0]
    schema = _schema(changed)
    is_view = schema is None or (schema.returns[0].alias_info is not None and not _writes(changed))
    return len(changed.users) == 1 and not is_view and _copying(node.target) is not None


def _attribute(module: nn.Module, path: str) -> torch.Tensor:
    owner, _, name = path.rpartition(".")
    found = getattr(module.get_submodule(owner), name)
    assert isinstance(found, torch.Tensor)
    return found


def _folded(
    graph: fx.Graph, tensors: dict[str, torch.Tensor]
) -> tuple[fx.Graph, dict[str, torch.Tensor]]:
    """Batch normalisation behind a convolution as part of its weights."""
    for node in list(graph.nodes):
        if node.target not in _NORMALISED:
            continue
        layer, constant = node.args[0], node.args[_NORMALISED[node.target]]
        weight = layer.args[1] if layer.target in WEIGHTED[:2] else None
        if weight is None or weight.op != "get_attr" or len(layer.users) + len(weight.users) > 2:
            continue
        bias = layer.args[2] if len(layer.args) > 2 else None
        scale, shift = (None if n is None else tensors[n.target] for n in node.args[1:3])
        mean, variance = (tensors[n.target] for n in node.args[3:5])
        old = None if bias is None else tensors[bias.target]
        fused = fuse_conv_bn_weights(
            tensors[weight.target], old, mean, variance, constant, scale, shift
        )
        name = f"{weight.target.rpartition('.')[0]}.bias" if bias is None else bias.target
        tensors[weight.target], tensors[name] = fused
        if bias is None:
            with graph.inserting_before(layer):
                bias = graph.get_attr(name)
            layer.args = (*layer.args[:2], bias, *layer.args[3:])
        picked = [user for user in node.users if user.target is operator.getitem] or [node]
        for end in picked:
            end.replace_all_uses_with(layer)
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op == "call_function":
            graph.erase_node(node)
    graph.eliminate_dead_code()
    return graph, tensors


def _rounded(graph: fx.Graph, tensors: dict[str, torch.Tensor], bits: int) -> fx.GraphModule:
    """The operations with the weights and the activations of convolutions and matrix products
    rounded, and with those that come between."""
    layers: dict[str, nn.Module] = {}
    weighted = [node for node in graph.nodes if _has_weights(node)]
    if not weighted:
        raise UserError("cannot be quantised: has no convolution and no linear layer")
    answer = next(node for node in graph.nodes if node.op == "output").args[0]
    wanted: dict[Node, None] = {}
    for node in graph.nodes:
        if node in weighted or _joins(node) or node.target in _POOLED:
            wanted |= dict.fromkeys(map(_origin, _activations(node)))
            wanted[_end(node)] = None
    # Nothing is calculated with the answers.
    wanted.pop(_origin(answer), None)
    for node in weighted:
        name = f"weights.{len(layers)}"
        layers[name] = RoundedWeight(bits)
        with graph.inserting_before(node):
            rounded = graph.call_module(name, (node.args[1],))
        node.update_arg(1, rounded)
    for number, node in enumerate(wanted):
        name = f"ranges.{number}"
        layers[name] = RoundedActivation()
        with graph.inserting_after(node):
            rounded = graph.call_module(name, (node,))
        node.replace_all_uses_with(rounded, lambda user, own=rounded: user is not own)
    return fx.GraphModule(tensors | layers, graph)


def _has_weights(node: Node) -> bool:
    weight = node.args[1] if node.target in WEIGHTED else None
    return isinstance(weight, fx.Node) and weight.op == "get_attr"


def _joins(node: Node) -> bool:
    """Whether an operation joins two activations."""
    return node.target in _JOINED and len(_activations(node)) == 2


def _activations(node: Node) -> list[Node]:
    """The activations that an operation takes."""
    return [
        given
        for given in node.args[:2]
        if isinstance(given, fx.Node)
        and given.op != "get_attr"
        and isinstance(value := given.meta.get("val"), torch.Tensor)
        and value.is_floating_point()
    ]


def _end(node: Node) -> Node:
    """What a device writes for an operation: with the activation function that follows, if any."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target in _FUSED else node


def _origin(node: Node) -> Node:
    """Where the values of an activation come from."""
    while is_moved(node):
        node = node.args[0]
    return node


def is_moved(node: Node) -> bool:
    """Whether an operation only moves values, or picks among them."""
    pixels = node.target is _aten.avg_pool2d.default and list(node.args[1]) == [1, 1]
    picked = (
        node.target is operator.getitem and node.args[0].target is _PICKED and node.args[1] == 0
    )
    return bool(pixels or picked) or node.target in _MOVED or node.target is _PICKED
