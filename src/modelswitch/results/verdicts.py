"""The verdicts that results give to the claims that were stated before."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from modelswitch.config.claims import Claim
from modelswitch.config.methods import ABSENT
from modelswitch.results import intervals, pooling, repeats, seeds
from modelswitch.results.intervals import PairedDifference
from modelswitch.results.judgement import Findings, judge
from modelswitch.results.looks import Look, Schedule

if TYPE_CHECKING:
    import pandas as pd

    from modelswitch.results.tables import Tables

# What tells rows of one method apart: sides are compared where both have one.
SITUATION = ("degradation", "side", "level")
# Where a value is found: a data set of models, a situation of ways to select; and its seed.
Values = dict[tuple[str, int], float]


def assess(
    claims: Mapping[str, Claim], tables: Tables, schedule: Schedule | None = None
) -> list[dict[str, Any]]:
    """Test every claim on `tables`: rows of claims.csv, in the given order.

    Args:
        schedule: the seeds that were planned and when to look at them; by default all that are
            there are looked at.
    """
    schedule = schedule or Schedule()
    rows = [_row(name, claim, tables, schedule) for name, claim in claims.items()]
    # What was claimed counts, with results or not yet; without chance there is nothing to correct.
    tested = [row for row in rows if not claims[row["claim"]].measured.exact]
    stated = [1.0 if math.isnan(row["p"]) else row["p"] for row in tested]
    for row, corrected in zip(tested, intervals.holm(stated), strict=True):
        row["p_holm"] = math.nan if math.isnan(row["p"]) else corrected
    return rows


def _row(name: str, claim: Claim, tables: Tables, schedule: Schedule) -> dict[str, Any]:
    selects = _uses_selection(claim, tables)
    # Selectors are trained on the validation images, so there is only one split to test them.
    split = claim.split or ("test" if selects else seeds.split_of(tables.models))
    if claim.rises_with:
        found = _trend(claim, tables, split, selects, schedule)
    elif selects:
        found = _ways_to_select(claim, tables, schedule)
    else:
        found = _models(claim, tables, split, schedule)
    result = found.result or PairedDifference.without_interval()
    look = found.look or Look((), math.nan)
    return {
        "claim": name,
        "verdict": found.verdict,
        "better": claim.better,
        "than": found.than or ";".join(claim.others),
        "rises_with": claim.rises_with or "",
        "metric": claim.metric,
        "split": split,
        "smallest": claim.smallest,
        "estimate": result.estimate,
        "low": result.low,
        "high": result.high,
        "bootstrap_low": result.bootstrap_low,
        "bootstrap_high": result.bootstrap_high,
        "seeds": result.count,
        "planned_seeds": schedule.planned or math.nan,
        "look": look.number or math.nan,
        "looks": schedule.looks or math.nan,
        "alpha": look.alpha,
        "spread": result.spread,
        "p": result.p,
        "p_holm": math.nan,
        "permutation_p": result.permutation_p,
        "mcnemar_p": found.mcnemar_p,
        "seeds_needed": intervals.seeds_needed(_to_find(claim, result.estimate), result.spread),
        "note": "; ".join(found.notes),
        "statement": claim.statement,
    }


def _to_find(claim: Claim, estimate: float) -> float:
    """The difference that has to be told from chance."""
    return claim.smallest if claim.smallest > 0 else estimate - claim.smallest


def _compare(
    found: Findings, claim: Claim, sides: dict[str, Values], schedule: Schedule
) -> Findings:
    """Compare the claimed side with the best of the others, where both have a value."""
    for side, values in sides.items():
        if not values:
            found.notes.append(f"no results for {side!r}")
    if any(not values for values in sides.values()):
        return found
    rivals = {side: _by_seed(found, claim, sides, side) for side in claim.others}
    judge(found, claim, rivals, schedule)
    if len(rivals) > 1 and found.result:
        bounded = "; the interval is that of the lead over whichever of them is"
        found.notes.append(
            f"{found.than!r} came out as the best of {', '.join(rivals)}"
            f"{'' if math.isnan(found.result.low) else bounded}"
        )
    return found


def _by_seed(
    found: Findings, claim: Claim, sides: dict[str, Values], rival: str
) -> dict[int, float]:
    """Improvements over a rival, of the seeds for which both sides have all values."""
    sign = -1.0 if claim.measured.lower_is_better else 1.0
    better, than = sides[claim.better], sides[rival]
    both = better.keys() & than.keys()
    if len(both) < max(len(better), len(than)):
        which = f" with {rival!r}" if len(claim.others) > 1 else ""
        found.notes.append(f"compared{which} where both have results, {len(both)} of "
                           f"{max(len(better), len(than))}")  # fmt: skip
    # Seeds are what chance acts on: all places of one seed make one difference.
    places = {place for place, _ in both}
    by_seed: dict[int, list[float]] = {}
    for place, seed in sorted(both):
        by_seed.setdefault(seed, []).append(sign * (better[place, seed] - than[place, seed]))
    return {seed: sum(d) / len(d) for seed, d in by_seed.items() if len(d) == len(places)}


def _models(claim: Claim, tables: Tables, split: str, schedule: Schedule) -> Findings:
    found = Findings()
    models = tables.models
    lineages: dict[str, str] = {}
    for side in claim.sides:
        lineages[side], note = lineage_of(models, side)
        found.notes += [note] if note else []
        found.notes += tables.left_out(lineages[side])
    datasets = list(dict.fromkeys(models["dataset"]))
    whole = _whole(models, schedule)
    sides: dict[str, Values] = {side: {} for side in claim.sides}
    for dataset in datasets:
        rows = models[models["dataset"] == dataset]
        made, of_whole = pooling.made(rows), whole[whole["dataset"] == dataset]
        for side, lineage in lineages.items():
            values = seeds.per_seed(of_whole, lineage, claim.metric, split)
            sides[side] |= {(dataset, seed): value for seed, value in values.items()}
        for side in claim.others:
            refused = pooling.unlike(made, lineages[claim.better], lineages[side])
            if refused:
                return found.untested(
                    f"{claim.better!r} and {side!r} are not alike but for their settings: {refused}"
                )
    for side, lineage in lineages.items():
        if not sides[side] and lineage in set(models["lineage"]) - set(whole["lineage"]):
            return found.untested(f"no seed of {side!r} has all its repeats and data sets yet")
    found = _compare(found, claim, sides, schedule)
    if found.result is not None:
        found.notes += _repeated(claim, tables, lineages, split)
    if len(datasets) > 1 and found.result is not None:
        found.notes.append(f"mean over {', '.join(datasets)}")
    if claim.metric == "accuracy" and found.result is not None:
        judged = found.look.seeds if found.look else ()
        test = pooled_mcnemar(tables, lineages[claim.better], lineages[found.than], split, judged)
        found.mcnemar_p = test.p if test else math.nan
    return found


def _whole(models: pd.DataFrame, schedule: Schedule) -> pd.DataFrame:
    """Where a rule says when to look, the seeds with all data sets and repeats: a look at others
    would be another one when the rest has come."""
    if schedule.rule is None:
        return models
    expected = len(schedule.datasets or set(models["dataset"]))
    full = models[models["repeats"] >= models["lineage"].map(schedule.repeats_of)]
    found = full.groupby(["lineage", "seed", "split"])["dataset"].transform("nunique")
    return full[found == expected]


def _repeated(claim: Claim, tables: Tables, lineages: dict[str, str], split: str) -> list[str]:
    """A note where a seed's value is a mean of several trainings, and how far these are apart."""
    trainings, unit = tables.trainings, claim.measured.unit
    told = []
    for side, lineage in lineages.items():
        times = repeats.most(trainings, lineage)
        if times > 1:
            spread = _mean_spread(trainings, lineage, claim.metric, split)
            told.append(f"{side!r} {times} (spread {unit.text(spread, finer=1)})")
    return [f"a seed's value is the mean of repeats: {', '.join(told)}"] if told else []


