"""The table of methods that answer only where they are sure."""

from __future__ import annotations

from modelswitch.config import methods
from modelswitch.report.contents import SELECTOR
from modelswitch.report.sheet import Sheet, Shown, number, share, text
from modelswitch.report.summaries.remarks import one_seed
from modelswitch.results.abstaining import summarise
from modelswitch.results.selection import SITUATIONS


def abstaining_sheet(tables) -> Sheet | None:
    """AURC, and coverage and risk with the threshold of held-back samples, by situation: of each
    selector and of the baseline that was chosen for its accuracy."""
    table = tables.abstaining
    if table is None:
        return None
    rows = [row for row in summarise(table) if row["method"] in (methods.SELECTOR, methods.CHOSEN)]
    order = list(SITUATIONS)
    rows.sort(key=lambda row: order.index(row["situation"]))
    columns = [
        text("selector", "selector"),
        text("degraded", "situation"),
        Shown("method", lambda row: row["method"].replace("_", " "), lambda row: row["method"],
              numeric=False),
        share("AURC %", "aurc", digits=2),
        share("answered %", "coverage"),
        share("of these wrong %", "risk"),
        number("seeds", "seeds", "{:.0f}", brief=False),
    ]  # fmt: skip
    allowed = rows[0]["allowed"] if rows else 0.0
    return Sheet(
        "abstaining_summary", "Answers only where sure", SELECTOR, rows, columns,
        note="Means over seeds ± half of the 95 % t interval. AURC: share of wrong answers, the "
        "mean over all shares of samples that may be answered, the surest first; the lower the "
        "better. Answered: where the method is surer than a threshold, with which at most "
        f"{100 * allowed:g} % of its answers were wrong on held-back samples, clean and degraded "
        "in the ways that selectors know; of all other samples it says that it cannot tell.",
        warnings=one_seed(rows),
        in_brief=lambda row: row["situation"] in ("seen", "unseen"),
    )  # fmt: skip
