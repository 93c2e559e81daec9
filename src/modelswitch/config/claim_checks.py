"""Whether claims are about something that an experiment will have results for.

A claim whose side, or whose choice of rows, is misspelt would be "not tested" when all is trained.
"""

from collections.abc import Collection, Mapping, Sequence

from modelswitch.config.base import near, numbers
from modelswitch.config.claims import Claim
from modelswitch.config.degradations import side_name, sides
from modelswitch.config.looks import Looks
from modelswitch.config.methods import FUSIONS, methods
from modelswitch.config.metrics import OF_SELECTION
from modelswitch.config.selector import SelectorComparison

# Of the columns that rows of a comparison are told apart by, those that rise.
_RISING = ("level", "seen")


def check_claims(
    claims: Mapping[str, Claim],
    chains: Collection[str],
    comparison: SelectorComparison | None,
    modalities: Sequence[str],
) -> None:
    """Raise ValueError for the first claim that cannot be tested, with what is allowed.

    Args:
        chains: labels and lineages of all models that are trained.
        comparison: of selectors, if the experiment has any; its methods are sides too.
    """
    known = () if comparison is None else methods(modalities)
    for name, claim in claims.items():
        where = f"claims.{name}"
        about_methods = (
            _picks_only(claim)
            or bool(claim.where)
            or claim.rises_with is not None
            or any(side in known for side in claim.sides)
        )
        if not about_methods:
            _check_sides(where, claim, chains, known, comparison)
        elif comparison is None:
            raise ValueError(
                f"{where}: `where`, `rises_with` and the metric selection_accuracy are about "
                "selecting a modality, and there is no selector"
            )
        else:
            _check_methods(where, claim, chains, known, comparison)
            _check_rows(where, claim, comparison, modalities)


def check_looks(looks: Looks, claims: Mapping[str, Claim], seeds: Collection[int]) -> None:
    """Raise ValueError for more seeds than looks are at, and claims that cannot be judged so."""
    if len(seeds) > looks.at[-1]:
        raise ValueError(
            f"looks.at: found {looks.at}, but there are {len(seeds)} seeds; the last look is at "
            "all of them"
        )
    for name, claim in claims.items():
        if len(claim.others) > 1:
            # Decided against one of them, it might have to be judged against another later.
            raise ValueError(
                f"claims.{name}.than: found {', '.join(claim.others)}, and with looks the best of "
                "several can change from look to look; make a claim for each"
            )


def _picks_only(claim: Claim) -> bool:
    """Whether the metric is one of picking a modality, which models and fusions do not."""
    return claim.measured.source == "selection"


def _check_sides(
    where: str,
    claim: Claim,
    chains: Collection[str],
    known: Collection[str],
    comparison: SelectorComparison | None,
) -> None:
    for side in claim.sides:
        if side not in chains:
            _refuse(where, side, [*chains, *known], comparison)


def _check_methods(
    where: str,
    claim: Claim,
    chains: Collection[str],
    known: Collection[str],
    comparison: SelectorComparison,
) -> None:
    for side in claim.sides:
        if side in known and side in chains:
            raise ValueError(
                f"{where}: {side!r} is a way to select and a chain as well; "
                "give the chain or its model another name"
            )
        if side in chains:
            raise ValueError(
                f"{where}: {side!r} is a chain, and the claim is about ways to select; "
                f"allowed: {', '.join(known)}"
            )
        if side not in known:
            _refuse(where, side, known, comparison)
        if _picks_only(claim) and side in FUSIONS:
            raise ValueError(f"{where}: {side!r} picks no modality, so it has no {claim.metric}")
    if claim.metric not in OF_SELECTION:
        raise ValueError(
            f"{where}.metric: found {claim.metric!r}; "
            f"of ways to select {' and '.join(OF_SELECTION)} are measured"
        )


def _refuse(
    where: str, side: str, allowed: Collection[str], comparison: SelectorComparison | None
) -> None:
    if comparison is not None and side in comparison.selectors:
        raise ValueError(
            f"{where}: {side!r} is one of the selectors; the side is `selector`, with "
            f"`where: {{selector: {side}}}`"
        )
    kinds = "no chain and no lineage of one" + ("" if comparison is None else ", nor a method")
    raise ValueError(
        f"{where}: {side!r} is {kinds}{near(side, allowed)}; allowed: {', '.join(allowed)}"
    )


def _check_rows(
    where: str, claim: Claim, comparison: SelectorComparison, modalities: Sequence[str]
) -> None:
    """Raise ValueError for a `where` or `rises_with` that no row of the comparison answers to."""
    if claim.rises_with not in (None, *_RISING):
        raise ValueError(
            f"{where}.rises_with: found {claim.rises_with!r}; allowed: {', '.join(_RISING)}"
        )
    degradations = comparison.degradations
    known: dict[str, list[str | float | bool]] = {
        "selector": [*comparison.selectors],
        "degradation": [*degradations.seen, *degradations.unseen],
        "side": [side_name(chosen, modalities) for chosen in sides(modalities)],
        "level": [0.0, *degradations.levels],
        "seen": [True, False],
    }
    for column, chosen in claim.where.items():
        for value in chosen if isinstance(chosen, tuple) else (chosen,):
            allowed = known[column]
            # A truth value equals 1 or 0, which is no reason to take it for a level.
            if not any(type(a) is type(_same(value)) and a == _same(value) for a in allowed):
                raise ValueError(
                    f"{where}.where.{column}: found {value!r}{near(value, map(str, allowed))}; "
                    f"allowed: {', '.join(map(str, allowed))}"
                )


def _same(value: str | float | bool) -> object:
    """A value as results are compared with it: `1` is 1.0, and 'true' is true."""
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), numbers(value))
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def check_search_only(validation: float, selects: bool, claims: Mapping[str, Claim]) -> None:
    """Raise ValueError for what an experiment cannot have that is measured on validation images
    alone.

    Args:
        validation: share of the training images that is held back.
        selects: whether it selects between modalities.
    """
    where = "report.split: found 'validation'"
    if validation == 0:
        raise ValueError(f"{where}, but data.validation is 0: no images are held back")
    if selects:
        raise ValueError(
            f"{where}, but selectors are trained on the validation images; allowed here: test"
        )
    for name, claim in claims.items():
        if claim.split == "test":
            raise ValueError(f"{where}, but claims.{name}.split is 'test'; leave that out")
