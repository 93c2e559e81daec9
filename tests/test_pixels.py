"""What becomes of pixels: every mode of Pillow, every type of numpy, ranges, layouts, frames."""

import io

import numpy as np
import pytest
import torch
from image_bytes import encoded, png, tiff
from PIL import Image, ImageFile
from sklearn.datasets import load_digits

from modelswitch.config.data import FolderData, NpzData
from modelswitch.config.pixels import PixelOptions
from modelswitch.data.images import PictureReader, Unreadable, picture
from modelswitch.data.pixels import arranged
from modelswitch.data.ranges import reach_of, scaled
from modelswitch.data.sources import read
from modelswitch.errors import UserError

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (3, 4), dtype=np.uint8)
GREY[0, :2] = 0, 255
COLOUR = RANDOM.integers(0, 256, (3, 4, 3), dtype=np.uint8)
DEEP = np.array([[0, 256, 32767, 32768], [65535, 1000, 4095, 40000]], np.uint16)


def read_bytes(folder, content: bytes, name="image.png", frames="one", **options):
    """The pictures of one file."""
    (folder / name).write_bytes(content)
    reader = PictureReader(frames)
    pictures = reader.read(folder / name, PixelOptions(**options))
    reader.finish(skip=False)
    return pictures


def as_grey(colour: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 luma, as everybody converts."""
    return np.rint(colour.astype(float) @ [0.299, 0.587, 0.114])


def palette_image(order) -> Image.Image:
    """Four colours under numbers that are dealt in another order."""
    image = Image.new("P", (4, 1))
    image.putpalette(COLOUR[0][np.argsort(order)].ravel().tolist())
    image.putdata(list(order))
    return image


def transparent(mode: str, alpha: int) -> Image.Image:
    image = Image.fromarray(GREY if mode == "LA" else COLOUR).convert(mode)
    image.putalpha(Image.fromarray(np.full(GREY.shape, alpha, np.uint8)))
    return image


def cmyk() -> Image.Image:
    return Image.fromarray(COLOUR).convert("CMYK")


def half_up(values: np.ndarray) -> np.ndarray:
    """Of 16 bits the nearest of 8."""
    return np.rint(values / 257)


# Every mode that an image can have when it is opened: its file, and the right 8-bit pixels or the
# word with which it is refused.
MODES = {
    "1": (encoded(Image.fromarray(GREY > 99), "PNG"), (GREY > 99) * 255),
    "1 white is zero": (
        tiff(np.zeros((1, 8), np.uint8), 0, bits=1, content=bytes([0b01001101])),
        [[255, 0, 255, 255, 0, 0, 255, 0]],
    ),
    "L": (encoded(Image.fromarray(GREY), "PNG"), GREY),
    "L of 4 bits": (
        tiff(np.zeros((1, 4), np.uint8), bits=4, content=bytes([0x0F, 0x1E])),
        [[0, 255, 17, 238]],
    ),
    "L white is zero": (tiff(255 - GREY, photometric=0), GREY),
    "L of a PGM up to 100": (b"P5 3 1 100\n" + bytes([0, 50, 100]), [[0, 128, 255]]),
    "L signed": (tiff(GREY.astype(np.int8)), "signed"),
    "L with a transparent grey": (
        encoded(Image.fromarray(GREY), "PNG", transparency=0),
        "transparent",
    ),
    "LA opaque": (encoded(transparent("LA", 255), "PNG"), GREY),
    "LA": (encoded(transparent("LA", 128), "PNG"), "transparent"),
    "P": (encoded(palette_image([0, 1, 2, 3]), "PNG"), COLOUR[:1]),
    "P in another order": (encoded(palette_image([2, 0, 3, 1]), "PNG"), COLOUR[:1]),
    "P of a GIF": (encoded(palette_image([3, 1, 0, 2]), "GIF"), COLOUR[:1]),
    "P transparent": (
        encoded(palette_image([0, 1, 2, 3]), "PNG", transparency=bytes([0, 255, 255, 255])),
        "transparent",
    ),
    "PA": (encoded(palette_image([0, 1, 2, 3]).convert("PA"), "TIFF"), COLOUR[:1]),
    "RGB": (encoded(Image.fromarray(COLOUR), "PNG"), COLOUR),
    "RGB as BMP": (encoded(Image.fromarray(COLOUR), "BMP"), COLOUR),
    "RGB as WebP": (encoded(Image.fromarray(COLOUR), "WEBP", lossless=True), COLOUR),
    "RGB as PPM": (encoded(Image.fromarray(COLOUR), "PPM"), COLOUR),
    "RGB as TIFF": (encoded(Image.fromarray(COLOUR), "TIFF"), COLOUR),
    "RGB with a transparent colour": (
        encoded(Image.fromarray(COLOUR), "PNG", transparency=tuple(COLOUR[1, 1].tolist())),
        "transparent",
    ),
    "RGB of 16 bits, PNG": (png(DEEP.repeat(3).reshape(2, 4, 3), 2), "16 bits a channel"),
    "RGB of 16 bits, TIFF": (tiff(DEEP.repeat(3).reshape(2, 4, 3), 2), "16 bits a channel"),
    "RGB of 16 bits, PPM": (b"P6 1 1 65535\n" + bytes(6), "16 bits a channel"),
    "LA of 16 bits": (png(DEEP.repeat(2).reshape(2, 4, 2), 4), "16 bits a channel"),
    "RGBA of 16 bits": (png(DEEP.repeat(4).reshape(2, 4, 4), 6), "16 bits a channel"),
    "RGBA opaque": (encoded(transparent("RGB", 255), "PNG"), COLOUR),
    "RGBA": (encoded(transparent("RGB", 0), "PNG"), "transparent"),
    "RGBX": (tiff(np.zeros((2, 2, 4), np.uint8), 2, extra=1), "4 samples a pixel"),
    "RGBX of 16 bits": (tiff(np.zeros((2, 2, 4), np.uint16), 2, extra=1), "4 samples a pixel"),
    "RGB and two more": (tiff(np.zeros((2, 2, 5), np.uint8), 2, extra=2), "5 samples a pixel"),
    "ten channels": (tiff(np.zeros((2, 2, 10), np.uint8)), "no image of a kind that is read"),
    "CMYK as TIFF": (encoded(cmyk(), "TIFF"), "mode CMYK"),
    "CMYK as JPEG": (encoded(cmyk(), "JPEG"), "mode CMYK"),
    "YCbCr": (
        encoded(Image.new("YCbCr", (4, 3), (81, 90, 240)), "TIFF"),
        np.tile(np.array([238, 14, 14]), (3, 4, 1)),
    ),
    "LAB": (encoded(Image.new("LAB", (4, 3)), "TIFF"), "mode LAB"),
    "I;16": (encoded(Image.fromarray(DEEP), "PNG"), half_up(DEEP)),
    "I;16 as TIFF": (encoded(Image.fromarray(DEEP), "TIFF"), half_up(DEEP)),
    "I;16B": (tiff(DEEP, order=">"), half_up(DEEP)),
    "I;16 white is zero": (tiff(65535 - DEEP, photometric=0), half_up(DEEP)),
    "I;16 transparent": (
        encoded(Image.fromarray(DEEP), "PNG", transparency=0),
        "transparent pixels and more than 8 bits",
    ),
    "12 bits": (
        tiff(np.zeros((1, 4), np.uint16), bits=12, content=bytes([0, 15, 255, 128, 0, 16])),
        np.rint(np.array([[0, 4095, 2048, 16]]) / 4095 * 255),
    ),
    "I of a PGM": (b"P5 4 2 65535\n" + DEEP.astype(">u2").tobytes(), half_up(DEEP)),
    "I": (encoded(Image.fromarray(DEEP.astype(np.int32)), "TIFF"), "mode I"),
    "I of 16 bits with a sign": (tiff(DEEP.astype(np.int16)), "mode I"),
    "I without a sign": (tiff(DEEP.astype(np.uint32)), "mode I"),
    "F": (tiff((GREY / 255).astype(np.float32)), GREY),
    "F up to 255": (tiff(GREY.astype(np.float32)), GREY),
    "F white is zero": (tiff(GREY.astype(np.float32), photometric=0), "0 is white"),
    "F beyond": (tiff(GREY.astype(np.float32) * 9), "expected [0, 1] or [0, 255]"),
    "F with NaN": (tiff(np.full((2, 2), np.nan, np.float32)), "NaN"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MODES)
def test_every_mode_of_an_image_file_is_read_rightly_or_refused(tmp_path, kind):
    """In a folder, so through all that pixels go through; the ending never says what a file is."""
    content, right = MODES[kind]
    for split, label in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")):
        place = tmp_path / split / label
        place.mkdir(parents=True)
        (place / "image.jpg").write_bytes(content)
        if label == "b":
            other = Image.effect_noise((7, 5), 50)
            other.save(place / "other.jpg", "PNG")
            (place / "image.jpg").unlink()
    spec = FolderData(source="folder", path=str(tmp_path), colour="stored", size=None)
    if isinstance(right, str):
        with pytest.raises(UserError) as caught:
            read(spec)
        assert right in str(caught.value)
        return
    right = np.asarray(right)
    Image.fromarray(np.zeros(right.shape[:2], np.uint8)).save(tmp_path / "train/b/other.jpg", "PNG")
    Image.fromarray(np.zeros(right.shape[:2], np.uint8)).save(tmp_path / "test/b/other.jpg", "PNG")
    data = read(spec)["folder"]
    found = data.train_images[0].numpy()
    if right.ndim == 2:
        right = right[..., None]
    assert found.shape == right.shape
    assert np.abs(found.astype(int) - right).max() <= (1 if "YCbCr" in kind else 0)
    assert torch.equal(data.train_images[0], data.test_images[0])


def test_modes_that_no_file_has_are_read_rightly_or_refused():
    hsv = Image.fromarray(COLOUR).convert("HSV")
    assert np.array_equal(picture(hsv, PixelOptions()).pixels, np.asarray(hsv.convert("RGB")))
    for mode in ("I;16", "I;16L", "I;16B", "I;16N"):
        order = ">u2" if mode == "I;16B" else "<u2"
        image = Image.frombytes(mode, (4, 2), DEEP.astype(order).tobytes())
        found = picture(image, PixelOptions())
        assert np.array_equal(found.pixels, DEEP)
        assert found.depth == 16
    for mode in ("La", "RGBa", "LAB", "CMYK", "I"):
        with pytest.raises(Unreadable):
            picture(Image.new(mode, (2, 2)), PixelOptions())


def test_a_jpeg_in_a_tiff_has_its_colours(tmp_path):
    """Its pixels are stored as YCbCr."""
    flat = np.tile(np.array([200, 30, 90], np.uint8), (16, 16, 1))
    content = encoded(Image.fromarray(flat), "TIFF", compression="jpeg", quality=95)
    [found] = read_bytes(tmp_path, content)
    assert np.abs(found.pixels.astype(int) - flat).max() <= 3


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_images_become_grey_or_colour_as_asked(tmp_path, colour):
    for kind in ("RGB", "P", "P in another order", "RGBA opaque"):
        [found] = read_bytes(tmp_path, MODES[kind][0], colour=colour)
        right = np.asarray(MODES[kind][1])
        if colour == "grey":
            right = as_grey(right)
        assert np.abs(found.pixels.astype(int) - right).max() <= (colour == "grey")


def test_transparent_pixels_are_laid_on_what_is_asked_for(tmp_path):
    """A black digit on a transparent ground whose colours below are black, too."""
    pixels = np.zeros((3, 4, 4), np.uint8)
    pixels[1, 1:3, 3] = 255
    content = encoded(Image.fromarray(pixels), "PNG")
    [found] = read_bytes(tmp_path, content, background="white", colour="grey")
    assert np.array_equal(found.pixels, 255 - pixels[..., 3])
    [found] = read_bytes(tmp_path, content, background="black", colour="grey")
    assert not found.pixels.any()
    with pytest.raises(UserError, match=r"image\.png: has transparent pixels.*data\.background"):
        read_bytes(tmp_path, content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path, kind, orientation):
    """Orientation says where the first row and column of the file are (EXIF 2.3, 4.6.4 A)."""
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :8] = 255
    turns = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
             5: np.transpose, 6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).T,
             8: lambda a: np.rot90(a, -1)}  # fmt: skip
    image = Image.fromarray(np.ascontiguousarray(turns[orientation](upright)))
    exif = image.getexif()
    exif[274] = orientation
    [found] = read_bytes(tmp_path, encoded(image, kind, exif=exif), colour="grey")
    assert found.pixels.shape == upright.shape
    assert np.abs(found.pixels.astype(int) - upright).max() < 30
    assert found.turned == (orientation != 1)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_files_with_several_frames_are_refused_or_read_in_full(tmp_path, kind):
    frames = [Image.new("L", (4, 4), 50 * (number + 1)) for number in range(3)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match=r"image\.png: has 3 frames; data\.frames"):
        read_bytes(tmp_path, content)
    [first] = read_bytes(tmp_path, content, frames="first", colour="grey")
    found = read_bytes(tmp_path, content, frames="all", colour="grey")
    assert [int(p.pixels.mean().round()) for p in (first, *found)] == [50, 50, 100, 150]


def test_pages_of_another_size_are_images_too(tmp_path):
    pages = [Image.new("L", (4, 4), 50), Image.new("L", (2, 3), 90)]
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    found = read_bytes(tmp_path, content, frames="all", size=(4, 4), colour="grey")
    assert [p.pixels.shape for p in found] == [(4, 4), (4, 4)]
    assert [int(p.pixels[0, 0]) for p in found] == [50, 90]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_a_cut_image_is_corrupt_even_if_a_module_fills_such_images(
    tmp_path, monkeypatch, kind, share
):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    content = encoded(Image.effect_noise((64, 64), 50).convert("RGB"), kind)
    with pytest.raises(UserError, match=r"image\.png: corrupt"):
        read_bytes(tmp_path, content[: int(len(content) * share)])
    assert ImageFile.LOAD_TRUNCATED_IMAGES


# ------------------------------------------------------------------------------------- arrays


def of_npz(folder, train, test, **options):
    labels = np.arange(len(train)) % 2, np.arange(len(test)) % 2
    np.savez(folder / "set.npz", x_train=train, x_test=test, y_train=labels[0], y_test=labels[1])
    return read(NpzData(source="npz", path=str(folder / "set.npz"), **options))["npz"]


IMAGES = RANDOM.integers(0, 256, (6, 5, 7), dtype=np.uint8)
IMAGES[0, 0, :2] = 0, 255
# Every type of numpy: images as they may be stored in it, and what they show, or why not.
TYPES = {
    "bool": (IMAGES > 99, (IMAGES > 99) * 255),
    "uint8": (IMAGES, IMAGES),
    "uint8 with 0 and 1 alone": (np.minimum(IMAGES, 1), np.minimum(IMAGES, 1)),
    "uint16": (IMAGES.astype(np.uint16) * 257, IMAGES),
    ">u2": (IMAGES.astype(">u2") * 257, IMAGES),
    "uint16 with 12 bits": (IMAGES.astype(np.uint16) * 16, "up to 4080 of 65535 only"),
    "uint32": (IMAGES.astype(np.uint32), "nothing of its range, and pixels go from 0 to 255"),
    "uint64": (IMAGES.astype(np.uint64), "holds uint64"),
    "int8": ((IMAGES >> 1).astype(np.int8), "holds int8"),
    "int16": (IMAGES.astype(np.int16) - 128, "and pixels go from -128 to 127"),
    "int32": (IMAGES.astype(np.int32), "holds int32"),
    "int64": (IMAGES.astype(np.int64), "holds int64"),
    "int64 with 0 and 1 alone": (np.minimum(IMAGES, 1).astype(np.int64), "holds int64"),
    "float16": ((IMAGES / 255).astype(np.float16), IMAGES),
    "float16 up to 255": (IMAGES.astype(np.float16), IMAGES),
    "float32": ((IMAGES / 255).astype(np.float32), IMAGES),
    "float64": (IMAGES / 255, IMAGES),
    ">f8": ((IMAGES / 255).astype(">f8"), IMAGES),
    "longdouble": ((IMAGES / 255).astype(np.longdouble), IMAGES),
    "float up to 255": (IMAGES.astype(np.float32), IMAGES),
    "float up to 8.5": (IMAGES / 30, "expected [0, 1] or [0, 255]"),
    "float from -1": (IMAGES / 127.5 - 1, "expected [0, 1] or [0, 255]"),
    "float of mean 0": ((IMAGES - 127.5) / 60, "expected [0, 1] or [0, 255]"),
    "float without its mean": (IMAGES / 255 - 0.2, "outside of [0, 1]"),
    "complex": (IMAGES.astype(np.complex64), "holds complex64"),
    "text": (IMAGES.astype("U3"), "holds <U3"),
    "bytes": (IMAGES.astype("S3"), "holds |S3"),
    "dates": (IMAGES.astype("M8[s]"), "holds datetime64"),
    "raw": (IMAGES.view("V1"), "holds |V1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_numpy_is_read_rightly_or_refused(tmp_path, kind):
    stored, right = TYPES[kind]
    if isinstance(right, str):
        with pytest.raises(UserError) as caught:
            of_npz(tmp_path, stored, stored[:2])
        assert right in str(caught.value)
        assert "x_train" in str(caught.value)
        return
    data = of_npz(tmp_path, stored, stored[:2])
    assert np.array_equal(data.train_images[..., 0], right)
    assert np.array_equal(data.test_images[..., 0], right[:2])
    assert np.asarray(stored).dtype.newbyteorder("=").name in data.reading["pixels"]
    dark = "no value is above 1 of 255" if right.max() == 1 else None
    assert data.reading.get("dark images") == dark


@pytest.mark.parametrize(
    ("stored", "stated", "right"),
    [
        (IMAGES.astype(np.int64), (0, 255), IMAGES),
        (IMAGES.astype(np.uint16) * 16, (0, 4080), IMAGES),
        (IMAGES / 127.5 - 1, (-1, 1), IMAGES),
        (IMAGES / 30, (0, 8.5), IMAGES),
        (IMAGES >> 4, (0, 15), (IMAGES >> 4) * 17),
    ],
)
def test_a_stated_range_is_used_for_any_type(tmp_path, stored, stated, right):
    data = of_npz(tmp_path, stored, stored[:2], range=stated)
    assert np.array_equal(data.train_images[..., 0], right)


def test_an_overshoot_is_clipped_and_counted_in_any_split(tmp_path):
    """What a cubic resize does: a little beyond white, here in the test split alone."""
    plain = (IMAGES / 255).astype(np.float32)
    for value in (1.0000001, 1.07, -0.1):
        over = plain.copy()
        over[0, 0, 0] = value
        data = of_npz(tmp_path, plain, over)
        right = IMAGES.copy()
        right[0, 0, 0] = 0 if value < 0 else 255
        assert np.array_equal(data.test_images[..., 0], right)
        assert np.array_equal(data.train_images[..., 0], IMAGES)
        clipped = data.reading.get("clipped")
        if value == 1.0000001:
            assert clipped is None
        else:
            assert clipped.startswith("1 values outside of the range")
    with pytest.raises(UserError, match=r"x_test: pixels go from 0 to 1\.4"):
        of_npz(tmp_path, plain, plain * 1.4)
    with pytest.raises(UserError, match=r"x_test: .*% of them outside of \[0, 1\]"):
        of_npz(tmp_path, plain, plain * 0.1 - 0.09)
    wide = of_npz(tmp_path, plain, plain * 1.4, range=(0, 1))
    assert np.array_equal(wide.test_images[..., 0], np.rint(plain * 357.0).clip(0, 255))


def test_digits_enlarged_with_cubic_filters_are_read(tmp_path):
    digits = torch.from_numpy(load_digits().images[:100, None] / 16)
    resize = torch.nn.functional.interpolate
    large = resize(digits, size=(32, 32), mode="bicubic").numpy()[:, 0]
    assert large.min() < -0.15
    data = of_npz(tmp_path, np.float32(large), np.float32(large[:20]))
    assert np.array_equal(
        data.train_images[..., 0], np.rint(np.float32(large) * 255.0).clip(0, 255)
    )
    assert "values outside of the range" in data.reading["clipped"]


def test_white_stays_white_in_halves(tmp_path):
    stored = (IMAGES / 255).astype(np.float16)
    stored[1] = 1
    assert of_npz(tmp_path, stored, stored).train_images[1].unique().tolist() == [255]


def test_the_range_is_one_for_all_splits(tmp_path):
    """A test split that is darker than the rest stays darker; one in another unit is refused."""
    dark = (IMAGES // 200).astype(np.float32)
    with pytest.raises(UserError, match="splits differ in range"):
        of_npz(tmp_path, IMAGES.astype(np.float32), dark / 2)
    data = of_npz(tmp_path, IMAGES / 255, IMAGES / 255 / 20)
    assert data.test_images.max() == 13
    assert data.reading["dark images"].endswith("x_test: no value is above 13 of 255")
    with pytest.raises(UserError, match=r"splits differ in type: uint8 in .*x_train, float32 in"):
        of_npz(tmp_path, IMAGES, dark)
    mixed = np.concatenate([IMAGES.astype(np.float32), IMAGES.astype(np.float32) / 255])
    with pytest.raises(UserError, match="6 images go up to 1 among others that go up to 255"):
        of_npz(tmp_path, mixed, mixed)


@pytest.mark.parametrize(
    ("light", "dark"),
    [
        (IMAGES / 255, IMAGES / 255 / 255),  # divided twice
        (IMAGES // 128 * 255, IMAGES // 128),  # masks of 0 and 255, and of 0 and 1
        (IMAGES.astype(np.uint16) * 257, IMAGES.astype(np.uint16)),  # 8 bits in 16
        (IMAGES.astype(np.uint16) * 257, IMAGES.astype(np.uint16) * 16),
    ],
)
def test_a_split_that_is_all_but_black_beside_others_is_refused(tmp_path, light, dark):
    for train, test, name in ((light, dark, "x_test"), (dark, light, "x_train")):
        with pytest.raises(UserError, match=rf"{name}: (no value is above|holds 16-bit values)"):
            of_npz(tmp_path, train, test)
    # With what white is, said, and where all of it is black, nothing is guessed.
    most = {1: 1.0, 255: 255.0}.get(int(light.max()), float(light.max()))
    assert of_npz(tmp_path, light, dark, range=(0, most)).test_images.max() < 32
    assert of_npz(tmp_path, light, dark * 0).test_images.max() == 0


def test_single_images_that_are_all_but_black_are_counted(tmp_path):
    masks = IMAGES // 128
    mixed = np.concatenate([masks * 255, masks[:2]])
    data = of_npz(tmp_path, mixed, mixed[::-1, ::-1])
    assert "x_train: 2 of 8 images have no value above 1 of 255" in data.reading["dark images"]


def test_classes_that_differ_in_brightness_alone_stay_apart(tmp_path):
    dark, bright = IMAGES // 255 * 100, IMAGES // 255 * 200
    stored = np.stack([dark, bright], 1).reshape(-1, 5, 7)
    data = of_npz(tmp_path, stored / 255, stored / 255)
    assert data.train_images[::2].max() == 100
    assert data.train_images[1::2].max() == 200


SHAPES = {
    (6, 32, 32): (32, 32, 1),
    (6, 32, 32, 1): (32, 32, 1),
    (6, 32, 32, 2): (32, 32, 2),
    (6, 32, 32, 3): (32, 32, 3),
    (6, 4, 5, 1): (4, 5, 1),
    (6, 3, 32, 32): None,
    (6, 2, 32, 32): None,
    (6, 3, 32, 3): None,
    (6, 1, 28, 3): None,
    (6, 1, 28, 1): None,
    (6, 3, 3, 3): None,
    (6, 16, 16, 16): None,
    (6, 4, 4, 3): None,
    (6, 8, 8, 12): None,
    (6, 32, 32, 10): None,
    (6, 784): None,
    (6, 0, 5, 3): None,
    (6, 2, 3, 4, 5): None,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_array_whose_axes_are_not_certain_is_refused_with_both_readings(tmp_path, shape):
    images = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    if SHAPES[shape] is None:
        with pytest.raises(UserError) as caught:
            of_npz(tmp_path, images, images)
        assert "x_train" in str(caught.value)
        assert str(shape) in str(caught.value)
        if len(shape) == 4 and 0 not in shape:
            assert "data.layout" in str(caught.value)
            last = of_npz(tmp_path, images, images, layout="channels_last")
            assert np.array_equal(last.train_images, images)
            first = of_npz(tmp_path, images, images, layout="channels_first")
            assert np.array_equal(first.train_images, images.transpose(0, 2, 3, 1))
    else:
        data = of_npz(tmp_path, images, images)
        assert data.image_shape == SHAPES[shape]
        assert np.array_equal(data.train_images, images.reshape(6, *SHAPES[shape]))


def test_the_order_of_an_array_in_memory_means_nothing(tmp_path):
    images = RANDOM.integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)
    for stored in (np.asfortranarray(images), images[::-1][::-1], images.repeat(2, 1)[:, ::2]):
        assert np.array_equal(of_npz(tmp_path, stored, stored).train_images, images)


def test_arrays_are_resized_like_images(tmp_path):
    images = RANDOM.integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)
    data = of_npz(tmp_path, images, images, size=(4, 6))
    by_pillow = Image.fromarray(images[2]).resize((6, 4), Image.Resampling.BILINEAR)
    assert np.array_equal(data.train_images[2], np.asarray(by_pillow))


def test_pixels_are_converted_in_parts_as_in_one():
    """More images than are converted at once, the extremes in different parts of them."""
    stored = RANDOM.random((700, 2, 2)).astype(np.float32)
    stored[600, 0, 0], stored[10, 0, 0] = 1.2, -0.1
    reach = reach_of({"x": stored}, None)
    assert reach.clipped.startswith("2 values")
    right = np.rint(stored.astype(float) * 255).clip(0, 255)
    assert np.array_equal(scaled(stored, reach), right)
    assert arranged(stored, None, "x").shape == (700, 2, 2, 1)


def test_images_of_16_and_of_8_bits_in_one_folder_show_the_same(tmp_path):
    """One picture as 16-bit PNG, 16-bit PGM, TIFF of both orders of bytes, and 8-bit PNG."""
    values = GREY.astype(np.uint16) * 257
    files = {
        "a.png": encoded(Image.fromarray(values), "PNG"),
        "b.pgm": b"P5 4 3 65535\n" + values.astype(">u2").tobytes(),
        "c.tif": tiff(values),
        "d.tif": tiff(values, order=">"),
        "e.png": encoded(Image.fromarray(GREY), "PNG"),
    }
    for split in ("train", "test"):
        for label in ("x", "y"):
            place = tmp_path / split / label
            place.mkdir(parents=True)
            for name, content in files.items():
                (place / name).write_bytes(content)
    data = read(FolderData(source="folder", path=str(tmp_path), colour="grey"))["folder"]
    assert all(np.array_equal(image[..., 0], GREY) for image in data.train_images)
    assert "16 bit, 0 to 65535" in data.reading["pixels"]
    assert "mode L, 8 bit, 0 to 255 (4 images)" in data.reading["pixels"]


def test_what_pillow_says_is_an_image_is_not_run(tmp_path):
    """Pillow starts a program for EPS, whatever the file is called."""
    stream = io.BytesIO()
    Image.fromarray(COLOUR).save(stream, "EPS")
    with pytest.raises(UserError, match="no image of a kind that is read"):
        read_bytes(tmp_path, stream.getvalue())
