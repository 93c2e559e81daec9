"""How well selectors and baselines do under every degradation: rows of the tidy tables."""

import itertools
from collections import Counter
from collections.abc import Iterator

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
    all_conditions,
    mix,
    situation,
    training_conditions,
)

NAN = float("nan")


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


class Contest:
    """One selector and its rivals on the test outputs of the same recognisers.

    Of the rivals, one is chosen for each situation (nothing degraded, one side or more in a way
    seen in training or not, all sides) by the ``held_back`` outputs.
    """

    def __init__(
        self,
        outputs: PairedOutputs,
        held_back: PairedOutputs,
        baselines: Baselines,
        selector: Network,
        spec: SelectorSettings,
        degradations: Degradations,
    ) -> None:
        self.outputs, self.baselines, self.spec = outputs, baselines, spec
        self.selector = selector.eval()
        self.degradations = degradations
        self.confusion: Counter[tuple[str, str, str, str]] = Counter()
        self._chosen = self._choose(held_back)

    def _choose(self, held_back: PairedOutputs) -> dict[str, str]:
        """Situation to the baseline with the largest share of right answers in it; of equal ones
        the first by name."""
        right: dict[str, Counter[str]] = {}
        for condition in all_conditions(self.outputs.modalities, self.degradations):
            counts = right.setdefault(self._situation(condition), Counter())
            for name, answer in self.baselines.answers(held_back.at(condition)).items():
                counts[name] += int((answer.predicted == held_back.labels).sum())
        return {at: max(sorted(c), key=c.__getitem__) for at, c in right.items()}

    def _situation(self, condition: Condition) -> str:
        return situation(condition, self.outputs.modalities, self.degradations)

    def _answers(self, condition: Condition) -> tuple[dict[str, Decision], torch.Tensor]:
        logits = self.outputs.at(condition)
        names = self.outputs.modalities
        clean = torch.tensor([name not in condition.degraded for name in names])
        answers = {methods.SELECTOR: decide(self.selector, logits, self.spec, names)}
        answers |= self.baselines.answers(logits)
        answers[methods.CHOSEN] = answers[self._chosen[self._situation(condition)]]
        if clean.any() and not clean.all():
            answers[methods.UNDEGRADED] = undegraded(logits, clean, names)
        answers[methods.ORACLE] = oracle(logits, self.outputs.labels, clean, names)
        return answers, logits.argmax(2) == self.outputs.labels

    def _measure(self, condition: Condition) -> Iterator[dict[str, object]]:
        answers, right = self._answers(condition)
        modalities, labels = self.outputs.modalities, self.outputs.labels
        clean = torch.tensor([name not in condition.degraded for name in modalities])
        side = side_name(condition.degraded, modalities)
        # where none or all are degraded there is no modality to be found
        sought = bool(clean.any()) and not bool(clean.all())
        for name, answer in answers.items():
            selection = NAN
            if answer.picked is not None:
                if sought:
                    selection = clean[answer.picked].double().mean().item()
                self._count(name, side, answer.picked, right)
            yield {
                "method": name,
                "side": side,
                "images": len(labels),
                "selection_accuracy": selection,
                "accuracy": (answer.predicted == labels).double().mean().item(),
                "ties": answer.tied.double().mean().item(),
            }

    def _count(self, method: str, side: str, picked: torch.Tensor, right: torch.Tensor) -> None:
        modalities = self.outputs.modalities
        for at, name in enumerate(modalities):
            for pattern in itertools.product((False, True), repeat=len(modalities)):
                matches = (right == torch.tensor(pattern)[:, None]).all(0) & (picked == at)
                those = [m for m, yes in zip(modalities, pattern, strict=True) if yes]
                key = (method, side, name, side_name(those, modalities))
                self.confusion[key] += int(matches.sum())

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
