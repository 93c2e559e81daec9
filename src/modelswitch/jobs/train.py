"""Training a first model, or a baseline, on the labels."""

from modelswitch.jobs.fit import fit
from modelswitch.jobs.session import Session
from modelswitch.jobs.write import write_model
from modelswitch.transfer.labels import CrossEntropy


def train_first(
    session: Session, model: str, history: str, outputs: str, *, origin: str | None = None
) -> None:
    """Train the job's model and write weights, history and outputs to these paths.

    Args:
        origin: the weights that it starts from, if they are not drawn.
    """
    session.start_from(origin)
    training = session.job.training
    network = session.new_model()
    objective = CrossEntropy(network, training.label_smoothing, session.class_weights())
    rows = fit(session, objective, network, "train", training)
    write_model(session, network, rows, model, history, outputs)
