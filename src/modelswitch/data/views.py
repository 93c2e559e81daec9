"""Views of training images: random crops and flips of a whole batch in one gather.

The padded data set stays one uint8 [N, H + 2p, W + 2p, C] tensor on the device. A view is three
numbers a sample (row, column, flip), drawn either afresh every epoch or once for a bank of K
fixed views that are used in turn.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from modelswitch.data.batches import epoch_cuts
from modelswitch.randomness import derive_seed


@dataclass(frozen=True)
class Batch:
    """Views [B, C, H, W] (channels_last), labels [B], positions [B] in the training subset, and
    the number of the fixed view, or None for fresh views."""

    images: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    view: int | None


@dataclass(frozen=True)
class ViewParameters:
    """Upper left corner of the crop and flip, for each sample: int64 [N], int64 [N], bool [N]."""

    rows: torch.Tensor
    columns: torch.Tensor
    flips: torch.Tensor


class Normaliser:
    """uint8 [B, H, W, C] to float [B, C, H, W] in channels_last, per channel (x/255 - mean)/std."""

    def __init__(
        self, mean: list[float], std: list[float], device: torch.device | str = "cpu"
    ) -> None:
        scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        shift = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        self._scale = scale.float().to(device).view(1, -1, 1, 1)
        self._shift = shift.float().to(device).view(1, -1, 1, 1)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(self._shift, images.permute(0, 3, 1, 2).float(), self._scale)


class Views:
    """Batches of augmented views of a training subset, in an order drawn per epoch.

    Args:
        images: uint8 [N, H, W, C].
        labels: int64 [N].
        normalise: from pixels to what a model takes.
        batch: samples a step at most, see `modelswitch.data.batches.epoch_cuts`.
        padding, flip: the augmentation.
        order_seed: gives the seed for the order (and fresh views) of an epoch.
        bank_seed, bank: with ``bank`` > 0, the seed and the number of the fixed views.
        device: where the images are kept.
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        normalise: Normaliser,
        *,
        batch: int,
        padding: int,
        flip: bool,
        order_seed: Callable[[int], int],
        bank_seed: int = 0,
        bank: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.count, self.height, self.width, _ = images.shape
        self._padding, self._flip = padding, flip
        # F.pad pads the last dimensions first: channels, width, height.
        padded = F.pad(images, (0, 0, padding, padding, padding, padding))
        # One row a pixel: a single gather of rows takes a quarter of the time of an indexing by
        # sample, row and column.
        self._pixels = padded.reshape(-1, padded.shape[3]).to(device)
        self._padded_height, self._padded_width = padded.shape[1:3]
        self._labels = labels.to(device)
        self._normalise = normalise
        self._cuts = epoch_cuts(self.count, batch)
        self._order_seed, self._bank_seed, self._bank = order_seed, bank_seed, bank
        self._device = device

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return len(self._cuts) - 1

    def parameters(self, epoch: int) -> tuple[ViewParameters, int | None]:
        """The views of an epoch, and the number of the fixed view if they are from the bank."""
        if self._bank:
            view = epoch % self._bank
            return self._drawn(derive_seed(self._bank_seed, "view", view), view, "bank"), view
        return self._drawn(self._order_seed(epoch), epoch, "live"), None

    def _drawn(self, seed: int, turn: int, kind: str) -> ViewParameters:
        generator = torch.Generator().manual_seed(seed)
        choices = 2 * self._padding + 1
        rows = torch.randint(choices, (self.count,), generator=generator)
        columns = torch.randint(choices, (self.count,), generator=generator)
        flips = torch.zeros(self.count, dtype=torch.bool)
        if self._flip:
            # A sample's flip alternates from turn to turn, so that both sides are seen equally
            # often (as in airbench); which comes first is drawn once.
            seed = self._bank_seed if kind == "bank" else self._order_seed(0)
            first = torch.Generator().manual_seed(derive_seed(seed, "flip"))
            flips = torch.rand(self.count, generator=first) < 0.5
            if turn % 2:
                flips = ~flips
        return ViewParameters(*(t.to(self._device) for t in (rows, columns, flips)))

    def order(self, epoch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(derive_seed(self._order_seed(epoch), "order"))
        return torch.randperm(self.count, generator=generator).to(self._device)

    def gather(self, positions: torch.Tensor, parameters: ViewParameters) -> torch.Tensor:
        """The views of ``positions``, normalised, [B, C, H, W] in channels_last."""
        rows = parameters.rows[positions, None] + torch.arange(self.height, device=self._device)
        columns = torch.arange(self.width, device=self._device).expand(len(positions), -1)
        flipped = parameters.flips[positions, None]
        columns = torch.where(flipped, self.width - 1 - columns, columns)
        columns = columns + parameters.columns[positions, None]
        rows = positions[:, None] * self._padded_height + rows
        index = rows[:, :, None] * self._padded_width + columns[:, None, :]
        pixels = self._pixels.index_select(0, index.view(-1))
        return self._normalise(pixels.view(*index.shape, -1))

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from step ``skip`` on."""
        order = self.order(epoch)
        parameters, view = self.parameters(epoch)
        for step in range(skip, self.steps):
            positions = order[self._cuts[step] : self._cuts[step + 1]]
            images = self.gather(positions, parameters)
            yield Batch(images, self._labels[positions], positions, view)

    def bank_view(self, view: int, size: int) -> Iterator[torch.Tensor]:
        """The fixed view ``view`` of all samples in their order, ``size`` at a time."""
        parameters, _ = self.parameters(view)
        for start in range(0, self.count, size):
            positions = torch.arange(start, min(start + size, self.count), device=self._device)
            yield self.gather(positions, parameters)
