"""Whether a search is possible at all, with the data and beside what else is asked for."""

from collections.abc import Sequence

from modelswitch.config.search import Search


def check_search(
    search: Search, validation: float, datasets: Sequence[str], split: str, seeds: Sequence[int]
) -> None:
    """Raise ValueError for a search that has nothing to compare on, or nothing to be judged by.

    Args:
        validation: share of the training images that is held back.
        split: images on which models are measured.
        seeds: from which models are trained that are judged.
    """
    if validation == 0:
        raise ValueError(
            "search: has to compare models on validation images, but data.validation is 0"
        )
    if len(datasets) > 1:
        raise ValueError(
            f"search: found {len(datasets)} data sets ({', '.join(datasets)}); a search is for one"
        )
    if split == "validation":
        raise ValueError(
            "search: its winner is judged on test images, which report.split: validation keeps "
            "out of sight; leave one of them out"
        )
    if both := sorted(set(seeds) & set(search.seeds)):
        raise ValueError(
            f"search.seeds: {both[0]} is among `seeds` too, from which the winner is trained anew; "
            "write another one"
        )
