"""First weights that are made: what a training of a model starts from that is not fresh."""

from collections.abc import Sequence

from modelswitch.config.origin import EnsembleModel
from modelswitch.errors import naming
from modelswitch.jobs.session import Session, report
from modelswitch.jobs.write import write_model
from modelswitch.models.build import to_channels_last
from modelswitch.models.ensemble import merged
from modelswitch.models.given import given
from modelswitch.models.origins import First
from modelswitch.randomness import seeded
from modelswitch.storage import artifacts


def _first(session: Session, members: Sequence[str] = ()) -> First:
    """The job's model with the weights that it starts from, on the session's device.

    Raises:
        UserError: they cannot be read, or are of another model.
    """
    spec = session.job.model
    with naming(f"model {session.name}"), seeded(session.seed("weights")):
        if isinstance(spec, EnsembleModel):
            found = [
                session.stored(path, kind="model", job_digest=teacher.digest)
                for teacher, path in zip(session.job.teachers, members, strict=True)
            ]
            first = merged(found, spec.answer)
        else:
            first = given(spec, session.images)
    for line in first.said:
        report(f"{session.name}: {line}")
    to_channels_last(first.network.to(session.device))
    session.architecture = first.architecture
    return first


def make_first_weights(session: Session, origin: str) -> None:
    """Write the weights that the job's model starts from, and what network they are of, to
    ``origin``."""
    first = _first(session)
    passport = session.passport(
        "origin",
        architecture=first.architecture.model_dump(mode="json"),
        said=first.said,
        drawn=first.drawn,
    )
    artifacts.save(origin, first.network.state_dict(), passport)


def adopt(
    session: Session, model: str, history: str, outputs: str, *, members: Sequence[str] = ()
) -> None:
    """Take a model as it is: write weights, an empty history and its outputs to these paths.

    Args:
        members: weights of the models that an ensemble is made of, in their order.
    """
    first = _first(session, members)
    session.findings["same_first_weights"] = not first.drawn
    write_model(session, first.network, [], model, history, outputs)
