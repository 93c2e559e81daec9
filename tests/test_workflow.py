"""The workflow as a user runs it: what it does again after a change, and what it does not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
EXPERIMENT = {
    "name": "small",
    "data": {"source": "digits", "augment": {"crop": 1, "flip": False}},
    "models": {
        "teacher": {"family": "plain", "stages": [[6], [8]]},
        "student": {"family": "resnet", "widths": [4, 6], "blocks": [1, 1]},
    },
    "transfers": {
        "kd": {"soft": 0.6},
        "fit": {"soft": 0.6, "hint": {"mode": "pretrain"}},
        "stored": {"soft": 0.6, "views": "stored"},
    },
    "chains": {
        "scratch": "student",
        "direct": "teacher/student@kd",
        "chain": "teacher/student@kd/student@fit",
        "stored": "teacher/student@stored",
    },
    "seeds": [0],
    "responses": {"views": 2},
    "training": {"epochs": 2, "batch": 256, "momentum": 0.8, "label_smoothing": 0.1},
}
DIGITS = "results/small/digits"
EVERYTHING = {
    "data",
    "student",
    "teacher",
    "teacher/student@kd",
    "teacher/student@kd/student@fit",
    "hint teacher/student@kd/student@fit",
    "respond teacher",
    "teacher/student@stored",
}


class Clone:
    """A copy of the workflow and its package, so that a test may edit the code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("rules", "workflow", "src", "profiles"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "Snakefile", folder)
        self.values = yaml.safe_load(yaml.safe_dump(EXPERIMENT))

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "small.yaml").write_text(yaml.safe_dump(self.values))
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments, "--configfile", "small.yaml"],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder / "src")},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *targets: str) -> str:
        done = self.snakemake(*targets, "--cores", "2")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self) -> set[str]:
        """The trainings that would run now: lineages, with the rule's name unless it trains."""
        done = self.snakemake("models", "--dry-run")
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        jobs = re.findall(r"rule (\w+):(.*?)(?=\[\w{3} |\Z)", said, re.DOTALL)
        found = set()
        for rule, text in jobs:
            lineage = re.search(r"lineage=([^\s,]+)", text)
            if rule == "prepare_data":
                found.add("data")
            elif lineage:
                prefix = "" if rule in ("train", "distil") else f"{rule} "
                found.add(prefix + lineage[1])
        return found

    def module_with(self, text: str) -> Path:
        """The one module of the package that has ``text`` in it."""
        [found] = (p for p in (self.folder / "src").rglob("*.py") if text in p.read_text())
        return found

    def edit(self, before: str, after: str) -> None:
        path = self.module_with(before)
        path.write_text(path.read_text().replace(before, after))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("finished"))
    assert clone.planned() == EVERYTHING
    clone.run()
    return clone


@pytest.fixture
def clone(finished):
    """The finished run; what a test changes is put back."""
    values = yaml.safe_load(yaml.safe_dump(finished.values))
    code = finished.folder / "src"
    kept = finished.folder / "kept"
    shutil.copytree(code, kept)
    yield finished
    shutil.rmtree(code)
    kept.rename(code)
    finished.values = values


def test_out_of_fold_responses_train_the_teacher_and_one_a_fold(tmp_path):
    clone = Clone(tmp_path)
    clone.values |= {"chains": {"stored": "teacher/student@stored"}}
    clone.values["responses"] |= {"folds": 2}
    said = clone.snakemake("models", "--dry-run").stdout
    trained = set(re.findall(r"rule train:[^[]*branch=(\S+), lineage=teacher\s", said))
    assert trained == {"seed0", "seed0.fold0of2", "seed0.fold1of2"}


def test_repeats_train_a_student_again_from_the_one_teacher_of_its_seed(tmp_path):
    clone = Clone(tmp_path)
    clone.values |= {"chains": {"stored": "teacher/student@stored"}, "repeats": {"student": 3}}
    said = clone.snakemake("models", "--dry-run").stdout
    jobs = re.findall(r"rule (train|respond|distil):[^[]*branch=(\S+), lineage=(\S+?),?\s", said)
    assert sorted(jobs) == [
        ("distil", "seed0", "teacher/student@stored"),
        ("distil", "seed0.repeat1", "teacher/student@stored"),
        ("distil", "seed0.repeat2", "teacher/student@stored"),
        ("respond", "seed0", "teacher"),
        ("train", "seed0", "teacher"),
    ]


@pytest.mark.slow
def test_a_second_run_has_nothing_to_do(clone):
    assert clone.planned() == set()
    assert "Nothing to be done" in clone.run()


