"""A trained model outside of the workflow: loaded, asked, and refused where it is wrong."""

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from test_jobs import Runner

import modelswitch
from modelswitch.config.data import DataSpec
from modelswitch.data.arrays import ImageArrays
from modelswitch.data.sources import read
from modelswitch.deployment.images import as_batch
from modelswitch.errors import UserError
from modelswitch.storage import artifacts

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    # Long enough that the clear images below are answered rightly.
    training = {"epochs": 12, "batch": 64, "learning_rate": 0.05, "precision": "float32"}
    return Runner(tmp_path_factory.mktemp("deployment"), training=training)


@pytest.fixture(scope="module")
def model(runner):
    return runner.train(runner.place("student"))


@pytest.fixture(scope="module")
def arrays(runner):
    return ImageArrays.load(runner.data)


def test_a_loaded_model_answers_as_it_was_measured(runner, model, arrays):
    outputs, _ = artifacts.load(runner.file(runner.place("student"), "outputs.safetensors"))
    expected = outputs["test.logits"].softmax(1).numpy()
    found = modelswitch.load(model).probabilities(arrays.test_images.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32


def test_every_form_of_an_image_is_answered_alike(model, arrays, tmp_path):
    predictor = modelswitch.load(model)
    pixels = arrays.test_images[3, :, :, 0].numpy()
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "one.png")
    expected = predictor.probabilities(pixels)
    path = tmp_path / "one.png"
    forms = [path, str(path), picture, picture.convert("RGB"), [pixels], [path]]
    forms += [pixels[..., None], pixels[None, ..., None]]
    for form in forms:
        np.testing.assert_array_equal(predictor.probabilities(form), expected)
    assert predictor.probabilities([]).shape == (0, 10)


def test_an_image_is_shown_upright_and_resized(model, tmp_path):
    predictor = modelswitch.load(model)
    picture = Image.fromarray(np.arange(16 * 24, dtype=np.uint8).reshape(16, 24))
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    orientation = Image.Exif()
    orientation[0x0112] = 6  # to be turned by 90 degrees clockwise to be seen upright
    turned.save(tmp_path / "turned.png", exif=orientation)
    np.testing.assert_array_equal(
        predictor.probabilities(tmp_path / "turned.png"),
        predictor.probabilities(picture.resize((8, 8), Image.Resampling.BILINEAR)),
    )


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("nothing.png", "nothing.png: no such file"),
        (np.zeros((8, 8), np.float32), "image 1: holds float32; pixels are uint8"),
        (np.zeros((2, 8, 8, 5), np.uint8), "has shape [8, 8, 5]"),
        ([None], "image 1: is NoneType"),
    ],
    ids=["missing", "floats", "channels", "none"],
)
def test_what_is_no_image_is_refused(model, image, message):
    with pytest.raises(UserError, match=re.escape(message)):
        modelswitch.load(model).probabilities(image)


def test_a_corrupt_image_is_named(model, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=r"broken.png: is a web page"):
        modelswitch.predict(model, tmp_path / "broken.png")


def test_files_are_read_as_in_training(tmp_path):
    """Other than 8-bit files mean the same to a model as they did when it was trained."""
    random = np.random.default_rng(0)
    for number, place in enumerate(["train/a", "train/b", "test/a", "test/b"]):
        (tmp_path / place).mkdir(parents=True)
        pixels = random.integers(0, 4096, (8, 8), dtype=np.uint16)
        Image.fromarray(pixels).save(tmp_path / place / f"{number}.png")
    spec = {"source": "folder", "path": str(tmp_path), "colour": "grey", "range": [0, 4095]}
    [data] = read(TypeAdapter(DataSpec).validate_python(spec)).values()
    [known] = as_batch(tmp_path / "test/a/2.png", data.image_shape, data.files)
    assert np.array_equal(known, data.test_images[0])
    small = as_batch(tmp_path / "test/a/2.png", (4, 4, 1), data.files)
    by_pillow = Image.fromarray(known[..., 0]).resize((4, 4), Image.Resampling.BILINEAR)
    assert np.array_equal(small[0, ..., 0], by_pillow)
    with pytest.raises(UserError, match=r"2\.png: holds 16 bits, and the model was trained on no"):
        as_batch(tmp_path / "test/a/2.png", data.image_shape)
    Image.new("LA", (8, 8)).save(tmp_path / "clear.png")
    with pytest.raises(UserError, match=r"clear\.png: has transparent pixels"):
        as_batch(tmp_path / "clear.png", data.image_shape, data.files)
    white = as_batch(tmp_path / "clear.png", data.image_shape, {"background": "white"})
    assert set(white.flat) == {255}


