"""What a training asks of the machine, as validated values.

That is a machine's affair and a profile's to say. Configurations from before profiles said it still
do, and are told what to write instead.
"""

from typing import Annotated

from pydantic import Field, model_validator

from modelswitch.config.base import Strict

# The rules that train or answer, which are those that it is about.
RULES = ("train", "hint", "distil", "respond")


class Resources(Strict):
    """What one training asks of Snakemake, for configurations of old: a profile says it now, for
    all experiments on one machine, and overrides what is here (`set-threads`, `set-resources`)."""

    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    gpu: Annotated[int, Field(ge=0, le=64)] = Field(
        default=1,
        description="GPUs, if there are any; without one trainings run on the processor; with "
        "several each training runs on all of them, see docs/cluster.md",
    )
    gpu_share: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1,
        description="trainings that have one GPU together, each a part of its memory; for thin "
        "students, see docs/cluster.md",
    )
    mem_mb: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="of every job; by default what each is estimated to need, see docs/memory.md; "
        "grows with every retry",
    )
    runtime: Annotated[int, Field(ge=1)] = Field(
        default=240, description="minutes; grows with every retry"
    )

    @model_validator(mode="after")
    def _whole_or_part(self) -> "Resources":
        if self.gpu_share > 1 and not self.gpu:
            raise ValueError(f"gpu_share: found {self.gpu_share} beside gpu: 0, which is no GPU")
        if self.gpu_share > 1 and self.gpu > 1:
            raise ValueError(
                f"gpu_share: found {self.gpu_share} beside gpu: {self.gpu}; a training has several "
                "GPUs or a part of one"
            )
        return self

    @property
    def as_profile(self) -> list[str]:
        """Lines of a profile that say the same of trainings; none where nothing is said."""
        said = {key: value for key, value in self if key in self.model_fields_set}
        threads = said.pop("threads", None)
        # With every retry there is more memory and time.
        each = {
            key: f"{value} * attempt" if key in ("mem_mb", "runtime") else str(value)
            for key, value in said.items()
            if value is not None
        }
        of_rules = {rule: dict(each) for rule in RULES if each}
        if self.gpu > 1 and each:
            # It trains nothing.
            of_rules["respond"]["gpu"] = "1"
        asked = {
            rule: ", ".join(f"{key}: {value}" for key, value in parts.items())
            for rule, parts in of_rules.items()
        }
        lines = {
            "set-threads": threads and [f"{rule}: {threads}" for rule in RULES],
            "set-resources": [f"{rule}: {{{parts}}}" for rule, parts in asked.items()],
        }
        return [f"{key}: {{{', '.join(rules)}}}" for key, rules in lines.items() if rules]
