"""The digest of code that decides what Snakemake runs again."""

import ast
import json
import modulefinder
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import script_runs
from test_config import changed

from modelswitch.config.experiment import load
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.jobs import fit
from modelswitch.jobs.guards import refuse_changed
from modelswitch.jobs.session import Session
from modelswitch.storage import artifacts, cache_folder, code_digest, syntax
from modelswitch.user_code import find_source

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A script in a folder of which Snakemake keeps notes."""
    monkeypatch.chdir(tmp_path)
    cache_folder.FOLDER.mkdir(parents=True)
    path = tmp_path / "script.py"
    path.write_text("from modelswitch import errors\n")
    return path


def anew(script):
    """The digest as another process finds it, which has computed none yet."""
    code_digest._module_as_of.cache_clear()
    return code_digest.code_digest.__wrapped__(script)


@pytest.fixture(scope="module")
def unopened(tmp_path_factory):
    """The package without what its top offers to other programs, which no script runs."""
    folder = tmp_path_factory.mktemp("unopened")
    shutil.copytree(code_digest.PACKAGE, folder / "modelswitch")
    (folder / "modelswitch/__init__.py").write_text("")
    return folder


@pytest.mark.parametrize(
    "script", sorted((ROOT / "workflow" / "scripts").glob("*.py")), ids=lambda p: p.stem
)
def test_the_modules_are_those_that_python_would_find(script, unopened):
    finder = modulefinder.ModuleFinder(path=[str(unopened)])
    finder.run_script(str(script))
    own = {Path(module.__file__) for module in finder.modules.values() if module.__file__}
    top = Path("modelswitch")
    expected = {path.relative_to(unopened) for path in own - {script}} - {top / "__init__.py"}
    found = set(code_digest.modules(script)) - {script}
    assert {top / path.relative_to(code_digest.PACKAGE) for path in found} == expected


@pytest.mark.parametrize("name", ["prepare", "train", "hint", "distil", "respond"])
def test_what_reads_results_retrains_nothing(name):
    rooms = {path.parent.name for path in code_digest.modules(ROOT / f"workflow/scripts/{name}.py")}
    assert rooms.isdisjoint({"results", "report", "figures", "summaries", "planning", "deployment"})


def test_a_known_digest_is_not_computed_again(script, monkeypatch):
    first = anew(script)
    monkeypatch.setattr(
        code_digest, "modules", lambda script: pytest.fail("followed imports again")
    )
    assert anew(script) == first


def test_a_change_that_keeps_the_length_is_seen(script):
    first = anew(script)
    script.write_text("from modelswitch import lineage\n")
    second = anew(script)
    script.write_text("from modelswitch import errors\n")
    assert second != first
    assert anew(script) == first


def test_comments_and_dates_do_not_count(script):
    first = anew(script)
    os.utime(script, (1, 1))
    assert anew(script) == first
    script.write_text("# Why.\n" + script.read_text())
    assert anew(script) == first


def test_a_script_called_by_hand_leaves_no_folder(script):
    cache_folder.FOLDER.rmdir()
    cache_folder.FOLDER.parent.rmdir()
    anew(script)
    assert not cache_folder.FOLDER.parent.exists()


def test_a_note_that_was_cut_short_is_not_believed(script):
    first = anew(script)
    [note] = cache_folder.FOLDER.iterdir()
    note.write_text(note.read_text()[:40])
    assert anew(script) == first


def test_a_package_and_scripts_that_lie_elsewhere_have_the_same_digests(tmp_path):
    """Also where a script's path comes before the package's, and not after it as here."""
    shutil.copytree(ROOT / "src" / "modelswitch", tmp_path / "site" / "modelswitch")
    shutil.copytree(ROOT / "workflow" / "scripts", tmp_path / "a")
    names = ("train.py", "plan.py")
    program = (
        "import sys; from pathlib import Path;"
        "from modelswitch.storage.code_digest import code_digest;"
        "print(*(code_digest(Path(script)) for script in sys.argv[1:]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *(tmp_path / "a" / name for name in names)],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    scripts = ROOT / "workflow" / "scripts"
    assert ran.stdout.split() == [code_digest.code_digest(scripts / name) for name in names]


SOURCE = '''"""What it is."""
import math

class Loss:
    """A loss."""

    weight: float = Field(default=1.0, description="its weight")
    "what follows an attribute"

    def __call__(self, x, *, power=2):
        """Shapes and units."""
        if x < 0:
            raise UserError(f"found {x}; allowed: more", x)
        parser.add_argument("--x", help="the first")
        return {"a": -x ** power, "b": u"text", "c": [None, ..., 1.0, True]}
'''


def tree(source: str) -> str:
    return syntax.running_text(ast.parse(source))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("What it is.", "What it was."),
        ('    """A loss."""\n', ""),
        ("Shapes and units.", "Units."),
        ("what follows an attribute", "another"),
        ("its weight", "what it is multiplied with"),
        ("the first", "an option"),
        ('f"found {x}; allowed: more"', '"too small: " + str(x)'),
        ("\n\n", "\n# Why.\n\n\n"),
        ('u"text"', "'text'"),
        ("-x ** power", "(-(x ** power))"),
    ],
)
def test_what_is_only_read_by_people_does_not_count(old, new):
    assert old in SOURCE
    assert tree(SOURCE.replace(old, new)) == tree(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-x ** power", "(-x) ** power"),
        ("power=2", "power=2.0"),
        ("*, power", "power"),
        ("default=1.0", "default=2.0"),
        ("1.0, True", "1.0, 1"),
        ("None, ...", "..., None"),
        ('"text"', '"Text"'),
        ('u"text"', 'b"text"'),
        ('"--x"', '"--y"'),
        ("x < 0", "x <= 0"),
        ("UserError(", "SystemExit("),
        ('more", x)', 'more", 1)'),
        ("import math", "import math as m"),
        ("weight: float", "weight: int"),
        ("class Loss:", "class Loss(Base):"),
        ("def __call__", "async def __call__"),
        ("    def __call__", "    @property\n    def __call__"),
    ],
)
def test_what_python_runs_counts(old, new):
    assert old in SOURCE
    assert tree(SOURCE.replace(old, new)) != tree(SOURCE)


def test_the_tree_is_that_of_other_versions_of_python():
    """The same for 3.10 to 3.13. Where a later one differs, everything is trained again once, and
    this says so."""
    assert code_digest._short(tree(SOURCE)) == "2eef195b1665b103"


def test_a_deep_tree_is_no_recursion():
    assert len(tree(" + ".join(["x"] * 900))) > 900


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a user's modules, which Python finds, and one where Snakemake keeps notes."""
    folder = tmp_path / "own"
    (folder / "my" / "parts").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    cache_folder.FOLDER.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(folder))
    files = {
        "my/__init__.py": "",
        "my/nets.py": "import torch\nfrom . import layers\nfrom my.parts.stem import Stem\n"
        "def net(in_channels, num_classes):\n    import helpers\n    return Stem()\n",
        "my/layers.py": "WIDTH = 3\n",
        "my/unused.py": "import my.nets\n",
        "my/parts/__init__.py": "from ..deep import x\n",
        "my/parts/stem.py": "from modelswitch.models.families import plain\nclass Stem: ...\n",
        "my/deep.py": "x = 1\n",
        "helpers.py": "raise RuntimeError('is not run')\n",
        "rules.py": "from helpers import y\ndef rule(samples):\n    return samples\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


NET, RULE = "my.nets:net", "rules:rule"


@pytest.mark.parametrize(
    "file",
    ["my/__init__.py", "my/nets.py", "my/layers.py", "my/parts/__init__.py", "my/parts/stem.py",
     "my/deep.py", "helpers.py"],
)  # fmt: skip
def test_a_change_in_a_users_own_module_or_in_what_it_imports_is_noticed(own, file):
    before = code_digest.own_digest(NET)
    assert len(before) == 16
    path = own / file
    path.write_text("# Why.\n" + path.read_text())
    assert code_digest.own_digest(NET) == before
    path.write_text(path.read_text() + "z = 1\n")
    after = code_digest.own_digest(NET)
    assert after != before
    path.write_text(path.read_text().replace("z = 1", "z = 2"))
    assert code_digest.own_digest(NET) not in (before, after)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("own/my/weights.npy", "weights.npy"),
        ("own/my/tables/a b.csv", "tables/a b.csv"),
        ("work/data/mean.bin", "data/mean.bin"),
        ("own/helpers.json", "../helpers.json"),
    ],
)
def test_a_file_that_a_users_own_module_names_counts_by_what_it_holds(own, tmp_path, place, text):
    """Beside the module or from the working folder; whatever reads it, and not by its date."""
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    stem = own / "my" / "parts" / "stem.py"
    if text.startswith("tables") or text == "weights.npy":
        stem = own / "my" / "deep.py"
    elif text.startswith(".."):
        stem = own / "my" / "layers.py"
    stem.write_text(stem.read_text() + f"numbers = open({text!r}, 'rb') if x else None\n")
    absent = code_digest.own_digest(NET)
    file.write_bytes(b"before")
    before = code_digest.own_digest(NET)
    assert before != absent
    os.utime(file, (1, 1))
    assert code_digest.own_digest(NET) == before
    file.write_bytes(b"behind!")
    assert code_digest.own_digest(NET) != before


