"""Bad input in bulk: a run that works, or one line and exit status 1; never a traceback or a half.

Everything runs in this process, through the same functions as the workflow's scripts.
"""

import copy
import io
import json
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import script_runs
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from modelswitch.config.experiment import load
from modelswitch.errors import fail
from modelswitch.graph import Graph
from modelswitch.planning import checks
from modelswitch.storage import artifacts, cache_folder
from modelswitch.transfer.output_losses.kl import soft_loss
from modelswitch.transfer.weighting import Balance

# 500 configurations and data files at least are tried: 300 + 160 + 45, and 60 files of weights.
QUICK = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

VALID = {
    "name": "tried",
    "data": {
        "source": "npz",
        "path": "data.npz",
        "validation": 0.2,
        "augment": {"crop": 1, "flip": True},
    },
    "models": {
        "teacher": {"family": "plain", "stages": [[4], [6]]},
        "student": {"family": "resnet", "widths": [4], "blocks": [1]},
    },
    "transfers": {
        "kd": {"soft": 0.5, "temperature": 2.0, "training": {"epochs": 1}},
        "own": {
            "weighting": {"rule": "correctness", "delta": 0.1},
            "hint": {"mode": "pretrain", "weight": 1.0, "teacher_layer": 0.5},
        },
        "stored": {"views": "stored", "weighting": "wsl"},
    },
    "chains": {
        "direct": "teacher/student@kd",
        "pretrain": "teacher/student@own",
        "stored": "teacher/student@stored",
    },
    "seeds": [0],
    "training": {"epochs": 2, "batch": 8, "warmup": 0.5, "precision": "float32"},
    "model_training": {"student": {"learning_rate": 0.05}},
    "responses": {"views": 1, "folds": 0},
    "resources": {"threads": 1, "mem_mb": 100},
}

# What people write by mistake, what is nearly right, and what is right in some places.
VALUES = st.one_of(
    st.sampled_from([None, True, False, "", " ", "auto", "no", "-", [], {}, [[]], {"": 1}]),
    st.sampled_from([-1, 0, 1, 2, 3, 7, 10**9, 10**30, -0.5, 0.0, 0.3, 1.0, 1.5, 2.5]),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e-320, 1e300]),
    st.sampled_from(["1", "0.5", "1e-1", "teacher", "student", "kd", "own", "stored", "digits"]),
    st.sampled_from(["teacher/student@kd", "teacher/teacher@kd/student@own", "student", "a/b"]),
    st.sampled_from(["teacher/student", "@kd", "teacher//student@kd", "teacher/student@kd/", "/"]),
    st.sampled_from(["../up", "a b", "ä", "x" * 300, "a@b", "\n", "\x00", "{x}", "%s", "~", "*"]),
    st.sampled_from(["sgd", "adamw", "cosine", "linear", "constant", "bfloat16", "float32"]),
    st.sampled_from(["joint", "pretrain", "live", "ancestors", "hard_switch", "dkd", "adjusted"]),
    st.sampled_from(["stage1_conv1", "stage1_block1", "classifier", "nothing.here", "plain"]),
    st.sampled_from([[4, 6], [[4, 4], [6]], [[4]], [1], [2, 2], ["a"], [None], [0, 1], [0, 0]]),
    st.sampled_from([{"rule": "wsl"}, {"rule": "dkd", "warmup": 0}, {"mode": "joint"}]),
    st.sampled_from([{"family": "resnet", "widths": [4, 6], "blocks": [1]}, {"family": "timm"}]),
)


# The lists and dicts above are one object for all examples, and some examples change them.
COPIES = VALUES.map(copy.deepcopy)


def arrays(classes=3, each=8, size=8, channels=1):
    """A small data set of blobs as a .npz holds it."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)

    def images(labels):
        noise = random.integers(0, 40, (len(labels), size, size, channels))
        return (noise + (labels * 60)[:, None, None, None]).astype(np.uint8)

    return {
        "x_train": images(labels),
        "y_train": labels,
        "x_test": images(labels[::2]),
        "y_test": labels[::2],
    }


def paths(value, here=()):
    """The place of every entry of nested dicts and lists."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in entries:
        yield (*here, key)
        if isinstance(entry, dict | list):
            yield from paths(entry, (*here, key))


