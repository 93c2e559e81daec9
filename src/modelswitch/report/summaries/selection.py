"""The tables of ways to select a modality."""

from __future__ import annotations

from collections.abc import Sequence

from modelswitch.config import methods
from modelswitch.config.metrics import SHARE
from modelswitch.report.contents import SELECTOR
from modelswitch.report.sheet import DASH, Sheet, Shown, number, probability, share, text
from modelswitch.report.summaries.remarks import one_seed
from modelswitch.results.selection import SITUATIONS, how_chosen, summarise
from modelswitch.wording import markdown_table


def markdown(rows: list[dict], confusion, remarks: Sequence[str] = ()) -> str:
    """The summary for reading: a table per selector and situation, then the confusions."""
    parts = ["# Ways to select a modality", *(f"> {line}" for line in remarks)]
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
            parts.append(f"### {title[0].upper()}{title[1:]}")
            parts.append(markdown_table(heads, cells, numeric={1, 2, 3}))
        parts.append("### Picked modality and right modality")
        parts.append(_confusion(confusion[confusion["selector"] == selector]))
    seeds = max(row["seeds"] for row in rows)
    parts.append(
        f"Means over degradations, levels above 0, sides and {seeds} seeds, ± half of the 95 % t "
        "interval over seeds. Differences are in percentage points of accuracy, paired by seed; "
        f"{how_chosen(rows)}. `undegraded` always "
        "picks a modality that is not degraded and `oracle` one whose recogniser is right: both "
        "know what no method can know."
    )
    return "\n\n".join(parts) + "\n"


def _confusion(table) -> str:
    """Shares of picked modality by which recognisers are right, for the selector, in percent."""
    table = table[table["method"] == "selector"]
    total = table.groupby("side")["images"].sum()
    counts = table.groupby(["side", "right", "picked"], sort=False)["images"].sum().unstack()
    cells = [
        [side, right, *(f"{100 * value / total[side]:.1f}" for value in row)]
        for (side, right), row in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    heads = ["degraded", "right recogniser", *(f"{name} picked" for name in counts.columns)]
    numeric = range(2, len(heads))
    note = "In percent of the pairs with that side degraded, over all degradations and levels."
    return f"{note}\n\n{markdown_table(heads, cells, numeric)}"


def _percent(row: dict, metric: str) -> str:
    return SHARE.estimate(*(row[metric + suffix] for suffix in ("", "_low", "_high"))) or DASH


def _interval(row: dict) -> str:
    change = SHARE.change(row["difference"], finer=0)
    interval = SHARE.interval(row["difference_low"], row["difference_high"], finer=0)
    return f"{change} {interval}".rstrip()


def selection_sheet(tables) -> Sheet | None:
    """Ways to select a modality in each situation, beside the best baseline of it."""
    table = tables.selection
    if table is None:
        return None
    rows = summarise(table)
    # On the terminal the first selector stands beside its rivals, and the next ones beside it.
    first = rows[0]["selector"] if rows else ""
    order = list(SITUATIONS)
    rows.sort(key=lambda r: (order.index(r["situation"]), r["method"] != methods.SELECTOR))
    several = any(row["selector"] != first for row in rows)

    def method(row: dict) -> str:
        name = row["method"].replace("_", " ")
        return (
            f"{name} {row['selector']}" if several and row["method"] == methods.SELECTOR else name
        )

    columns = [
        text("selector", "selector", brief=False),
        text("degraded", "situation"),
        Shown("method", method, lambda r: r["method"], numeric=False),
        share("picked right %", "selection_accuracy"),
        share("accuracy %", "accuracy"),
        share("over best baseline", "difference", signed=True),
        probability("p", "p", brief=False),
        Shown("by lot %", lambda r: SHARE.text(r["ties"], 1) if r["ties"] > 0 else "",
              lambda r: r["ties"], brief=False),
        Shown("best baseline", lambda r: "yes" if r["best_baseline"] else "",
              lambda r: float(r["best_baseline"]), numeric=False, brief=False),
        number("seeds", "seeds", "{:.0f}", brief=False),
    ]  # fmt: skip
    explained = "; ".join(f"{name}: {meaning}" for name, meaning in SITUATIONS.items())
    return Sheet(
        "selectors", "Ways to select a modality", SELECTOR, rows, columns,
        note="Means over levels, degraded sides and seeds ± half of the 95 % t interval "
        f"({explained}). Over best baseline: difference in accuracy, paired by seed, in percentage "
        f"points; {how_chosen(rows)}. By lot: pairs "
        "for which several modalities are equally sure.",
        warnings=[*tables.remarks_on_selectors, *one_seed(rows)],
        in_brief=lambda row: row["situation"] in ("seen", "unseen")
        and (row["selector"] == first or row["method"] == methods.SELECTOR),
    )  # fmt: skip