def test_what_it_uses_of_this_package_is_part_of_it(own):
    code_digest.own_digest(NET)
    [note] = cache_folder.FOLDER.iterdir()
    files = set(json.loads(note.read_text())["files"])
    assert str(code_digest.PACKAGE / "models" / "families.py") in files
    assert str(code_digest.PACKAGE / "errors.py") in files
    assert str(code_digest.PACKAGE / "wording.py") not in files


def test_what_it_does_not_import_is_not_part_of_it(own):
    before = code_digest.own_digest(NET)
    for file in ("my/unused.py", "rules.py"):
        (own / file).write_text("changed = 1\n")
    assert code_digest.own_digest(NET) == before


def test_a_module_that_takes_the_place_of_another_is_noticed(own):
    before = code_digest.own_digest(NET)
    (own / "my" / "layers").mkdir()
    (own / "my" / "layers" / "__init__.py").write_text("WIDTH = 4\n")
    assert code_digest.own_digest(NET) != before
    before = code_digest.own_digest(NET)
    (own / "torch.py").write_text("changed = 1\n")
    assert code_digest.own_digest(NET) != before


def test_neither_its_folder_nor_notes_nor_the_package_change_the_digest(own, monkeypatch):
    before = code_digest.own_digest(NET)
    [note] = cache_folder.FOLDER.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(code_digest, "_closure", lambda *_: pytest.fail("followed imports again"))
        assert code_digest.own_digest(NET) == before
    note.unlink()
    moved = own.rename(own.with_name("moved"))
    monkeypatch.syspath_prepend(str(moved))
    assert code_digest.own_digest(NET) == before