def another(value):
    """Values that may well do instead of ``value``: of the same type, where it has a plain one."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int | float):
        return st.sampled_from([0, 0.1, 0.5, 1, 2, 3, 8, -1, 1e30])
    if isinstance(value, str):
        alike = ["teacher", "student", "teacher/student@kd", "live", "stored", "joint", "adjusted"]
        return st.sampled_from([*alike, "hard_switch", "plain", "resnet", "shuffled", "float32"])
    return COPIES


@st.composite
def mutated_configurations(draw):
    values = copy.deepcopy(VALID)
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        *above, key = draw(st.sampled_from(list(paths(values))))
        holder = values
        for step in above:
            holder = holder[step]
        change = draw(st.sampled_from(["like", "like", "set", "remove", "rename", "add", "repeat"]))
        if change == "like":
            holder[key] = draw(another(holder[key]))
        elif change == "set":
            holder[key] = draw(COPIES)
        elif change == "remove":
            del holder[key]
        elif isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]) if change == "repeat" else draw(COPIES))
        elif change == "rename":
            holder[draw(st.sampled_from(["epoch", "Name", "x", 3, None, "a b"]))] = holder.pop(key)
        else:
            holder[draw(st.sampled_from(["extra", "learning-rate", "kd2", "0", 1.5]))] = draw(
                COPIES
            )
    return values


class Failed(Exception):
    """A script ended with an error; what it said is the argument."""


def script(name, *values):
    ended = script_runs.run(name, *values)
    if ended.status:
        raise Failed(ended.said)


def configured(values):
    """What the Snakefile does before it plans anything."""
    experiment = load(values, "configuration")
    checks.check_once(experiment)
    return Graph(experiment)


def below(place, name):
    return f"results/{place.file(name)}"


def train_all(graph):
    """Every job of an experiment, as the rules call the scripts."""
    done = set()
    dataset = graph.experiment.datasets[0]
    data = f"results/{graph.experiment.name}/{dataset}/data.safetensors"
    script("prepare", "--spec", graph.experiment.data.canonical(), "--data", data)

    def trained(place):
        if place in done:
            return below(place, "model.safetensors")
        done.add(place)
        kept = ["--data", data, "--resume", f"results/{place.resume_folder('train')}", "--history"]
        kept += [below(place, "history.csv"), "--model", below(place, "model.safetensors")]
        kept += ["--outputs", below(place, "outputs.safetensors")]
        job = graph.train_job(place).canonical()
        if place.lineage.parent is None:
            script("train", "--job", job, *kept)
            return below(place, "model.safetensors")
        more = []
        if graph.needs_live_teachers(place):
            more += ["--teachers", *map(trained, graph.teachers(place))]
        if graph.stores(place):
            more += ["--responses", *map(stored, graph.teachers(place))]
        if graph.pretrains(place):
            more += ["--hint", pretrained(place)]
        if (matched := graph.matched(place)) is not None:
            trained(matched)
            more += ["--matched", below(matched, "history.csv")]
        script("distil", "--job", job, *kept, *more)
        return below(place, "model.safetensors")

    def stored(place):
        path = below(place, "responses.safetensors")
        if (place, "responses") not in done:
            done.add((place, "responses"))
            models = [trained(model) for model in graph.responders(place)]
            job = graph.respond_job(place).canonical()
            script(
                *("respond", "--job", job, "--data", data, "--teachers", *models),
                *("--responses", path),
            )
        return path

    def pretrained(place):
        path = below(place, "hint.safetensors")
        script(
            *("hint", "--job", graph.hint_job(place).canonical(), "--data", data, "--hint", path),
            *(
                "--teacher",
                trained(graph.parent(place)),
                "--resume",
                f"results/{place.resume_folder('hint')}",
            ),
            *("--history", below(place, "hint_history.csv")),
        )
        return path

    for place in graph.places():
        trained(place)


def outcome(values) -> str:
    """Run the experiment that ``values`` describe: 'works', or the error's line.

    Fails the test on an exception that no script would catch, on an error of several lines and
    on halves of files.
    """
    graph = None

    def main():
        nonlocal graph
        graph = configured(values)

    said = io.StringIO()
    failure = None
    try:
        if script_runs.call(main, said):
            raise Failed(said.getvalue())
        train_all(graph)
    except Failed as failed:
        failure = str(failed)
    result = "works"
    if failure is not None:
        errors = [line for line in failure.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, failure
        assert failure.splitlines()[-1] == errors[0], failure
        assert 10 < len(errors[0]) < 2000, errors[0]
        result = errors[0]
    for path in Path("results").rglob("*") if Path("results").exists() else ():
        assert path.suffix != ".part", path
        if path.suffix == ".safetensors" and ".resume" not in path.parts:
            artifacts.load(path)
    return result


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache_folder, "FOLDER", tmp_path / "checked")
    return tmp_path


@pytest.fixture
def tried(capsys):
    """Counts outcomes; at least one of each kind shows that the mutations are neither all wrong
    nor all harmless."""
    counted = {"works": 0, "one line": 0}
    yield lambda result: counted.__setitem__(
        kind := "works" if result == "works" else "one line", counted[kind] + 1
    )
    with capsys.disabled():
        print(f"\n{sum(counted.values())} mutations: {json.dumps(counted)}")
    assert min(counted.values()) > 0


def clean(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_the_unchanged_experiment_works(folder):
    np.savez(folder / "data.npz", **arrays())
    assert outcome(VALID) == "works"


def test_mutated_configurations(folder, tried):
    @settings(QUICK, max_examples=300)
    @given(values=mutated_configurations())
    def check(values):
        clean(folder)
        np.savez(folder / "data.npz", **arrays())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tried(outcome(values))

    check()


def rule_without_gradient(samples, scale):
    value = scale * torch.ones(len(samples.labels))
    return Balance(value, value, soft_loss(samples.student, samples.teacher, 1.0))


def rule_with_one_weight(samples):
    return Balance(torch.tensor(0.5), torch.tensor(0.5), samples.student.sum(1))


def rule_with_a_gradient(samples):
    weight = samples.student.softmax(1)[:, 0]
    return Balance(weight, 1 - weight, samples.student.sum(1))


def rule_that_says_nothing(samples):
    pass


@pytest.mark.parametrize(
    ("path", "arguments", "said"),
    [
        ("no.such.module:rule", {}, "cannot import no.such.module"),
        ("test_bad_input:no_such_rule", {}, "has no 'no_such_rule'"),
        ("test_bad_input:rule_without_gradient", {}, "scale"),
        ("test_bad_input:rule_without_gradient", {"scale": 1, "more": 2}, "more"),
        ("test_bad_input:rule_with_one_weight", {}, "soft_weight has shape []"),
        ("test_bad_input:rule_with_a_gradient", {}, "soft_weight has a gradient"),
        ("test_bad_input:rule_that_says_nothing", {}, "fails on a small batch"),
        ("test_bad_input:rule_without_gradient", {"scale": 0.3}, "works"),
    ],
)
def test_a_rule_of_ones_own_is_tried_before_anything_is_trained(folder, path, arguments, said):
    np.savez(folder / "data.npz", **arrays())
    values = copy.deepcopy(VALID) | {"chains": {"own": "teacher/student@kd"}}
    rule = {"rule": "import", "path": path, "arguments": arguments}
    values["transfers"]["kd"]["weighting"] = rule
    result = outcome(values)
    if said == "works":
        assert result == "works"
        return
    assert result.startswith("error: ")
    assert f"transfers.kd.weighting: {path}" in result
    assert said in result
    assert not Path("results").exists()


@st.composite
def mutated_arrays(draw):
    """A .npz as bytes, with arrays that do not fit or bytes that were changed."""
    values = arrays(channels=draw(st.sampled_from([1, 3])))
    name = draw(st.sampled_from(sorted(values)))
    array = values[name]
    other = draw(
        st.sampled_from(
            [
                *(
                    array.astype(kind)
                    for kind in ("f4", "f8", "i2", "i8", "u8", "c8", "bool", "U3")
                ),
                *(array[:0], array[:1], array[..., :1], array[..., None], array.reshape(-1)),
                *(array.T, -array.astype("i8"), array.astype("f8") / 255, array + 0.5),
                *(np.where(array == array.flat[0], np.nan, array), array.astype("f8") * 1e30),
                *(array.astype("i8") + 1000, array.astype(object), np.array(3), np.array("x")),
                *(np.zeros_like(array), array[::-1], np.array([]), array.astype(">i4")),
            ]
        )
    )
    change = draw(st.sampled_from(["array", "array", "bytes", "cut", "remove", "junk", "names"]))
    if change == "array":
        values[name] = other
    if change == "remove":
        del values[name]
    if change == "names":
        names = [["a"], ["a", "b", "c"], ["a", "a", "a"], [1, 2, 3], [["a"]], "abc", []]
        values["class_names"] = np.array(draw(st.sampled_from(names)))
    stream = io.BytesIO()
    np.savez(stream, **values)
    content = bytearray(stream.getvalue())
    if change == "bytes":
        for _ in range(draw(st.integers(1, 4))):
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    if change == "cut":
        content = content[: draw(st.integers(0, len(content) - 1))]
    if change == "junk":
        content = bytearray(draw(st.binary(max_size=200)))
    return bytes(content)


ONE_TRAINING = VALID | {"chains": {"alone": "teacher"}}


def test_mutated_npz_files(folder, tried):
    @settings(QUICK, max_examples=160)
    @given(content=mutated_arrays())
    def check(content):
        clean(folder)
        (folder / "data.npz").write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tried(outcome(ONE_TRAINING))

    check()


@st.composite
def mutated_images(draw):
    """Files of a folder of images, some of which are not what they should be."""
    images, labels = arrays(each=4)["x_train"], arrays(each=4)["y_train"]
    files = {}
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        stream = io.BytesIO()
        Image.fromarray(image[..., 0]).save(stream, "png")
        files[f"class{label}/{number}.png"] = stream.getvalue()
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(files)))
        change = draw(
            st.sampled_from(
                ["bytes", "cut", "junk", "size", "mode", "mode", "link", "folder", "class", "copy"]
            )
        )
        content = bytearray(files[name]) if isinstance(files[name], bytes) else bytearray()
        if change == "bytes" and content:
            content[draw(st.integers(0, len(content) - 1))] ^= draw(st.integers(1, 255))
            files[name] = bytes(content)
        elif change == "cut":
            files[name] = bytes(content[: draw(st.integers(0, max(len(content) - 1, 0)))])
        elif change == "junk":
            files[name] = draw(st.binary(max_size=50))
        elif change in ("size", "mode"):
            stream = io.BytesIO()
            size = (8, 8) if change == "mode" else draw(st.sampled_from([(1, 1), (9, 8), (40, 40)]))
            mode = draw(st.sampled_from(["RGBA", "CMYK", "1", "I;16"])) if change == "mode" else "L"
            Image.new(mode, size).save(stream, "tiff" if change == "mode" else "png")
            files[name] = stream.getvalue()
        elif change == "link":
            files[name] = draw(st.sampled_from(["../outside.png", "/etc/hostname", "nowhere.png"]))
        elif change == "folder":
            files[f"{name}/inside.png"] = files.pop(name)
        elif change == "copy":
            files[name.replace(".png", "-again.png")] = files[name]
        else:
            files[f"{draw(st.sampled_from(['a b', 'ä', '-x', 'é' * 40]))}/1.png"] = files[name]
    return files


def test_mutated_folders_of_images(folder, tried):
    @settings(QUICK, max_examples=45)
    @given(files=mutated_images())
    def check(files):
        clean(folder)
        Image.new("L", (8, 8)).save(folder / "outside.png")
        for name, content in files.items():
            path = folder / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.symlink_to(content)
        data = {
            "source": "folder",
            "path": "images",
            "colour": "grey",
            "test": 0.3,
            "validation": 0.25,
        }
        result = outcome(ONE_TRAINING | {"data": data})
        if any(link in ("../outside.png", "/etc/hostname") for link in files.values()):
            assert result != "works"
        tried(result)

    check()


def test_a_changed_byte_of_a_teacher_is_always_refused(folder):
    np.savez(folder / "data.npz", **arrays())
    values = VALID | {"chains": {"direct": "teacher/student@kd"}}
    assert outcome(values) == "works"
    graph = configured(values)
    [student] = graph.places()
    teacher = Path(below(graph.parent(student), "model.safetensors"))
    original = teacher.read_bytes()
    data = f"results/tried/{graph.experiment.datasets[0]}/data.safetensors"

    @settings(QUICK, max_examples=60)
    @given(position=st.integers(0, len(original) - 1), bit=st.integers(0, 7), cut=st.booleans())
    def check(position, bit, cut):
        content = bytearray(original)
        content[position] ^= 1 << bit
        teacher.write_bytes(content[:position] if cut else content)
        ended = script_runs.run(
            *("distil", "--job", graph.train_job(student).canonical(), "--data", data),
            *("--teachers", teacher, "--model", "model.safetensors"),
            *("--history", "history.csv", "--outputs", "outputs.safetensors"),
        )
        assert ended.status == 1
        assert ended.said.count("\n") == 1
        assert str(teacher) in ended.said
        assert not Path("model.safetensors").exists()

    check()


def test_an_archive_that_points_outside_writes_nothing_there(folder):
    np.savez(folder / "data.npz", **arrays())
    with zipfile.ZipFile(folder / "data.npz", "a") as archive:
        stream = io.BytesIO()
        np.save(stream, np.zeros(3))
        archive.writestr("../outside.npy", stream.getvalue())
    before = set(folder.parent.iterdir())
    assert outcome(ONE_TRAINING) == "works"
    assert set(folder.parent.iterdir()) == before


class Harmful:
    """What a pickle in an archive would do when it is read."""

    def __reduce__(self):
        return (os.mkdir, ("harmed",))


def test_a_pickle_in_an_archive_is_not_run(folder):
    values = arrays()
    values["y_train"] = np.array([Harmful()] * len(values["y_train"]), dtype=object)
    np.savez(folder / "data.npz", **values)
    assert "data.npz" in outcome(ONE_TRAINING)
    assert not Path("harmed").exists()


def test_several_errors_still_make_one_line(folder, capsys):
    with pytest.raises(SystemExit):
        fail("first\nsecond")
    assert capsys.readouterr().err == "error: first second\n"
