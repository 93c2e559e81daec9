"""A training that is killed, cut short or short of disk ends with the bits it would have had."""

import contextlib
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import script_runs
import test_jobs
from PIL import Image
from torch.optim.optimizer import register_optimizer_step_post_hook

from modelswitch.config.experiment import load
from modelswitch.config.job import Job
from modelswitch.graph import Graph
from modelswitch.lineage import Lineage, ModelFolder, Replicate
from modelswitch.storage import artifacts
from modelswitch.storage.code_digest import code_digest
from modelswitch.training import loop

EPOCHS = 8
# Of an epoch, over the images of digits that are trained on.
STEPS = 9
EXPERIMENT = {
    **{key: test_jobs.EXPERIMENT[key] for key in ("data", "models")},
    "name": "resume",
    "transfers": {
        "kd": {},
        # One hint ends half-way, one has buffers that trainings change.
        "joint": {
            "hint": {"mode": "joint"},
            "hints": [
                {"loss": "relational", "schedule": "linear", "end": 0.5},
                {"loss": "review", "stages": True, "weight": 0.1, "schedule": "cosine"},
            ],
        },
        "pretrain": {"hint": {"mode": "pretrain"}},
        "stored": {"views": "stored", "weighting": {"rule": "shuffled", "delta": 0.1}},
    },
    "chains": {
        transfer: f"teacher/student@{transfer}"
        for transfer in ("kd", "joint", "pretrain", "stored")
    },
    "responses": {"views": 2},
    "training": {"epochs": EPOCHS, "batch": 128, "precision": "float32"},
}


class Workplace:
    """The arguments of every kind of training, with outputs in a folder of choice."""

    def __init__(self, folder: Path, **changes) -> None:
        self.folder = folder
        changed = EXPERIMENT["training"] | changes
        self.graph = Graph(load(EXPERIMENT | {"training": changed}))
        self.data = folder / "data.safetensors"

    def place(self, lineage: str) -> ModelFolder:
        return ModelFolder("resume", "digits", Replicate(0), Lineage.parse(lineage))

    def arguments(self, kind: str, out: Path) -> tuple[str, list]:
        """Script and arguments of a training of ``kind``; its teacher's files lie in ``folder``."""
        shared = ["--data", self.data]
        kept = [*("--resume", out / "state"), *("--history", out / "history.csv")]
        model = ["--model", out / "model.safetensors", "--outputs", out / "outputs.safetensors"]
        teacher = self.folder / "train" / "model.safetensors"
        if kind == "train":
            job = self.graph.train_job(self.place("teacher"))
            return "train", ["--job", job.canonical(), *shared, *kept, *model]
        if kind == "respond":
            job = self.graph.respond_job(self.place("teacher"))
            responses = ["--responses", out / "responses.safetensors"]
            return "respond", ["--job", job.canonical(), *shared, "--teachers", teacher, *responses]
        if kind == "hint":
            job = self.graph.hint_job(self.place("teacher/student@pretrain"))
            hint = ["--teacher", teacher, "--hint", out / "hint.safetensors"]
            return "hint", ["--job", job.canonical(), *shared, *kept, *hint]
        job = self.graph.train_job(self.place(f"teacher/student@{kind}"))
        more = ["--teachers", teacher]
        if kind == "stored":
            more = ["--responses", self.folder / "respond" / "responses.safetensors"]
        if kind == "pretrain":
            more += ["--hint", self.folder / "hint" / "hint.safetensors"]
        return "distil", ["--job", job.canonical(), *shared, *kept, *model, *more]

    def run(self, kind: str, out: Path | None = None) -> script_runs.Ended:
        script, values = self.arguments(kind, out or self.folder / kind)
        return script_runs.run(script, *values)

    def fork(self, kind: str, out: Path, **how) -> int:
        script, values = self.arguments(kind, out)
        return script_runs.fork(script, *values, **how)


