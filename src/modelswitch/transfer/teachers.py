"""What answers for a teacher while its student trains: the model itself, or what it said before."""

import torch
from torch import nn

from modelswitch.data.views import Batch
from modelswitch.errors import UserError
from modelswitch.models.isolation import State, answered, randomness_kept
from modelswitch.models.taps import run_until_all, taps
from modelswitch.storage.artifacts import MappedTensor
from modelswitch.transfer.stored import HIGHEST_TEMPERATURE, LOWEST


class LiveTeacher:
    """A teacher that answers while its student trains: logits [B, C] of a batch, float32.

    It stays what it is: buffers that it changes in a pass are put back, for otherwise it would be
    another teacher in every step.

    Args:
        model: trained, in eval mode.
        owner: its name, for messages.
    """

    def __init__(self, model: nn.Module, owner: str = "teacher") -> None:
        self.model, self.owner = model.eval(), owner
        self._state = State(model)
        self._layers: tuple[str, ...] = ()
        self._in_one_pass: bool | None = None
        self._kept: tuple[Batch, dict[str, torch.Tensor]] | None = None

    def watch(self, *layers: str) -> None:
        """Give `features` of the layers at these paths from now on, and of no others."""
        layers = tuple(dict.fromkeys(layers))
        if layers != self._layers:
            self._layers, self._in_one_pass, self._kept = layers, None, None

    def __call__(self, batch: Batch) -> torch.Tensor:
        if self._layers and self._in_one_pass is None:
            self._in_one_pass = self._taps_to_the_bit(batch)
        if self._in_one_pass:
            logits, features = self._answer_and_features(batch)
            self._kept = batch, features
            return logits
        return self._answer(batch)

    def features(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The watched layers' outputs for a batch by path, from the pass that answered it if that
        was the last one. Nothing behind the layers runs for it otherwise."""
        assert self._layers, "no layer is watched"
        kept, self._kept = self._kept, None
        if kept is not None and kept[0] is batch:
            return kept[1]
        # A teacher that draws random numbers draws as many as it would without the hint.
        with randomness_kept(batch.images), torch.no_grad():
            features = run_until_all(self.model, self._layers, batch.images.clone(), self.owner)
        self._state.restore()
        return features

    def check_unchanged(self) -> None:
        """Raise `UserError` if the teacher is not what it was, though its state was put back."""
        if changed := self._state.differences():
            raise UserError(
                f"{self.owner}: passes in eval mode have changed its {changed[0]} where torch does "
                "not see it (through .data or numpy), so it was not one teacher for all steps"
            )

    def _answer(self, batch: Batch) -> torch.Tensor:
        with torch.inference_mode():
            logits = answered(self.model, batch.images, self.owner)
        self._state.restore()
        # An inference tensor cannot take part in autograd; a copy of [B, C] costs nothing.
        return logits.float().clone()

    def _answer_and_features(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        # The features take part in autograd as well, and are too large for another copy.
        with torch.no_grad(), taps(self.model, self._layers, self.owner) as tapped:
            logits = answered(self.model, batch.images, self.owner)
        self._state.restore()
        return logits.float().clone(), {layer: each.output for layer, each in tapped.items()}

    def _taps_to_the_bit(self, batch: Batch) -> bool:
        """Whether the answers are the same with hooks on the layers.

        Not where torch takes another code path then, as in its transformer layers, nor where the
        model draws random numbers in eval mode.
        """
        with randomness_kept(batch.images):
            without = self._answer(batch)
            answer, _ = self._answer_and_features(batch)
        return torch.equal(without, answer)


class StoredResponses:
    """A teacher's answers to the fixed views, from a mapped file [K, N, C].

    Args:
        stored: float16, see `transfer.stored`.
        temperature: at which they are used.
        owner: whose they are, for messages.
    """

    def __init__(
        self,
        stored: MappedTensor,
        device: torch.device | str = "cpu",
        temperature: float = 1.0,
        owner: str = "teacher",
    ) -> None:
        self._stored, self._device = stored, device
        self._temperature, self._owner = temperature, owner
        self._view: int | None = None
        self._logits = torch.empty(0)

    def __call__(self, batch: Batch) -> torch.Tensor:
        assert batch.view is not None, "stored responses belong to fixed views"
        if batch.view != self._view:
            self._logits = self._of_view(batch.view)
            self._view = batch.view
        # Picked by position, so a copy: what a rule does to it is not seen in the next step.
        return self._logits[batch.positions].float()

    def _of_view(self, view: int) -> torch.Tensor:
        logits = self._stored[view]
        if self._temperature > HIGHEST_TEMPERATURE and (logits <= LOWEST).any():
            raise UserError(
                f"{self._owner}: stored responses end at {LOWEST:g}, which is not far enough below "
                f"the largest at temperature {self._temperature:g}; allowed: "
                f"{HIGHEST_TEMPERATURE:g}, or views: live"
            )
        return logits.to(self._device)