def test_a_module_that_python_cannot_read_counts_by_its_bytes(own):
    (own / "my" / "nets.py").write_text("def net(:\n")
    before = code_digest.own_digest(NET)
    (own / "my" / "nets.py").write_text("def net((:\n")
    assert code_digest.own_digest(NET) not in ("", before)


def test_what_is_not_there_has_none(own):
    assert code_digest.own_digest("my.nothing:x") == ""
    assert code_digest.own_digest("nothing.at.all:x") == ""
    assert code_digest.own_digest("sys:x") == ""


def test_of_an_installed_package_only_that_is_followed():
    """Its neighbours in site-packages are not the user's own."""
    source = find_source("yaml.nodes")
    assert source is not None
    assert source.parents[1].name == "site-packages"
    assert len(code_digest.own_digest("yaml:load")) == 16


def jobs(values: dict) -> dict[str, tuple[str, str]]:
    """Of every place, what Snakemake compares of its training, and the training's digest."""
    graph = Graph(load(values))
    found = {str(p.lineage): graph.train_job(p) for p in graph.all_places()}
    return {name: (job.canonical(), job.digest) for name, job in found.items()}


def test_jobs_depend_on_the_own_code_that_they_run_and_on_no_other(own):
    values = changed("models.mine", {"family": "import", "path": NET})
    values["transfers"]["own"] = {"weighting": {"rule": "import", "path": RULE}}
    values["chains"] = {
        "a": "teacher/student@kd",
        "b": "teacher/student@own",
        "c": "mine/student@kd/student@kd",
    }

    def affected(file: str) -> set[str]:
        before = jobs(values)
        (own / file).write_text((own / file).read_text() + "z = 1\n")
        after = jobs(values)
        # Tables are read where the modules are not: the digest of configurations stays.
        assert {k: v[1] for k, v in before.items()} == {k: v[1] for k, v in after.items()}
        return {name for name in before if before[name][0] != after[name][0]}

    # A student loads its teacher's model. Further down, what Snakemake sees is a new teacher.
    assert affected("my/layers.py") == {"mine", "mine/student@kd"}
    assert affected("rules.py") == {"teacher/student@own"}
    assert affected("helpers.py") == {"mine", "mine/student@kd", "teacher/student@own"}


def test_an_own_module_may_lie_beside_the_package(own, monkeypatch):
    monkeypatch.setattr(code_digest, "PACKAGE", own / "modelswitch")
    monkeypatch.setattr(code_digest, "_OWN_PACKAGE", {own: {"modelswitch"}})
    before = code_digest.own_digest(RULE)
    (own / "helpers.py").write_text("y = 1\n")
    assert code_digest.own_digest(RULE) != before


def test_a_sweep_over_own_rules_knows_their_code(own):
    values = changed(
        "sweeps",
        {
            "s": {
                "chain": "teacher/student@kd",
                "over": {"weighting": [{"rule": "import", "path": RULE}]},
            }
        },
    )
    graph = Graph(load(values))
    assert graph.code == {RULE: code_digest.own_digest(RULE)}


