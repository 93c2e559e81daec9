"""Students to try next, by Optuna, from what came of those before.

The study is made anew from the results for every batch, so that it is a function of them: however
often a search is killed, it proposes the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelswitch.config.space import Choice, Choices, Values
from modelswitch.errors import missing_extra
from modelswitch.randomness import derive_seed

if TYPE_CHECKING:
    import optuna

# Draws in a row of students that were tried before or are not allowed, after which the others are
# looked for.
_IN_VAIN = 100
# Spaces up to this size are written out where drawing finds nothing new.
_WRITTEN_OUT = 200_000


@dataclass(frozen=True)
class Tried:
    """A student that was tried, for a study.

    Attributes:
        values: what was chosen.
        batch: in which it was proposed.
        objectives: less is better.
        missing: accuracy that it lacks of what it has to have.
    """

    values: Values
    batch: int
    objectives: tuple[float, ...]
    missing: float


def library() -> Any:
    """Optuna, which speaks up only where something is wrong; raises `UserError` without it."""
    try:
        import optuna
    except ImportError as error:
        raise missing_extra("search", error, "search") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def propose(
    choices: Choices,
    tried: Sequence[Tried],
    count: int,
    *,
    sampler: str,
    seed: int,
    batch: int,
    objectives: int,
    constrained: bool = False,
    allowed: Callable[[Values], bool] = lambda values: True,
) -> list[dict[str, str]]:
    """Values of all choices for `count` students, or as many as there are that have not been tried.

    Args:
        tried: those of the batches before, all on the same rung.
        sampler: tpe (Bergstra 2011), nsga2 (Deb 2002) or random.
        batch: which one this is; of nsga2 it is the generation.
        objectives: how many there are.
        constrained: whether students can lack accuracy.
        allowed: whether a student may be tried at all.
    """
    study = study_of(
        choices,
        tried,
        sampler,
        derive_seed(seed, "proposals", batch) % 2**32,
        count,
        objectives,
        constrained,
    )
    optuna = library()
    known = {str(choices.lineage(each.values)) for each in tried}
    found: list[dict[str, str]] = []
    in_vain = 0
    while len(found) < count and in_vain < _IN_VAIN:
        trial = study.ask()
        values: dict[str, str] = {}
        for choice in choices.asked(values):
            values[choice.name] = _ask(trial, choice)
        lineage = str(choices.lineage(values))
        if lineage in known or not allowed(values):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            in_vain += 1
            continue
        in_vain = 0
        known.add(lineage)
        found.append(values)
    if len(found) < count and choices.size <= _WRITTEN_OUT:
        left = [
            values
            for values in everything(choices)
            if str(choices.lineage(values)) not in known and allowed(values)
        ]
        order = np.random.default_rng(derive_seed(seed, "rest", batch)).permutation(len(left))
        found += [left[at] for at in order[: count - len(found)]]
    return found


def study_of(
    choices: Choices,
    tried: Sequence[Tried],
    sampler: str = "random",
    seed: int = 0,
    count: int = 1,
    objectives: int = 1,
    constrained: bool = False,
) -> optuna.Study:
    """A study of what was tried."""
    optuna = library()
    with warnings.catch_warnings():
        # TPE's joint sampling is called experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        made = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True),
            "nsga2": lambda: optuna.samplers.NSGAIISampler(
                seed=seed, population_size=max(2, count)
            ),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        }[sampler]()
    study = optuna.create_study(sampler=made, directions=["minimize"] * objectives)
    # What Optuna writes itself when it runs a study from its beginning.
    generation = f"{type(made).__name__}:generation"
    for each in tried:
        chosen = list(choices.asked(each.values))
        study.add_trial(
            optuna.trial.create_trial(
                values=list(each.objectives),
                params={c.name: inner(c, each.values[c.name]) for c in chosen},
                distributions={c.name: distribution(c) for c in chosen},
                system_attrs={generation: each.batch} if sampler == "nsga2" else {},
                constraints={"accuracy": each.missing} if constrained else None,
            )
        )
    return study


def everything(choices: Choices) -> Iterator[dict[str, str]]:
    """Values of all choices, in all ways."""

    def go_on(values: dict[str, str], left: Sequence[Choice]) -> Iterator[dict[str, str]]:
        for at, choice in enumerate(left):
            if choice.when is not None and values[choice.when[0]] != choice.when[1]:
                continue
            for value in choice.values:
                yield from go_on(values | {choice.name: value}, left[at + 1 :])
            return
        yield values

    return go_on({}, choices.all)


def distribution(choice: Choice) -> Any:
    """What Optuna draws a choice from."""
    optuna = library()
    if choice.ordered:
        # Their places, for lists are seldom evenly spaced.
        return optuna.distributions.IntDistribution(0, len(choice.values) - 1)
    return optuna.distributions.CategoricalDistribution(choice.values)


def inner(choice: Choice, value: str) -> int | str:
    """A value as Optuna has it: of ordered ones its place."""
    return choice.values.index(value) if choice.ordered else value


def _ask(trial: optuna.Trial, choice: Choice) -> str:
    if choice.ordered:
        return choice.values[trial.suggest_int(choice.name, 0, len(choice.values) - 1)]
    return str(trial.suggest_categorical(choice.name, choice.values))


def importances(
    choices: Choices, tried: Sequence[Tried], of: Sequence[float]
) -> Mapping[str, float]:
    """The share of each choice in what moved a result, by Optuna (PED-ANOVA), the largest first;
    empty where too few were tried to say. Choices of which it can say nothing are left out: those
    with one value, and those of a family that the best tenth has none of.

    Args:
        of: the result of each of `tried`, less being better.
    """
    optuna = library()
    if len(set(of)) < 2 or len(tried) < 4:
        return {}
    rows = [
        Tried(each.values, each.batch, (value,), 0.0) for each, value in zip(tried, of, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(study_of(choices, rows))
    # Optuna's order of equal ones is another one in another process.
    order = sorted(choices.all, key=lambda choice: -found.get(choice.name, 0.0))
    return {
        choice.name: float(share)
        for choice in order
        if len(choice.values) > 1
        and not np.isnan(share := found.get(choice.name, np.nan))
        and (share > 0 or choice.when is None)
    }
