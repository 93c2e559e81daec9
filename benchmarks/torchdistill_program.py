"""torchdistill's side of the comparison, run in its own environment as its users run it.

Its distillation box with its own KD loss, its optimiser registry and its metric logger, the loop
of its image classification example, torchvision's CIFAR-10 class and transforms. Only the images
come from an array instead of a download, and the models are this project's, so that both programs
train the same ones; torchdistill takes any torch module.

On a device it may have worker processes, and autocast around its forward pass, as its users put it.
"""

import itertools
import json
import sys

import numpy as np
import torch
import torchvision
import torchvision.transforms as T
from pacing import Turn, Windows
from torchdistill.core.distillation import get_distillation_box
from torchdistill.misc.log import MetricLogger, SmoothedValue

from modelswitch.config.models import ResnetModel
from modelswitch.models.build import build


class Cifar10(torchvision.datasets.CIFAR10):
    """torchvision's own class, images and labels from arrays that are there already."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform) -> None:
        self.data, self.targets = images, labels.tolist()
        self.transform, self.target_transform = transform, None


def box(dataset: Cifar10, teacher: torch.nn.Module, student: torch.nn.Module, given: dict):
    """The distillation box of the project's CIFAR-10 sample configurations."""
    # Where one thread is the budget of both programs there are no worker processes beside it.
    workers = given.get("workers", 0)
    kept = {"persistent_workers": True, "pin_memory": True} if workers else {}
    kwargs = {"batch_size": given["batch"], "num_workers": workers, "drop_last": True, **kept}
    loader = {
        "dataset_id": "train",
        "sampler": {"class_or_func": torch.utils.data.RandomSampler, "kwargs": {}},
        "kwargs": kwargs,
    }
    layer = {
        "student_module_path": ".",
        "student_module_io": "output",
        "teacher_module_path": ".",
        "teacher_module_io": "output",
    }
    loss = {"key": "KDLoss", "kwargs": {**layer, "temperature": 4.0, "alpha": 0.1}}
    config = {
        "num_epochs": 100,
        "train_data_loader": loader,
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only", "requires_grad": True},
        "optimizer": {
            "key": "SGD",
            "kwargs": {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True},
        },
        "scheduler": {
            "key": "CosineAnnealingLR",
            "kwargs": {"T_max": 100},
        },
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": {"kd": {"criterion": loss, "weight": 1.0}}},
        },
    }
    device = torch.device(given.get("device", "cpu"))
    return get_distillation_box(
        teacher, student, {"train": dataset}, config, device, None, False, 1
    )


def main() -> None:
    images, labels, settings = sys.argv[1:]
    given = json.loads(settings)
    torch.set_num_threads(1)
    transform = T.Compose(
        [
            T.RandomCrop(32, padding=4),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize(given["mean"], given["std"]),
        ]
    )
    dataset = Cifar10(np.load(images, mmap_mode="r"), np.load(labels), transform)
    device = torch.device(given.get("device", "cpu"))
    teacher, student = (
        build(ResnetModel.model_validate(given[which]), 3, 10).to(device)
        for which in ("teacher", "student")
    )
    training = box(dataset, teacher, student, given)
    about = {"student": sum(p.numel() for p in student.parameters())}
    print(json.dumps(about), flush=True)
    training.pre_epoch_process(epoch=0)
    loader = training.train_data_loader
    metrics = MetricLogger(delimiter="  ")
    metrics.add_meter("lr", SmoothedValue(window_size=1, fmt="{value}"))
    halved = torch.autocast(device.type, torch.bfloat16, enabled=given.get("bfloat16", False))
    turn = Turn(torch.cuda.synchronize if device.type == "cuda" else None)
    epochs = itertools.chain.from_iterable(itertools.repeat(loader))
    windows = Windows(epochs, len(loader), turn)
    for batch, targets, extra in metrics.log_every(windows, 100, "Epoch: [0]"):
        with halved:
            loss = training.forward_process(batch.to(device), targets.to(device), extra)
        training.post_forward_process(loss=loss)
        metrics.update(loss=loss.item(), lr=training.optimizer.param_groups[0]["lr"])


if __name__ == "__main__":
    main()
