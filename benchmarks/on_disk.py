"""Images that are more than memory: their preparing, an epoch of them, and what reading costs.

Photographs are drawn (blurred patches with noise, JPEG files of 224 x 224) and prepared as JPEG
images by the workflow's own script; then a small network takes an epoch's worth of steps on them by
the script that trains. Both are children whose peak memory the system tells. Of fewer images, kept
raw on disk, as JPEG on disk, and in memory, steps of one network take turns. Everything is removed
afterwards.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from measure import ROOT, Figure, Part, arguments, finish, note, ratio
from PIL import Image
from torch import nn

from modelswitch.config.augment import Augmentation
from modelswitch.config.data import FolderData
from modelswitch.config.experiment import load
from modelswitch.data.arrays import ImageArrays
from modelswitch.data.views import Normaliser, Views
from modelswitch.graph import Graph
from modelswitch.models.build import build, to_channels_last
from modelswitch.storage.encoded_rows import EncodedRows
from modelswitch.training import precision
from modelswitch.training.optimizer import make_optimizer

SIDE, CLASSES, BATCH = 224, 100, 64
GOALS = {"memory": 2.0, "raw": 90.0, "decoding": 80.0}
NETWORK = {"family": "resnet", "widths": [8, 16, 32], "blocks": [1, 1, 1], "stem_stride": 2}


def photograph(number: int) -> Image.Image:
    """A picture that takes about as many bytes as a photograph of its size."""
    draw = np.random.default_rng(number)
    coarse = Image.fromarray(draw.integers(0, 256, (14, 14, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.int16)
    noise = draw.integers(-6, 7, (SIDE, SIDE, 1), dtype=np.int16)
    return Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8))


def _write(folder: Path, numbers: range) -> None:
    for number in numbers:
        place = folder / f"class{number % CLASSES:03d}" / f"{number:07d}.jpg"
        photograph(number).save(place, quality=90)


def photographs(folder: Path, count: int) -> int:
    """Draw `count` of them in class folders; returns their bytes."""
    for label in range(CLASSES):
        (folder / f"class{label:03d}").mkdir(parents=True)
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores) as pool:
        for part in [pool.submit(_write, folder, range(i, count, cores)) for i in range(cores)]:
            part.result()
    return sum(path.stat().st_size for path in folder.rglob("*.jpg"))


def ran(script: str, *options: object, steps: int = 0) -> tuple[float, float]:
    """Seconds and peak gigabytes of one of the workflow's scripts, its epochs cut to `steps`."""
    command = [str(ROOT / "workflow" / "scripts" / f"{script}.py"), *map(str, options)]
    if steps:
        command = [str(Path(__file__).with_name("memory_job.py")), str(steps), *command]
    begun = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, *command], {
        **os.environ, "OMP_NUM_THREADS": "1", "MODELSWITCH_RESUME": tempfile.gettempdir(),
    })  # fmt: skip
    _, status, usage = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"{script} ended with status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - begun, 1024 * usage.ru_maxrss / 1e9


def experiment(folder: Path, stored: str = "jpeg", keep: str = "disk"):
    return load(
        {
            "name": "on-disk",
            "data": {
                **{"source": "folder", "path": str(folder), "name": "photographs"},
                **{"stored": stored, "keep": keep, "validation": 0.02, "test": 0.02},
                "augment": {"crop": 8, "flip": True},
            },
            "models": {"small": NETWORK},
            "chains": {"only": "small"},
            "seeds": [0],
            "training": {"epochs": 1, "batch": BATCH, "warmup": 0},
            "resources": {"gpu": 0},
        }
    )


def trained(configured, data: Path, folder: Path, steps: int) -> tuple[float, float]:
    graph = Graph(configured)
    [place] = graph.models()
    outputs = [(f"--{n}", folder / n) for n in ("model", "history", "outputs")]
    options = [part for pair in outputs for part in pair]
    job = graph.train_job(place).canonical()
    return ran("train", "--job", job, "--data", data, "--keep", "disk", *options, steps=steps)


class Steps:
    """Steps of a small network on the images of one prepared file."""

    def __init__(self, arrays: ImageArrays, training, dtype) -> None:
        self._views = Views(
            arrays.train_images,
            arrays.train_labels,
            Normaliser(arrays.mean, arrays.std),
            batch=BATCH,
            augmentation=Augmentation(crop=8),
            order_seed=lambda epoch: epoch,
        )
        torch.manual_seed(0)
        spec = experiment(Path()).models["small"]
        self._network = to_channels_last(build(spec, 3, arrays.num_classes)).train()
        self._optimizer = make_optimizer(self._network, training)
        self._dtype = dtype
        self._batches = self._endless()

    def _endless(self) -> Iterator:
        epoch = 0
        while True:
            yield from self._views.epoch(epoch)
            epoch += 1

    def rate(self, seconds: float) -> float:
        """Images a second, over about so many seconds."""
        next(self._batches)
        done, begun = 0, time.perf_counter()
        while (spent := time.perf_counter() - begun) < seconds:
            batch = next(self._batches)
            with precision.autocast(torch.device("cpu"), self._dtype):
                loss = nn.functional.cross_entropy(self._network(batch.images), batch.labels)
            loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
            done += len(batch.labels)
        return done / spent


