"""Resume files: a training's state, so that a killed job goes on where it was.

Two files are written in turn, each atomically, so that when one is found broken the one before it
is used. They lie outside Snakemake's outputs, which it deletes when a job dies, and are keyed by
what the training depends on; files of another key are removed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modelswitch.errors import UserError
from modelswitch.execution.arithmetic import changes
from modelswitch.storage import artifacts


class ResumeFiles:
    """The two resume files of one training.

    Args:
        folder: where they lie; made when the first is written.
        key: digest of configuration, code and data. A file with another key is stale.
        report: called with a line where a file is not used, and why, or where the training goes on
            otherwise than it began.
        arithmetic: what decides the bits here (`execution.arithmetic`); kept in the files.
        earlier: the state with which the same training ended that was cut short earlier.
        later: where the state goes with which this one ends, if it is cut short.

    Attributes:
        mixed: whether the training was gone on with after that had changed.
    """

    def __init__(
        self,
        folder: str | Path,
        key: str,
        report: Callable[[str], None] = print,
        arithmetic: dict[str, str] | None = None,
        earlier: str | Path | None = None,
        later: str | Path | None = None,
    ) -> None:
        self.folder, self.key, self._report = Path(folder), key, report
        self._earlier, self._later = earlier, later
        self.arithmetic, self.mixed = arithmetic or {}, False
        self._turn = 0

    def _path(self, turn: int) -> Path:
        return self.folder / f"resume{turn}.safetensors"

    def save(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Write the state over the older file. A disk that is full costs only what would be lost
        by a kill, so the training goes on."""
        path = self._path(self._turn)
        try:
            artifacts.save(path, tensors, self._passport(state))
        except OSError as error:
            self._report(f"resume file {path} not written ({error.strerror}); going on without")
            return
        self._turn = 1 - self._turn

    def _passport(self, state: dict[str, Any]) -> dict[str, Any]:
        said = {"arithmetic": self.arithmetic, "mixed": self.mixed, "state": state}
        return {"kind": "resume", "key": self.key} | said

    @property
    def hands_on(self) -> bool:
        """Whether another training goes on from where this one ends."""
        return self._later is not None

    def hand_on(self, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Write the state with which the training ends; raises `OSError`."""
        assert self._later is not None
        artifacts.save(self._later, tensors, self._passport(state))

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The newest state that is whole and of this key, or None.

        Raises:
            UserError: the state of the training that was cut short earlier is of another one.
        """
        found = []
        for turn in (0, 1):
            path = self._path(turn)
            if not path.exists():
                continue
            try:
                tensors, passport = artifacts.load(path, kind="resume", key=self.key)
            except UserError as error:
                self._report(f"resume file not used and removed: {error}")
                path.unlink()
                continue
            state = passport["state"]
            # Progress in the training decides, not the clock, which may have been set back.
            found.append(((state["epoch"], state["step"]), turn, tensors, passport))
        if not found and self._earlier is not None:
            tensors, passport = artifacts.load(self._earlier, kind="resume", key=self.key)
            found.append(((0, 0), 1, tensors, passport))
        if not found:
            return None
        _, turn, tensors, passport = max(found, key=lambda entry: entry[0])
        self._turn = 1 - turn
        self.mixed = passport["mixed"]
        if changed := changes(passport["arithmetic"], self.arithmetic):
            self.mixed = True
            self._report(
                "goes on otherwise than it began, so its bits may not be those of a training that "
                f"was never stopped: {changed}"
            )
        return tensors, passport["state"]

    def remove(self) -> None:
        """Both files and what a killed writer left of them."""
        for leftover in self.folder.glob("*"):
            if leftover.name.startswith(("resume", ".resume")):
                leftover.unlink(missing_ok=True)


def flatten(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """All that training changes, by name."""
    tensors = {f"model.{n}": t for n, t in state_of(module).items()}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    return tensors


def restore(
    module: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]
) -> None:
    """Put back what `flatten` took, except for the random states.

    Raises:
        UserError: it is not of these tensors; nothing was put back then.
    """
    own = {f"model.{name}": tensor for name, tensor in state_of(module).items()}
    stored = {name: t for name, t in tensors.items() if name.startswith("model.")}
    if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in stored.items()}:
        differ = {n for n in own | stored if n not in own or n not in stored}
        differ |= {n for n in own.keys() & stored.keys() if own[n].shape != stored[n].shape}
        raise UserError(f"does not fit the model ({min(differ).removeprefix('model.')} differs)")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(stored[name])
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            like = parameters[int(index)]
            if tensor.shape == like.shape:
                # In the parameter's memory format: another one could take another code path and
                # with that other rounding.
                tensor = torch.empty_like(like).copy_(tensor)
            state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def restore_random(tensors: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """All parameters and buffers, also those that a state dict leaves out, each once: a module that
    shares a student's names it no second time."""
    return dict(module.named_parameters()) | dict(module.named_buffers())
