"""Training of a quantised student, whose ranges follow what is seen in the first epochs."""

import torch
from torch import nn

from modelswitch.config.transfer import Quantise
from modelswitch.data.views import Batch
from modelswitch.models.quantised import Quantised
from modelswitch.training.loop import CountsEpochs


class Observing(nn.Module):
    """An objective itself; at the start of an epoch its student learns whether ranges still follow.

    Args:
        objective: of which ``student`` is a part.
        epochs: of the whole training.
    """

    def __init__(
        self, objective: nn.Module, student: Quantised, quantise: Quantise, epochs: int
    ) -> None:
        super().__init__()
        self.objective, self._quantise, self._epochs = objective, quantise, epochs
        # In a tuple, so that it is no part of this module a second time.
        self._student = (student,)

    def start_epoch(self, epoch: int, resumed: bool = False) -> None:
        self._student[0].observe(self._quantise.observes(epoch, self._epochs))
        if isinstance(self.objective, CountsEpochs):
            self.objective.start_epoch(epoch, resumed)

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        return self.objective(batch)
