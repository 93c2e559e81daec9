"""What a training asks of the machine, as validated values.

That is a machine's affair and a profile's to say. Configurations from before profiles said it still
do, and are told what to write instead.
"""

from typing import Annotated

from pydantic import Field

from modelswitch.config.base import Strict

# The rules that train or answer, which are those that it is about.
RULES = ("train", "hint", "distil", "respond")


class Resources(Strict):
    """What one training asks of Snakemake, for configurations of old: a profile says it now, for
    all experiments on one machine, and overrides what is here (`set-threads`, `set-resources`)."""

    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    gpu: Annotated[int, Field(ge=0, le=1)] = Field(
        default=1, description="GPUs, if there are any; without one trainings run on the processor"
    )
    mem_mb: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="of every job; by default what each is estimated to need, see docs/memory.md; "
        "grows with every retry",
    )
    runtime: Annotated[int, Field(ge=1)] = Field(
        default=240, description="minutes; grows with every retry"
    )

    @property
    def as_profile(self) -> list[str]:
        """Lines of a profile that say the same of trainings; none where nothing is said."""
        said = {key: value for key, value in self if key in self.model_fields_set}
        threads, gpu = said.pop("threads", None), said.pop("gpu", None)
        # With every retry there is more of the others.
        each = {key: f"{value} * attempt" for key, value in said.items() if value is not None}
        each |= {} if gpu is None else {"gpu": str(gpu)}
        parts = ", ".join(f"{key}: {value}" for key, value in each.items())
        lines = {
            "set-threads": threads and [f"{rule}: {threads}" for rule in RULES],
            "set-resources": parts and [f"{rule}: {{{parts}}}" for rule in RULES],
        }
        return [f"{key}: {{{', '.join(rules)}}}" for key, rules in lines.items() if rules]
