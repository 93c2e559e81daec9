"""What is known of torchvision's classification sets without downloading them."""

from typing import NamedTuple


class Published(NamedTuple):
    """Classes, images to train and to test on, channels, and height and width if all have one."""

    classes: int
    train: int
    test: int
    channels: int = 3
    size: tuple[int, int] | None = None


# By the class in torchvision.datasets, as its own documentation and the sets' authors have it.
PUBLISHED = {
    "CIFAR10": Published(10, 50_000, 10_000, size=(32, 32)),
    "CIFAR100": Published(100, 50_000, 10_000, size=(32, 32)),
    "Country211": Published(211, 31_650, 21_100),
    "DTD": Published(47, 1_880, 1_880),
    "FGVCAircraft": Published(100, 3_334, 3_333),
    "FashionMNIST": Published(10, 60_000, 10_000, 1, (28, 28)),
    "Flowers102": Published(102, 1_020, 6_149),
    "Food101": Published(101, 75_750, 25_250),
    "GTSRB": Published(43, 26_640, 12_630),
    "KMNIST": Published(10, 60_000, 10_000, 1, (28, 28)),
    "MNIST": Published(10, 60_000, 10_000, 1, (28, 28)),
    "PCAM": Published(2, 262_144, 32_768, size=(96, 96)),
    "RenderedSST2": Published(2, 6_920, 1_821, size=(448, 448)),
    "STL10": Published(10, 5_000, 8_000, size=(96, 96)),
    "SVHN": Published(10, 73_257, 26_032, size=(32, 32)),
    "StanfordCars": Published(196, 8_144, 8_041),
    "USPS": Published(10, 7_291, 2_007, 1, (16, 16)),
}
