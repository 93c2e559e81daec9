"""Ways to pick a modality or to fuse all of them, by the names that tables and claims have."""

from collections.abc import Sequence

# The selector of a comparison, trained on degraded samples.
SELECTOR = "selector"
# Pick the recogniser that is most confident, by some measure of confidence.
CONFIDENT = LARGEST_PROBABILITY, CALIBRATED_PROBABILITY, ENTROPY, MARGIN = (
    "largest_probability",
    "calibrated_probability",
    "entropy",
    "margin",
)
# Fuse the recognisers' outputs: these pick none.
FUSIONS = SUM_RULE, PRODUCT_RULE, CALIBRATED_PRODUCT, CALIBRATED_PRODUCT_CLEAN, LOGISTIC_FUSION = (
    "sum_rule",
    "product_rule",
    "calibrated_product",
    "calibrated_product_clean",
    "logistic_fusion",
)
# The sum of calibrated log-odds, where two samples are compared.
CALIBRATED_SUM = "calibrated_sum"
# Of all these without a trained selector, the one that was best on held-back samples in the same
# situation; so choosing it favours neither side.
CHOSEN = "chosen_baseline"
# What no method can do with outputs alone: these know what was degraded, or who is right.
CEILINGS = UNDEGRADED, ORACLE = ("undegraded", "oracle")
# The degradation that leaves nothing of a modality, and the situation that it makes.
ABSENT = "absent"


def always(modality: str) -> str:
    """The method that always picks one modality."""
    return f"always_{modality}"


def methods(modalities: Sequence[str]) -> list[str]:
    """Every method that a comparison of selectors over these modalities has."""
    fixed = [always(modality) for modality in modalities]
    return [SELECTOR, *fixed, *CONFIDENT, *FUSIONS, CHOSEN, *CEILINGS]
