"""What a training asks of the machine, as validated values."""

from typing import Annotated

from pydantic import Field

from modelswitch.config.base import Strict


class Resources(Strict):
    """What one training asks of Snakemake; profiles and command line override it."""

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
