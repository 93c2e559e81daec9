"""Models beside each other, of which none notices another."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import nn

from modelswitch.errors import UserError
from modelswitch.randomness import streams_kept

# What a model's own code could change for all that runs after it.
_SETTINGS = {
    "default dtype": torch.get_default_dtype,
    "gradient mode": torch.is_grad_enabled,
    "number of threads": torch.get_num_threads,
    "deterministic algorithms": torch.get_deterministic_debug_mode,
    "seed": torch.initial_seed,
}
_PLAIN = (bool, int, float, str, tuple, type(None))
# In place of a count of writes, where there are some that are not counted.
_UNCOUNTED = -1


@contextlib.contextmanager
def settings_kept(owner: str, doing: str = "its forward pass") -> Iterator[None]:
    """Raise `UserError` if torch's settings are others after the block than before."""
    before = [setting() for setting in _SETTINGS.values()]
    yield
    for name, setting, was in zip(_SETTINGS, _SETTINGS.values(), before, strict=True):
        if (now := setting()) != was:
            raise UserError(
                f"{owner}: {doing} changes torch's {name} from {was} to {now} for everything that "
                "runs after it; leave it, or put it back"
            )


def answered(model: nn.Module, images: torch.Tensor, owner: str) -> torch.Tensor:
    """What a model answers to a copy of ``images``, which others look at as well.

    Its first operation may work in place.
    """
    with settings_kept(owner):
        return model(images.clone())


def refuse_shared(models: Mapping[str, nn.Module]) -> None:
    """Raise `UserError` if two of the models have a parameter or buffer in common."""
    owners: dict[int, str] = {}
    for owner, model in models.items():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if not tensor.numel():
                continue
            other = owners.setdefault(tensor.untyped_storage()._cdata, owner)
            if other != owner:
                raise UserError(
                    f"{owner}: shares {name!r} with {other}; the function that builds models has "
                    "to make a new one at every call"
                )


class State:
    """What a model holds at the moment: parameters, buffers, modes, and numbers such as counters
    that are attributes of its modules."""

    def __init__(self, model: nn.Module) -> None:
        self._held = [
            (f"{path}.{name}".lstrip("."), place, name, tensor, tensor.detach().clone())
            for path, module in model.named_modules()
            for place in (module._parameters, module._buffers)
            for name, tensor in place.items()
            if tensor is not None and not nn.parameter.is_lazy(tensor)
        ]
        self._versions = [tensor._version for _, _, _, tensor, _ in self._held]
        self._looked = False
        self._plain = [
            (vars(module), [(k, v) for k, v in vars(module).items() if isinstance(v, _PLAIN)])
            for module in model.modules()
        ]

    def restore(self) -> None:
        """Put back what has been changed since.

        Torch counts the writes to a tensor, but for those through ``.data`` and those of batch
        normalisation to its statistics. So the first time every value is looked at, and what was
        found changed then is put back every time, counted or not.
        """
        for index, (_, place, name, tensor, value) in enumerate(self._held):
            place[name] = tensor
            version = self._versions[index]
            if version == tensor._version and (self._looked or _same(tensor.detach(), value)):
                continue
            uncounted = version in (tensor._version, _UNCOUNTED)
            with torch.no_grad():
                tensor.copy_(value)
            self._versions[index] = _UNCOUNTED if uncounted else tensor._version
        self._looked = True
        for attributes, entries in self._plain:
            for name, value in entries:
                if attributes.get(name) is not value:
                    attributes[name] = value

    def differences(self) -> list[str]:
        """Names of the tensors that are not what they were, by looking at every value."""
        return [
            name
            for name, place, key, _, value in self._held
            if not _same(place[key].detach(), value)
        ]


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    if first.shape != second.shape:
        return False
    return bool(((first == second) | ((first != first) & (second != second))).all())


@contextlib.contextmanager
def randomness_kept(*tensors: torch.Tensor) -> Iterator[None]:
    """Random numbers that are drawn in the block are drawn again after it.

    Args:
        tensors: on whose devices.
    """
    devices = {tensor.device for tensor in tensors if tensor.device.type == "cuda"}
    with streams_kept(sorted(devices, key=str)):
        yield


@contextlib.contextmanager
def left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Whatever passes of the model in the block change is put back: its `State` and that of the
    random generators."""
    state = State(model)
    try:
        with randomness_kept(*model.parameters(), *model.buffers()):
            yield
    finally:
        state.restore()