def status_of(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def told_at(step: int, asked=signal.SIGKILL):
    """What a fork calls first to get a signal after so many steps, however fast the machine is."""

    def prepare() -> None:
        steps = itertools.count(1)
        register_optimizer_step_post_hook(
            lambda *_: os.kill(os.getpid(), asked) if next(steps) == step else None
        )

    return prepare


def slowly() -> None:
    """What a fork calls first to take its time over every step."""
    register_optimizer_step_post_hook(lambda *_: time.sleep(0.03))


def result(folder: Path) -> bytes:
    """What a training of any kind is for."""
    [path] = [p for n in ("model", "hint") if (p := folder / f"{n}.safetensors").exists()]
    return path.read_bytes()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.002)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, one_thread):
    """All kinds of trainings, run in peace."""
    workplace = Workplace(tmp_path_factory.mktemp("trainings"))
    spec = workplace.graph.experiment.data.canonical()
    assert script_runs.run("prepare", "--spec", spec, "--data", workplace.data).status == 0
    for kind in ("train", "respond", "hint", "kd", "joint", "pretrain", "stored"):
        ended = workplace.run(kind)
        assert ended.status == 0, ended.said
    return workplace


@pytest.fixture(autouse=True)
def saved_after_every_epoch(monkeypatch):
    """These epochs are shorter than what is usually between two saves."""
    monkeypatch.setattr(loop, "BETWEEN_SAVES", 0)


@pytest.fixture
def begun(workplace, tmp_path):
    """A training that was killed in its fourth epoch."""
    process = workplace.fork("kd", tmp_path, prepare=told_at(3 * STEPS + 2))
    assert status_of(process) == -signal.SIGKILL
    return tmp_path


@pytest.mark.parametrize("kind", ["train", "hint", "kd", "joint", "pretrain", "stored"])
def test_killed_at_any_moment_the_result_is_the_same(workplace, tmp_path, kind):
    moments = random.Random(kind)
    for kill in range(8):
        if kill < 3:
            # In its training for certain; the others may come before it, in a save, after all.
            process = workplace.fork(kind, tmp_path, prepare=told_at(moments.randrange(1, 9)))
            assert status_of(process) == -signal.SIGKILL
            continue
        process = workplace.fork(kind, tmp_path)
        time.sleep(moments.uniform(0, 0.5))
        os.kill(process, signal.SIGKILL)
        if status_of(process) == 0:
            # It was faster than the kill: once more from the beginning.
            assert result(tmp_path) == result(workplace.folder / kind)
            shutil.rmtree(tmp_path)
            tmp_path.mkdir()
    ended = workplace.run(kind, tmp_path)
    assert ended.status == 0, ended.said
    assert result(tmp_path) == result(workplace.folder / kind)
    # Nothing is left of the kills: no resume files, no lock, no halves of files.
    assert names(tmp_path) == names(workplace.folder / kind)


@pytest.mark.parametrize("stored", ["raw", "jpeg", "in_place"])
def test_killed_over_images_on_disk_the_result_is_that_of_memory(tmp_path, stored):
    pixels = np.random.default_rng(0)
    for number in range(60):
        folder = tmp_path / "photographs" / f"class{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        image = pixels.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{number}.jpg")
    data = {"source": "folder", "path": str(tmp_path / "photographs"), "stored": stored}
    work = Workplace(tmp_path)
    changed = EXPERIMENT["training"] | {"batch": 8}
    configured = {"data": data | {"name": "digits", "augment": {"crop": 1}}, "training": changed}
    work.graph = Graph(load(EXPERIMENT | configured))
    spec = work.graph.experiment.data.canonical()
    ended = script_runs.run("prepare", "--spec", spec, "--data", work.data)
    assert ended.status == 0, ended.said
    script, values = work.arguments("train", tmp_path / "memory")
    assert script_runs.run(script, *values, "--keep", "memory").status == 0
    out = tmp_path / "disk"
    script, values = work.arguments("train", out)
    # An epoch has six steps: killed in the first, the second, the third and the fifth.
    for step in (4, 9, 8, 15):
        process = script_runs.fork(script, *values, "--keep", "disk", prepare=told_at(step))
        assert status_of(process) == -signal.SIGKILL
    ended = script_runs.run(script, *values, "--keep", "disk")
    assert ended.status == 0, ended.said
    assert "resumed after epoch 4" in ended.said
    assert result(out) == result(tmp_path / "memory")


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT], ids=lambda asked: asked.name)
def test_a_signal_finishes_the_step_saves_and_leaves(workplace, tmp_path, capfd, asked):
    process = workplace.fork("kd", tmp_path, prepare=told_at(STEPS + 2, asked))
    assert status_of(process) == 128 + asked
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith(f"{asked.name}: saved in epoch 2 after step 2;")
    assert not {"model.safetensors", "outputs.safetensors", "history.csv"} & names(tmp_path)
    ended = workplace.run("kd", tmp_path)
    assert "resumed after epoch 1, step 2" in ended.said
    assert result(tmp_path) == result(workplace.folder / "kd")


