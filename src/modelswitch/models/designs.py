"""What the networks of an experiment are, before any of them has been trained."""

import functools
from collections.abc import Mapping

from modelswitch.config.architecture import Architecture, MergedModel
from modelswitch.config.experiment import Experiment
from modelswitch.config.models import ChangedModel
from modelswitch.config.origin import EnsembleModel, GrownModel
from modelswitch.errors import naming
from modelswitch.lineage import Lineage
from modelswitch.models.cost import Cost, cost
from modelswitch.models.given import architecture_of
from modelswitch.models.grow import grown_architecture
from modelswitch.models.origins import Images
from modelswitch.models.prune import pruned_architecture


class Designs:
    """The architectures of an experiment's models for one data set's images.

    Args:
        shape, classes: of the data set.
        found: of designs that weights decide about, what they came out as, as far as that is
            known. Without, they are estimated.
    """

    def __init__(
        self,
        experiment: Experiment,
        shape: tuple[int, int, int],
        classes: int,
        found: Mapping[str, Architecture] | None = None,
    ) -> None:
        self._experiment, self.images = experiment, Images(shape, classes)
        self._found = found or {}
        self.of = functools.cache(self._of)

    def _of(self, design: str) -> Architecture:
        """Of a design of the experiment, see `Experiment.designs`; raises `UserError`."""
        if design in self._found:
            return self._found[design]
        name = self._experiment.designs[design].last.model
        with naming(f"models.{name}"):
            return self._architecture(self._experiment.designs[design])

    def _architecture(self, lineage: Lineage) -> Architecture:
        spec = self._experiment.all_models[lineage.last.model]
        if isinstance(spec, EnsembleModel):
            members = [self.of(self._experiment.design(m)) for m in self._experiment.members(spec)]
            return MergedModel(members=members, answer=spec.answer)
        if isinstance(spec, ChangedModel):
            assert lineage.parent is not None
            parent = self.of(self._experiment.design(lineage.parent))
            if isinstance(spec, GrownModel):
                return grown_architecture(parent, spec)
            return pruned_architecture(parent, spec, self.images)
        return architecture_of(spec, self.images)


def model_costs(
    experiment: Experiment,
    shape: tuple[int, int, int],
    classes: int,
    found: Mapping[str, Architecture] | None = None,
) -> dict[str, Cost]:
    """The cost of every design of an experiment, on images [H, W, C] of so many classes; raises
    `UserError` for one that cannot run.

    Args:
        found: of designs that weights decide about, what they came out as; the others of them are
            left out then. Without, they are estimated.
    """
    designs = Designs(experiment, shape, classes, found)
    result = {}
    for design, lineage in experiment.designs.items():
        if found is not None and design in experiment.estimated and design not in found:
            continue
        architecture = designs.of(design)
        with naming(f"models.{lineage.last.model}"):
            result[design] = cost(architecture, shape, classes)
    return result
