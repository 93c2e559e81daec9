"""All of the configuration that one job depends on."""

from pydantic import Field

from modelswitch.config.augment import Augmentation
from modelswitch.config.base import Extended, Share, Strict, canonical, digest
from modelswitch.config.degradations import DegradationName, Degradations, Level, Scale
from modelswitch.config.models import ModelSpec
from modelswitch.config.selector import SelectorSettings
from modelswitch.config.training import Training
from modelswitch.config.transfer import Transfer


class Recogniser(Strict):
    """A trained model that a selector listens to."""

    modality: str
    lineage: str
    digest: str = Field(description="of the job that trained it")


class DegradedSpec(Extended):
    """The sets on which a recogniser's outputs are stored."""

    dataset: str
    seed: int
    sets: list[tuple[DegradationName, Level]]
    scale: Scale = "own"

    later = ("scale",)


class SelectorJob(Strict):
    """All that one selector's training depends on."""

    name: str
    seed: int
    spec: SelectorSettings
    degradations: Degradations
    training: Training
    recognisers: list[Recogniser]


class Teacher(Strict):
    """A model that guides a job, or that its model is made from: where it is from and what it must
    be."""

    lineage: str
    model: ModelSpec
    digest: str = Field(description="of the job that trained it")
    responses: str = Field(default="", description="digest of the job that stored its responses")


class Job(Extended):
    """All of the configuration that one training depends on.

    Its digest covers those of its teachers, so a change anywhere above changes every digest below.
    """

    dataset: str
    branch: str
    lineage: str
    model: ModelSpec
    training: Training
    augmentation: Augmentation
    validation: Share
    transfer: Transfer | None = None
    teachers: list[Teacher] = []
    hint: str = Field(default="", description="digest of the job that pre-trained the student")
    matched: str = Field(default="", description="digest of the job whose weights are matched")
    origin: str = Field(
        default="", description="digest of the job that made its first weights, if they are made"
    )
    stored_views: int = 0
    folds: int = 0
    code: dict[str, str] = Field(
        default={},
        description="digests of the user's own modules that it runs, by path, and of the files "
        "that arguments name; like that of this package's code they are no part of the job's "
        "digest, so that results can be read where modules and files are not",
    )

    later = ("origin",)

    @property
    def digest(self) -> str:
        return digest(canonical(self.model_dump(mode="json", exclude={"code"})))