@pytest.mark.slow
def test_every_model_has_its_files_and_nothing_else_is_left(clone):
    names = {"model.safetensors", "history.csv", "outputs.safetensors"}
    for lineage in ("student", "teacher", "teacher/student@kd/student@fit"):
        folder = clone.folder / DIGITS / "seed0" / lineage
        assert names <= {path.name for path in folder.iterdir()}
    assert not list((clone.folder / "results").rglob("*.part"))
    assert not list((clone.folder / "results").rglob("resume*.safetensors"))
    tables = clone.folder / "results/small/tables/models.csv"
    assert len(tables.read_text().splitlines()) == 1 + 2 * 5


@pytest.mark.slow
def test_a_transfers_change_reruns_only_what_is_below_it(clone):
    clone.values["transfers"]["kd"]["soft"] = 0.5
    assert clone.planned() == {
        "teacher/student@kd",
        "teacher/student@kd/student@fit",
        "hint teacher/student@kd/student@fit",
    }
    clone.values["transfers"]["kd"]["soft"] = 0.6
    clone.values["transfers"]["fit"]["temperature"] = 2
    # The pre-trained front depends on the hint alone, not on the temperature behind it.
    assert clone.planned() == {"teacher/student@kd/student@fit"}


@pytest.mark.slow
def test_swapping_two_values_is_noticed(clone):
    training = clone.values["training"]
    training["momentum"], training["label_smoothing"] = 0.1, 0.8
    assert clone.planned() == EVERYTHING - {"data"}


@pytest.mark.slow
def test_a_changed_loss_reruns_what_uses_it(clone):
    clone.edit("temperature**2 * divergence", "temperature * divergence")
    assert clone.planned() == {
        "teacher/student@kd",
        "teacher/student@kd/student@fit",
        "hint teacher/student@kd/student@fit",
        "teacher/student@stored",
    }


@pytest.mark.slow
def test_what_changes_no_result_retrains_nothing(clone):
    loss = clone.module_with("temperature**2 * divergence)")
    loss.write_text(loss.read_text() + "\n# Another comment.\n")
    for module in ("results/tables.py", "results/intervals.py", "planning/plan.py"):
        path = clone.folder / "src/modelswitch" / module
        path.write_text(path.read_text() + "\n\nCHANGED = True\n")
    (clone.folder / "small.yaml").touch()
    assert clone.planned() == set()


@pytest.mark.long
@pytest.mark.slow
def test_tables_and_figures_come_from_the_results_alone(clone, tmp_path):
    copy = Clone(tmp_path / "fresh")
    results = copy.folder / "results"
    shutil.copytree(clone.folder / "results", results)
    # What a person copies: small files, no data set, no weights; and times that mean nothing.
    for path in results.rglob("*"):
        if path.name in ("data.safetensors", "model.safetensors", "hint.safetensors"):
            path.unlink()
        elif path.is_file():
            os.utime(path, (0, 0))
    for folder in ("tables", "figures"):
        shutil.rmtree(results / "small" / folder)
    said = copy.run("tables") + copy.run("figures")
    assert "rule train" not in said
    assert "rule distil" not in said
    assert (results / "small/tables/models.csv").exists()
    assert list((results / "small/figures").glob("*.svg"))
    assert list((results / "small/figures").glob("*.png"))


def jobs(clone: Clone) -> set[str]:
    """The rules that would run now."""
    done = clone.snakemake("--dry-run", "--quiet", "host")
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, re.MULTILINE))


@pytest.mark.long
@pytest.mark.slow
def test_a_configuration_of_any_size_reaches_its_scripts(clone):
    # Another thousand transfers, which no chain uses: more than the 128 KiB at which Linux ends an
    # argument, and no training more.
    for number in range(1000):
        clone.values["transfers"][f"kd{number}"] = {"soft": number / 1000}
    assert jobs(clone) == {"all", "results"}
    clone.run()
    assert "kd999" in (clone.folder / "results/small/tables/configuration.yaml").read_text()
    assert jobs(clone) == set()
    kept = (clone.folder / ".snakemake/modelswitch").glob("experiment-*.json")
    assert max(path.stat().st_size for path in kept) > 2 * 128 * 1024
    # Another name for a chain is a change of the results, and of nothing else.
    clone.values["chains"]["again"] = "teacher/student@kd"
    assert jobs(clone) == {"all", "results"}


OTHER = """
import yaml

module compression:
    snakefile: "../Snakefile"
    config: yaml.safe_load(open("small.yaml"))

use rule * from compression as compression_*

rule all:
    default_target: True
    input: rules.compression_all.input
"""


