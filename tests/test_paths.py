"""A tilde is the home folder wherever a path is written, and braces are letters like others."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from faults_run import ROOT, environment
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from modelswitch.config.data import DataSpec
from modelswitch.config.experiment import load
from modelswitch.data.manifest import manifest
from modelswitch.data.sources import read
from modelswitch.data.splits import unrepresented
from modelswitch.errors import UserError
from modelswitch.jobs.session import undisturbed
from modelswitch.storage.contents import named_digests

EXPERIMENT = {
    "name": "own",
    "models": {"small": {"family": "plain", "stages": [[4], [4]]}},
    "chains": {"alone": "small"},
    "seeds": [0],
    "training": {"epochs": 1, "batch": 8, "warmup": 0},
}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def images(root: Path) -> None:
    for number in range(24):
        path = root / ("{lineage}", "{}", "%s")[number % 3] / f"{{{number}}}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)


def spec(**values: object) -> DataSpec:
    return TypeAdapter(DataSpec).validate_python(values)


def test_a_tilde_in_any_path_of_the_data_is_the_home_folder(home):
    images(home / "images")
    rows = [f"images/{{}}/{{{n}}}.png,x,train" for n in (1, 4, 7, 10)]
    (home / "list.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    np.savez(home / "own.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.arange(4) % 2)
    for values in (
        {"source": "folder", "path": "images"},
        {"source": "folder", "path": ".", "csv": "list.csv"},
        {"source": "npz", "path": "own.npz"},
    ):
        tilde, whole = (
            {k: v if k == "source" else f"{place}/{v}" for k, v in values.items()}
            for place in ("~", home)
        )
        assert manifest(spec(**tilde)) == manifest(spec(**whole))
    assert spec(source="torchvision", dataset="MNIST", root="~/data").root == f"{home}/data"
    paired = spec(source="paired", path="~/eyes", modalities=["left", "right"])
    with pytest.raises(UserError, match=f"data.path: {home}/eyes: no such folder"):
        manifest(paired)


def test_a_folder_that_is_called_by_a_tilde_is_reached_and_nobodys_home_is_told(home):
    images(Path("~"))
    assert manifest(spec(source="folder", path="./~")).contents
    with pytest.raises(UserError, match=r"data\.path: ~nobody-at-all/x: no such folder"):
        manifest(spec(source="folder", path="~nobody-at-all/x"))


@pytest.mark.parametrize("root", ["$HOME/data", "${HOME}/data", "a/$DATA", "~nobody-at-all/data"])
def test_nothing_is_downloaded_into_a_folder_that_is_called_like_a_variable(home, root):
    with pytest.raises(ValidationError, match="nothing is filled in here"):
        spec(source="torchvision", dataset="MNIST", root=root)
    assert not list(Path().iterdir())
    for name in ("5$", "a$", "~"):
        assert spec(source="torchvision", dataset="MNIST", root=name).root in (name, str(home))
    with pytest.raises(UserError, match=re.escape(f"data.path: {root}: no such folder")):
        manifest(spec(source="folder", path=root))


@pytest.mark.parametrize("name", ["$HOME", "${HOME}"])
def test_what_is_there_is_used_whatever_its_name(home, name):
    images(Path(name))
    assert manifest(spec(source="folder", path=name)).contents
    assert spec(source="torchvision", dataset="MNIST", root=name).root == name


@pytest.mark.parametrize("name", ["a b", "é, x", "{x}", "-v", "~"])
@pytest.mark.parametrize("where", ["name", "models", "transfers", "chains", "claims"])
def test_odd_names_are_refused_in_quotes(name, where):
    with pytest.raises(UserError, match=re.escape(repr(name))):
        load(
            EXPERIMENT
            | {"data": {"source": "digits"}, where: name if where == "name" else {name: {}}}
        )


@pytest.mark.parametrize("name", ["a b", "a, b", "{x}", "'", " "])
def test_odd_names_of_classes_are_told_in_quotes(name):
    held = torch.tensor([True, False])
    [line] = unrepresented(torch.tensor([0, 1]), held, ["c", name], "test")
    assert line.endswith(f"classes: {name!r}")


def test_a_list_names_what_lies_below_its_path_with_tildes_and_braces(home):
    """Not a home folder: a table of splits has to bring back classes of whatever name."""
    for name in ("~/{0}.png", "~/1.png", "{}/0.png", "{x}/1.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("L", (6, 5), len(name)).save(name)
    rows = ["~/{0}.png,~,train", "~/1.png,~,test", "{}/0.png,{x},train", "{x}/1.png,{x},test"]
    Path("{list}.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    assert manifest(spec(source="folder", path=".", csv="{list}.csv")).contents
    (home / "2.png").write_bytes(b"x")
    Path("{list}.csv").write_text("\n".join(["path,label,split", *rows, "~/2.png,~,test"]) + "\n")
    with pytest.raises(UserError, match=r"^~/2\.png: "):
        read(spec(source="folder", path=".", csv="{list}.csv"))


def test_a_file_named_among_arguments_counts_in_the_home_folder_too(home):
    (home / "{weights}").write_text("one")
    before = named_digests(["~/{weights}", "~/gone", "{weights}"])
    assert before.keys() == {"~/{weights}"}
    (home / "{weights}").write_text("another")
    assert named_digests(["~/{weights}"]) != before


def test_resume_files_may_lie_in_the_home_folder(home, monkeypatch):
    monkeypatch.setenv("MODELSWITCH_RESUME", "~/resume")
    with undisturbed("model") as folder:
        assert folder is not None
        assert folder.is_relative_to(home / "resume")


@pytest.mark.long
@pytest.mark.slow
def test_braces_and_a_tilde_in_every_place_of_a_run(home):
    """In the clone's path, the working folder's, the configuration's, the data's, of classes and of
    images: in shell commands, inputs, parameters and logs, and where a job fails."""
    clone, here = home / "{clone} {{x}} }{", home / "{here}"
    here.mkdir()
    for name in ("Snakefile", "rules", "workflow", "profiles"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        clone.mkdir(exist_ok=True)
        copy(ROOT / name, clone / name)
    odd = "{images} {lineage} [a]*?#%s é'\"-$HOME"
    images(home / odd)
    data = {"source": "folder", "path": f"~/{odd}"}
    (here / "{own}.yaml").write_text(yaml.safe_dump(EXPERIMENT | {"data": data}))

    def run() -> tuple[int, str]:
        done = subprocess.run(
            [*(sys.executable, "-m", "snakemake", "models", "--cores", "1"),
             *("--snakefile", str(clone / "Snakefile"), "--configfile", "{own}.yaml")],
            cwd=here, env=environment(HOME=str(home)), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout

    status, said = run()
    assert status == 0, said
    assert list((here / "results").rglob("small/model.safetensors"))
    assert "'{lineage}'" in next((here / "results").rglob("data.log")).read_text()
    assert "Nothing to be done" in run()[1]
    broken = home / odd / "{lineage}" / "{0}.png"
    broken.write_bytes(b"x")
    status, said = run()
    assert status == 1
    assert "Traceback" not in said
    assert f"{broken}: corrupt" in " ".join(said.split())
