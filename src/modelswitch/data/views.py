"""Views of training images: random crops and flips of a whole batch in one gather, and more.

The padded data set stays one uint8 [N, H + 2p, W + 2p, C] tensor on the device, or on disk, from
where a batch's images are read while the batch before is computed with. A view is the
numbers that were drawn for it: row, column and flip, those of further steps
(`data.augment.steps`), a partner to be mixed with. They are drawn either afresh every epoch or once
for a bank of K fixed views that are used in turn.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from modelswitch.config.augment import Augmentation
from modelswitch.data.augment.mixing import Mixing, mix
from modelswitch.data.augment.mixing import draw as draw_mixing
from modelswitch.data.augment.steps import steps_of
from modelswitch.data.batches import epoch_cuts
from modelswitch.data.sampling import balanced_order
from modelswitch.errors import UserError
from modelswitch.randomness import derive_seed
from modelswitch.storage.stored_rows import Rows, StoredRows

# Of a batch the images and their partners', where they are on disk.
_Read = tuple[torch.Tensor | None, torch.Tensor | None]


@dataclass(frozen=True)
class Batch:
    """Views [B, C, H, W] (channels_last), labels [B], positions [B] in the training subset, and
    the number of the fixed view, or None for fresh views.

    Of mixed views also the partners' labels [B] and the share [B] of each view that is its own; its
    label is then ``labels`` with that share and ``others`` with the rest.
    """

    images: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    view: int | None
    others: torch.Tensor | None = None
    shares: torch.Tensor | None = None

    @property
    def leading(self) -> torch.Tensor:
        """The labels [B] that views show most of: what is right to answer of a mixed one."""
        if self.others is None or self.shares is None:
            return self.labels
        return torch.where(self.shares >= 0.5, self.labels, self.others)


@dataclass(frozen=True)
class ViewParameters:
    """For each of N samples: upper left corner of the crop and flip, int64 [N], int64 [N], bool
    [N]; the numbers of each further step [N, …]; and who it is mixed with, if anybody."""

    rows: torch.Tensor
    columns: torch.Tensor
    flips: torch.Tensor
    steps: tuple[torch.Tensor, ...] = ()
    mixing: Mixing | None = None


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


def _part_of(positions: torch.Tensor, number: int, count: int) -> torch.Tensor:
    """One of ``count`` parts of a batch, equal but for one image."""
    return positions if count == 1 else positions.tensor_split(count)[number]


def _generator(seed: int, purpose: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


class Views:
    """Batches of augmented views of a training subset, in an order drawn per epoch.

    Args:
        images: uint8 [N, H, W, C]; those on disk stay there, and are read as they are used.
        labels: int64 [N].
        normalise: from pixels to what a model takes.
        batch: samples a step at most, see `modelswitch.data.batches.epoch_cuts`.
        augmentation: what views may look like.
        order_seed: gives the seed for the order (and fresh views) of an epoch.
        bank_seed, bank: with ``bank`` > 0, the seed and the number of the fixed views.
        balanced: whether an epoch has as many images of every class, instead of every image once.
        part: which part of every batch, counted from 0, and of how many; all of it by default.
        device: where the images are kept.
    """

    def __init__(
        self,
        images: Rows,
        labels: torch.Tensor,
        normalise: Normaliser,
        *,
        batch: int,
        augmentation: Augmentation,
        order_seed: Callable[[int], int],
        bank_seed: int = 0,
        bank: int = 0,
        balanced: bool = False,
        part: tuple[int, int] = (0, 1),
        device: torch.device | str = "cpu",
    ) -> None:
        self.count, self.height, self.width, _ = images.shape
        padding = self._padding = augmentation.crop
        self._augmentation, self._steps = augmentation, steps_of(augmentation)
        self._padded_height = self.height + 2 * padding
        self._padded_width = self.width + 2 * padding
        self._device = torch.device(device)
        # All pixels, or the images of which each batch has a few.
        self._stored = images if isinstance(images, StoredRows) else None
        self._pixels = torch.empty(0) if self._stored is not None else self._padded(images[:])
        self._labels = labels.to(device)
        self._normalise = normalise
        self._cuts = epoch_cuts(self.count, batch)
        self._order_seed, self._bank_seed, self._bank = order_seed, bank_seed, bank
        self._balanced, self._part = balanced, part
        smallest = min(b - a for a, b in itertools.pairwise(self._cuts))
        if smallest < part[1]:
            raise UserError(
                f"training.batch: {batch} makes batches of {smallest}, which {part[1]} processes "
                "cannot share; each needs an image at least"
            )

    def _padded(self, images: torch.Tensor) -> torch.Tensor:
        """Of images uint8 [N, H, W, C] one row a pixel, [N · (H + 2p) · (W + 2p), C]: a single
        gather of rows takes a quarter of the time of an indexing by sample, row and column."""
        padding = self._padding
        # F.pad pads the last dimensions first: channels, width, height.
        padded = F.pad(images, (0, 0, padding, padding, padding, padding))
        return padded.reshape(-1, padded.shape[3]).to(self._device)

    def _pixels_of(
        self, positions: torch.Tensor, read: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of pixels, and where among their images those at ``positions`` are.

        Args:
            read: those images, if they had to be read.
        """
        if self._stored is None:
            return self._pixels, positions
        images = self._stored[positions] if read is None else read
        return self._padded(images), torch.arange(len(positions), device=self._device)

    def _read_ahead(
        self, batches: Sequence[torch.Tensor], parameters: ViewParameters
    ) -> Iterator[tuple[torch.Tensor, _Read]]:
        """Each batch's positions, and the images on disk of them and of their partners, which are
        read while the caller is at the batch before."""
        stored = self._stored
        if stored is None:
            yield from ((positions, (None, None)) for positions in batches)
            return

        def read(positions: torch.Tensor) -> _Read:
            mixing = parameters.mixing
            partners = None if mixing is None else stored[mixing.partners[positions]]
            return stored[positions], partners

        with ThreadPoolExecutor(1) as reader:
            ahead = [reader.submit(read, positions) for positions in batches[:1]]
            for number, positions in enumerate(batches):
                images = ahead.pop().result()
                ahead = [reader.submit(read, later) for later in batches[number + 1 : number + 2]]
                yield positions, images

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return len(self._cuts) - 1

    def share(self, step: int) -> float:
        """The part of a step's images that is here, times the number of parts."""
        number, count = self._part
        images = self._cuts[step + 1] - self._cuts[step]
        return _part_of(torch.arange(images), number, count).numel() * count / images

    def parameters(self, epoch: int) -> tuple[ViewParameters, int | None]:
        """The views of an epoch, and the number of the fixed view if they are from the bank."""
        if self._bank:
            view = epoch % self._bank
            return self._drawn(derive_seed(self._bank_seed, "view", view), view, "bank"), view
        return self._drawn(self._order_seed(epoch), epoch, "live"), None

    def _drawn(self, seed: int, turn: int, kind: str) -> ViewParameters:
        view_seed = seed
        generator = torch.Generator().manual_seed(seed)
        choices = 2 * self._padding + 1
        rows = torch.randint(choices, (self.count,), generator=generator)
        columns = torch.randint(choices, (self.count,), generator=generator)
        flips = torch.zeros(self.count, dtype=torch.bool)
        if self._augmentation.flip:
            # A sample's flip alternates from turn to turn, so that both sides are seen equally
            # often (as in airbench); which comes first is drawn once.
            seed = self._bank_seed if kind == "bank" else self._order_seed(0)
            first = torch.Generator().manual_seed(derive_seed(seed, "flip"))
            flips = torch.rand(self.count, generator=first) < 0.5
            if turn % 2:
                flips = ~flips
        size = (self.height, self.width)
        steps = tuple(
            step.draw(self.count, size, _generator(view_seed, step.name)).to(self._device)
            for step in self._steps
        )
        mixing = None
        if self._augmentation.mixes:
            alphas = (self._augmentation.mixup, self._augmentation.cutmix)
            mixing = draw_mixing(self.count, size, *alphas, derive_seed(view_seed, "mixing"))
            mixing = mixing.to(self._device)
        rows, columns, flips = (t.to(self._device) for t in (rows, columns, flips))
        return ViewParameters(rows, columns, flips, steps, mixing)

    def order(self, epoch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(derive_seed(self._order_seed(epoch), "order"))
        if self._balanced:
            return balanced_order(self._labels.cpu(), generator).to(self._device)
        return torch.randperm(self.count, generator=generator).to(self._device)

    def _whole(
        self, positions: torch.Tensor, parameters: ViewParameters, read: torch.Tensor | None
    ) -> torch.Tensor:
        """The views of ``positions`` before they are mixed, normalised, [B, C, H, W]."""
        rows = parameters.rows[positions, None] + torch.arange(self.height, device=self._device)
        columns = torch.arange(self.width, device=self._device).expand(len(positions), -1)
        flipped = parameters.flips[positions, None]
        columns = torch.where(flipped, self.width - 1 - columns, columns)
        columns = columns + parameters.columns[positions, None]
        table, places = self._pixels_of(positions, read)
        rows = places[:, None] * self._padded_height + rows
        index = rows[:, :, None] * self._padded_width + columns[:, None, :]
        pixels = table.index_select(0, index.view(-1)).view(*index.shape, -1)
        if not self._steps:
            return self._normalise(pixels)
        images = pixels.permute(0, 3, 1, 2).float()
        for step, drawn in zip(self._steps, parameters.steps, strict=True):
            images = step.apply(images, drawn[positions])
        return self._normalise(images.clamp(0, 255).permute(0, 2, 3, 1))

    def gather(
        self, positions: torch.Tensor, parameters: ViewParameters, read: _Read = (None, None)
    ) -> torch.Tensor:
        """The views of ``positions``, normalised, [B, C, H, W] in channels_last."""
        images = self._whole(positions, parameters, read[0])
        if parameters.mixing is None:
            return images
        mixing = parameters.mixing.of(positions)
        return mix(images, self._whole(mixing.partners, parameters, read[1]), mixing)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from step ``skip`` on."""
        order = self.order(epoch)
        parameters, view = self.parameters(epoch)
        cuts = itertools.pairwise(self._cuts[skip:])
        batches = [_part_of(order[a:b], *self._part) for a, b in cuts]
        for positions, read in self._read_ahead(batches, parameters):
            images = self.gather(positions, parameters, read)
            labels, mixing = self._labels[positions], parameters.mixing
            if mixing is None:
                yield Batch(images, labels, positions, view)
            else:
                others = self._labels[mixing.partners[positions]]
                yield Batch(images, labels, positions, view, others, mixing.shares[positions])

    def bank_view(self, view: int, size: int) -> Iterator[torch.Tensor]:
        """The fixed view ``view`` of all samples in their order, ``size`` at a time."""
        parameters, _ = self.parameters(view)
        everything = torch.arange(self.count, device=self._device)
        for positions, read in self._read_ahead(everything.split(size), parameters):
            yield self.gather(positions, parameters, read)