@pytest.mark.long
@pytest.mark.slow
def test_another_workflow_uses_this_one_as_a_module(clone):
    # The paths and parameters are the same, so what was trained by either is the other's too.
    clone.run()
    (clone.folder / "other").mkdir()
    (clone.folder / "other" / "Snakefile").write_text(OTHER)
    assert "Nothing to be done" in clone.run("--snakefile", "other/Snakefile")
    clone.edit("temperature**2 * divergence", "temperature * divergence")
    said = clone.snakemake("--snakefile", "other/Snakefile", "--dry-run").stdout
    assert "rule compression_distil" in said
    assert "rule compression_train:" not in said


def test_the_demo_is_two_experiments_in_one_run(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "host"),
            *("--snakefile", ROOT / "workflow" / "demo.smk", "--directory", tmp_path),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    made = set(re.findall(r"results/([\w-]+)/results\.html", said))
    assert made == {"demo", "demo-eyes"}


def test_what_cannot_be_made_fails_also_where_it_is_printed(tmp_path):
    # These steps print through a pipe, which by itself would succeed.
    for target in ("tables", "page"):
        done = Clone(tmp_path / target).snakemake(target, "--cores", "1")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_the_plan_is_printed_before_anything_is_trained(tmp_path):
    clone = Clone(tmp_path)
    said = clone.run("plan")
    for part in ("teacher", "student@kd", "trainings", "5 models", "time: about"):
        assert part in said
    assert not (clone.folder / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("chains", "direct", "teacher/student@nothing", "unknown transfer 'nothing'"),
        (
            "transfers",
            "fit",
            {"hint": {"mode": "pretrain", "student_layer": "l9"}},
            "stage1_block1",
        ),
        ("models", "teacher", {"family": "plain", "stages": [[4]] * 6}, "models.teacher"),
        ("data", "source", "npz", "data.path: missing"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(tmp_path, section, key, value, said):
    clone = Clone(tmp_path)
    clone.values[section][key] = value
    if section == "data":
        del clone.values["data"]["augment"]
    done = clone.snakemake("--cores", "1")
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in done.stderr + done.stdout
    assert not (clone.folder / "results").exists()


NETS = """
from torch import nn

from parts import head


def net(in_channels, num_classes):
    return nn.Sequential(nn.Flatten(), head(64 * in_channels, num_classes))
"""
PARTS = "from torch import nn\n\n\ndef head(size, classes):\n    return nn.Linear(size, classes)\n"


@pytest.mark.long
@pytest.mark.slow
def test_a_change_in_the_users_own_code_reruns_what_runs_it(tmp_path):
    clone = Clone(tmp_path)
    clone.values["models"]["own"] = {"family": "import", "path": "nets:net"}
    clone.values["chains"] = {"own": "own", "below": "own/student@kd", "other": "student"}
    (tmp_path / "src" / "nets.py").write_text(NETS)
    parts = tmp_path / "src" / "parts.py"
    parts.write_text(PARTS)
    measured = f"{DIGITS}/models.json"
    clone.run("models", measured)
    parts.write_text("# A head.\n" + PARTS)
    assert clone.planned() == set()
    parts.write_text(PARTS.replace("Linear(size, classes)", "Linear(size, classes, bias=False)"))
    said = clone.snakemake("models", measured, "--dry-run").stdout
    assert set(re.findall(r"lineage=(\S+)", said)) == {"own", "own/student@kd"}
    assert "rule measure_models:" in said


def test_a_configuration_file_is_looked_at_and_not_that_of_whoever_uses_the_module(tmp_path):
    def said(snakefile: Path) -> tuple[int, str]:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all"),
                *("--snakefile", snakefile, "--directory", tmp_path, "--configfile", "my.yaml"),
            ],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    (tmp_path / "my.yaml").write_text(yaml.safe_dump(EXPERIMENT) + "seeds: [1]\n")
    status, text = said(ROOT / "Snakefile")
    assert status == 1
    assert re.search(r"^error: .*my\.yaml: the key 'seeds' stands twice, in lines", text, re.M)
    values = yaml.safe_load(yaml.safe_dump(EXPERIMENT))
    (tmp_path / "Snakefile").write_text(
        f"module small:\n    snakefile: {str(ROOT / 'Snakefile')!r}\n    config: {values!r}\n"
        "use rule * from small as small_*\n"
        "rule all:\n    default_target: True\n    input: rules.small_models.input\n"
    )
    status, text = said(tmp_path / "Snakefile")
    assert status == 0, text
