"""Whether two samples show the same person: scores of pairs, of people in no training.

A person's template is the mean direction of some clean captures; every other capture is compared
with templates by the cosine. The people are parted: on some of them fusions and scales are fitted,
the others are tested. What is compared may be degraded, on one side or more, templates never are.

A gate and a selector that picks see logits. Here these are the cosines of a sample with the
template that it claims to be of and with those of the people on whom is fitted, a cohort of
strangers, brought to the scale of the logits that they were trained with.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from modelswitch.config import methods
from modelswitch.config.degradations import Degradations
from modelswitch.config.selector import SelectorSettings
from modelswitch.config.verification import Verification
from modelswitch.randomness import derive_seed
from modelswitch.selector.baselines import fit_temperature, pick_largest
from modelswitch.selector.deciding import Network
from modelswitch.selector.network import Selector, features
from modelswitch.selector.outputs import UNDEGRADED, Condition, training_conditions

# Pairs of other people to fit on, at most: a line in two or three dimensions needs no more.
MOST_FITTED = 200_000
_AT_ONCE = 200  # samples


@dataclass(frozen=True)
class Embedded:
    """What M recognisers make of the same N samples of people in no training.

    `vectors` holds, for each, [S, N, D] in the stored sets, the clean one first; D may differ.
    `labels` int64 [N] is the person, or the eye where a person has two of them; `owners` int64 [C]
    then says whose an eye is.
    """

    modalities: tuple[str, ...]
    sets: tuple[tuple[str, float], ...]
    vectors: tuple[torch.Tensor, ...]
    labels: torch.Tensor
    owners: torch.Tensor

    def at(self, condition: Condition) -> list[torch.Tensor]:
        """Vectors [N, D] of each modality, degraded or clean."""
        worse = self.sets.index((condition.degradation, condition.level))
        return [
            own[worse if name in condition.degraded else 0]
            for name, own in zip(self.modalities, self.vectors, strict=True)
        ]


@dataclass(frozen=True)
class Pairs:
    """N samples, each with the J templates that it claims to be of: cosines [M, N, J], whether
    they are of one person, bool [N, J], and cosines [M, N, K] with those of a cohort, in which no
    tested person is."""

    scores: torch.Tensor
    genuine: torch.Tensor
    cohort: torch.Tensor


class People:
    """Those who are tested and those on whom is fitted, with their templates.

    Args:
        seed: parts the people and draws the impostors.
    """

    def __init__(self, embedded: Embedded, settings: Verification, seed: int) -> None:
        self.embedded, self.impostors = embedded, settings.impostors
        self._seed = seed
        count = int(embedded.labels.max()) + 1
        owners = int(embedded.owners.max()) + 1
        order = np.random.default_rng(derive_seed(seed, "people") % 2**32).permutation(owners)
        fitted = min(max(2, round(settings.fitting * owners)), owners - 2)
        # Both eyes of a person are on the same side.
        of_fitted = torch.isin(embedded.owners, torch.from_numpy(order[:fitted]))
        self.fitted, self.tested = (part.nonzero().flatten() for part in (of_fitted, ~of_fitted))
        # The first captures of each person are enrolled, all others compared.
        rank = torch.cat([torch.arange(int(n)) for n in embedded.labels.bincount()])
        enrolled = rank < settings.enrolled
        self._probes = (~enrolled).nonzero().flatten()
        clean = [F.normalize(own, dim=1) for own in embedded.at(UNDEGRADED)]
        member = F.one_hot(embedded.labels[enrolled], count).T.float()
        self._templates = [F.normalize(member @ own[enrolled], dim=1) for own in clean]

    @property
    def count(self) -> int:
        """How many people are tested."""
        return len(self.embedded.owners[self.tested].unique())

    def pairs(self, condition: Condition, of: torch.Tensor) -> Pairs:
        """Every sample of the people ``of`` that is no template, with its own person's template and
        others' among them: all where nothing is degraded, else as many as are to be drawn."""
        embedded = self.embedded
        rows = self._probes[torch.isin(embedded.labels[self._probes], of)]
        people = embedded.labels[rows]
        cosines = torch.stack(
            [
                F.normalize(own[rows], dim=1) @ templates.T
                for own, templates in zip(embedded.at(condition), self._templates, strict=True)
            ]
        )
        others = of[None].expand(len(rows), -1)
        others = others[others != people[:, None]].view(len(rows), -1)
        if condition.degraded and self.impostors < others.shape[1]:
            seed = derive_seed(self._seed, "impostors", *map(str, vars(condition).values()))
            drawn = torch.rand(others.shape, generator=torch.Generator().manual_seed(seed))
            others = others.gather(1, drawn.argsort(1)[:, : self.impostors])
        claimed = torch.cat([people[:, None], others], 1)
        return Pairs(
            cosines.gather(2, claimed.expand(len(cosines), -1, -1)),
            claimed == people[:, None],
            cosines[:, :, self.fitted],
        )

    def own_among_fitted(self, condition: Condition) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines [M, N, K] of the samples of the people on whom is fitted with all of their
        templates, and which of these is their own."""
        embedded = self.embedded
        rows = self._probes[torch.isin(embedded.labels[self._probes], self.fitted)]
        cosines = torch.stack(
            [
                F.normalize(own[rows], dim=1) @ templates[self.fitted].T
                for own, templates in zip(embedded.at(condition), self._templates, strict=True)
            ]
        )
        return cosines, torch.searchsorted(self.fitted, embedded.labels[rows])


@dataclass(frozen=True)
class Fusions:
    """Fitted on people who are not tested, under the degradations that selectors know.

    `slopes` and `offsets` [M] make log-odds of each recogniser's cosines, `weights` [M] fuse all
    cosines; `temperatures` [M] make logits of them.
    """

    modalities: tuple[str, ...]
    slopes: torch.Tensor
    offsets: torch.Tensor
    weights: torch.Tensor
    temperatures: torch.Tensor

    @classmethod
    def fit(cls, people: People, degradations: Degradations, seed: int) -> "Fusions":
        names = people.embedded.modalities
        known = training_conditions(names, degradations.seen, degradations.levels)
        conditions = [UNDEGRADED, *known]
        pairs = [people.pairs(condition, people.fitted) for condition in conditions]
        scores = torch.cat([p.scores.flatten(1) for p in pairs], 1).double().numpy()
        genuine = torch.cat([p.genuine.flatten() for p in pairs]).numpy()
        rng = np.random.default_rng(derive_seed(seed, "fusion") % 2**32)
        chosen = rng.permutation(len(genuine))[:MOST_FITTED]
        scores, genuine = scores[:, chosen], genuine[chosen]
        own = [_logistic(each[None], genuine) for each in scores]
        own_cosines = [people.own_among_fitted(condition) for condition in conditions]
        cosines = torch.cat([c for c, _ in own_cosines], 1)
        labels = torch.cat([at for _, at in own_cosines])
        return cls(
            names,
            torch.tensor([slope[0] for slope, _ in own]),
            torch.tensor([offset for _, offset in own]),
            torch.from_numpy(_logistic(scores, genuine)[0]),
            torch.tensor([fit_temperature(each, labels) for each in cosines]),
        )

    def log_odds(self, scores: torch.Tensor) -> torch.Tensor:
        """Calibrated log-odds [M, N, J] of cosines."""
        return self.slopes[:, None, None] * scores.double() + self.offsets[:, None, None]

    def scores(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        """The scores [N, J] of every method that is no selector: the higher, the likelier one
        person."""
        cosines = pairs.scores.double()
        found = {
            methods.always(name): own for name, own in zip(self.modalities, cosines, strict=True)
        }
        return found | {
            methods.SUM_RULE: cosines.sum(0),
            methods.CALIBRATED_SUM: self.log_odds(cosines).sum(0),
            methods.LARGEST_PROBABILITY: self.log_odds(cosines).amax(0),
            methods.LOGISTIC_FUSION: (self.weights[:, None, None] * cosines).sum(0),
        }


def _logistic(scores: NDArray, genuine: NDArray) -> tuple[NDArray, float]:
    """Weights [F] and offset of a logistic regression on scores [F, P], both kinds of pairs
    weighing the same."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e3, class_weight="balanced").fit(scores.T, genuine)
    return fitted.coef_[0], float(fitted.intercept_[0])


