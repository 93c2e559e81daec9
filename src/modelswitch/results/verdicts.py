"""The verdicts that results give to the claims that were stated before."""

from __future__ import annotations

import math

from modelswitch.config.claims import Claim

SUPPORTED, NOT_SUPPORTED = "supported", "not supported"
CONTRADICTED, NOT_TESTED = "contradicted", "not tested"


def verdict(estimate: float, low: float, high: float, smallest: float) -> str:
    """What an interval says about "the improvement is above zero, and at least `smallest`".

    Supported: the interval lies above zero and the estimate reaches `smallest`. Contradicted: the
    interval lies wholly below `smallest` (below zero if that is zero), so that an improvement of
    interest is ruled out. Everything else, no interval included, is "not supported".
    """
    if math.isnan(low) or math.isnan(high):
        return NOT_SUPPORTED
    if low > 0 and estimate >= smallest:
        return SUPPORTED
    if high < smallest or (smallest == 0 and high < 0):
        return CONTRADICTED
    return NOT_SUPPORTED


def assess(claims: dict[str, Claim], tables) -> list[dict]:
    """Test every claim on `tables` (a `tidy.Tables`): rows of claims.csv, in the given order."""
    from modelswitch.results import intervals

    rows = [_assess_one(name, claim, tables) for name, claim in claims.items()]
    for row, corrected in zip(rows, intervals.holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
    return rows


def _assess_one(name: str, claim: Claim, tables) -> dict:
    from modelswitch.results import intervals, seeds

    if claim.split is None:
        # Selectors are trained on the validation images, so there is only one split to test them.
        split = "test" if _uses_selection(claim, tables) else seeds.split_of(tables.models)
        claim = claim.model_copy(update={"split": split})
    row = {
        "claim": name,
        "verdict": NOT_TESTED,
        "better": claim.better,
        "than": ";".join(claim.others),
        "rises_with": claim.rises_with or "",
        "metric": claim.metric,
        "split": claim.split,
        "smallest": claim.smallest,
        **dict.fromkeys(("estimate", "low", "high", "bootstrap_low", "bootstrap_high"), math.nan),
        "seeds": 0,
        **dict.fromkeys(("p", "p_holm", "permutation_p", "mcnemar_p", "seeds_needed"), math.nan),
        "note": "",
        "statement": claim.statement,
    }
    notes: list[str] = []
    if claim.rises_with:
        result = _trend(claim, tables, notes)
    else:
        result = _comparison(claim, tables, row, notes)
    if result is not None:
        row |= {
            "verdict": verdict(result.estimate, result.low, result.high, claim.smallest),
            "estimate": result.estimate,
            "low": result.low,
            "high": result.high,
            "bootstrap_low": result.bootstrap_low,
            "bootstrap_high": result.bootstrap_high,
            "seeds": result.count,
            "p": result.p,
            "permutation_p": result.permutation_p,
            "seeds_needed": intervals.seeds_needed(
                claim.smallest or result.estimate, result.spread
            ),
        }
        if result.count == 1:
            notes.append("one seed: no interval")
        elif math.isnan(result.low):
            notes.append("the same difference in every seed: no interval")
    row["note"] = "; ".join(notes)
    return row


def _comparison(claim: Claim, tables, row: dict, notes: list[str]):
    from modelswitch.results import intervals

    sides = {}
    for side in claim.sides:
        values = side_values(claim, side, tables)
        if not values:
            notes.append(f"no results for {side!r}")
        sides[side] = values
    if any(not values for values in sides.values()):
        return None
    sign = -1.0 if claim.measured.lower_is_better else 1.0
    # Of several rivals the strongest is the one to beat: choosing it on the same results can only
    # make the claim harder to support.
    than = max(claim.others, key=lambda side: sign * sum(sides[side].values()) / len(sides[side]))
    row["than"] = than
    if len(claim.others) > 1:
        notes.append(f"{than!r} is the best of {', '.join(claim.others)}")
    result = intervals.paired_by_seed(
        {seed: sign * value for seed, value in sides[claim.better].items()},
        {seed: sign * value for seed, value in sides[than].items()},
    )
    if result.count == 0:
        notes.append("the sides have no seed in common")
        return None
    if claim.metric == "accuracy" and not _uses_selection(claim, tables):
        test = pooled_mcnemar(tables, claim.better, than, claim.split)
        if test is not None:
            row["mcnemar_p"] = test.p
    return result


def _trend(claim: Claim, tables, notes: list[str]):
    """Rise of the metric from the lowest to the highest value of a column, seed by seed.

    The rise is that of the least-squares line, so it has the metric's unit; Spearman's rank
    correlation goes into the note.
    """
    import numpy as np
    from scipy import stats

    from modelswitch.results import intervals

    table = _side_rows(claim, claim.better, tables)
    if table is None or claim.rises_with not in table.columns:
        notes.append(f"no column {claim.rises_with!r} in the results")
        return None
    if table.empty:
        notes.append(f"no results for {claim.better!r}")
        return None
    sign = -1.0 if claim.measured.lower_is_better else 1.0
    rises, ranks = [], []
    for _, rows in table.groupby("seed"):
        means = rows.groupby(claim.rises_with)[claim.metric].mean().dropna()
        if len(means) < 2:
            continue
        x, y = means.index.to_numpy(dtype=float), sign * means.to_numpy(dtype=float)
        rises.append(stats.linregress(x, y).slope * np.ptp(x))
        ranks.append(stats.spearmanr(x, y).statistic if np.ptp(y) > 0 else 0.0)
    if not rises:
        notes.append(f"{claim.rises_with!r} has fewer than two values: no trend to test")
        return None
    notes.append(f"Spearman's rank correlation {np.mean(ranks):.2f}")
    return intervals.difference_from_zero(rises)


def _uses_selection(claim: Claim, tables) -> bool:
    """Whether the claim is about ways to select a modality rather than about single models."""
    if claim.measured.source == "selection" or claim.where:
        return True
    selection = tables.selection
    return selection is not None and claim.better in set(selection["method"])


def _side_rows(claim: Claim, side: str, tables):
    if not _uses_selection(claim, tables):
        return model_rows(tables.models, side, claim.split)
    table = tables.selection
    if table is None:
        return None
    table = table[table["method"] == side]
    for column, allowed in claim.where.items():
        allowed = allowed if isinstance(allowed, tuple) else (allowed,)
        table = table[table[column].map(_plain).isin([_plain(value) for value in allowed])]
    return table


def _plain(value) -> str:
    """`True`, 'true' and 1.0, '1' compare equal: a CSV file knows no types."""
    text = str(value).strip().lower()
    try:
        return repr(float(text))
    except ValueError:
        return text


def model_rows(models, side: str, split: str):
    """Rows of models.csv for a chain's label or a lineage, on one split."""
    on_split = models[models["split"] == split]
    labelled = on_split["chains"].map(lambda chains: side in str(chains).split(";"))
    return on_split[labelled | (on_split["lineage"] == side)]


def side_values(claim: Claim, side: str, tables) -> dict[int, float]:
    """The metric of one side per seed, averaged over the rows that count."""
    rows = _side_rows(claim, side, tables)
    if rows is None or rows.empty:
        return {}
    means = rows.groupby("seed")[claim.metric].mean().dropna()
    return {int(seed): float(value) for seed, value in means.items()}


def pooled_mcnemar(tables, first: str, second: str, split: str = "test"):
    """Exact McNemar test of two models' answers, pooled over the seeds that both have."""
    from modelswitch.results import intervals

    predictions = tables.predictions
    if predictions is None:
        return None
    keys = ["dataset", "seed", "index"]
    answers = []
    for side in (first, second):
        lineages = set(model_rows(tables.models, side, split)["lineage"])
        rows = predictions[predictions["lineage"].isin(lineages) & (predictions["split"] == split)]
        right = (rows["predicted"] == rows["label"]).to_numpy()
        answers.append(rows[keys].assign(right=right))
    both = answers[0].merge(answers[1], on=keys, suffixes=("_first", "_second"))
    if both.empty:
        return None
    return intervals.mcnemar(both["right_first"], both["right_second"])
