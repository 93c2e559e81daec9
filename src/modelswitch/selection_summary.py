"""The table of ways to select, averaged over levels, with differences to the best baseline."""

from __future__ import annotations

import math

from modelswitch import statistics

SITUATIONS = {
    "seen": "one modality degraded, in a way seen in training",
    "unseen": "one modality degraded, in a way not seen in training",
    "everywhere": "every modality degraded",
    "clean": "nothing degraded",
}
NOT_BASELINES = ("selector", "undegraded", "oracle")
METRICS = ("selection_accuracy", "accuracy")


def situations(table) -> dict[str, object]:
    """Rows of selection.csv by situation."""
    everywhere = table["side"].isin(("both", "all"))
    degraded = table["level"] > 0
    seen = table["seen"].astype(str).str.lower() == "true"
    # level 0 is repeated for every curve: one of them is enough
    first = (table["degradation"] == table["degradation"].iloc[0]) & (
        table["side"] == table["side"].iloc[0]
    )
    return {
        "seen": table[degraded & ~everywhere & seen],
        "unseen": table[degraded & ~everywhere & ~seen],
        "everywhere": table[degraded & everywhere],
        "clean": table[~degraded & first],
    }


def per_seed(situation) -> dict[str, dict[str, dict[int, float]]]:
    """Of one situation's rows: method, metric and seed to the mean over levels and sides."""
    return {
        method: {metric: group.groupby("seed")[metric].mean().to_dict() for metric in METRICS}
        for method, group in situation.groupby("method", sort=False)
    }


def summarise(table) -> list[dict]:
    """One row per selector, situation and method: means over levels, sides and seeds with 95 % t
    intervals, and the accuracy's paired difference to the best baseline of that situation.

    The best baseline is chosen by its mean on these very results, which favours it.
    """
    rows = []
    for selector, own in table.groupby("selector", sort=False):
        for situation, part in situations(own).items():
            if part.empty:
                continue
            found = per_seed(part)
            means = {
                method: statistics.mean_interval(list(values["accuracy"].values())).mean
                for method, values in found.items()
                if method not in NOT_BASELINES
            }
            best = max(means, key=means.get)
            for method, values in found.items():
                row = {
                    "selector": selector,
                    "situation": situation,
                    "method": method,
                    "best_baseline": method == best,
                    "seeds": len(values["accuracy"]),
                }
                for metric in METRICS:
                    e = statistics.mean_interval(list(values[metric].values()))
                    row |= {metric: e.mean, f"{metric}_low": e.low, f"{metric}_high": e.high}
                difference = statistics.paired_by_seed(values["accuracy"], found[best]["accuracy"])
                row |= {
                    "difference": difference.estimate,
                    "difference_low": difference.low,
                    "difference_high": difference.high,
                    "p": difference.p,
                }
                rows.append(row)
    return rows


def markdown(rows: list[dict], confusion) -> str:
    """The summary for reading: a table per selector and situation, then the confusions."""
    from tabulate import tabulate

    parts = ["# Ways to select a modality"]
    for selector in dict.fromkeys(row["selector"] for row in rows):
        parts.append(f"## {selector}")
        for situation, title in SITUATIONS.items():
            chosen = [r for r in rows if r["selector"] == selector and r["situation"] == situation]
            if not chosen:
                continue
            cells = [
                [
                    r["method"].replace("_", " ") + (" (best baseline)" * r["best_baseline"]),
                    _percent(r, "selection_accuracy"),
                    _percent(r, "accuracy"),
                    "" if r["best_baseline"] else _interval(r),
                ]
                for r in chosen
            ]
            heads = ["method", "undegraded picked %", "accuracy %", "against best baseline"]
            align = ("left", "right", "right", "right")
            parts.append(f"### {title[0].upper()}{title[1:]}")
            parts.append(tabulate(cells, heads, "github", colalign=align, disable_numparse=True))
        parts.append("### Picked modality and right modality")
        parts.append(_confusion(confusion[confusion["selector"] == selector]))
    seeds = max(row["seeds"] for row in rows)
    parts.append(
        f"Means over degradations, levels above 0, sides and {seeds} seeds, ± half of the 95 % t "
        "interval over seeds. Differences are in percentage points of accuracy, paired by seed; "
        "the best baseline was chosen on these results, which favours it. `undegraded` always "
        "picks a modality that is not degraded and `oracle` one whose recogniser is right: both "
        "know what no method can know."
    )
    return "\n\n".join(parts) + "\n"


def _confusion(table) -> str:
    """Shares of picked modality by which recognisers are right, for the selector, in percent."""
    from tabulate import tabulate

    table = table[table["method"] == "selector"]
    total = table.groupby("side")["images"].sum()
    counts = table.groupby(["side", "right", "picked"], sort=False)["images"].sum().unstack()
    cells = [
        [side, right, *(f"{100 * value / total[side]:.1f}" for value in row)]
        for (side, right), row in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    heads = ["degraded", "right recogniser", *(f"{name} picked" for name in counts.columns)]
    align = ("left", "left", *["right"] * len(counts.columns))
    note = "In percent of the pairs with that side degraded, over all degradations and levels."
    return f"{note}\n\n" + tabulate(cells, heads, "github", colalign=align, disable_numparse=True)


def _percent(row: dict, metric: str) -> str:
    mean, low, high = (row[metric + suffix] for suffix in ("", "_low", "_high"))
    if math.isnan(mean):
        return "–"
    half = "" if math.isnan(low) else f" ± {50 * (high - low):.1f}"
    return f"{100 * mean:.1f}{half}"


def _interval(row: dict) -> str:
    text = f"{100 * row['difference']:+.1f}"
    if math.isnan(row["difference_low"]):
        return text
    return f"{text} [{100 * row['difference_low']:+.1f}, {100 * row['difference_high']:+.1f}]"
