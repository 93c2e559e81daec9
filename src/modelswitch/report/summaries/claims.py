"""The table of claims."""

from __future__ import annotations

import math

from modelswitch.report.contents import CLAIMS
from modelswitch.report.sheet import Sheet, Shown, bounds, number, probability, text


def claims_sheet(tables) -> Sheet | None:
    """What the configuration claims, and the verdicts."""
    table = tables.claims
    if table is None or table.empty:
        return None
    rows = table.to_dict("records")
    in_percent = ("accuracy", "top5", "ece", "agreement")

    def scale(row) -> tuple[float, int, str]:
        percent = any(row["metric"].startswith(name) for name in in_percent)
        percent = percent or row["metric"] == "selection_accuracy"
        return (100.0, 2, "") if percent else (1.0, 3, "")

    def about(row) -> str:
        sides = (
            f"{row['better']} rises with {row['rises_with']}"
            if row["rises_with"]
            else f"{row['better']} over {row['than']}"
        )
        split = "" if row["metric"] == "selection_accuracy" else f", {row['split']}"
        return f"{sides}: {row['metric'].replace('_', ' ')}{split}"

    def estimate(row) -> str:
        if math.isnan(row["estimate"]):
            return ""
        factor, digits, _ = scale(row)
        return f"{factor * row['estimate']:+.{digits}f}"

    def interval(row) -> str:
        factor, digits, _ = scale(row)
        return bounds(row["low"], row["high"], factor, digits)

    columns = [
        Shown("claim", lambda r: r["claim"].replace("_", " "), lambda r: r["claim"],
              numeric=False),
        text("verdict", "verdict"),
        Shown("estimate", estimate, lambda r: r["estimate"]),
        Shown("95 % interval", interval, lambda r: r["low"]),
        Shown("what is compared", about, about, numeric=False, brief=False),
        Shown("smallest of interest", lambda r: f"{scale(r)[0] * r['smallest']:g}",
              lambda r: r["smallest"], brief=False),
        number("seeds", "seeds", "{:.0f}"),
        probability("p (Holm)", "p_holm", brief=False),
        probability("p (sign flips)", "permutation_p", brief=False),
        probability("p (McNemar)", "mcnemar_p", brief=False),
        number("seeds needed", "seeds_needed", "{:.0f}", brief=False),
        text("note", "note", brief=False),
        text("in words", "statement", brief=False),
    ]  # fmt: skip
    return Sheet(
        "claims", "Claims", CLAIMS, rows, columns,
        note="As the configuration states them; the verdicts are computed. "
        "Estimates of accuracies are in percentage points, above zero where the claim points the "
        "right way. Supported: the 95 % interval lies above zero and the estimate reaches the "
        "smallest difference of interest. Contradicted: the interval rules such a difference out. "
        "Not supported: anything else.",
    )  # fmt: skip