def test_a_file_that_is_no_model_is_refused(runner, model, tmp_path):
    with pytest.raises(UserError, match="is not the file that is expected here"):
        modelswitch.load(runner.data)
    tensors, passport = artifacts.load(model)
    without = {key: value for key, value in passport.items() if key != "input"}
    artifacts.save(tmp_path / "old.safetensors", tensors, without)
    with pytest.raises(UserError, match="does not say the size and normalisation"):
        modelswitch.load(tmp_path / "old.safetensors")


def test_a_model_of_before_is_loaded_beside_its_data(runner, model):
    """Files that were written without size and normalisation take them from the prepared data."""
    tensors, passport = artifacts.load(model)
    without = {key: value for key, value in passport.items() if key != "input"}
    old = model.with_name("old.safetensors")
    artifacts.save(old, tensors, without)
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    np.testing.assert_array_equal(
        modelswitch.load(old).probabilities(pixels), modelswitch.load(model).probabilities(pixels)
    )


def test_a_model_of_one_s_own_names_its_function(model, tmp_path):
    tensors, passport = artifacts.load(model)
    own = {"family": "import", "path": "absent.module:net", "arguments": {}}
    artifacts.save(tmp_path / "own.safetensors", tensors, passport | {"architecture": own})
    with pytest.raises(UserError, match=r"needs the function absent\.module:net"):
        modelswitch.load(tmp_path / "own.safetensors")


def test_the_command_prints_a_table_or_json(model, arrays, tmp_path):
    for index in range(2):
        Image.fromarray(arrays.test_images[index, :, :, 0].numpy()).save(tmp_path / f"{index}.png")

    def ran(*options: str):
        command = [sys.executable, "-m", "modelswitch", "predict", str(model), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    rows = json.loads(ran("0.png", "1.png", "--top", "3", "--json").stdout)
    expected = modelswitch.predict(model, [tmp_path / "0.png", tmp_path / "1.png"], top=3)
    assert [row["classes"] for row in rows] == [list(one.classes) for one in expected]
    assert [row["image"] for row in rows] == ["0.png", "1.png"]
    shown = ran("0.png").stdout.splitlines()
    assert shown[1].split()[:2] == ["0.png", expected[0].label]
    failed = ran("absent.png")
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == ["error: absent.png: no such file"]


def test_the_page_s_examples_are_right(runner, model, arrays, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").symlink_to(runner.folder)
    label = arrays.class_names.index("7")
    # The surest of the sevens: the page is about how to ask, not about how good this model is.
    sevens = arrays.train_images[arrays.train_labels == label]
    sure = modelswitch.load(model).probabilities(sevens.numpy())[:, label].argmax()
    Image.fromarray(sevens[sure, :, :, 0].numpy()).save("seven.png")
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    result = doctest.testfile(str(ROOT / "docs" / "deployment.md"), module_relative=False)
    assert ">>>" in page
    assert result.attempted >= 7
    assert result.failed == 0


def test_a_run_s_tables_are_read(tmp_path):
    import tidy_examples

    tidy_examples.write(tmp_path / "tables", images=100, epochs=2)
    tables = modelswitch.read_tables(tmp_path)
    assert {"lineage", "accuracy"} <= set(tables.models.columns)


def test_importing_the_package_imports_no_torch():
    code = "import modelswitch, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_network_keeps_its_memory_format_and_threads_alone(model):
    before = torch.get_num_threads()
    modelswitch.load(model)
    assert torch.get_num_threads() == before