def cannot_decide(spec: SelectorSettings, cohort: int, classes: int) -> str:
    """Why a selector cannot decide for people whom it was not trained with; '' if it can.

    Args:
        cohort: classes that it would see here, `classes`: those that it was trained with.
    """
    allowed = "agreement, matched, sorted" if spec.decides == "weigh" else "matched, sorted"
    if spec.parts == "whole":
        return (
            f"sees the outputs for {classes} people by name (parts: whole) and cannot decide for "
            f"others; allowed: {allowed}"
        )
    if spec.parts != "agreement" and min(spec.top, cohort) != min(spec.top, classes):
        return (
            f"sees the {min(spec.top, classes)} likeliest of {classes} people (top), and here are "
            f"{cohort}; allowed: at most {min(cohort, classes)}, or more people held back"
        )
    return ""


@torch.inference_mode()
def selector_scores(
    network: Network,
    spec: SelectorSettings,
    temperatures: torch.Tensor,
    fusions: Fusions,
    pairs: Pairs,
) -> torch.Tensor:
    """What a selector says of pairs [N, J]: log-odds that they are of one person.

    Of one that picks they are the calibrated ones of the recogniser that it picks.

    Args:
        temperatures: [M], of the logits that it was trained with.
    """
    scale = (temperatures / fusions.temperatures)[:, None, None]
    claims = pairs.scores.shape[2]
    parts = []
    for start in range(0, pairs.scores.shape[1], _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        scores, cohort = pairs.scores[:, rows], pairs.cohort[:, rows]
        each = cohort[:, :, None].expand(-1, -1, claims, -1)
        logits = torch.cat([scores[..., None], each], 3).flatten(1, 2) * scale
        if isinstance(network, Selector):
            chosen = network(features(logits, spec)).T
            picked = pick_largest(logits, chosen, fusions.modalities).picked
            assert picked is not None
            said = fusions.log_odds(scores).flatten(1).gather(0, picked[None])[0]
        else:
            answer = network(logits).double()
            said = answer[:, 0] - answer[:, 1:].logsumexp(1)
        parts.append(said.view(-1, claims))
    return torch.cat(parts)