def test_a_truncated_resume_file_is_noticed_and_the_one_before_is_used(workplace, begun):
    states = sorted((begun / "state").glob("resume?.safetensors"))
    epochs = [artifacts.read_passport(path)["state"]["epoch"] for path in states]
    newest = states[epochs.index(max(epochs))]
    newest.write_bytes(newest.read_bytes()[:-1])
    ended = workplace.run("kd", begun)
    assert f"resume file not used and removed: {newest}: cut short" in ended.said
    assert f"resumed after epoch {min(epochs)}, step 0" in ended.said
    assert result(begun) == result(workplace.folder / "kd")


def test_with_both_resume_files_broken_it_starts_again(workplace, begun):
    for path in (begun / "state").glob("resume?.safetensors"):
        content = bytearray(path.read_bytes())
        content[-20] ^= 1
        path.write_bytes(content)
    ended = workplace.run("kd", begun)
    assert ended.said.count("altered since it was written") == 2
    assert "resumed after" not in ended.said
    assert result(begun) == result(workplace.folder / "kd")


def test_resume_files_of_another_configuration_are_ignored_and_removed(workplace, begun):
    other = Workplace(workplace.folder, learning_rate=0.05)
    job = other.graph.train_job(other.place("teacher"))
    teacher = begun / "teacher.safetensors"
    tensors, passport = artifacts.load(workplace.folder / "train" / "model.safetensors")
    artifacts.save(teacher, tensors, passport | {"job_digest": job.digest})
    script, values = other.arguments("kd", begun)
    values[values.index(workplace.folder / "train" / "model.safetensors")] = teacher
    ended = script_runs.run(script, *values)
    assert ended.status == 0, ended.said
    assert ended.said.count("belongs to another configuration, code or data set") == 2
    assert "resumed after" not in ended.said
    assert not (begun / "state").exists()


def test_a_teacher_trained_again_makes_resume_files_stale(workplace, begun):
    # The same configuration, other weights: its code has changed, say.
    path = begun / "teacher.safetensors"
    tensors, passport = artifacts.load(workplace.folder / "train" / "model.safetensors")
    tensors["classifier.bias"] += 1
    artifacts.save(path, tensors, passport)
    script, values = workplace.arguments("kd", begun)
    values[values.index(workplace.folder / "train" / "model.safetensors")] = path
    ended = script_runs.run(script, *values)
    assert ended.status == 0, ended.said
    assert "resumed after" not in ended.said


def test_the_same_training_twice_at_once_is_done_once(workplace, tmp_path, capfd):
    # What a killed Snakemake left running, and what its successor starts.
    left_behind = workplace.fork("kd", tmp_path, prepare=slowly)
    until(lambda: (tmp_path / "state" / "resume0.safetensors").exists())
    successor = workplace.fork("kd", tmp_path)
    assert status_of(left_behind) == 128 + signal.SIGTERM
    assert status_of(successor) == 0
    assert f"process {left_behind} was left behind" in capfd.readouterr().err
    assert result(tmp_path) == result(workplace.folder / "kd")


