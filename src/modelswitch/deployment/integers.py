"""A quantised network as its integers: what exporters write as a device's own operations."""

from __future__ import annotations

import copy
import operator

import torch

# Registers the operations.
import torch.ao.quantization.fx._decomposed
from torch import fx

from modelswitch.deployment.deployable import Deployable
from modelswitch.models.quantised import WEIGHTED, Quantised, is_moved
from modelswitch.models.rounding import LEVELS, RoundedActivation, RoundedWeight, steps_of

_ops = torch.ops.quantized_decomposed
_MOST = 2**31 - 1


def with_integers(model: Deployable, xnnpack: bool = False) -> Deployable:
    """``model``, whose network is `Quantised`, with the weights of that as integers, and with the
    steps from floats to integers and back around every operation, which a runtime takes together.

    Args:
        xnnpack: as that library has them. Activations are from -128 to 127 instead of from 0 to
            255, which is the same; biases are floats instead of integers of 32 bits; and where an
            answer stays a float, weights are the floats that they are rounded to.
    """
    model = copy.deepcopy(model)
    network = model.network
    assert isinstance(network, Quantised)
    model.network = _with_integers(network.graph, xnnpack)
    return model


def _with_integers(module: fx.GraphModule, xnnpack: bool) -> fx.GraphModule:
    writer = _Writer(module, xnnpack)
    for node in list(module.graph.nodes):
        layer = module.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(layer, RoundedActivation):
            writer.activation(node, layer)
        elif isinstance(layer, RoundedWeight) and xnnpack and not _is_rounded(module, node):
            writer.floats(node, layer)
        elif isinstance(layer, RoundedWeight):
            writer.weight(node, layer)
        elif is_moved(node):
            writer.moved(node)
        elif not xnnpack and node.target in WEIGHTED:
            writer.bias(node)
    if xnnpack:
        writer.one_step_each()
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def _is_rounded(module: fx.GraphModule, weight: fx.Node) -> bool:
    """Whether what is calculated with a weight is rounded, perhaps behind a function."""
    [layer] = weight.users
    after = [*layer.users, *(last for user in layer.users for last in user.users)]
    return any(
        node.op == "call_module"
        and isinstance(module.get_submodule(str(node.target)), RoundedActivation)
        and (node in layer.users or not is_moved(node.all_input_nodes[0]))
        for node in after
    )


class _Writer:
    """Puts integers into a graph, node by node in its order."""

    def __init__(self, module: fx.GraphModule, signed: bool) -> None:
        self._module, self._graph = module, module.graph
        self._lowest = -(LEVELS + 1) // 2 if signed else 0
        self._dtype = torch.int8 if signed else torch.uint8
        # Of what is rounded: activations have one step and zero, weights a step a channel.
        self._grids: dict[fx.Node, tuple[float, int]] = {}
        self._steps: dict[fx.Node, torch.Tensor] = {}

    def activation(self, node: fx.Node, layer: RoundedActivation) -> None:
        scale, zero = layer.grid()
        given = node.args[0]
        assert isinstance(given, fx.Node)
        self._write(given, node, (scale.item(), int(zero.item()) + self._lowest))
        self._graph.erase_node(node)

    def moved(self, node: fx.Node) -> None:
        """What only moves values does so with integers: they are the same before and after."""
        given = node.args[0]
        assert isinstance(given, fx.Node)
        if (grid := self._grids.get(given)) is None:
            return
        if any(user.target is operator.getitem for user in node.users):
            # Of several results the one that matters is picked by the next node.
            self._grids[node] = grid
        elif all(user.op != "output" for user in node.users):
            self._write(node, node, grid)

    def _write(self, given: fx.Node, replaced: fx.Node, grid: tuple[float, int]) -> None:
        numbers = (*grid, self._lowest, self._lowest + LEVELS, self._dtype)
        with self._graph.inserting_after(replaced):
            whole = self._graph.call_function(_ops.quantize_per_tensor.default, (given, *numbers))
        with self._graph.inserting_after(whole):
            rounded = self._graph.call_function(
                _ops.dequantize_per_tensor.default, (whole, *numbers)
            )
        replaced.replace_all_uses_with(rounded, lambda user: user is not whole)
        self._grids[rounded] = grid

    def weight(self, node: fx.Node, layer: RoundedWeight) -> None:
        weight = self._tensor(node.args[0])
        steps = steps_of(weight, layer.largest)
        shape = (-1, *[1] * (weight.ndim - 1))
        whole = (weight / steps.view(shape)).round().clamp(-layer.largest, layer.largest)
        limits = (-layer.largest, layer.largest, torch.int8)
        self._steps[self._constant(node, whole, steps, limits)] = steps

    def floats(self, node: fx.Node, layer: RoundedWeight) -> None:
        name = node.name
        with self._graph.inserting_before(node):
            self._module.register_buffer(name, layer(self._tensor(node.args[0])))
            node.replace_all_uses_with(self._graph.get_attr(name))
        self._graph.erase_node(node)

    def bias(self, node: fx.Node) -> None:
        given, weight = node.args[:2]
        bias = node.args[2] if len(node.args) > 2 else None
        assert isinstance(given, fx.Node)
        assert isinstance(weight, fx.Node)
        if not isinstance(bias, fx.Node) or given not in self._grids or weight not in self._steps:
            return
        steps = self._grids[given][0] * self._steps[weight]
        whole = (self._tensor(bias).double() / steps.double()).round().clamp(-_MOST, _MOST)
        with self._graph.inserting_before(node):
            held = self._graph.call_function(torch.ops.aten.alias.default, (bias,))
        node.update_arg(2, held)
        self._constant(held, whole, steps, (-_MOST, _MOST, torch.int32))

    def one_step_each(self) -> None:
        """Give every operation steps from integers to floats of its own: XNNPACK takes them away
        one by one."""
        for node in self._grids:
            for user in list(node.users)[1:]:
                with self._graph.inserting_after(node):
                    user.replace_input_with(node, self._graph.node_copy(node))

    def _constant(
        self,
        replaced: fx.Node,
        whole: torch.Tensor,
        steps: torch.Tensor,
        limits: tuple[int, int, torch.dtype],
    ) -> fx.Node:
        """Put integers [C, …] times ``steps`` [C] in the place of a node."""
        name = f"integers_{len(self._steps)}_{replaced.name}".replace(".", "_")
        held = {
            "values": whole.to(limits[2]),
            "steps": steps,
            "zeros": torch.zeros_like(steps, dtype=torch.int64),
        }
        nodes = []
        with self._graph.inserting_before(replaced):
            for kind, tensor in held.items():
                self._module.register_buffer(f"{name}_{kind}", tensor)
                nodes.append(self._graph.get_attr(f"{name}_{kind}"))
            result = self._graph.call_function(
                _ops.dequantize_per_channel.default, (*nodes, 0, *limits)
            )
        replaced.replace_all_uses_with(result)
        self._graph.erase_node(replaced)
        return result

    def _tensor(self, node: object) -> torch.Tensor:
        assert isinstance(node, fx.Node)
        owner, _, name = str(node.target).rpartition(".")
        found = getattr(self._module.get_submodule(owner), name)
        assert isinstance(found, torch.Tensor)
        return found.detach()
