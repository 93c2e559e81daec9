"""Which models become files for a device, in which formats, as validated values."""

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from modelswitch.config.base import Strict
from modelswitch.config.data_base import Place
from modelswitch.errors import UserError

FormatName = Literal[
    "onnx",
    "onnx-int8",
    "executorch",
    "executorch-int8",
    "openvino",
    "litert",
]
FORMAT_NAMES: tuple[str, ...] = get_args(FormatName)
# How the files of a format end; the first is the one that a runtime is given.
SUFFIXES: dict[str, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "onnx-int8": (".onnx",),
    "executorch": (".pte",),
    "executorch-int8": (".pte",),
    "openvino": (".xml", ".bin"),
    "litert": (".tflite",),
}

# Those whose ranges are found on images of the training.
CALIBRATED = ("onnx-int8", "executorch-int8")

CARD_FILE = "deploy/card.md"  # below a model's folder


def exported_file(name: str) -> str:
    """Where a format's file lies below its model's folder."""
    return f"deploy/{name}{SUFFIXES[name][0]}"


class Deploy(Strict):
    """Trained models as files that run without this project, each measured in its own runtime."""

    formats: Annotated[list[FormatName], Field(min_length=1)] = Field(
        default=["onnx", "onnx-int8"],
        description="file formats, each an extra to install: see docs/deployment.md",
    )
    models: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="chains or lineages; by default every chain's last model"
    )
    seeds: Annotated[list[int], Field(min_length=1)] | None = Field(
        default=None, description="seeds whose models become files; by default all"
    )
    preprocessing: bool = Field(
        default=True,
        description="true: pixels (uint8 [N, H, W, C]) in, so that a device needs no code of its "
        "own; false: normalised numbers (float32 [N, C, H, W]) in",
    )
    calibration: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=512, description="training images that integer formats find their ranges with"
    )
    measured: list[Place] = Field(
        default=[],
        description="tables that `python -m modelswitch measure` wrote on other machines, for the "
        "page to show beside this one's",
    )
    tolerance: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.02,
        description="accuracy on the test set that a file may lose (0.02: two percentage points); "
        "one that loses more fails its step",
    )

    def check_calibration(self, classes: int) -> None:
        """Raise `UserError` where a format is calibrated on fewer images than there are classes."""
        named = [name for name in self.formats if name in CALIBRATED]
        if named and self.calibration < classes:
            raise UserError(
                f"deploy.calibration: found {self.calibration}, fewer than the {classes} classes; "
                f"{named[0]} needs an image of each"
            )

    @field_validator("formats")
    @classmethod
    def _distinct(cls, formats: list[str]) -> list[str]:
        if len(set(formats)) != len(formats):
            raise ValueError(f"formats repeat: {', '.join(formats)}")
        return formats


class DeployJob(Strict):
    """All that the export of one model into one format depends on, besides the model's own job."""

    format: FormatName
    preprocessing: bool
    calibration: int
    tolerance: float
