"""Ways to select or fuse without a trained selector, from the recognisers' outputs alone.

All take logits [M, N, C] of M recognisers on N samples of C classes. What has to be fitted
(temperatures, fusion weights) is fitted on held-back samples only.

Nothing depends on the order in which the modalities are named: confidences tell recognisers apart
whose probabilities are all rounded to 1, sums are taken in the order of their terms, and what is
equal all the same is decided by lot, and said to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from modelswitch.config import methods
from modelswitch.selector.outputs import Mixture, named

LARGEST_FUSION_SET = 4000  # samples for the logistic regression: it has M + 1 numbers to find


@dataclass(frozen=True)
class Decision:
    """What a method says: classes int64 [N] and, if it picks a modality, its index int64 [N].

    `tied` is bool [N]: where nothing but the lot decided. `confidence` [N] rises with how sure the
    method is of its class, on a scale of its own; None where it is not asked.
    """

    predicted: torch.Tensor
    tied: torch.Tensor
    picked: torch.Tensor | None = None
    confidence: torch.Tensor | None = None


def pick(logits: torch.Tensor, picked: torch.Tensor, tied: torch.Tensor | None = None) -> Decision:
    """The answers of the picked recognisers."""
    classes = named(logits)
    none = torch.zeros(len(picked), dtype=torch.bool)
    return Decision(classes.gather(0, picked[None])[0], none if tied is None else tied, picked)


def pick_largest(logits: torch.Tensor, scores: torch.Tensor, modalities: Sequence[str]) -> Decision:
    """The answers of the recognisers with the largest of `scores` [M, N].

    Of equal ones a lot decides, drawn among their names: in every order of theirs the same.
    """
    order = torch.tensor(sorted(range(len(modalities)), key=modalities.__getitem__))
    largest = (scores == scores.amax(0))[order]
    count = largest.sum(0)
    drawn = torch.rand(scores.shape[1], generator=torch.Generator().manual_seed(0))
    rank = (drawn * count).long()
    chosen = largest & (largest.cumsum(0) - 1 == rank)
    return pick(logits, order[chosen.int().argmax(0)], count > 1)


def fuse(scores: torch.Tensor, deciding: torch.Tensor) -> Decision:
    """The class with the largest of `scores` [N, C], logarithms of probabilities but for a sum that
    is the same for all classes; of equal ones that with more of `deciding`."""
    largest = scores == scores.amax(1, keepdim=True)
    among = deciding.masked_fill(~largest, -torch.inf)
    tied = (largest & (among == among.amax(1, keepdim=True))).sum(1) > 1
    return Decision(among.argmax(1), tied, confidence=log_odds(scores))


def log_odds(logits: torch.Tensor) -> torch.Tensor:
    """log(p / (1 - p)) of the largest probability p of logits [..., C], in float64.

    It rises with p, and still tells recognisers apart where p itself is rounded to 1.
    """
    return _log_odds(_falling(logits))


def confidences(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`log_odds`, `log_margin` and minus `log_entropy` of the same logits [..., C]: to bring them
    into order takes longer than all the rest."""
    falling = _falling(logits)
    return _log_odds(falling), _log_margin(falling), -_log_entropy(falling)


def _falling(logits: torch.Tensor) -> torch.Tensor:
    return logits.double().sort(-1, descending=True).values


def _log_odds(ordered: torch.Tensor) -> torch.Tensor:
    return ordered[..., 0] - ordered[..., 1:].logsumexp(-1)


def log_margin(logits: torch.Tensor) -> torch.Tensor:
    """-log(1 - m) of the margin m, the largest probability minus the second, of logits [..., C].

    With odds o = exp(l - l_max) of the classes, s their sum over all but the largest and o2 the
    second, m = (1 - o2) / (1 + s), so 1 - m = (s + o2) / (1 + s).
    """
    return _log_margin(_falling(logits))


def _log_margin(ordered: torch.Tensor) -> torch.Tensor:
    odds = ordered[..., 1:] - ordered[..., :1]
    rest = odds.logsumexp(-1)
    return F.softplus(rest) - torch.logaddexp(rest, odds[..., 0])


def log_entropy(logits: torch.Tensor) -> torch.Tensor:
    """log of the entropy in nats of softmax of logits [..., C].

    With odds o = exp(l - l_max) and s their sum over all but the largest, the entropy is
    log(1 + s) - sum(o log o) / (1 + s): terms that are all positive, so nothing cancels.
    """
    return _log_entropy(_falling(logits))


