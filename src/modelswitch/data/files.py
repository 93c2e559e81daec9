"""Reading people's files: .npz archives, images, folders of them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from modelswitch.errors import UserError

IMAGE_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


def read_npz(path: str, required: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of a .npz without running code from it; raises `UserError`."""
    if not Path(path).is_file():
        raise UserError(f"data.path: {path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in required if key not in archive]
            if missing:
                there = ", ".join(archive.files) or "none"
                raise UserError(f"{path}: lacks {', '.join(missing)}; it has {there}")
            return {key: archive[key] for key in archive.files}
    except AttributeError as error:
        raise UserError(f"{path}: is a single array, not a .npz archive") from error
    except UserError:
        raise
    except Exception as error:
        # zipfile, zlib and numpy's header parser have a dozen kinds of error for changed bytes.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: corrupt, or not a .npz of plain arrays ({reason})") from error


def class_names_in(arrays: Mapping[str, np.ndarray], where: str) -> list[str] | None:
    """The names under ``class_names``, if there are any; raises `UserError` for what is no list."""
    if "class_names" not in arrays:
        return None
    names = np.asarray(arrays["class_names"])
    if names.ndim != 1:
        raise UserError(f"{where}: class_names has shape {names.shape}, expected a list of names")
    return [str(name) for name in names]


def image_files(folder: Path, root: Path) -> list[Path]:
    """Images directly or deeper below ``folder``, sorted; raises `UserError` for one whose real
    place is outside ``root``."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_ENDINGS)
    for path in found:
        if not path.resolve().is_relative_to(root.resolve()):
            raise UserError(f"{path}: leads out of the data folder {root}")
    return found


def read_image(path: Path, mode: str, size: tuple[int, int] | None) -> np.ndarray:
    """uint8 [H, W, C] of an image file, in ``mode`` (RGB or L), resized to (height, width)."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            converted = image.convert(mode)
            if size is not None and converted.size != (size[1], size[0]):
                converted = converted.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            pixels = np.asarray(converted)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: corrupt, or not an image ({reason})") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: too large an image ({error})") from error
    return pixels if pixels.ndim == 3 else pixels[..., None]


def subfolders(folder: Path, root: Path) -> list[Path]:
    found = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    for path in found:
        if not path.resolve().is_relative_to(root.resolve()):
            raise UserError(f"{path}: leads out of the data folder {root}")
    return found
