"""Ways to select, averaged over levels, with differences to the best baseline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from modelswitch.config.methods import ABSENT, CEILINGS, CHOSEN, SELECTOR
from modelswitch.config.metrics import OF_SELECTION
from modelswitch.results import intervals

if TYPE_CHECKING:
    import pandas as pd

SITUATIONS = {
    "seen": "one modality degraded, in a way seen in training",
    "unseen": "one modality degraded, in a way not seen in training",
    "everywhere": "every modality degraded",
    "clean": "nothing degraded",
    ABSENT: "one modality or more not there at all",
}
NOT_BASELINES = (SELECTOR, *CEILINGS)


def how_chosen(rows: Iterable[Mapping[str, object]]) -> str:
    """How the best baseline of a summary's rows was chosen, in words."""
    if any(row["method"] == CHOSEN for row in rows):
        return "the best baseline is chosen on held-back samples, for each seed"
    return "the best baseline is chosen on these results, which favours it"


def situations(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of selection.csv by situation."""
    everywhere = table["side"].isin(("both", "all"))
    absent = table["degradation"] == ABSENT
    degraded = (table["level"] > 0) & ~absent
    seen = table["seen"].astype(str).str.lower() == "true"
    # level 0 is repeated for every curve: one of them is enough
    first = (table["degradation"] == table["degradation"].iloc[0]) & (
        table["side"] == table["side"].iloc[0]
    )
    return {
        "seen": table[degraded & ~everywhere & seen],
        "unseen": table[degraded & ~everywhere & ~seen],
        "everywhere": table[degraded & everywhere],
        "clean": table[(table["level"] == 0) & first],
        ABSENT: table[(table["level"] > 0) & absent],
    }


def per_seed(situation) -> dict[str, dict[str, dict[int, float]]]:
    """Of one situation's rows: method, metric and seed to the mean over levels and sides."""
    return {
        method: {metric: group.groupby("seed")[metric].mean().to_dict() for metric in OF_SELECTION}
        for method, group in situation.groupby("method", sort=False)
    }


def by_situation(table: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """The rows of each selector, situation and method of a table with these columns, and the three
    by name; situations in the order of `SITUATIONS`."""
    for selector, own in table.groupby("selector", sort=False):
        for situation in SITUATIONS:
            part = own[own["situation"] == situation]
            for method, group in part.groupby("method", sort=False):
                names = (str(selector), situation, str(method))
                yield dict(zip(("selector", "situation", "method"), names, strict=True)), group


def summarise(table) -> list[dict]:
    """One row per selector, situation and method: means over levels, sides and seeds with 95 % t
    intervals, and the accuracy's paired difference to the best baseline of that situation.

    That is the one chosen on held-back samples, of every seed its own. In tables from before there
    was such a row it is chosen by its mean on these very results, which favours it.
    """
    rows = []
    for selector, own in table.groupby("selector", sort=False):
        for situation, part in situations(own).items():
            if part.empty:
                continue
            found = per_seed(part)
            means = {
                method: intervals.mean_interval(list(values["accuracy"].values())).mean
                for method, values in found.items()
                if method not in NOT_BASELINES
            }
            # Of equal ones the first by name, whatever the order of the table.
            best = CHOSEN if CHOSEN in means else max(sorted(means), key=means.__getitem__)
            for method, values in found.items():
                row = {
                    "selector": selector,
                    "situation": situation,
                    "method": method,
                    "best_baseline": method == best,
                    "seeds": len(values["accuracy"]),
                }
                ties = part.loc[part["method"] == method, "ties"].mean()
                row["ties"] = 0.0 if math.isnan(ties) else float(ties)
                for metric in OF_SELECTION:
                    row |= intervals.mean_interval(values[metric].values()).columns(metric)
                difference = intervals.paired_by_seed(values["accuracy"], found[best]["accuracy"])
                row |= {
                    "difference": difference.estimate,
                    "difference_low": difference.low,
                    "difference_high": difference.high,
                    "p": difference.p,
                }
                rows.append(row)
    return rows
