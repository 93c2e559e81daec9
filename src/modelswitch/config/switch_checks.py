"""Whether a transfer can be what it says, beside the others of a configuration and on its data."""

from collections.abc import Mapping

from modelswitch.config.augment import Augmentation
from modelswitch.config.base import check_known
from modelswitch.config.transfer import Transfer
from modelswitch.config.weighting import MatchedWeighting

# Rules whose weights differ from sample to sample, so that their mean is worth comparing with.
_MATCHABLE = ("correctness", "hard_switch", "confidence", "wsl", "shuffled", "import")


def check_switch(name: str, transfers: Mapping[str, Transfer], augment: Augmentation) -> None:
    """Raise ValueError for a transfer that a chain has and that cannot be carried out.

    Args:
        augment: views of the data, which a transfer has unless it says otherwise.
    """
    transfer = transfers[name]
    weighting = transfer.weighting
    if isinstance(weighting, MatchedWeighting):
        where = f"transfers.{name}.weighting.to"
        check_known(where, weighting.to, transfers, "transfer")
        rule = transfers[weighting.to].weighting.rule
        if rule not in _MATCHABLE:
            raise ValueError(
                f"{where}: the rule {rule!r} of {weighting.to!r} does not weight samples; "
                f"allowed: {', '.join(_MATCHABLE)}"
            )
    views = transfer.augment or augment
    if transfer.mixed_labels != "both" and not views.mixes:
        raise ValueError(
            f"transfers.{name}.mixed_labels: found {transfer.mixed_labels!r}, but "
            "no view is mixed; that needs mixup or cutmix in augment"
        )
