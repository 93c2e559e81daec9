"""How well selectors and baselines do under every degradation: rows of the tidy tables."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from modelswitch.config import methods
from modelswitch.config.degradations import Degradations, side_name, sides
from modelswitch.config.selector import SelectorSettings
from modelswitch.selector.baselines import Baselines, Decision, fit_temperatures, oracle, undegraded
from modelswitch.selector.deciding import Network, decide
from modelswitch.selector.outputs import (
    UNDEGRADED,
    Condition,
    Mixture,
    PairedOutputs,
    absent_conditions,
    all_conditions,
    mix,
    named,
    situation,
    training_conditions,
)

NAN = float("nan")
# Method, degraded side, picked modality and those whose recognisers are right, to samples.
Picks = Counter[tuple[str, str, str, str]]


def _known(held_back: PairedOutputs, degradations: Degradations) -> Mixture:
    """Held-back samples under the degradations that selectors and baselines may know."""
    conditions = training_conditions(held_back.modalities, degradations.seen, degradations.levels)
    return mix(held_back, conditions)


def fit_baselines(held_back: PairedOutputs, degradations: Degradations, seed: int) -> Baselines:
    """Baselines fitted on what selectors are trained on: held-back samples, known degradations."""
    return Baselines.fit(
        held_back.modalities,
        _known(held_back, degradations),
        held_back.at(UNDEGRADED),
        held_back.labels,
        seed,
    )


def known_temperatures(held_back: PairedOutputs, degradations: Degradations) -> torch.Tensor:
    """Temperatures [M] as those of the baseline `calibrated_product`."""
    mixture = _known(held_back, degradations)
    return fit_temperatures(mixture.logits, mixture.labels)


Sure = dict[str, tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Measured:
    """Rows of selection.csv but for what they share, counts of picks, and, by method, how sure it
    is of each sample, [N], and whether it is right, bool [N]."""

    rows: list[dict[str, object]]
    picks: Picks
    sure: Sure


class Rivals:
    """All that needs no trained selector, on the outputs of the same recognisers.

    What they answer is found once, for all selectors over these recognisers. Of the baselines, one
    is chosen for each situation (nothing degraded, one side or more in a way seen in training or
    not, all sides) by the ``held_back`` outputs.
    """

    def __init__(
        self,
        outputs: PairedOutputs,
        held_back: PairedOutputs,
        baselines: Baselines,
        degradations: Degradations,
    ) -> None:
        self.outputs, self.held_back, self.baselines = outputs, held_back, baselines
        self.degradations = degradations
        self.conditions = all_conditions(outputs.modalities, degradations)
        self._sure = {condition: self._of_held_back(condition) for condition in self.conditions}
        self._chosen = self._choose()
        self._measured: dict[Condition, Measured] = {}

    def _of_held_back(self, condition: Condition) -> Sure:
        answers = self.baselines.answers(self.held_back.at(condition))
        return sure_and_right(answers, self.held_back.labels)

    def _choose(self) -> dict[str, str]:
        """Situation to the baseline with the largest share of right answers in it; of equal ones
        the first by name."""
        right: dict[str, Counter[str]] = {}
        for condition, sure in self._sure.items():
            counts = right.setdefault(self.situation(condition), Counter())
            for name, (_, hits) in sure.items():
                counts[name] += int(hits.sum())
        return {at: max(sorted(c), key=c.__getitem__) for at, c in right.items()}

    def chosen(self, at: str) -> str:
        """The baseline that is chosen for a situation."""
        return self._chosen[at]

    def situation(self, condition: Condition) -> str:
        return situation(condition, self.outputs.modalities, self.degradations)

    def clean(self, condition: Condition) -> torch.Tensor:
        """Which modalities are not degraded, bool [M]."""
        names = self.outputs.modalities
        return torch.tensor([name not in condition.degraded for name in names])

    def answers(self, condition: Condition) -> dict[str, Decision]:
        """Of every baseline and of the one that is chosen."""
        answers = self.baselines.answers(self.outputs.at(condition))
        return answers | {methods.CHOSEN: answers[self.chosen(self.situation(condition))]}

    def measured(self, condition: Condition) -> Measured:
        """As `measure`, for all of these and for the ceilings."""
        if condition not in self._measured:
            logits, clean = self.outputs.at(condition), self.clean(condition)
            answers = self.answers(condition)
            if clean.any() and not clean.all():
                answers[methods.UNDEGRADED] = undegraded(logits, clean, self.outputs.modalities)
            answers[methods.ORACLE] = oracle(
                logits, self.outputs.labels, clean, self.outputs.modalities
            )
            self._measured[condition] = self.measure(condition, answers)
        return self._measured[condition]

    def measure(self, condition: Condition, answers: dict[str, Decision]) -> Measured:
        """What is told of answers."""
        modalities, labels = self.outputs.modalities, self.outputs.labels
        clean = self.clean(condition)
        right = named(self.outputs.at(condition)) == labels
        side = side_name(condition.degraded, modalities)
        # where none or all are degraded there is no modality to be found
        sought = bool(clean.any()) and not bool(clean.all())
        rows: list[dict[str, object]] = []
        picks: Picks = Counter()
        for name, answer in answers.items():
            selection = NAN
            if answer.picked is not None:
                if sought:
                    selection = clean[answer.picked].double().mean().item()
                picks.update(_picks(name, side, answer.picked, right, modalities))
            rows.append(
                {
                    "method": name,
                    "side": side,
                    "images": len(labels),
                    "selection_accuracy": selection,
                    "accuracy": (answer.predicted == labels).double().mean().item(),
                    "ties": answer.tied.double().mean().item(),
                }
            )
        return Measured(rows, picks, sure_and_right(answers, labels))

    def sure(self, condition: Condition) -> Sure:
        """Of every baseline how sure it is of each held-back sample, and whether it is right."""
        return self._sure[condition]


def sure_and_right(answers: dict[str, Decision], labels: torch.Tensor) -> Sure:
    return {
        name: (answer.confidence.float(), answer.predicted == labels)
        for name, answer in answers.items()
        if answer.confidence is not None
    }


def _picks(
    method: str, side: str, picked: torch.Tensor, right: torch.Tensor, modalities: Sequence[str]
) -> Picks:
    found: Picks = Counter()
    for at, name in enumerate(modalities):
        for pattern in itertools.product((False, True), repeat=len(modalities)):
            matches = (right == torch.tensor(pattern)[:, None]).all(0) & (picked == at)
            those = [m for m, yes in zip(modalities, pattern, strict=True) if yes]
            found[method, side, name, side_name(those, modalities)] += int(matches.sum())
    return found


class Contest:
    """One selector beside its rivals."""

    def __init__(self, rivals: Rivals, selector: Network, spec: SelectorSettings) -> None:
        self.rivals, self.spec = rivals, spec
        self.outputs, self.degradations = rivals.outputs, rivals.degradations
        self.selector = selector.eval()
        self.confusion: Picks = Counter()
        # By situation and method; there when the rows are.
        self.sure: dict[str, dict[str, list[tuple[torch.Tensor, torch.Tensor]]]] = {}

    def decide(self, condition: Condition, held_back: bool = False) -> Decision:
        """What the selector says."""
        outputs = self.rivals.held_back if held_back else self.outputs
        return decide(self.selector, outputs.at(condition), self.spec, outputs.modalities)

    def _measure(self, condition: Condition) -> list[dict[str, object]]:
        own = self.rivals.measure(condition, {methods.SELECTOR: self.decide(condition)})
        others = self.rivals.measured(condition)
        sure = self.sure.setdefault(self.rivals.situation(condition), {})
        for measured in (own, others):
            self.confusion.update(measured.picks)
            _join(sure, measured.sure)
        return [*own.rows, *others.rows]

    def sure_on_held_back(self) -> Sure:
        """How sure selector and baselines are of held-back samples, and whether they are right:
        with nothing degraded, and with one side or more in the ways that are known."""
        found: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for condition in self.rivals.conditions:
            if self.rivals.situation(condition) in ("unseen", methods.ABSENT):
                continue
            if condition.degraded and condition.degradation not in self.degradations.seen:
                continue
            said = {methods.SELECTOR: self.decide(condition, held_back=True)}
            _join(found, sure_and_right(said, self.rivals.held_back.labels))
            _join(found, self.rivals.sure(condition))
        return together(found)

    def rows(self) -> list[dict[str, object]]:
        """Rows of selection.csv without experiment, seed and selector.

        Level 0 is the same for every degradation and side; it is repeated so that each curve
        begins with it.
        """
        clean = {str(row["method"]): row for row in self._measure(UNDEGRADED)}
        result = []
        seen = self.degradations.seen
        for degradation in (*seen, *self.degradations.unseen):
            for degraded in sides(self.outputs.modalities):
                about = {"degradation": degradation, "seen": degradation in seen}
                side = side_name(degraded, self.outputs.modalities)
                result += [row | about | {"side": side, "level": 0.0} for row in clean.values()]
                for level in self.degradations.levels:
                    measured = self._measure(Condition(degradation, level, degraded))
                    result += [row | about | {"level": level} for row in measured]
        for condition in absent_conditions(self.outputs.modalities, self.degradations):
            side = side_name(condition.degraded, self.outputs.modalities)
            told: dict[str, object] = {"degradation": methods.ABSENT, "seen": False, "side": side}
            result += [row | told | {"level": 0.0} for row in clean.values()]
            result += [row | told | {"level": 1.0} for row in self._measure(condition)]
        return result

    def confusions(self) -> list[dict[str, object]]:
        """Rows of confusion.csv: how often a modality was picked, and which recognisers are right.

        Counted over all degradations and levels; side `none` is the clean set, counted once.
        """
        names = ("method", "side", "picked", "right")
        return [
            dict(zip(names, key, strict=True)) | {"images": count}
            for key, count in self.confusion.items()
        ]


def _join(found: dict[str, list[tuple[torch.Tensor, torch.Tensor]]], more: Sure) -> None:
    for name, pair in more.items():
        found.setdefault(name, []).append(pair)


def together(parts: dict[str, list[tuple[torch.Tensor, torch.Tensor]]]) -> Sure:
    """Several conditions' samples one after the other."""
    return {
        name: (torch.cat([own for own, _ in pairs]), torch.cat([right for _, right in pairs]))
        for name, pairs in parts.items()
    }