def test_a_training_goes_on_with_the_own_code_only_that_it_began_with(own, tmp_path, monkeypatch):
    """Its key for going on and its passport know that code; changed in between, it is refused."""
    nets = own / "my" / "nets.py"
    nets.write_text(
        "from torch import nn\n"
        "def net(in_channels, num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))\n"
    )
    values = changed("models.teacher", {"family": "import", "path": NET})
    values["training"] = {"epochs": 1, "warmup": 0, "batch": 512, "precision": "float32"}
    experiment = load(values)
    data = tmp_path / "data.safetensors"
    assert script_runs.run("prepare", "--spec", experiment.data.canonical(), "--data", data)[0] == 0

    keys = []

    class Noted(fit.ResumeFiles):
        def __init__(self, folder, key, *others, **named):
            keys.append(key)
            super().__init__(folder, key, *others, **named)

    monkeypatch.setattr(fit, "ResumeFiles", Noted)

    def train() -> tuple[script_runs.Ended, str, str]:
        graph = Graph(experiment)
        place = graph.place("digits", "seed0", "teacher")
        outputs = [tmp_path / name for name in ("model.safetensors", "history.csv", "outputs")]
        options = zip(("--model", "--history", "--outputs"), outputs, strict=True)
        ended = script_runs.run(
            *("train", "--job", graph.train_job(place).canonical(), "--data", data),
            *("--resume", tmp_path / "resume"),
            *(word for option in options for word in option),
        )
        passport = artifacts.read_passport(outputs[0])
        return ended, passport["code"], passport["job_digest"]

    first, code, digest = train()
    assert first.status == 0, first.said
    assert code != code_digest.code_digest(script_runs.SCRIPTS / "train.py")
    (own / "my" / "layers.py").write_text("WIDTH = 4\n")
    assert train()[1:] == (code, digest)
    nets.write_text(nets.read_text().replace("nn.Flatten()", "nn.Flatten(), nn.Identity()"))
    second, other_code, same_digest = train()
    assert second.status == 0, second.said
    assert (other_code != code, same_digest) == (True, digest)
    # Each training opens its resume files and, at its end, removes them, for which no key is used.
    first_key, again, other_key = [key for key in keys if key]
    assert first_key == again != other_key

    planned = Graph(experiment).train_job(Graph(experiment).place("digits", "seed0", "teacher"))
    refuse_changed(planned)
    nets.write_text(nets.read_text() + "changed = 1\n")
    with pytest.raises(UserError, match=rf"^{NET}: its code is .*, and was {planned.code[NET]}"):
        refuse_changed(planned)


@pytest.mark.parametrize("named", ["weights.bin", "folder"])
def test_a_file_that_arguments_name_counts_by_what_it_holds(own, tmp_path, monkeypatch, named):
    """Of the models that it is an argument of, and of what they teach; its date does not count."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / named
    if named == "folder":
        file = file / "below" / "weights.bin"
        file.parent.mkdir(parents=True)
    file.write_bytes(b"before")
    arguments = {"options": {"files": [named, "no such file"]}}
    values = changed("models.teacher", {"family": "import", "path": NET, "arguments": arguments})

    def codes() -> dict[str, dict[str, str]]:
        graph = Graph(load(values))
        names = ("teacher", "teacher/student@kd", "student")
        return {n: graph.train_job(graph.place("digits", "seed0", n)).code for n in names}

    before = codes()
    assert before["teacher"].keys() == {NET, named}
    assert before["student"] == {}
    os.utime(file, (1, 1))
    assert codes() == before
    file.write_bytes(b"behind")
    after = codes()
    assert after["teacher"][named] != before["teacher"][named]
    assert after["student"] == before["student"]
    graph = Graph(load(values))
    planned = graph.train_job(graph.place("digits", "seed0", "teacher"))
    refuse_changed(planned)
    file.write_bytes(b"later!")
    with pytest.raises(UserError, match=f"^{named}: "):
        refuse_changed(planned)


def test_the_code_of_a_session_knows_the_own_code(monkeypatch):
    """Of two sessions that differ in nothing else."""
    script = script_runs.SCRIPTS / "train.py"
    monkeypatch.setattr(sys, "argv", [str(script)])
    codes = set()
    for own in ({}, {NET: "0" * 16}, {NET: "1" * 16}, {RULE: "1" * 16}):
        one = Session.__new__(Session)
        one.job = SimpleNamespace(code=own)
        codes.add(one.code)
    assert len(codes) == 4
    assert code_digest.code_digest(script) in codes
