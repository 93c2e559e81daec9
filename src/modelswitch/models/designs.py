"""What the networks of an experiment are, before any of them has been trained."""

import functools

from modelswitch.config.architecture import Architecture, MergedModel
from modelswitch.config.experiment import Experiment
from modelswitch.config.origin import EnsembleModel
from modelswitch.errors import naming
from modelswitch.lineage import Lineage
from modelswitch.models.given import architecture_of
from modelswitch.models.origins import Images


class Designs:
    """The architectures of an experiment's models for one data set's images.

    Args:
        shape, classes: of the data set.
    """

    def __init__(self, experiment: Experiment, shape: tuple[int, int, int], classes: int) -> None:
        self._experiment, self.images = experiment, Images(shape, classes)
        self.of = functools.cache(self._of)

    def _of(self, design: str) -> Architecture:
        """Of a design of the experiment, see `Experiment.designs`; raises `UserError`."""
        name = self._experiment.designs[design].last.model
        with naming(f"models.{name}"):
            return self._architecture(self._experiment.designs[design])

    def _architecture(self, lineage: Lineage) -> Architecture:
        spec = self._experiment.all_models[lineage.last.model]
        if isinstance(spec, EnsembleModel):
            members = [self.of(self._experiment.design(m)) for m in self._experiment.members(spec)]
            return MergedModel(members=members, answer=spec.answer)
        return architecture_of(spec, self.images)
