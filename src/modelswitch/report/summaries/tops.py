"""The table of tops: which shift of the weight is best, from a curve over all that were tried."""

from __future__ import annotations

from modelswitch.report.contents import SELECTIVE
from modelswitch.report.sheet import Sheet, Shown, difference, number, share, text
from modelswitch.report.summaries.remarks import datasets, one_seed
from modelswitch.results import differences, tops
from modelswitch.results.seeds import per_seed, split_of

# From so many on nine in ten intervals and more hold what they are for (simulated).
ENOUGH_SEEDS = 10


def tops_sheet(tables) -> Sheet | None:
    """Place and height of the top of accuracy over δ, with intervals by bootstrap over seeds."""
    rows: list[dict] = []
    for dataset in datasets(tables):
        part = tables.of(dataset)
        curves = differences.delta_curves(part)
        for curve, top in tops.of_rules(part).items():
            best, measured = _best_measured(part.models, curves[curve])
            rows.append(
                {
                    "dataset": dataset,
                    "switch": curve.name,
                    "parent": curve.parent,
                    "model": curve.model,
                    "baseline": curve.baseline,
                    "split": split_of(part.models),
                    "seeds": top.seeds,
                    "points": len(top.deltas),
                    "scale": top.scale,
                    "delta": top.place,
                    "delta_low": top.place_low,
                    "delta_high": top.place_high,
                    "gain": top.gain,
                    "gain_low": top.gain_low,
                    "gain_high": top.gain_high,
                    "inner": top.inner,
                    "misfit": top.misfit,
                    "best_measured": best,
                    "best_measured_gain": measured,
                }
            )
    if not rows:
        return None
    columns = [
        *([text("data set", "dataset")] if len(datasets(tables)) > 1 else []),
        text("switch", "switch"),
        number("δ at the top", "delta", "{:.3f}"),
        Shown("interval of δ", _interval, lambda row: row["delta_low"]),
        *difference("gain at the top", "gain", "its interval"),
        share("top inside %", "inner", brief=False),
        text("quadratic in", "scale", brief=False),
        share("misfit", "misfit", digits=2, brief=False),
        number("best δ measured", "best_measured", "{:g}", brief=False),
        share("its gain", "best_measured_gain", digits=2, signed=True, brief=False),
        number("seeds", "seeds", "{:.0f}", brief=False),
    ]  # fmt: skip
    return Sheet(
        "delta_top", "Top of the curve over δ", SELECTIVE, rows, columns,
        note="A curve, quadratic in δ or √δ, through the mean accuracies at all δ, the fixed "
        "weight (δ = 0) among them; its highest point from 0 to the largest δ. Gain: of the curve, "
        "at the top over δ = 0, in percentage points; it cannot be negative, so an interval that "
        "begins at 0 settles nothing. 95 % intervals by bootstrap over seeds, in which the curve "
        "is fitted anew. Top inside: share of the drawings in which it lies between the ends. "
        "Misfit: largest distance of a mean from the curve. The best δ that was measured is the "
        "luckiest, too: its gain is too large.",
        warnings=one_seed(rows) + _few(rows),
    )  # fmt: skip


def _few(rows: list[dict]) -> list[str]:
    least = min(row["seeds"] for row in rows)
    if not tops.FEWEST_SEEDS <= least < ENOUGH_SEEDS:
        return []
    return [
        f"Intervals by bootstrap from {least} seeds are too narrow: of those meant to hold in 95 % "
        "of all cases about 70 % do with three seeds and 90 % with ten."
    ]


def _interval(row: dict) -> str:
    low, high = row["delta_low"], row["delta_high"]
    return f"[{low:.3f}, {high:.3f}]" if low == low else ""


def _best_measured(models, lineages: dict[float, str]) -> tuple[float, float]:
    """The δ with the highest mean over the seeds that all have, and its gain over δ = 0."""
    split = split_of(models)
    values = {delta: per_seed(models, one, "accuracy", split) for delta, one in lineages.items()}
    common = set.intersection(*map(set, values.values()))
    means = {d: sum(own[seed] for seed in common) / len(common) for d, own in values.items()}
    best = max(means, key=lambda delta: means[delta])
    return best, means[best] - means[0.0]
