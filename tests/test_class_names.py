"""Numbers of classes never stand alone: their names are in every table and on the page."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from modelswitch.config.experiment import load
from modelswitch.data.arrays import ImageArrays
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.jobs.prepare import prepare
from modelswitch.report.summaries.data import data_sheet
from modelswitch.results import collect
from modelswitch.results.answers import Answers
from modelswitch.results.tables import Tables
from modelswitch.storage import artifacts

ODD = ["NA", "nan", "None", "null", "True", "1e5", "01", "1", "'q'", "a,b", "ä"]


def named(images):
    """An experiment of one model on a folder of images."""
    return load(
        {
            "name": "named",
            "data": {"source": "folder", "path": str(images), "colour": "grey"},
            "models": {"one": {"family": "plain", "stages": [[4]]}},
            "chains": {"one": "one"},
            "seeds": [0],
        }
    )


def collected(folder, names, per_class=2) -> tuple[Tables, ImageArrays]:
    """The tables of an experiment with one model that knows every class, from folders of images."""
    for number, name in enumerate(names):
        for split in ("train", "test"):
            place = folder / "set" / split / name
            place.mkdir(parents=True)
            for copy in range(per_class):
                image = Image.new("L", (4, 4), 10 * number + copy + 1)
                image.putpixel((0, 0), 255 if split == "train" else 0)
                image.save(place / f"{split}{copy}.png")
    experiment = named(folder / "set")
    file = folder / "results/named/folder/data.safetensors"
    prepare(experiment.data, [str(file)])
    data = ImageArrays.load(file)
    graph = Graph(experiment)
    for place in graph.models():
        answers(folder / "results" / place.file("outputs.safetensors"), data, graph, place)
    collect.write(collect.StoredResults(experiment, folder / "results"), folder / "tables")
    return Tables(folder / "tables"), data


def answers(path, data, graph, place) -> None:
    """The right logits for every test image."""
    logits = torch.nn.functional.one_hot(data.test_labels, data.num_classes).float()
    passport = {"kind": "outputs", "job_digest": graph.train_job(place).digest, "epochs": 1,
                "train_seconds": 1.0, "precision": "float32", "classes": data.class_names,
                "image_shape": data.image_shape, "data": data.checksum}  # fmt: skip
    artifacts.save(path, {"test.logits": logits, "test.labels": data.test_labels}, passport)


def test_folders_that_are_numbers_keep_them_in_every_row(tmp_path):
    names = [str(number) for number in range(12)]
    tables, data = collected(tmp_path, names)
    rows = tables.predictions
    assert len(rows) == 24
    assert (rows["label"].astype(str) == rows["label_name"]).all()
    assert (rows["predicted"].astype(str) == rows["predicted_name"]).all()
    # the image of the row shows the folder of that name
    shown = data.test_images[rows["index"].to_numpy(), 1, 1, 0].numpy() // 10
    assert (shown == rows["label_name"].astype(int)).all()
    assert tables.data_classes["label_name"].tolist() == names


def test_names_come_back_from_the_tables_as_they_are(tmp_path):
    tables, data = collected(tmp_path, ODD)
    assert set(tables.predictions["label_name"]) == set(ODD)
    assert tables.data_classes["label_name"].tolist() == sorted(ODD) == data.class_names
    assert set(tables.per_class["label_name"]) == set(ODD)


def test_the_page_says_what_was_read(tmp_path):
    tables, _ = collected(tmp_path, ["b", "a"])
    rows = {row["fact"]: row["found"] for row in data_sheet(tables).rows}
    assert rows["images"] == "4 train, 4 test"
    assert rows["2 classes"] == "0 'a' 2 + 2, 1 'b' 2 + 2"
    assert rows["pixels"] == "mode L, 8 bit, 0 to 255"


def test_models_of_other_data_make_no_table(tmp_path):
    """The data set was prepared again from other files after the models had been trained."""
    collected(tmp_path, ["b", "a"])
    experiment = named(tmp_path / "set")
    Image.new("L", (4, 4), 200).save(tmp_path / "set/train/a/new.png")
    prepare(experiment.data, [str(tmp_path / "results/named/folder/data.safetensors")])
    with pytest.raises(UserError, match=r"outputs\.safetensors: is of other data than .*checksum"):
        collect.StoredResults(experiment, tmp_path / "results")


@pytest.mark.parametrize("classes", [40_001])
def test_a_class_beyond_32767_keeps_its_number(classes, tmp_path):
    """Labels were once kept in 16 bits, where class 40,000 is -25,536."""
    experiment = load(
        {
            "name": "many",
            "data": {"source": "npz", "path": "not-here.npz"},
            "models": {"one": {"family": "plain", "stages": [[4]]}},
            "chains": {"one": "one"},
            "seeds": [0],
        }
    )
    stored = collect.StoredResults(experiment, "nowhere")
    [place] = stored.graph.models()
    labels = torch.tensor([0, 40_000])
    logits = torch.zeros(2, classes)
    logits[[0, 1], [40_000, 32_768]] = 1
    names = [f"class {number}" for number in range(classes)]
    stored.answers = Answers(stored.graph, tmp_path, {place: {"classes": names}}, ["test"])
    stored.answers.tensors = lambda place: {"test.logits": logits, "test.labels": labels}
    rows = stored.predictions()
    assert rows["label"].tolist() == [0, 40_000]
    assert rows["predicted"].tolist() == [40_000, 32_768]
    assert rows["label_name"].tolist() == ["class 0", "class 40000"]
    assert rows["predicted_name"].tolist() == ["class 40000", "class 32768"]
    assert isinstance(rows, pd.DataFrame)
    assert np.issubdtype(rows["label"].dtype, np.integer)
