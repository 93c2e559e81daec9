"""From what people store as pixels and labels to uint8 and int64."""

import numpy as np
import torch

from modelswitch.errors import UserError

# Higher labels are mistakes (identifiers, say), and a model for them would fill the memory.
_MOST_CLASSES = 1_000_000


def as_pixels(images: np.ndarray, where: str) -> torch.Tensor:
    """uint8 [N, H, W, C] from uint8, or from floats in [0, 1] or [0, 255]; grey may lack C."""
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        raise UserError(
            f"{where}: has shape {images.shape}, expected [images, height, width] or "
            "[images, height, width, channels] with none of them 0"
        )
    if images.shape[-1] > 4 and images.shape[1] <= 4:
        raise UserError(
            f"{where}: has shape {images.shape}, which looks like channels before height; "
            "expected [images, height, width, channels]"
        )
    if images.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(images))
    if not np.issubdtype(images.dtype, np.floating):
        raise UserError(f"{where}: holds {images.dtype}, expected uint8 or floating point")
    if not np.isfinite(images).all():
        bad = np.unique(np.nonzero(~np.isfinite(images))[0])
        raise UserError(
            f"{where}: {len(bad)} images have pixels that are NaN or infinite, "
            f"the first is number {bad[0]}"
        )
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 255:
        raise UserError(f"{where}: pixels go from {low:g} to {high:g}, expected [0, 1] or [0, 255]")
    scale = 255.0 if high <= 1 else 1.0
    return torch.from_numpy(np.rint(images * scale).astype(np.uint8))


def as_labels(labels: np.ndarray, count: int, where: str) -> torch.Tensor:
    """int64 [N]; raises `UserError` unless there is one whole number >= 0 for every image."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != count:
        raise UserError(f"{where}: has shape {labels.shape}, expected one label for {count} images")
    if labels.dtype.kind in "iuf" and len(labels) and labels.max() >= _MOST_CLASSES:
        raise UserError(f"{where}: has a label {labels.max()}, expected less than {_MOST_CLASSES}")
    if np.issubdtype(labels.dtype, np.floating) and (labels == np.rint(labels)).all():
        labels = labels.astype(np.int64)
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"{where}: holds {labels.dtype}, expected whole numbers")
    if labels.min() < 0:
        raise UserError(f"{where}: has a label {labels.min()}, expected 0 or more")
    return torch.from_numpy(labels.astype(np.int64))
