"""Whether selectors fit the data that they are to select on."""

from modelswitch.config.data import DataSpec
from modelswitch.config.selector import SelectorComparison
from modelswitch.config.training import Stop, Training

# What of a training is about images and their model, so that a selector has no use for it.
_NOT_FOR_SELECTORS = ("layer_decay", "head_rate", "class_weights", "sampling", "stop")


def check_selectors(comparison: SelectorComparison, data: DataSpec) -> None:
    """Raise ValueError if they do not."""
    if len(data.datasets) < 2:
        raise ValueError(
            f"selector: the data source {data.source!r} has one modality; "
            "allowed: eyes, eye_photos, paired"
        )
    if data.validation == 0:
        raise ValueError(
            "data.validation: found 0; selectors are trained on samples that are held back"
        )
    for key in _NOT_FOR_SELECTORS:
        found = getattr(comparison.training, key)
        if found != getattr(Training(), key):
            said = f"patience {found.patience}" if isinstance(found, Stop) else repr(found)
            raise ValueError(
                f"selector.training.{key}: found {said}, which is for trainings on images; "
                "leave it out"
            )
    _check_verification(comparison, getattr(data, "strangers", None))


def _check_verification(comparison: SelectorComparison, held: float | None) -> None:
    """``held`` is the share of the people that the data hold back; None if they draw more."""
    settings, where = comparison.verification, "selector.verification"
    if settings is None:
        if held:
            raise ValueError(
                f"data.strangers: found {held}, which holds people back from every training; "
                "that needs selector.verification"
            )
        return
    if held is None:
        if settings.enrolled >= settings.captures:
            raise ValueError(
                f"{where}.enrolled: found {settings.enrolled}, which leaves none of "
                f"{settings.captures} captures to compare; allowed: fewer"
            )
        return
    for key in ("people", "captures"):
        if key in settings.model_fields_set:
            raise ValueError(
                f"{where}.{key}: only with data.source: eyes; of other data data.strangers "
                "says whom to hold back"
            )
    if not held:
        raise ValueError(
            f"{where}: data.strangers is 0, so that everybody is in a training; say which "
            "share of the people is held back, e.g. data.strangers: 0.3"
        )
