"""Somebody else's trained model: a small residual network on Fashion-MNIST, in plain torch.

    python benchmarks/fashion_teacher.py --data /usr/share/datasets/fashion-mnist --to teacher.pth

Nothing of modelswitch is used: `config/pretrained.yaml` is given the file as anybody's. Images are
normalised with mean 0.5 and deviation 0.5, shifted by up to two pixels and flipped.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """Two convolutions of 3x3; beside them the image, or a convolution of 1x1 of it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm_a = nn.BatchNorm2d(outputs)
        self.b = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm_b = nn.BatchNorm2d(outputs)
        self.stride, self.beside = stride, None
        if stride > 1 or inputs != outputs:
            side = nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            self.beside = nn.Sequential(*side)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm_b(self.b(F.relu(self.norm_a(self.a(x)))))
        x = F.avg_pool2d(x, 1, self.stride)
        return F.relu(y + (x if self.beside is None else self.beside(x)))


class Network(nn.Module):
    """Three stages of one block; images [B, 1, 28, 28] to logits [B, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Conv2d(1, 16, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.answer = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answer(self.blocks(F.relu(self.norm(self.start(x)))).mean((2, 3)))


def read(folder: Path, name: str) -> torch.Tensor:
    """An IDX file of bytes: images [N, 1, 28, 28] in [-1, 1], or labels [N]."""
    raw = gzip.decompress((folder / f"{name}.gz").read_bytes())
    sizes = np.frombuffer(raw, ">i4", raw[3], 4)
    values = torch.tensor(np.frombuffer(raw, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes))
    return values.long() if len(sizes) == 1 else values[:, None] / 127.5 - 1


def views(images: torch.Tensor) -> torch.Tensor:
    """Each image shifted by up to two pixels and, every second one, flipped."""
    padded = F.pad(images, (2, 2, 2, 2), value=-1.0)
    windows = padded.unfold(2, 28, 1).unfold(3, 28, 1)[:, 0]
    rows, columns = torch.randint(0, 5, (2, len(images)))
    found = windows[torch.arange(len(images)), rows, columns][:, None]
    flipped = torch.rand(len(images), 1, 1, 1) < 0.5
    return torch.where(flipped, found.flip(3), found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the four files")
    parser.add_argument("--to", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    images = read(args.data, "train-images-idx3-ubyte")
    labels = read(args.data, "train-labels-idx1-ubyte")
    model = Network()
    optimizer = torch.optim.SGD(
        model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    steps = args.epochs * (len(images) // 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, steps, pct_start=0.1)
    for epoch in range(args.epochs):
        for rows in torch.randperm(len(images)).split(128)[: len(images) // 128]:
            optimizer.zero_grad()
            F.cross_entropy(model(views(images[rows])), labels[rows]).backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{args.epochs}", flush=True)
    model.eval()
    with torch.no_grad():
        answers = model(read(args.data, "t10k-images-idx3-ubyte")).argmax(1)
    right = (answers == read(args.data, "t10k-labels-idx1-ubyte")).float().mean().item()
    torch.save({"state_dict": model.state_dict(), "test_accuracy": right}, args.to)
    print(f"{args.to}: test accuracy {100 * right:.2f} %")


if __name__ == "__main__":
    main()
