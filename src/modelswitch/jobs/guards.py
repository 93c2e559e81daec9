"""What a job looks at before it begins: that it is alone, and that nothing is not as planned."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from modelswitch.config.job import Job
from modelswitch.config.losses import ImportedLoss
from modelswitch.config.weighting import ImportedWeighting
from modelswitch.errors import UserError
from modelswitch.execution import training_lock
from modelswitch.lineage import Lineage
from modelswitch.storage import working_folder
from modelswitch.storage.code_digest import own_digest
from modelswitch.storage.contents import named_digests
from modelswitch.training.loop import Interrupted
from modelswitch.training.resume import ResumeFiles

# Seconds: file servers' clocks differ by some, and no training is over in them.
_CLOCKS_DIFFER = 60.0


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def undisturbed(resume: str | None) -> Iterator[Path | None]:
    """Where the resume files of a training lie, while no other process does the same training.

    MODELSWITCH_RESUME moves them to where they outlive the job's own disk, for instance a volume
    that all pods of a cluster mount; other runs may keep theirs there too. A training that was told
    to stop says so in a line and leaves with the signal's status.
    """
    with contextlib.ExitStack() as held:
        folder = None
        if resume is not None:
            shared = os.path.expanduser(os.environ.get("MODELSWITCH_RESUME", ""))  # noqa: PTH111
            folder = Path(shared, working_folder.identity() if shared else "", resume)
            held.enter_context(training_lock.alone(folder / "lock", report, shared))
        begun, begun_by_clock = time.monotonic(), time.time()
        try:
            yield folder
        except Interrupted as stop:
            report(str(stop))
            raise SystemExit(stop.exit_status) from None
        set_back = (time.monotonic() - begun) - (time.time() - begun_by_clock)
        if set_back > _CLOCKS_DIFFER:
            # Snakemake may take what was written for older than its inputs, and delete it.
            report(f"the clock was set back by {set_back / 60:.0f} minutes: keeps its resume files")
        elif folder is not None:
            # All is written: what the training could go on from is no longer needed.
            ResumeFiles(folder, "").remove()


def refuse_future(path: str | Path) -> None:
    """Raise `UserError` if ``path`` is dated in the future.

    Snakemake deletes what was made from such a file, so a training would be for nothing.
    """
    ahead = Path(path).stat().st_mtime - time.time()
    if ahead > _CLOCKS_DIFFER:
        raise UserError(
            f"{path}: dated {ahead / 60:.0f} minutes in the future; was the clock set back? "
            "snakemake --touch --forceall with the same configuration dates all files anew"
        )


def refuse_together(job: Job, processes: int) -> None:
    """Raise `UserError` for what looks at a whole batch, of which each of several processes has a
    part; what it cannot see into, it tells."""
    transfer, name = job.transfer, Lineage.parse(job.lineage).last.transfer
    if transfer is None:
        return
    where = f"transfers.{name}"
    allowed = f"which {processes} processes share; allowed: resources.gpu: 1"
    if transfer.quantise is not None:
        raise UserError(f"{where}.quantise: its ranges follow every image of a batch, {allowed}")
    hints = [*transfer.joint_hints, *([transfer.hint] if transfer.hint else [])]
    losses = [("loss", transfer.separated.loss), *(("hint", pair.loss) for pair in hints)]
    for key, loss in losses:
        if loss.compares_batch:
            raise UserError(
                f"{where}.{key}: {loss.name!r} compares the images of a batch with each other, "
                f"{allowed}, or another loss"
            )
    own = [key for key, loss in losses if isinstance(loss, ImportedLoss)]
    own += ["weighting"] * isinstance(transfer.weighting, ImportedWeighting)
    for key in own:
        report(f"{where}.{key}: is called in each process, with its part of a batch")


def refuse_changed(job: Job) -> None:
    """Raise `UserError` where the user's own code, or a file that arguments name, is another than
    when the job was planned.

    Of one training of several seeds, half would run one code and half the other.
    """
    for path, planned in job.code.items():
        found = named_digests([path]).get(path) or own_digest(path)
        # One that is not found is told where it is imported.
        if found and found != planned:
            raise UserError(
                f"{path}: its code is {found}, and was {planned or 'not found'} when the workflow "
                "was started; start it again"
            )
