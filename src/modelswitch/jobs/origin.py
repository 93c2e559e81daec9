"""First weights that are made: what a training of a model starts from that is not fresh."""

import dataclasses
from collections.abc import Sequence

from modelswitch.config.models import ChangedModel
from modelswitch.config.origin import EnsembleModel, GrownModel, PrunedModel
from modelswitch.errors import naming
from modelswitch.jobs.session import Session, report
from modelswitch.jobs.write import write_model
from modelswitch.models.build import to_channels_last
from modelswitch.models.ensemble import merged
from modelswitch.models.given import given
from modelswitch.models.grow import grown
from modelswitch.models.origins import First
from modelswitch.models.prune import pruned
from modelswitch.models.quantised import quantised
from modelswitch.randomness import seeded
from modelswitch.storage import artifacts

# Images on which it is measured what a network passes on, and what its channels do for the loss.
_TRIED = 512


def _first(session: Session, members: Sequence[str] = (), parent: str | None = None) -> First:
    """The job's model with the weights that it starts from, on the session's device.

    Raises:
        UserError: they cannot be read, or are of another model.
    """
    spec, transfer = session.job.model, session.job.transfer
    with naming(f"model {session.name}"), seeded(session.seed("weights")):
        if isinstance(spec, ChangedModel) or transfer is not None:
            assert parent is not None
            architecture, network = session.stored(
                parent, kind="model", job_digest=session.job.teachers[0].digest
            )
            chosen = session.train_index[:_TRIED]
            pixels = session.normalise(session.data.train_images[chosen].to(session.device))
            if transfer is not None:
                assert transfer.quantise is not None
                bits = transfer.quantise.weight_bits
                first = quantised(architecture, network, session.images.shape, bits, pixels)
            elif isinstance(spec, GrownModel):
                first = grown(architecture, network, spec, session.images, pixels)
            else:
                assert isinstance(spec, PrunedModel)
                labels = session.data.train_labels[chosen].to(session.device)
                first = pruned(architecture, network, spec, session.images, pixels, labels)
            # The parent's seed is in its weights, if it was trained.
            trained = artifacts.read_passport(parent)["epochs"] > 0
            first = dataclasses.replace(first, drawn=first.drawn or trained)
        elif isinstance(spec, EnsembleModel):
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


def make_first_weights(session: Session, origin: str, *, parent: str | None = None) -> None:
    """Write the weights that the job's model starts from, and what network they are of, to
    ``origin``.

    Args:
        parent: weights of the model that it is made from, if it is.
    """
    first = _first(session, parent=parent)
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
