"""Views with parts of other images: mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019).

Each sample has one partner, any other of the training subset, a share of its own, and for CutMix a
box. The partner comes with its own view. So a mixed view depends on the sample and the seed alone,
not on who else is in the batch, and can be stored like any other.
"""

from dataclasses import dataclass

import numpy as np
import torch

from modelswitch.data.augment import geometry


@dataclass(frozen=True)
class Mixing:
    """For each of N samples: its partner int64 [N], the share of itself that is left float [N], and
    the box int64 [N, 4] (top, left, bottom, right) that shows the partner, empty for mixup."""

    partners: torch.Tensor
    shares: torch.Tensor
    boxes: torch.Tensor

    def of(self, positions: torch.Tensor) -> "Mixing":
        """What was drawn for some of the samples."""
        return Mixing(self.partners[positions], self.shares[positions], self.boxes[positions])

    def to(self, device: torch.device | str) -> "Mixing":
        return Mixing(self.partners.to(device), self.shares.to(device), self.boxes.to(device))


def draw(count: int, size: tuple[int, int], mixup: float, cutmix: float, seed: int) -> Mixing:
    """Partners, shares and boxes of ``count`` samples of images of ``size`` (height, width).

    Shares are drawn from Beta(α, α); with both kinds, each sample has either with equal chance. A
    partner is never the sample itself where there is another.
    """
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    # A random cycle: nobody is its own partner, and everybody is one once.
    order = torch.randperm(count, generator=generator)
    partners = torch.empty(count, dtype=torch.int64)
    partners[order] = order.roll(1)
    cut = torch.zeros(count, dtype=torch.bool)
    if cutmix:
        cut[:] = True
    if cutmix and mixup:
        cut = torch.rand(count, generator=generator) < 0.5
    shares = torch.ones(count)
    for chosen, alpha in ((~cut, mixup), (cut, cutmix)):
        if alpha:
            drawn = torch.from_numpy(rng.beta(alpha, alpha, count)).float()
            shares = torch.where(chosen, drawn, shares)
    height, width = size
    centres = torch.rand(count, 2, generator=generator)
    side = (1 - shares).clamp(min=0).sqrt()
    half = torch.stack([side * height, side * width], 1) / 2
    middle = centres * torch.tensor([height, width])
    limits = torch.tensor([height, width])
    low = (middle - half).round().clamp(min=0).minimum(limits).long()
    high = (middle + half).round().clamp(min=0).minimum(limits).long()
    boxes = torch.cat([low, high], 1)
    boxes[~cut] = 0
    # What is left of a sample is what shows of it: the box was cut at the rim.
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    shares = torch.where(cut, 1 - area / (height * width), shares)
    return Mixing(partners, shares, boxes)


def mix(images: torch.Tensor, others: torch.Tensor, mixing: Mixing) -> torch.Tensor:
    """Images [B, C, H, W] with their partners' views [B, C, H, W] mixed or pasted in."""
    shown = inside(mixing.boxes, (images.shape[2], images.shape[3]))
    boxed = (mixing.boxes[:, 2] > mixing.boxes[:, 0])[:, None, None]
    own = torch.where(boxed, (~shown).float(), mixing.shares[:, None, None])[:, None]
    return torch.lerp(others, images, own)


def inside(boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """bool [B, H, W]: what lies in boxes [B, 4] (top, left, bottom, right) of whole numbers."""
    top, left, bottom, right = boxes[:, :, None, None].unbind(1)
    y = torch.arange(size[0], device=boxes.device)[:, None]
    x = torch.arange(size[1], device=boxes.device)
    return (y >= top) & (y < bottom) & (x >= left) & (x < right)


def boxes_to_erase(
    count: int,
    size: tuple[int, int],
    chance: float,
    scale: tuple[float, float],
    generator: torch.Generator,
) -> torch.Tensor:
    """int64 [N, 4] (top, left, bottom, right); empty for a sample that stays whole."""
    drawn = geometry.draw_boxes(count, size, scale, (0.3, 1 / 0.3), generator)
    top, left, tall, wide = drawn.unbind(1)
    boxes = torch.stack([top, left, top + tall, left + wide], 1).round().long()
    boxes[torch.rand(count, generator=generator) >= chance] = 0
    return boxes
