"""Features of two layers brought to what a loss can compare."""

import torch
import torch.nn.functional as F

from modelswitch.errors import UserError

# Vectors shorter than this have no direction.
_SHORTEST = 1e-6


def is_map(shape: tuple[int, ...]) -> bool:
    """Whether features of this shape are a map [B, C, H, W]."""
    return len(shape) == 4


def width(shape: tuple[int, ...]) -> int:
    """Channels of features: of maps [B, C, H, W] the second side, otherwise the last."""
    return shape[1] if is_map(shape) else shape[-1]


def pooled(features: torch.Tensor) -> torch.Tensor:
    """Maps averaged over the image, tokens over their positions, to [B, C]."""
    if is_map(tuple(features.shape)):
        return features.mean((2, 3))
    return features.flatten(1, -2).mean(1) if features.ndim > 2 else features


def common_size(student: tuple[int, ...], teacher: tuple[int, ...]) -> tuple[int, int]:
    """The smaller of both maps' heights and of their widths."""
    return min(student[2], teacher[2]), min(student[3], teacher[3])


def resized(features: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A map averaged down to ``size``, itself where it has it."""
    return features if tuple(features.shape[2:]) == size else F.adaptive_avg_pool2d(features, size)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors [..., D] of length 1; those that have no direction become 0, with no gradient.

    Dividing them by a small number instead would give them a gradient of its inverse.
    """
    lengths = vectors.norm(dim=-1, keepdim=True)
    short = lengths < _SHORTEST
    return (vectors / lengths.masked_fill(short, 1)).masked_fill(short, 0)


def refuse(loss: str, why: str, student: tuple[int, ...], teacher: tuple[int, ...]) -> UserError:
    """The error for layers whose shapes a loss cannot compare."""
    shapes = " and ".join(str(list(shape[1:])) for shape in (student, teacher))
    return UserError(f"loss {loss!r}: {why}; found {shapes} for an image")
