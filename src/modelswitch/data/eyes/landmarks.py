"""Where MediaPipe's network sees an iris: places from which the rims are then measured.

The network (Ablavatski et al., Real-time pupil tracking from monocular video, CV4ARVR 2020;
Apache-2.0) takes 64 x 64 pixels about an eye and gives five points of the iris: its centre and four
on its rim. Its file is in the package `mediapipe`, of which nothing else is used: that package
wants an older numpy than this one, and no more than the file is needed.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from modelswitch.data.eyes.circles import Circle, Image
from modelswitch.errors import UserError

_FILE = Path("modules") / "iris_landmark" / "iris_landmark.tflite"
_SIDE = 64
# In squares of this width the points lie on the rim of the synthetic eyes (1.01 of its radius);
# in narrower ones the network sees too small an iris (0.90 at 6, 0.76 at 4), and steps shrink it.
_IRISES_WIDE = 8
_STARTS = (2.0, 1.0, 0.6)  # squares about the middle, in shares of the shorter side
_STEPS = 5
_WANTED = (
    "data.finder: landmarks needs ai-edge-litert (pip install 'modelswitch[landmarks]') and the "
    "network's file in mediapipe (pip install --no-deps mediapipe==0.10.21)"
)


def landmarks_finder() -> Callable[[Image], list[Circle]]:
    """A function that proposes circles for the rim of the iris in a photograph.

    Raises `UserError` where the runtime or the network's file is missing.
    """
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise UserError(f"{_WANTED}; ai-edge-litert is missing")
    found = importlib.util.find_spec("mediapipe")
    folders = (found.submodule_search_locations if found else None) or []
    file = next((path for f in folders if (path := Path(f) / _FILE).is_file()), None)
    if file is None:
        raise UserError(f"{_WANTED}; {_FILE.name} is missing")
    # Another package's module, which has no types and is not installed where it is not wanted.
    interpreter_of: Any = importlib.import_module("ai_edge_litert.interpreter").Interpreter
    interpreter = interpreter_of(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    # of the two outputs, five points of the iris have the fewer numbers
    answer = min(interpreter.get_output_details(), key=lambda output: np.prod(output["shape"]))

    def iris_in(square: Image) -> np.ndarray:
        interpreter.set_tensor(given, square[None].astype(np.float32))
        interpreter.invoke()
        points: np.ndarray = interpreter.get_tensor(answer["index"]).reshape(5, 3)[:, :2]
        return points

    return lambda photo: _proposed(photo, iris_in)


def _proposed(photo: Image, iris_in: Callable[[Image], np.ndarray]) -> list[Circle]:
    """Circles from squares of several sizes, each of which moves to the iris that is seen in it."""
    colour = np.repeat(photo, 3, -1) if photo.shape[-1] == 1 else photo
    rows, columns = photo.shape[:2]
    found = []
    for start in _STARTS:
        side, x, y = start * min(rows, columns), (columns - 1) / 2, (rows - 1) / 2
        circle = Circle(x, y, 0)
        for _ in range(_STEPS):
            scale = side / _SIDE
            points = (iris_in(_square(colour, x, y, scale)) - _SIDE / 2) * scale + [x, y]
            (x, y), rim = points[0], points[1:]
            circle = Circle(float(x), float(y), float(np.hypot(*(rim - points[0]).T).mean()))
            side = float(np.clip(2 * circle.radius * _IRISES_WIDE, 16, 2 * max(rows, columns)))
        if circle.radius > 2 and 0 <= circle.x < columns and 0 <= circle.y < rows:
            found.append(circle)
    return found


def _square(colour: Image, x: float, y: float, scale: float) -> Image:
    """64 x 64 pixels about a place, each ``scale`` pixels of the photograph wide."""
    steps = (np.arange(_SIDE) + 0.5 - _SIDE / 2) * scale
    place = np.meshgrid(y + steps, x + steps, indexing="ij")
    calm = gaussian_filter(colour, (0.4 * scale, 0.4 * scale, 0)) if scale > 1 else colour
    planes = [map_coordinates(c, place, order=1, mode="nearest") for c in np.moveaxis(calm, -1, 0)]
    return np.stack(planes, -1)
