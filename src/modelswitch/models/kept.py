"""Whether files keep all of a model: tried before it is trained, and when its file is written.

A model may hold what its state dict does not: random wiring drawn when it is built, a counter, a
buffer that is not saved. Its file, loaded, is then another model than the one that was measured,
and a training that was stopped goes on from another state.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from modelswitch.errors import UserError, in_one_line, naming
from modelswitch.models import metrics
from modelswitch.models.build import fill
from modelswitch.models.isolation import answered, refuse_shared
from modelswitch.randomness import derive_seed, seeded
from modelswitch.training.finite import FiniteState
from modelswitch.training.resume import state_of

# Of how far the answers to a batch are apart: what the order of a sum changes stays far below it.
_TOLERANCE = 1e-4
# One rounding of float32, relative to the value.
_ROUNDING = 2e-6
_RATE = 1e-3


def check_kept(
    make: Callable[[int], nn.Module], seed: int, images: torch.Tensor, labels: torch.Tensor
) -> bool:
    """Whether first weights depend on the seed; refuse a model of which files would not keep all.

    Built anew, the model takes two steps of training. What a file keeps of it then goes into
    another one, of other first weights, which has to answer alike in eval mode; with what resume
    files keep of it, in train mode too. The global random streams go on where they were.

    Args:
        make: builds the model from a seed.
        seed: of the training at hand.
        images: normalised, [B, C, H, W].
        labels: int64 [B].

    Raises:
        UserError: something of the model is lost when it is loaded or gone on with, two builds with
            one seed differ, or it cannot answer or learn.
    """
    model, other = make(seed), make(derive_seed(seed, "another"))
    FiniteState(model).check("when it is built", "no training can mend that")
    depends = _compare_builds(model, make(seed), other)
    extra = [n for n, v in model.state_dict().items() if not isinstance(v, torch.Tensor)]
    extra += [n for n in model.state_dict() if n.endswith("_extra_state") and n not in extra]
    if extra:
        raise UserError(f"its state {extra[0]!r} is no parameter or buffer; register it as one")

    named = state_of(model).keys()
    _step(model, images, labels)
    answers = _answers(model, images, 0)
    if named != state_of(model).keys():
        name = min(named ^ state_of(model).keys())
        raise UserError(f"has {name!r} only after its first pass; register it when it is built")
    if apart := difference(answers, _answers(model, images, 1)):
        raise UserError(f"answers in eval mode differ from one pass to the next {apart}")
    # Once more: what was folded or cached in eval mode has to follow the weights.
    _step(model, images, labels)
    answers = _answers(model, images, 0)
    with naming("cannot be read back from a file"):
        fill(other, {name: t.detach().clone() for name, t in model.state_dict().items()})
    if apart := difference(answers, _answers(other, images, 0)):
        raise UserError(
            f"what its state dict holds, in a new model, answers otherwise {apart}: it keeps "
            "something in a plain attribute or in a buffer that is not persistent, which no file "
            "would have; register it as a buffer"
        )

    with torch.no_grad():
        for name, tensor in state_of(other).items():
            tensor.copy_(state_of(model)[name])
    if apart := difference(_trained(model, images), _trained(other, images)):
        raise UserError(
            f"a training that was stopped could not go on: in train mode, its parameters and "
            f"buffers in a new model answer otherwise {apart}; what changes in training has to be "
            "a buffer, what is random has to be drawn from global generators"
        )
    return depends


def difference(measured: torch.Tensor, others: torch.Tensor) -> str:
    """Words for how far two models' logits [N, C] of the same images are apart; none if they are
    not.

    They may differ by 1e-4 of the range of the logits and by a few roundings of their size, which
    is what another order of sums does; the same model on the same machine gives the same bits.
    """
    apart = (measured.double() - others.double()).abs()
    spread = (measured.amax(1) - measured.amin(1)).max().double()
    allowed = _TOLERANCE * spread + _ROUNDING * measured.abs().max().double()
    if bool((apart <= allowed).all()):
        return ""
    return f"(by {apart.max():.3g}, where logits lie {spread:.3g} apart)"


def _compare_builds(model: nn.Module, again: nn.Module, other: nn.Module) -> bool:
    """Whether first weights depend on the seed, of two builds from one and one from another."""
    refuse_shared({"one": model, "the next": again, "another": other})
    if not _equal(model.state_dict(), again.state_dict()):
        raise UserError(
            "first weights differ from one build to the next with the same seed; draw them from "
            "the global generators of torch, numpy or random, which are seeded"
        )
    return not _equal(dict(model.named_parameters()), dict(other.named_parameters()))


def _equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether tensors of the same names are the same to the bit; what is no tensor is left out."""
    ours, theirs = (
        {name: t for name, t in state.items() if isinstance(t, torch.Tensor)}
        for state in (first, second)
    )
    return ours.keys() == theirs.keys() and all(
        t.shape == theirs[n].shape and torch.equal(t, theirs[n]) for n, t in ours.items()
    )


def _answers(model: nn.Module, images: torch.Tensor, turn: int) -> torch.Tensor:
    """Logits in eval mode; another ``turn`` has other random numbers."""
    model.eval()
    with in_one_line("fails in eval mode"), seeded(turn), torch.inference_mode():
        return metrics.finite(_logits(model, images))


def _trained(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Logits in train mode."""
    model.train()
    with in_one_line("fails in train mode"), seeded(0):
        return metrics.finite(_logits(model, images).detach())


def _step(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """One step of gradient descent in train mode."""
    model.train()
    with in_one_line("fails in a step of training"), seeded(0):
        F.cross_entropy(_logits(model, images), labels).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None and torch.isfinite(parameter.grad).all():
                    parameter.sub_(_RATE * parameter.grad)
        model.zero_grad()


def _logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    mode = "train" if model.training else "eval"
    logits = answered(model, images, f"in {mode} mode")
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(images):
        found = tuple(getattr(logits, "shape", ())) or type(logits).__name__
        raise UserError(
            f"returns {found} in {mode} mode for {len(images)} images, expected logits "
            f"[{len(images)}, classes]"
        )
    return logits.float()
