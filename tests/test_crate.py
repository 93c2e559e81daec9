"""A run as an RO-Crate, read back with the library that others use."""

import builtins
import json

import pytest
import tidy_examples
from rocrate.rocrate import ROCrate

from modelswitch.config.experiment import load
from modelswitch.errors import UserError
from modelswitch.jobs.crate import pack

EXPERIMENT = load(
    {
        "name": "one",
        "data": {"source": "digits"},
        "models": {"teacher": {"family": "plain", "stages": [[4]]}},
        "chains": {"alone": "teacher"},
    },
    "one.yaml",
)


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results" / "one"
    tidy_examples.write(folder / "tables", images=20, epochs=2)
    (folder / "figures").mkdir()
    (folder / "figures" / "size.svg").write_text("<svg/>")
    (folder / "tables" / "configuration.yaml").write_text("name: example\n")
    (folder / "figures" / "size.log").write_text("no part of it")
    (folder / "results.html").write_text("<html></html>")
    return folder


def test_it_says_what_was_asked_what_came_out_and_of_what(tmp_path, results):
    pack(EXPERIMENT, results, tmp_path, tmp_path / "crate")
    crate = ROCrate(tmp_path / "crate")
    files = {entity.id for entity in crate.data_entities}
    assert {"results.html", "tables/models.csv", "figures/size.svg"} <= files
    assert "tables/configuration.yaml" in files, "what a part is joined by"
    assert "figures/size.log" not in files
    for name in files:
        assert (tmp_path / "crate" / name).is_file(), name
    [action] = [e for e in crate.contextual_entities if e.type == "CreateAction"]
    assert action["instrument"]["name"] == "modelswitch"
    assert [part.id for part in action["object"]] == ["configuration.json"]
    assert {"results.html", "tables/models.csv"} <= {part.id for part in action["result"]}
    kept = json.loads((tmp_path / "crate" / "configuration.json").read_text(encoding="utf-8"))
    assert load(kept, "crate") == EXPERIMENT
    digests = json.loads((tmp_path / "crate" / "digests.json").read_text(encoding="utf-8"))
    assert {row["seed"] for row in digests} == {"0", "1", "2"}
    assert {"lineage", "dataset"} <= set(digests[0])
    packages = (tmp_path / "crate" / "environment.txt").read_text(encoding="utf-8")
    assert "torch==" in packages


def test_what_it_lacks_is_told_in_one_line(tmp_path, results, monkeypatch):
    (results / "results.html").unlink()
    with pytest.raises(UserError, match=r"has no results\.html"):
        pack(EXPERIMENT, results, tmp_path, tmp_path / "crate")
    usual = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("rocrate"):
            raise ImportError(name)
        return usual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"needs the extra 'crate'"):
        pack(EXPERIMENT, results, tmp_path, tmp_path / "crate")
    assert not (tmp_path / "crate").exists()