def _log_entropy(ordered: torch.Tensor) -> torch.Tensor:
    odds = ordered[..., 1:] - ordered[..., :1]
    rest = odds.logsumexp(-1)
    log1p = F.softplus(rest)
    # log(log(1 + s)) is log(s) for an s that 1 + s would lose.
    first = torch.where(rest < -40, rest, log1p.log())
    terms = odds + (-odds).log() - log1p[..., None]
    return torch.cat([first[..., None], terms], -1).logsumexp(-1)


def _sum(values: torch.Tensor) -> torch.Tensor:
    """Over the recognisers [M, ...], by size: the same bits for every order of them."""
    return values.sort(0).values.sum(0)


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


def fit_temperatures(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The temperatures [M] of M recognisers; logits [M, N, C]."""
    return torch.tensor([fit_temperature(own, labels) for own in logits])


def fit_logistic_fusion(logits: torch.Tensor, labels: torch.Tensor, seed: int) -> np.ndarray:
    """Weights [M] of the recognisers' log-probabilities in a fused score.

    As is usual in biometric fusion, every (sample, class) is an example whose features are the M
    log-probabilities of that class and whose label says whether it is the right one.
    """
    from sklearn.linear_model import LogisticRegression

    count, classes = logits.shape[1:]
    chosen = torch.from_numpy(np.random.default_rng(seed).permutation(count)[:LARGEST_FUSION_SET])
    features = logits[:, chosen].double().log_softmax(2).flatten(1).T.numpy()
    genuine = F.one_hot(labels[chosen], classes).flatten().numpy()
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
        order = sorted(range(len(modalities)), key=modalities.__getitem__)
        fitted = fit_logistic_fusion(mixture.logits[order], mixture.labels, seed)
        weights = torch.empty(len(modalities), dtype=torch.float64)
        weights[order] = torch.from_numpy(fitted)
        return cls(
            modalities,
            fit_temperatures(mixture.logits, mixture.labels),
            fit_temperatures(clean_logits, clean_labels),
            weights,
        )

    def answers(self, logits: torch.Tensor) -> dict[str, Decision]:
        """Every baseline's answers to logits [M, N, C], by name."""
        exact = logits.double()
        plain = exact.log_softmax(2)
        calibrated = exact / self.temperatures.double()[:, None, None]
        calibrated_clean = exact / self.clean_temperatures.double()[:, None, None]
        sure, margin, certainty = confidences(exact)
        result = {
            methods.always(name): replace(
                pick(logits, torch.full((logits.shape[1],), m)), confidence=sure[m]
            )
            for m, name in enumerate(self.modalities)
        }
        # [M, N]: the most confident recogniser is picked
        scales = {
            methods.LARGEST_PROBABILITY: sure,
            methods.CALIBRATED_PROBABILITY: log_odds(calibrated),
            methods.ENTROPY: certainty,
            methods.MARGIN: margin,
        }
        for name, confidence in scales.items():
            chosen = pick_largest(logits, confidence, self.modalities)
            result[name] = replace(chosen, confidence=confidence.amax(0))
        product = _sum(plain)
        scores = {
            methods.SUM_RULE: _sum(plain.exp()),
            methods.PRODUCT_RULE: product,
            methods.CALIBRATED_PRODUCT: _sum(calibrated.log_softmax(2)),
            methods.CALIBRATED_PRODUCT_CLEAN: _sum(calibrated_clean.log_softmax(2)),
            methods.LOGISTIC_FUSION: _sum(self.weights.double()[:, None, None] * plain),
        }
        result |= {name: fuse(score, product) for name, score in scores.items()}
        summed = scores[methods.SUM_RULE].log()
        result[methods.SUM_RULE] = replace(result[methods.SUM_RULE], confidence=log_odds(summed))
        return result


def oracle(
    logits: torch.Tensor, labels: torch.Tensor, clean: torch.Tensor, modalities: Sequence[str]
) -> Decision:
    """Picks a recogniser that is right; if several or none are, one that is not degraded.

    `clean` is bool [M]. No selection can be more accurate; fusion can.
    """
    right = (named(logits) == labels).int()
    return pick_largest(logits, 2 * right + clean[:, None].int(), modalities)


def undegraded(logits: torch.Tensor, clean: torch.Tensor, modalities: Sequence[str]) -> Decision:
    """Picks a modality that is not degraded, of several by lot: what a perfect selector does."""
    scores = clean[:, None].int().expand(-1, logits.shape[1])
    return pick_largest(logits, scores, modalities)
