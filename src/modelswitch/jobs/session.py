"""What every job has: its data, device and random streams, and what it is made from, checked."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from modelswitch.config.architecture import Architecture
from modelswitch.config.job import Job, Teacher
from modelswitch.config.training import Training
from modelswitch.data.arrays import ImageArrays, stays_on_disk
from modelswitch.data.splits import fold_of, unrepresented
from modelswitch.data.views import Normaliser, Views
from modelswitch.errors import UserError, naming
from modelswitch.execution import cores, gpu_lease, ranks
from modelswitch.execution.arithmetic import arithmetic
from modelswitch.jobs.guards import (
    refuse_changed,
    refuse_future,
    refuse_together,
    report,
    undisturbed,
)
from modelswitch.lineage import Lineage, Replicate
from modelswitch.models import answers
from modelswitch.models.build import (
    build,
    fill,
    give_shapes,
    stored_architecture,
    to_channels_last,
)
from modelswitch.models.origins import Images
from modelswitch.randomness import derive_seed, seeded
from modelswitch.storage import artifacts, cache_folder
from modelswitch.storage.code_digest import code_digest, with_own
from modelswitch.storage.stored_rows import chosen
from modelswitch.training import precision
from modelswitch.training.parallel import Place, meeting_point
from modelswitch.transfer.labels import weights_of

_ALONE = Place()


@contextlib.contextmanager
def open_session(args: argparse.Namespace, trains: bool = False) -> Iterator["Session"]:
    """The `Session` of a script's arguments, undisturbed and with a GPU of its own if any.

    Args:
        trains: whether it trains, which it does in as many processes as it has GPUs. This is
            then rank 0, or one of the others, which rank 0 has started; they leave after the
            training (`jobs.fit`).
    """
    if (rank := ranks.this()) is not None:
        place = Place(rank.number, rank.count, rank.port)
        # Rank 0 holds the locks; the folder says no more than that there are resume files.
        resume = Path(args.resume) if args.resume else None
        yield _session(args, rank.device, resume, place)
        return
    with (
        undisturbed(args.resume) as resume,
        gpu_lease.several(args.gpus if trains else min(args.gpus, 1), share=args.share) as devices,
        contextlib.ExitStack() as others,
    ):
        if devices == [gpu_lease.CPU]:
            others.enter_context(cores.pinned(args.threads, cache_folder.FOLDER))
        else:
            part = f", of which it has 1/{args.share}" if args.share > 1 else ""
            report(f"computes on {', '.join(device.name for device in devices)}{part}")
        place = Place()
        if len(devices) > 1:
            refuse_together(Job.model_validate_json(args.job), len(devices))
            place = Place(0, len(devices), meeting_point(len(devices)))
            names = [device.torch for device in devices]
            others.enter_context(ranks.started(names, place.meeting.port))
        yield _session(args, devices[0].torch, resume, place)


def _session(args: argparse.Namespace, device: str, resume: Path | None, place: Place) -> "Session":
    job = Job.model_validate_json(args.job)
    refuse_changed(job)
    on_disk = stays_on_disk(args.keep, args.data)
    if on_disk:
        report("reads its images from disk as it uses them (data.keep)")
    threads = max(1, args.threads // place.count)
    return Session(job, args.data, threads, device, resume, on_disk, args.share, place)


class Session:
    """One job's data, device and random streams.

    Args:
        job: its configuration.
        data: path of the prepared data set.
        threads: processor threads for torch.
        device: what to compute on, as `torch.device` takes it.
        resume: folder for resume files.
        on_disk: whether images are read as they are used and not held in memory.
        share: of how many parts of its device it has one.
        place: which process of the training it is.
    """

    def __init__(
        self,
        job: Job,
        data: str,
        threads: int,
        device: str = "cpu",
        resume: Path | None = None,
        on_disk: bool = False,
        share: int = 1,
        place: Place = _ALONE,
    ) -> None:
        torch.set_num_threads(threads)
        precision.make_deterministic()
        self.job = job
        self.device, self.place = torch.device(device), place
        if self.device.type == "cuda":
            # Random streams and libraries that are told no device take the current one.
            torch.cuda.set_device(self.device)
        self.memory = "the GPU's memory" if share == 1 else f"1/{share} of the GPU's memory"
        self.resume = resume
        # Of a training that is cut short: the state of the one before it, and where its own goes.
        self.earlier: str | None = None
        self.later: str | None = None
        # Checksums of what the training starts from besides the data: teachers, hints, responses.
        self.inputs: list[str] = []
        refuse_future(data)
        self.data = ImageArrays.load(data, on_disk)
        self.branch = Replicate.parse(job.branch)
        # What its model is, and the weights that it starts from if they are not drawn. Where the
        # configuration does not say what it is, the file with those weights does.
        self.architecture = cast(Architecture, job.model)
        self._first: dict[str, torch.Tensor] | None = None
        self.normalise = Normaliser(self.data.mean, self.data.std, self.device)
        # What was found about the model before it was trained, for the passport of its outputs.
        self.findings: dict[str, bool] = {}
        # Of a training with an average of the weights, those that are not its result.
        self.beside: dict[str, torch.Tensor] = {}
        self.train_index, self.validation_index = self.data.training_and_validation(
            job.validation, self.branch.seed
        )
        if len(self.validation_index):
            labels, held = self.data.train_labels, self.validation_index
            for line in unrepresented(labels, held, self.data.class_names, "validation"):
                report(line)
        if self.branch.fold is not None and self.branch.folds is not None:
            folds = fold_of(
                self.data.train_units[self.train_index],
                self.data.train_labels[self.train_index],
                self.branch.folds,
                self.branch.seed,
            )
            self.train_index = self.train_index[folds != self.branch.fold]

    def seed(self, *purpose: object) -> int:
        """The seed of a random stream of this job, from (seed, lineage, purpose), or, where a
        model is trained again for a seed, (seed, lineage, repeat, purpose)."""
        again = ("repeat", self.branch.repeat) if self.branch.repeat else ()
        return derive_seed(self.branch.seed, self.job.lineage, *again, *purpose)

    @property
    def name(self) -> str:
        return Lineage.parse(self.job.lineage).last.model

    @property
    def code(self) -> str:
        """The digest of what the job runs: the script, this package and the user's own code."""
        return with_own(code_digest(Path(sys.argv[0]).resolve()), self.job.code)

    @property
    def arithmetic(self) -> dict[str, str]:
        """What decides the bits here."""
        count = self.place.count
        return arithmetic(str(self.device)) | ({"processes": str(count)} if count > 1 else {})

    @property
    def images(self) -> Images:
        """What a model of this job is to take and answer."""
        data = self.data
        return Images(data.image_shape, data.num_classes, data.mean, data.std, data.class_names)

    def start_from(self, path: str | None) -> None:
        """Let new models be what a file with first weights says, and have these."""
        if path is None:
            return
        tensors, passport = self._load(path, kind="origin", job_digest=self.job.origin)
        self.architecture, self._first = stored_architecture(passport, path), tensors
        self.findings["same_first_weights"] = not passport["drawn"]

    def new_model(self, seed: int | None = None) -> nn.Module:
        """The job's model with first weights, channels_last.

        They are those that it starts from, or drawn: they depend on (seed, lineage) alone
        then. With another ``seed`` they are drawn in any case.
        """
        model = self._build(self.architecture, self.seed("weights") if seed is None else seed)
        if seed is None and self._first is not None:
            fill(model, self._first)
        return model

    def _build(self, architecture: Architecture, seed: int) -> nn.Module:
        _, _, channels = self.data.image_shape
        with seeded(seed):
            model = build(architecture, channels, self.data.num_classes)
            give_shapes(model, self.data.image_shape)
        return to_channels_last(model.to(self.device))

    def teacher(self, teacher: Teacher, path: str) -> nn.Module:
        """A trained model, refused if the file is not the one that the configuration means."""
        model = self.stored_model(path, kind="model", job_digest=teacher.digest)
        return model.eval().requires_grad_(False)

    def stored_model(self, path: str, **expected: Any) -> nn.Module:
        """The model in a file, which says what it is."""
        return self.stored(path, **expected)[1]

    def stored(self, path: str, **expected: Any) -> tuple[Architecture, nn.Module]:
        """What the network in a file is, and the network."""
        tensors, passport = self._load(path, **expected)
        architecture = stored_architecture(passport, path)
        model = self._build(architecture, self.seed("weights"))
        with naming(f"{path}: does not fit its model"):
            fill(model, tensors)
        return architecture, model

    def load_weights(self, model: nn.Module, path: str, **expected: Any) -> None:
        tensors, _ = self._load(path, **expected)
        with naming(f"{path}: does not fit its model"):
            fill(model, tensors)

    def _load(self, path: str, **expected: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Tensors and passport of a file of this data set."""
        refuse_future(path)
        tensors, passport = artifacts.load(path, data=self.data.checksum, **expected)
        self.inputs.append(passport["checksum"])
        if passport.get("mixed_arithmetic"):
            self.findings["mixed_arithmetic"] = True
        if passport["classes"] != self.data.class_names:
            raise UserError(
                f"{path}: was trained for {len(passport['classes'])} classes, "
                f"the data has {self.data.num_classes} or other names for them"
            )
        return tensors, passport

    def views(self, stage: str, training: Training, whole: bool = False) -> Views:
        """The views of a training; of every batch the part of this process, or the ``whole``."""
        if self.job.augmentation.mixes and len(self.train_index) < 2:
            raise UserError(
                "augment: mixup and cutmix mix an image with another; found 1 to train on"
            )
        return Views(
            chosen(self.data.train_images, self.train_index),
            self.data.train_labels[self.train_index],
            self.normalise,
            batch=training.batch,
            augmentation=self.job.augmentation,
            balanced=training.sampling == "balanced",
            part=(0, 1) if whole else (self.place.number, self.place.count),
            order_seed=lambda epoch: self.seed(stage, "epoch", epoch),
            bank_seed=derive_seed(self.branch.seed, "views"),
            bank=self.job.stored_views,
            device=self.device,
        )

    def class_weights(self) -> torch.Tensor | None:
        """The factor of each class [C] of the hard loss, or None for none; raises `UserError` where
        they are not those of the classes that there are."""
        labels = self.data.train_labels[self.train_index]
        with naming("training.class_weights"):
            weights = weights_of(self.job.training.class_weights, labels, self.data.class_names)
        return None if weights is None else weights.to(self.device)

    def example(self) -> torch.Tensor:
        """One normalised image [1, C, H, W], to measure shapes with."""
        return self.normalise(self.data.train_images[:1].to(self.device))

    @property
    def input(self) -> dict[str, Any]:
        """What a model takes: size and normalisation of its images, and how files of images are
        read, to be used without the data."""
        return {
            "shape": list(self.data.image_shape),
            "mean": self.data.mean,
            "std": self.data.std,
            "files": self.data.files,
        }

    def passport(self, kind: str, **entries: Any) -> dict[str, Any]:
        return {
            "kind": kind,
            "job": self.job.model_dump(mode="json"),
            "job_digest": self.job.digest,
            "lineage": self.job.lineage,
            "branch": self.job.branch,
            "data": self.data.checksum,
            # The same for all modalities of one set, and for no other's.
            "samples": artifacts.checksum({"units": self.data.train_units})[:16],
            "code": self.code,
            # By itself as well: of two models only one may run code of the user's own.
            "package_code": code_digest(Path(sys.argv[0]).resolve()),
            "classes": self.data.class_names,
            "image_shape": list(self.data.image_shape),
            "versions": artifacts.package_versions(),
            "device": self.device.type,
            "threads": torch.get_num_threads(),
            "arithmetic": self.arithmetic,
            **entries,
        }

    def outputs(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Logits on the validation and test images, in float32; raises `UserError` for answers that
        are no numbers.

        A training that is cut short is part of a search, which never sees what test images say.
        """
        result = {}
        sets = {
            "validation": (
                chosen(self.data.train_images, self.validation_index),
                self.data.train_labels[self.validation_index],
            ),
            "test": (self.data.test_images, self.data.test_labels),
        }
        if self.branch.until is not None:
            del sets["test"]
        for name, (images, labels) in sets.items():
            if len(images):
                with naming(f"{name} images"):
                    result[f"{name}.logits"] = answers.logits_on(
                        model, images, self.normalise, self.device
                    )
                result[f"{name}.labels"] = labels
        return result
