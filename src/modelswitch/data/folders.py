"""One walk through a folder of people's files, and what its names say.

Light to import: Snakemake lists files while it parses.
"""

import errno
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from modelswitch.errors import UserError

IMAGE_ENDINGS = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
WHOLE = ""  # the split of data that come without one
# What systems and programs leave behind beside hidden files, which begin with a dot.
_CLUTTER = frozenset({"__macosx", "__pycache__", "thumbs.db", "desktop.ini", "@eadir"})
_NAMES_OF_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_LIKE_A_SPLIT = re.compile(
    r"((images?|imgs?|data|set|split)[\W_]*)?"
    r"(train|training|trn|val|valid|validation|dev|eval|evaluation|test|testing|tst|holdout)"
    r"[\W_]*(images?|imgs?|data|set|split|part)?[\W_]*\d*"
)
# What only together with others of its kind means a split: tr and te, cats_train and cats_test.
_WORDS_OF_SPLITS = {
    word: split
    for split, words in {
        "train": ("train", "training", "trn", "tr"),
        "validation": ("val", "valid", "validation", "dev", "eval", "evaluation", "va", "vl"),
        "test": ("test", "testing", "tst", "te", "ts", "holdout"),
    }.items()
    for word in words
}
_FOLD = re.compile(r"(fold|split)[\W_]*\d+")
_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# Of no width, soft hyphens, and marks of a direction, which come with paths copied from a window.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Folder:
    """A folder as it was found: sub-folders and image files, without what is hidden."""

    path: Path
    folders: tuple["Folder", ...]
    images: tuple[Path, ...]

    @property
    def name(self) -> str:
        return normal(self.path.name)

    def all_images(self) -> Iterator[Path]:
        """The images in it and below it."""
        yield from self.images
        for folder in self.folders:
            yield from folder.all_images()


def scan(
    root: Path, follow_links: bool = False, known: Container[Path] = ()
) -> tuple[Folder, Counter[str]]:
    """The tree below ``root``, in the order of names, and what was left out of it, by reason, apart
    from files that are ``known``.

    Raises `UserError` for a link that leads out of ``root``, unless it is to be followed, and for
    one that leads back to a folder that holds it.
    """
    left_out: Counter[str] = Counter()

    def folder(path: Path, above: frozenset[Path]) -> Folder:
        real = _real(path)
        if real in above:
            raise UserError(f"{shown(path)}: is a link that leads back to {shown(real)}")
        folders, images = [], []
        for entry in _entries(path):
            here = path / entry.name
            is_image = here.suffix.lower() in IMAGE_ENDINGS
            is_folder = _is_folder(entry)
            if here in known:
                continue
            if entry.name.startswith(".") or entry.name.lower() in _CLUTTER:
                left_out["hidden folder" if is_folder else "hidden file"] += 1
                continue
            follows = entry.is_symlink() and (is_folder or is_image)
            if follows and not follow_links and leads_out(here, root):
                raise UserError(
                    f"{shown(here)}: leads out of the data folder {shown(root)}; "
                    "data.follow_links: true reads it all the same"
                )
            if is_folder and not _is_empty_picture(here, is_image):
                folders.append(folder(here, above | {real}))
            elif is_image:
                images.append(here)
            else:
                ending = here.suffix.lower()
                left_out[f"file ending in {ending}" if ending else "file without an ending"] += 1
        return Folder(path, tuple(folders), tuple(images))

    return folder(root, frozenset()), left_out


def _real(path: Path) -> Path:
    # Unlike Path.resolve, no error for a link that leads to itself.
    return Path(os.path.realpath(path))


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(path), key=lambda found: (normal(found.name), found.name))
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be listed ({error.strerror})") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself; why an image is not read is said when it is tried.
        return False


def possible(path: Path) -> bool:
    """Whether a file can have that name at all."""
    try:
        os.lstat(path)
    except ValueError:
        return False
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG
    return True


def leads_out(path: Path, root: Path) -> bool:
    """Whether a path really is outside ``root``; one that leads nowhere is not."""
    real = _real(path)
    return real.exists() and not real.is_relative_to(_real(root))


def _is_empty_picture(path: Path, is_image: bool) -> bool:
    """Whether a folder is called like an image and holds nothing: no class, but a mistake."""
    return is_image and not any(path.iterdir())


def normal(name: str) -> str:
    """A name in the one form in which names are compared: composed characters (NFC), one blank
    for any white space, none at the ends, nothing that cannot be seen.

    Raises `UserError` for a name that is not UTF-8.
    """
    if not name.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in name):
        raise UserError(f"{name!r}: is not UTF-8; rename it")
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", name)).split())


def natural_order(names: Iterable[str]) -> list[str]:
    """By value where all names are numbers, else by their letters."""
    names = list(names)
    if all(_NUMBER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (Decimal(name), name))
    return sorted(names)


def same_number(name: str) -> str:
    """A name in the form that it shares with others of the same number: 1 of ``01`` and ``1.0``."""
    return f"{Decimal(name).normalize():f}" if _NUMBER.fullmatch(name) else name


def split_named(name: str) -> str | None:
    """The split that a name means by common usage, in any case."""
    return _NAMES_OF_SPLITS.get(normal(name).casefold())


def looks_like_split(name: str) -> bool:
    """Whether a name may be meant as that of a split: ``test1``, ``Train_images``, ``eval``."""
    return _LIKE_A_SPLIT.fullmatch(normal(name).casefold()) is not None


def together_like_splits(names: Iterable[str]) -> bool:
    """Whether names may be meant as those of splits, or of folds, because all of them are alike:
    ``tr`` and ``te``, ``cats_train`` and ``cats_test``, ``fold1`` and ``fold2``."""
    names = [normal(name) for name in names]
    if len(names) < 2:
        return False
    if all(_FOLD.fullmatch(name.casefold()) for name in names):
        return True
    spaced = [re.sub("(?<=[a-z])(?=[A-Z])", " ", name).casefold() for name in names]
    found = [
        {_WORDS_OF_SPLITS.get(word) for word in _WORD.findall(name)} - {None} for name in spaced
    ]
    return all(found) and len(set.union(*found)) > 1


def shown(path: Path | str) -> str:
    """A path for a message: in quotes where blanks or odd characters would not be seen."""
    text = str(path)
    return text if text.isprintable() and text == " ".join(text.split()) else repr(text)


def some(names: Iterable[str], most: int = 8) -> str:
    """Names for a message, each in quotes; of many, the first ones and how many more."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