@pytest.mark.parametrize(
    ("kind", "script", "file"),
    [
        ("train", "train", "model"),
        ("hint", "hint", "hint"),
        ("respond", "respond", "responses"),
        ("pretrain", "distil", "model"),
    ],
)
def test_every_file_of_weights_says_what_it_is_and_what_made_it(workplace, kind, script, file):
    passport = artifacts.read_passport(workplace.folder / kind / f"{file}.safetensors")
    _, values = workplace.arguments(kind, workplace.folder)
    job = Job.model_validate_json(values[values.index("--job") + 1])
    assert passport["lineage"] == job.lineage
    assert passport["branch"] == "seed0"
    assert passport["job"] == job.model_dump(mode="json")
    assert passport["job_digest"] == job.digest
    assert passport["code"] == code_digest(script_runs.SCRIPTS / f"{script}.py")
    assert passport["versions"] == artifacts.package_versions()
    assert passport["data"] == artifacts.read_passport(workplace.data)["checksum"]


def test_a_model_of_another_data_set_is_refused_by_name(workplace, tmp_path):
    teacher = workplace.folder / "train" / "model.safetensors"
    tensors, passport = artifacts.load(teacher)
    foreign = tmp_path / "teacher.safetensors"
    artifacts.save(foreign, tensors, passport | {"data": "0" * 64})
    script, values = workplace.arguments("kd", tmp_path)
    values[values.index(teacher)] = foreign
    ended = script_runs.run(script, *values)
    assert ended.status == 1
    assert ended.said.startswith(f"error: {foreign}: belongs to another data set")
    assert "model.safetensors" not in names(tmp_path)


def limited(size):
    """Before a fork's run: no file may grow beyond ``size`` bytes, as on a full disk."""

    def prepare():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return prepare


def test_a_disk_too_full_for_resume_files_does_not_stop_a_training(workplace, tmp_path, capfd):
    sizes = {p.name: p.stat().st_size for p in (workplace.folder / "kd").iterdir()}
    # Outputs fit; the resume file holds what the optimiser remembers as well.
    out = tmp_path / "out"
    process = workplace.fork("hint", out, prepare=limited(16_000))
    assert status_of(process) == 0, (sizes, capfd.readouterr().err)
    assert "not written (File too large); going on without" in capfd.readouterr().err
    assert result(out) == result(workplace.folder / "hint")


def mount(*arguments: object) -> None:
    if subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode:
        pytest.skip("no right to mount a file system here")


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int):
    """A file system of its own at ``folder``, of the given size; skips where none can be made."""
    folder.mkdir(parents=True)
    mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "none", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def read_only(folder: Path):
    """``folder`` can be read only, whatever is open in it, as after an error of its disk."""
    mount("--bind", folder, folder)
    try:
        mount("-o", "remount,ro,bind", folder)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_in_one_line_and_no_half_of_a_file(workplace, tmp_path):
    with small_disk(tmp_path / "disk", 40) as out:
        ended = workplace.run("kd", out)
        assert ended.status == 1
        [error] = [line for line in ended.said.splitlines() if line.startswith("error: ")]
        assert error.endswith("model.safetensors: No space left on device")
        assert "Traceback" not in ended.said
        assert not any(name.endswith((".part", "model.safetensors")) for name in names(out))


def test_a_folder_that_turns_read_only_ends_in_one_line(workplace, tmp_path, capfd):
    out = tmp_path / "out"
    process = workplace.fork("kd", out, prepare=slowly)
    until(lambda: (out / "state" / "resume0.safetensors").exists())
    with read_only(out):
        assert status_of(process) == 1
    said = capfd.readouterr().err
    assert said.splitlines()[-1].startswith("error: ")
    assert "Read-only file system" in said.splitlines()[-1]
    assert "Traceback" not in said
    ended = workplace.run("kd", out)
    assert ended.status == 0
    assert "resumed after" in ended.said
    assert result(out) == result(workplace.folder / "kd")


def test_a_clock_that_jumps_backwards_does_not_matter(workplace, begun):
    # The newest state now looks older than the one before it.
    states = sorted((begun / "state").glob("resume?.safetensors"))
    epochs = [artifacts.read_passport(path)["state"]["epoch"] for path in states]
    newest = states[epochs.index(max(epochs))]
    os.utime(newest, (1, 1))
    ended = workplace.run("kd", begun)
    assert f"resumed after epoch {max(epochs)}, step 0" in ended.said
    assert result(begun) == result(workplace.folder / "kd")
