"""The table of claims."""

from __future__ import annotations

from modelswitch.config.metrics import METRICS
from modelswitch.report.contents import CLAIMS
from modelswitch.report.sheet import Sheet, Shown, number, probability, text


def claims_sheet(tables) -> Sheet | None:
    """What the configuration claims, and the verdicts."""
    table = tables.claims
    if table is None or table.empty:
        return None
    rows = table.to_dict("records")

    def about(row: dict) -> str:
        sides = (
            f"{row['better']} rises with {row['rises_with']}"
            if row["rises_with"]
            else f"{row['better']} over {row['than']}"
        )
        of_models = METRICS[row["metric"]].source != "selection"
        return f"{sides}: {METRICS[row['metric']].words}" + f", {row['split']}" * of_models

    def change(row: dict, value: float) -> str:
        return METRICS[row["metric"]].unit.change(value)

    columns = [
        Shown("claim", lambda r: r["claim"].replace("_", " "), lambda r: r["claim"],
              numeric=False),
        text("verdict", "verdict"),
        Shown("estimate", lambda r: change(r, r["estimate"]), lambda r: r["estimate"]),
        Shown("95 % interval",
              lambda r: METRICS[r["metric"]].unit.interval(r["low"], r["high"]),
              lambda r: r["low"]),
        Shown("what is compared", about, about, numeric=False, brief=False),
        Shown("smallest of interest",
              lambda r: f"{METRICS[r['metric']].unit.scale * r['smallest']:g}",
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
