"""Ways to select or fuse without a trained selector, from the recognisers' outputs alone.

All take logits [M, N, C] of M recognisers on N samples of C classes. What has to be fitted
(temperatures, fusion weights) is fitted on held-back samples only.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from modelswitch.config import methods
from modelswitch.selector.outputs import Mixture

LARGEST_FUSION_SET = 4000  # samples for the logistic regression: it has M + 1 numbers to find


@dataclass(frozen=True)
class Decision:
    """What a method says: classes int64 [N] and, if it picks a modality, its index int64 [N]."""

    predicted: torch.Tensor
    picked: torch.Tensor | None = None


def pick(logits: torch.Tensor, picked: torch.Tensor) -> Decision:
    """The answers of the picked recognisers."""
    classes = logits.argmax(2)
    return Decision(classes.gather(0, picked[None])[0], picked)


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Temperature T that minimises the negative log-likelihood of softmax(logits / T).

    Temperature scaling of Guo et al. (2017); logits [N, C].
    """
    logits = logits.double()
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        # a recogniser that is always right wants T = 0: the bound keeps the numbers finite
        value = F.cross_entropy(logits / log_t.clamp(-4, 4).exp(), labels)
        value.backward()
        return value

    optimizer.step(loss)
    return float(log_t.detach().clamp(-4, 4).exp())


def fit_logistic_fusion(mixture: Mixture, seed: int) -> np.ndarray:
    """Weights [M] of the recognisers' log-probabilities in a fused score.

    As is usual in biometric fusion, every (sample, class) is an example whose features are the M
    log-probabilities of that class and whose label says whether it is the right one.
    """
    from sklearn.linear_model import LogisticRegression

    count, classes = mixture.logits.shape[1:]
    chosen = torch.from_numpy(np.random.default_rng(seed).permutation(count)[:LARGEST_FUSION_SET])
    features = mixture.logits[:, chosen].log_softmax(2).flatten(1).T.double().numpy()
    genuine = F.one_hot(mixture.labels[chosen], classes).flatten().numpy()
    return LogisticRegression(C=1e3).fit(features, genuine).coef_[0]


@dataclass(frozen=True)
class Baselines:
    """The fitted parts: temperatures [M] from degraded and from clean samples, fusion weights [M].

    Temperatures from degraded samples know the same degradations as the selector; those from clean
    ones are what calibration usually means.
    """

    modalities: tuple[str, ...]
    temperatures: torch.Tensor
    clean_temperatures: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def fit(
        cls,
        modalities: tuple[str, ...],
        mixture: Mixture,
        clean_logits: torch.Tensor,
        clean_labels: torch.Tensor,
        seed: int,
    ) -> "Baselines":
        """Fit on held-back samples: `mixture` under the degradations, `clean_logits` [M, N, C]."""
        return cls(
            modalities,
            torch.tensor([fit_temperature(logits, mixture.labels) for logits in mixture.logits]),
            torch.tensor([fit_temperature(logits, clean_labels) for logits in clean_logits]),
            torch.from_numpy(fit_logistic_fusion(mixture, seed)).float(),
        )

    def answers(self, logits: torch.Tensor) -> dict[str, Decision]:
        """Every baseline's answers to logits [M, N, C], by name."""
        plain = logits.log_softmax(2)
        calibrated = (logits / self.temperatures[:, None, None]).log_softmax(2)
        calibrated_clean = (logits / self.clean_temperatures[:, None, None]).log_softmax(2)
        result = {
            methods.always(name): pick(logits, torch.full((logits.shape[1],), m))
            for m, name in enumerate(self.modalities)
        }
        # confidences [M, N]: the most confident recogniser is picked
        two = plain.exp().topk(2, dim=2).values
        confidences = {
            methods.LARGEST_PROBABILITY: plain.amax(2),
            methods.CALIBRATED_PROBABILITY: calibrated.amax(2),
            methods.ENTROPY: (plain.exp() * plain).sum(2),
            methods.MARGIN: two[..., 0] - two[..., 1],
        }
        for name, confidence in confidences.items():
            result[name] = pick(logits, confidence.argmax(0))
        scores = {
            methods.SUM_RULE: plain.exp().sum(0),
            methods.PRODUCT_RULE: plain.sum(0),
            methods.CALIBRATED_PRODUCT: calibrated.sum(0),
            methods.CALIBRATED_PRODUCT_CLEAN: calibrated_clean.sum(0),
            methods.LOGISTIC_FUSION: (self.weights[:, None, None] * plain).sum(0),
        }
        return result | {name: Decision(score.argmax(1)) for name, score in scores.items()}


def oracle(logits: torch.Tensor, labels: torch.Tensor, clean: torch.Tensor) -> Decision:
    """Picks a recogniser that is right; if several or none are, one that is not degraded.

    `clean` is bool [M]. No selection can be more accurate; fusion can.
    """
    right = (logits.argmax(2) == labels).int()
    return pick(logits, (2 * right + clean[:, None].int()).argmax(0))


def undegraded(logits: torch.Tensor, clean: torch.Tensor) -> Decision:
    """Always picks the first modality that is not degraded: what a perfect selector would do."""
    return pick(logits, torch.full((logits.shape[1],), int(clean.int().argmax())))
