"""Which students are better than which: successive halving's choice, the front, the winner."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelswitch.config.search import Search
from modelswitch.search.steps import Quantities, Score

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Candidate:
    """A student as it is ranked.

    Attributes:
        objectives: what the goal names, each turned so that less is better.
        missing: accuracy that it lacks to keep to the constraint, 0 if it keeps to it.
        accuracy: on validation images.
        size: what the goal minimises first, or its parameters.
    """

    number: int
    objectives: Vector
    missing: float
    accuracy: float
    size: float


def candidate(search: Search, score: Score, quantities: Quantities) -> Candidate:
    goal, bound = search.goal, search.constraints.accuracy
    best = () if goal.maximise is None else (-score.accuracy,)
    least = 0.0
    if bound is not None:
        least = bound.share * (score.teacher if bound.of_teacher else 1.0)
    return Candidate(
        score.number,
        (*best, *(quantities[name] for name in goal.least)),
        max(0.0, least - score.accuracy),
        score.accuracy,
        quantities[measure(search)],
    )


def measure(search: Search) -> str:
    """The size that accuracy is weighed against."""
    return search.goal.least[0] if search.goal.least else "parameters"


def dominates(one: Vector, other: Vector) -> bool:
    """Whether `one` is nowhere worse and somewhere better; less is better."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def fronts(vectors: Mapping[int, Vector]) -> list[list[int]]:
    """Keys in layers of which none of a layer is dominated but by those before it (Deb 2002)."""
    left, found = dict(vectors), []
    while left:
        layer = [
            key
            for key, vector in left.items()
            if not any(dominates(other, vector) for other in left.values())
        ]
        found.append(layer)
        for key in layer:
            del left[key]
    return found


def crowding(vectors: Mapping[int, Vector]) -> dict[int, float]:
    """How far the neighbours of each are apart, as a share of all, over objectives (Deb 2002)."""
    found = dict.fromkeys(vectors, 0.0)
    for at in range(len(next(iter(vectors.values()), ()))):
        order = sorted(vectors, key=lambda key: (vectors[key][at], key))
        span = vectors[order[-1]][at] - vectors[order[0]][at]
        found[order[0]] = found[order[-1]] = math.inf
        for before, key, after in zip(order, order[1:], order[2:], strict=False):
            if span:
                found[key] += (vectors[after][at] - vectors[before][at]) / span
    return found


def ranked(candidates: Sequence[Candidate]) -> list[int]:
    """Numbers, those that are worth going on with first.

    With accuracy as the one goal, by it. Otherwise in layers of what is best in accuracy, or in
    the goals: short trainings say too little of whether a student will keep to a constraint in the
    end to go by that alone. Within a layer those come first that lack least of it, then those that
    have few like them.
    """
    if all(len(c.objectives) == 1 and c.objectives[0] == -c.accuracy for c in candidates):
        return [c.number for c in sorted(candidates, key=lambda c: (-c.accuracy, c.number))]
    by_number = {c.number: c for c in candidates}
    # Accuracy counts, whether it is a goal or a constraint.
    vectors = {
        c.number: (-c.accuracy, *(o for o in c.objectives if o != -c.accuracy)) for c in candidates
    }
    order = []
    for layer in fronts(vectors):
        apart = crowding({number: vectors[number] for number in layer})
        order += sorted(layer, key=lambda n: (by_number[n].missing, -apart[n], n))
    return order


def front(candidates: Sequence[Candidate]) -> list[int]:
    """The Pareto front of accuracy and size, the smallest first; of equals the first."""
    seen: dict[Vector, int] = {}
    for c in sorted(candidates, key=lambda c: c.number):
        seen.setdefault((-c.accuracy, c.size), c.number)
    layers = fronts({number: vector for vector, number in seen.items()})
    sizes = {c.number: c.size for c in candidates}
    return sorted(layers[0], key=lambda number: sizes[number]) if layers else []


def winner(candidates: Sequence[Candidate]) -> int:
    """The best of those that keep to the constraint; if none does, the one that lacks least of
    it. Of several goals the first one decides."""
    return min(candidates, key=lambda c: (c.missing, c.objectives, -c.accuracy, c.number)).number


def spread(numbers: Sequence[int], count: int) -> list[int]:
    """At most so many of them, evenly from first to last."""
    if count >= len(numbers):
        return list(numbers)
    if count == 1:
        return [numbers[-1]]
    return (
        [numbers[round(at * (len(numbers) - 1) / (count - 1))] for at in range(count)]
        if count
        else []
    )