def decoding(rows: EncodedRows, count: int) -> tuple[float, float]:
    """Images a second of reading rows, and of another decoder alone on the same bytes in memory."""
    from torchvision.io import decode_jpeg

    chosen = torch.randperm(len(rows))[:count]
    spent = [0.0, 0.0]
    # The first one is for both to get ready; then they take turns, for other work comes and goes.
    for number, part in enumerate([chosen[:BATCH], *chosen.split(BATCH)]):
        alone = [torch.frombuffer(bytearray(rows._image(int(p))), dtype=torch.uint8)
                 for p in rows._places[part]]  # fmt: skip
        begun = time.process_time()
        rows[part]
        between = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for image in alone:
                decode_jpeg(image)
        if number:
            spent[0] += between - begun
            spent[1] += time.process_time() - between
    return count / spent[0], count / spent[1]


def measured(folder: Path, count: int, held: int, steps: int, turns: int) -> tuple[list, list[str]]:
    note(f"{count} photographs …")
    size = photographs(folder / "photographs", count)
    note("preparing …")
    data = folder / "data" / "data.safetensors"
    configured = experiment(folder / "photographs")
    spec = configured.data.canonical()
    seconds, memory = ran("prepare", "--data", data, "--spec", spec)
    figures = [
        Figure("preparing as JPEG: images a second", count / seconds, "/s"),
        Figure("preparing: peak memory", memory, "GB", goal=GOALS["memory"], below=True),
    ]
    notes = [
        f"{count:,} JPEG files of {SIDE} x {SIDE} in {CLASSES} folders, {size / 1e9:.2f} GB; "
        f"prepared {data.stat().st_size / 1e9:.2f} GB in {seconds / 60:.1f} minutes, one thread."
    ]
    note("training …")
    seconds, memory = trained(configured, data, folder, steps)
    figures.append(
        Figure("training from JPEG: peak memory", memory, "GB", goal=GOALS["memory"], below=True)
    )
    notes.append(f"The training took {steps} steps of {BATCH} and answered its test images.")
    ours, alone = decoding(
        ImageArrays.load(data, on_disk=True).train_images, min(count // 2, 2_000)
    )
    figures += [
        Figure("decoding: images a second of a core", ours, "/s"),
        Figure("decoding, of torchvision's decoder alone", 100 * ours / alone, "%",
               goal=GOALS["decoding"]),
    ]  # fmt: skip
    shutil.rmtree(folder / "photographs")
    data.unlink()
    return figures + _turns(folder, held, turns), notes


def _turns(folder: Path, held: int, turns: int) -> list[Figure]:
    note(f"steps on {held} images in memory, raw on disk, and as JPEG …")
    photographs(folder / "held", held)
    rates: dict[str, list[float]] = {}
    arrays = {}
    for stored in ("raw", "jpeg"):
        data = folder / stored / "data.safetensors"
        spec = experiment(folder / "held", stored).data
        assert isinstance(spec, FolderData)
        ran("prepare", "--data", data, "--spec", spec.canonical())
        arrays[f"{stored} on disk"] = ImageArrays.load(data, on_disk=True)
        if stored == "raw":
            arrays["in memory"] = ImageArrays.load(data)
    training = experiment(folder / "held").training
    dtype = precision.dtype_for("auto", torch.device("cpu"))
    contestants = {name: Steps(each, training, dtype) for name, each in arrays.items()}
    for _ in range(turns):
        for name, contestant in contestants.items():
            rates.setdefault(name, []).append(contestant.rate(4.0))
    memory = [100 / rate for rate in rates["in memory"]]
    figures = [Figure.of("steps in memory: images a second", rates["in memory"], "/s")]
    for name, goal in (("raw on disk", GOALS["raw"]), ("jpeg on disk", None)):
        inverse = [1 / rate for rate in rates[name]]
        figures.append(ratio(f"steps, {name}, of those in memory", memory, inverse, unit="%",
                             goal=goal))  # fmt: skip
    return figures


def main(given: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--held", type=int, default=4_000, help="of those that take turns")
    parser.add_argument("--folder", type=Path, help="where there is room for 25 GB")
    args = parser.parse_args(given)
    count, held = (600, 200) if args.quick else (args.images, args.held)
    steps, turns = (10, 2) if args.quick else (count // BATCH, 7)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="modelswitch-on-disk-", dir=args.folder) as name:
        figures, notes = measured(Path(name), count, held, steps, turns)
    title = f"{count:,} images of {SIDE} x {SIDE} on disk"
    finish(Part("on_disk", title, figures, notes), args.to)


if __name__ == "__main__":
    main()