def _mean_spread(trainings: pd.DataFrame, lineage: str, metric: str, split: str) -> float:
    """The spread of repeats on each data set, their mean."""
    found = [
        repeats.spread(rows, lineage, metric, split) for _, rows in trainings.groupby("dataset")
    ]
    known = [value for value in found if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def lineage_of(models: pd.DataFrame, side: str) -> tuple[str, str]:
    """The one lineage that a claim's side means, and a note where it could mean another.

    What the configuration calls a chain comes first; a model from scratch can have the same name.
    """
    chains = models.drop_duplicates("lineage")
    labelled = [
        lineage
        for lineage, labels in zip(chains["lineage"], chains["chains"], strict=True)
        if side in labels.split(";")
    ]
    if not labelled:
        return side, ""
    note = ""
    others = [lineage for lineage in (*labelled[1:], side) if lineage != labelled[0]]
    if len(labelled) > 1 or (side != labelled[0] and (models["lineage"] == side).any()):
        note = f"{side!r} is taken for the chain {labelled[0]}, not for {others[0]}"
    return labelled[0], note


def _ways_to_select(claim: Claim, tables: Tables, schedule: Schedule) -> Findings:
    found = Findings()
    table = _selected(claim, tables, found)
    if table is None:
        return found
    sides = {side: _situations(table[table["method"] == side], claim) for side in claim.sides}
    return _compare(found, claim, sides, schedule)


def _situations(rows: pd.DataFrame, claim: Claim) -> Values:
    known = rows[rows[claim.metric].notna()]
    return {
        (json.dumps([row[column] for column in SITUATION]), int(row["seed"])): row[claim.metric]
        for row in known.to_dict("records")
    }


def _selected(claim: Claim, tables: Tables, found: Findings) -> pd.DataFrame | None:
    """The rows of selection.csv that a claim is about; `None` with a note if there are none."""
    table = tables.selection
    if table is None:
        found.notes.append("no ways to select in the results")
        return None
    if "degradation" not in claim.where:
        # What is not there at all has no level, and is a situation of its own.
        table = table[table["degradation"] != ABSENT]
    for column, allowed in claim.where.items():
        values = allowed if isinstance(allowed, tuple) else (allowed,)
        table = table[table[column].map(lambda cell, v=values: any(_equals(cell, x) for x in v))]
    if table.empty:
        where = ", ".join(f"{column}: {allowed}" for column, allowed in claim.where.items())
        found.notes.append(f"no rows where {where}")
        return None
    selectors = list(dict.fromkeys(table["selector"]))
    if len(selectors) > 1:
        found.notes.append(
            f"several selectors ({', '.join(selectors)}): say which, `where: {{selector: …}}`"
        )
        return None
    return table


def _equals(cell: Any, value: str | float | bool) -> bool:
    """Whether a table's cell is what a claim says: `true` is True, and 1 is 1.0.

    A name stays a name: '1e5' is not 100000.
    """
    if isinstance(value, bool):
        return str(cell).strip().lower() in (("true", "1") if value else ("false", "0"))
    if isinstance(cell, str):
        if isinstance(value, str):
            return cell == value or (cell.lower() == value.lower() in ("true", "false"))
        return cell in (f"{value:g}", str(value))
    try:
        return float(cell) == float(value)
    except ValueError:
        return False


def _trend(claim: Claim, tables: Tables, split: str, selects: bool, schedule: Schedule) -> Findings:
    """Rise of the metric from the lowest to the highest value of a column, seed by seed.

    The rise is that of the least-squares line, so it has the metric's unit; Spearman's rank
    correlation goes into the note.
    """
    import numpy as np
    from scipy import stats

    found, column = Findings(), claim.rises_with or ""
    if selects:
        table = _selected(claim, tables, found)
        if table is None:
            return found
        table = table[table["method"] == claim.better]
    else:
        lineage, note = lineage_of(tables.models, claim.better)
        found.notes += [note] if note else []
        table = tables.models
        table = table[(table["lineage"] == lineage) & (table["split"] == split)]
    if column not in table.columns:
        return found.untested(f"no column {column!r} in the results")
    if table.empty:
        return found.untested(f"no results for {claim.better!r}")
    values = table[column].map(_number)
    if values.isna().all():
        return found.untested(f"{column!r} holds no numbers")
    sign = -1.0 if claim.measured.lower_is_better else 1.0
    rises: dict[int, float] = {}
    ranks = []
    rising = table.assign(**{column: values})
    for seed in sorted(map(int, rising["seed"].unique())):
        rows = rising[rising["seed"] == seed]
        means = rows.groupby(column)[claim.metric].mean().dropna()
        if len(means) < 2:
            continue
        x, y = means.index.to_numpy(dtype=float), sign * means.to_numpy(dtype=float)
        rises[seed] = float(stats.linregress(x, y).slope * np.ptp(x))
        ranks.append(stats.spearmanr(x, y).statistic if np.ptp(y) > 0 else 0.0)
    if not rises:
        return found.untested(f"{column!r} has fewer than two values: no trend to test")
    found.notes.append(f"Spearman's rank correlation {np.mean(ranks):.2f}")
    return judge(found, claim, {"": rises}, schedule)


def _number(cell: Any) -> float:
    """A cell as a number, truth values as 1 and 0; NaN for anything else."""
    text = str(cell).strip().lower()
    try:
        return float({"true": "1", "false": "0"}.get(text, text))
    except ValueError:
        return math.nan


def _uses_selection(claim: Claim, tables: Tables) -> bool:
    """Whether the claim is about ways to select a modality rather than about single models."""
    if claim.measured.source == "selection" or claim.where:
        return True
    selection = tables.selection
    return selection is not None and claim.better in set(selection["method"])


def pooled_mcnemar(
    tables: Tables,
    first: str,
    second: str,
    split: str = "test",
    judged: Collection[int] | None = None,
) -> intervals.McNemar | None:
    """Exact McNemar test of two lineages' answers, pooled over the seeds that both have.

    Args:
        judged: seeds that count; by default all.
    """
    predictions = tables.answers((first, second), split)
    if predictions is None:
        return None
    if judged is not None:
        predictions = predictions[predictions["seed"].isin(judged)]
    keys = ["dataset", "seed", "index"]
    answers = []
    for lineage in (first, second):
        rows = predictions[predictions["lineage"] == lineage]
        right = (rows["predicted"] == rows["label"]).to_numpy()
        answers.append(rows[keys].assign(right=right))
    both = answers[0].merge(answers[1], on=keys, suffixes=("_first", "_second"))
    if both.empty:
        return None
    return intervals.mcnemar(both["right_first"].to_numpy(), both["right_second"].to_numpy())
