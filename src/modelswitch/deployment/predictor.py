"""A trained model that is ready to be asked: images in, classes and probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from modelswitch.config.models import ImportedModel
from modelswitch.data.views import Normaliser
from modelswitch.deployment.images import Images, as_batch
from modelswitch.errors import UserError, naming
from modelswitch.models.build import (
    build,
    fill,
    give_shapes,
    stored_architecture,
    to_channels_last,
)
from modelswitch.storage import artifacts

_BATCH = 250


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image: the likeliest classes, and the probability of each.

    ``classes`` and ``probabilities`` are in falling order of probability.
    """

    classes: tuple[str, ...]
    probabilities: tuple[float, ...]

    @property
    def label(self) -> str:
        """The likeliest class."""
        return self.classes[0]

    @property
    def confidence(self) -> float:
        """The probability of the likeliest class."""
        return self.probabilities[0]


class Predictor:
    """A network with the preprocessing that it was trained with, on the processor.

    Attributes:
        network: from float [N, C, H, W], normalised, to logits [N, K]; in eval mode.
        class_names: the K classes, in the order of the logits.
        image_shape: height, width and channels of what the network was trained on.
        mean, std: per channel, of pixels scaled to [0, 1].
        files: how files of images are read; see `data.arrays.ImageArrays`.
        passport: what the file says about itself: lineage, configuration, data, versions.
    """

    def __init__(
        self,
        network: nn.Module,
        class_names: Sequence[str],
        image_shape: tuple[int, int, int],
        mean: Sequence[float],
        std: Sequence[float],
        passport: dict[str, Any] | None = None,
        files: dict[str, Any] | None = None,
    ) -> None:
        self.network = network.eval()
        self.class_names = tuple(class_names)
        self.image_shape = image_shape
        self.mean, self.std = list(mean), list(std)
        self.passport, self.files = passport or {}, files or {}
        self._normalise = Normaliser(self.mean, self.std)

    def probabilities(self, images: Images) -> np.ndarray:
        """Probabilities float32 [N, K] for one or several images.

        Args:
            images: a path, a PIL image, a uint8 array [H, W], [H, W, C] or [N, H, W, C], or a
                sequence of paths, PIL images or arrays. Images of another size are resized, colour
                becomes grey or grey colour, as the training's data were.

        Raises:
            UserError: an image that cannot be read, or an array of another type or shape.
        """
        batch = torch.from_numpy(as_batch(images, self.image_shape, self.files))
        parts = []
        with torch.inference_mode():
            for start in range(0, len(batch), _BATCH):
                logits = self.network(self._normalise(batch[start : start + _BATCH]))
                parts.append(logits.float().softmax(1))
        return torch.cat(parts).numpy() if parts else np.empty((0, len(self.class_names)), "f4")

    def predict(self, images: Images, top: int = 5) -> list[Prediction]:
        """The ``top`` likeliest classes of every image; images as in `probabilities`."""
        result = []
        for row in self.probabilities(images):
            order = np.argsort(-row, kind="stable")[:top]
            result.append(
                Prediction(
                    tuple(self.class_names[i] for i in order), tuple(float(row[i]) for i in order)
                )
            )
        return result

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        return f"<Predictor {self.passport.get('lineage', '')}: {shape} to {len(self.class_names)}>"


def load(path: str | Path) -> Predictor:
    """The model in a ``model.safetensors``, ready to be asked.

    The architecture is in the file's header, its weights are checked against their checksum, and no
    code in the file is ever run. A model of a user's own (`family: import`) is made by the function
    that its configuration names, which Python has to find.

    Raises:
        UserError: the file is missing, altered, no model of this project's, or its own function
            cannot be found.
    """
    path = Path(path)
    tensors, passport = artifacts.load(path, kind="model")
    spec = stored_architecture(passport, path)
    given = passport.get("input") or _from_data(path, passport)
    shape = tuple(given["shape"])
    try:
        network = build(spec, shape[2], len(passport["classes"]))
    except UserError as error:
        if isinstance(spec, ImportedModel):
            raise UserError(f"{path}: needs the function {spec.path} ({error})") from error
        raise
    give_shapes(network, shape)
    with naming(f"{path}: does not fit its network"):
        fill(network, tensors)
    to_channels_last(network)
    files = given.get("files", {})
    return Predictor(
        network, passport["classes"], shape, given["mean"], given["std"], passport, files
    )


def _from_data(path: Path, passport: dict[str, Any]) -> dict[str, Any]:
    """Size and normalisation from the prepared data above a model that was written without them."""
    for folder in path.resolve().parents:
        data = folder / "data.safetensors"
        if not data.is_file():
            continue
        stored = artifacts.read_passport(data)
        if stored.get("checksum") == passport.get("data"):
            shape = artifacts.shape_of(data, "train.images")[1:]
            return {"shape": shape, "mean": stored["mean"], "std": stored["std"]}
    raise UserError(
        f"{path}: does not say the size and normalisation of its images, and the data set that it "
        "was trained on is not beside it; train it again, or keep it in its results folder"
    )
