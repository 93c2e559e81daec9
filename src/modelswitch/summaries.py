"""The summary tables: chains, weighting rules, ways to select, claims, run times."""

from __future__ import annotations

import math
from collections.abc import Sequence

from modelswitch import comparisons, lineup, statistics
from modelswitch.catalogue import CLAIMS, COMPRESSION, RUN, SELECTIVE, SELECTOR
from modelswitch.selection_summary import SITUATIONS, summarise
from modelswitch.sheets import Sheet, Shown, bounds, number, probability, share, text
from modelswitch.texts import amount, duration

NAN = math.nan


def all_sheets(tables) -> list[Sheet]:
    """Every summary that the tables have something for, claims first."""
    makers = (claims, chains, rules, selection, run_times)
    return [sheet for maker in makers if (sheet := maker(tables)) is not None]


def datasets(tables) -> list[str]:
    return list(dict.fromkeys(tables.models["dataset"]))


def chains(tables) -> Sheet | None:
    """Chains with mean and 95 % t interval over seeds, sizes, and the gain over scratch."""
    several = len(datasets(tables)) > 1
    rows: list[dict] = []
    warnings: list[str] = []
    beside: list[str] = []
    for dataset in datasets(tables):
        part = tables.of(dataset)
        models, split = part.models, lineup.split_of(part.models)
        nodes = {node.lineage: node for node in lineup.tree(models)}
        estimates = {
            metric: lineup.over_seeds(models, metric, split)
            for metric in ("accuracy", "nll", "ece", "agreement", "latency_ms", "macs",
                           "file_bytes", "parent_accuracy")
        }  # fmt: skip
        validation = lineup.over_seeds(models, "accuracy", "validation")
        gains = {
            row["lineage"]: row["difference"]
            for row in comparisons.of_chains(models)
            if row["group"] == comparisons.SCRATCH
        }
        found, lines = _teachers(models, split, dataset if several else "")
        warnings += found
        beside += lines
        shown = lineup.ends(models)
        named = {node.lineage for node in shown}
        # The models on the way, teacher first, belong to the story even if no chain ends there.
        shown = [node for node in nodes.values() if node.lineage not in named] + shown
        for node in shown:
            accuracy = estimates["accuracy"].get(node.lineage)
            if accuracy is None:
                continue
            root = nodes.get(node.lineage.split("/")[0], node)
            # A model that stands alone is measured against the experiment's largest first model.
            largest = max(n.parameters for n in nodes.values() if not n.parent)
            ratio = (largest if root.role == "alone" else root.parameters) / node.parameters
            gain = gains.get(node.lineage)
            rows.append(
                {
                    "chain": node.name if node.labels else "",
                    "dataset": dataset,
                    "lineage": node.lineage,
                    "split": split,
                    "seeds": accuracy.count,
                    "switches": node.lineage.count("/"),
                    "parameters": int(node.parameters),
                    "times_smaller": ratio,
                    "layers": node.depth,
                    "accuracy": accuracy.mean,
                    "accuracy_low": accuracy.low,
                    "accuracy_high": accuracy.high,
                    "validation_accuracy": validation[node.lineage].mean
                    if node.lineage in validation
                    else NAN,
                    "gain": gain.estimate if gain else NAN,
                    "gain_low": gain.low if gain else NAN,
                    "gain_high": gain.high if gain else NAN,
                    "teacher_accuracy": estimates["parent_accuracy"][node.lineage].mean,
                    "scratch_accuracy": estimates["accuracy"][node.model].mean
                    if node.parent and node.model in estimates["accuracy"]
                    else NAN,
                    **{
                        metric: estimates[metric][node.lineage].mean
                        for metric in (
                            "agreement",
                            "nll",
                            "ece",
                            "macs",
                            "file_bytes",
                            "latency_ms",
                        )
                    },
                }
            )
    if not rows:
        return None
    split = rows[0]["split"]
    columns = [
        *([text("data set", "dataset")] if several else []),
        Shown("chain", _chain, _chain, numeric=False),
        number("parameters", "parameters", amount),
        number("times smaller", "times_smaller", "{:.1f}", brief=False),
        number("layers", "layers", "{:.0f}", brief=False),
        share(f"{split} accuracy %", "accuracy"),
        share("gain over scratch", "gain", signed=True),
        *(
            [share("validation accuracy %", "validation_accuracy", brief=False)]
            if split == "test"
            else []
        ),
        share("its teacher %", "teacher_accuracy", brief=False),
        share("from scratch %", "scratch_accuracy", brief=False),
        share("agrees with it %", "agreement", brief=False),
        number("NLL", "nll", "{:.3f}", brief=False),
        share("ECE %", "ece", brief=False),
        number("MACs", "macs", amount, brief=False),
        number("latency ms", "latency_ms", "{:.2f}", brief=False),
        number("seeds", "seeds", "{:.0f}"),
        text("lineage", "lineage", brief=False),
    ]  # fmt: skip
    return Sheet(
        "chains", "Chains", COMPRESSION, rows, columns,
        note="Mean over seeds ± half of the 95 % t interval. Gain: difference, paired by seed, to "
        "the same model trained from scratch, in percentage points. Latency: one image, one CPU "
        "thread, median." + "".join(f" {line}" for line in beside),
        warnings=warnings + _one_seed(rows),
        in_brief=lambda row: bool(row["chain"]) or row["switches"] == 0,
    )  # fmt: skip


def rules(tables) -> Sheet | None:
    """Weighting rules beside the fixed weight, with Holm's correction over the rules."""
    rows: list[dict] = []
    warnings: list[str] = []
    beside: list[str] = []
    for dataset in datasets(tables):
        part = tables.of(dataset)
        compared = comparisons.of_rules(part)
        if not compared:
            continue
        models, history = part.models, part.history
        split = lineup.split_of(models)
        found, lines = _teachers(models, split, dataset if len(datasets(tables)) > 1 else "")
        warnings += found
        beside += lines
        estimates = {
            metric: lineup.over_seeds(models, metric, split)
            for metric in ("accuracy", "accuracy_teacher_right", "accuracy_teacher_wrong")
        }
        for item in compared:
            node, difference = item["node"], item["difference"]
            lineage = node.lineage
            own = None if history is None else history[history["lineage"] == lineage]
            accuracy = estimates["accuracy"][lineage]
            rows.append(
                {
                    "dataset": dataset,
                    "transfer": node.transfer,
                    "rule": item["rule"],
                    "delta": item["delta"],
                    "lineage": lineage,
                    "split": split,
                    "seeds": accuracy.count,
                    "accuracy": accuracy.mean,
                    "accuracy_low": accuracy.low,
                    "accuracy_high": accuracy.high,
                    "difference": difference.estimate if difference else NAN,
                    "difference_low": difference.low if difference else NAN,
                    "difference_high": difference.high if difference else NAN,
                    "p": difference.p if difference else NAN,
                    "p_holm": item["p_holm"],
                    "seeds_needed": statistics.seeds_needed(difference.estimate, difference.spread)
                    if difference
                    else NAN,
                    "accuracy_teacher_right": estimates["accuracy_teacher_right"][lineage].mean,
                    "accuracy_teacher_wrong": estimates["accuracy_teacher_wrong"][lineage].mean,
                    "teacher_wrong_stored": _stored_wrong(part.responses, node.parent),
                    "teacher_wrong_first": _at_epoch(own, "teacher_wrong", first=True),
                    "teacher_wrong": comparisons.teacher_wrong_share(own),
                    "weight_soft": _mean(own, "weight_soft"),
                    "weight_hard": _mean(own, "weight_hard"),
                }
            )
        warnings += _too_few_wrong([row for row in rows if row["dataset"] == dataset], dataset)
    if not rows:
        return None
    split = rows[0]["split"]
    columns = [
        text("transfer", "transfer"),
        text("rule", "rule", brief=False),
        number("δ", "delta", "{:g}", brief=False),
        share(f"{split} accuracy %", "accuracy"),
        share("difference to fixed", "difference", signed=True),
        probability("p (Holm)", "p_holm"),
        number("seeds needed", "seeds_needed", "{:.0f}", brief=False),
        share("teacher right %", "accuracy_teacher_right", brief=False),
        share("teacher wrong %", "accuracy_teacher_wrong", brief=False),
        share("stored views wrong %", "teacher_wrong_stored", brief=False),
        share("views wrong, first epoch %", "teacher_wrong_first", brief=False),
        share("views wrong, all epochs %", "teacher_wrong", brief=False),
        number("soft weight", "weight_soft", "{:.3f}", brief=False),
        number("hard weight", "weight_hard", "{:.3f}", brief=False),
        number("seeds", "seeds", "{:.0f}", brief=False),
    ]
    return Sheet(
        "rules", "Weighting rules", SELECTIVE, rows, columns,
        note="Difference to the fixed weight, paired by seed, in percentage points ± half of the "
        "95 % t interval; p-values Holm-corrected over the rules. Teacher right, teacher wrong: "
        "accuracy on the images that the teacher gets right or wrong. Views wrong: share of "
        "training views on which the teacher is wrong; stored views: of those that were stored "
        "before training. Seeds needed: to find a difference of this size with 80 % power."
        + _passes(tables)
        + "".join(f" {line}" for line in beside),
        warnings=warnings + _one_seed(rows),
    )  # fmt: skip


def selection(tables) -> Sheet | None:
    """Ways to select a modality in each situation, beside the best baseline of it."""
    table = tables.selection
    if table is None:
        return None
    rows = summarise(table)
    columns = [
        text("selector", "selector", brief=False),
        text("degraded", "situation"),
        Shown("method", lambda r: r["method"].replace("_", " "), lambda r: r["method"],
              numeric=False),
        share("picked right %", "selection_accuracy"),
        share("accuracy %", "accuracy"),
        share("over best baseline", "difference", signed=True),
        probability("p", "p", brief=False),
        Shown("best baseline", lambda r: "yes" if r["best_baseline"] else "",
              lambda r: float(r["best_baseline"]), numeric=False, brief=False),
        number("seeds", "seeds", "{:.0f}", brief=False),
    ]  # fmt: skip
    explained = "; ".join(f"{name}: {meaning}" for name, meaning in SITUATIONS.items())
    return Sheet(
        "selectors", "Ways to select a modality", SELECTOR, rows, columns,
        note="Means over levels, degraded sides and seeds ± half of the 95 % t interval "
        f"({explained}). Over best baseline: difference in accuracy, paired by seed, in percentage "
        "points; the best baseline is chosen on these results, which favours it.",
        warnings=_one_seed(rows),
        in_brief=lambda row: row["situation"] in ("seen", "unseen"),
    )  # fmt: skip


def claims(tables) -> Sheet | None:
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


def _chain(row: dict) -> str:
    """What a chain is called; a model on the way goes by its own step."""
    return row["chain"] or row["lineage"].rpartition("/")[2]


def run_times(tables) -> Sheet | None:
    """Time that the trainings took, from the tables themselves."""
    models = tables.models
    unique = models.drop_duplicates(["dataset", "lineage", "seed"])
    if unique["train_seconds"].notna().sum() == 0:
        return None
    rows = []
    for (dataset, lineage), group in unique.groupby(["dataset", "lineage"], sort=False):
        seconds = group["train_seconds"]
        rows.append(
            {
                "dataset": dataset,
                "lineage": lineage,
                "trainings": int(seconds.notna().sum()),
                "epochs": group["epochs"].iloc[0],
                "seconds_each": seconds.mean(),
                "seconds_per_epoch": (seconds / group["epochs"]).mean(),
                "seconds": seconds.sum(),
                "precision": group["precision"].iloc[0],
            }
        )
    total = sum(row["seconds"] for row in rows)
    columns = [
        *([text("data set", "dataset")] if len(datasets(tables)) > 1 else []),
        text("lineage", "lineage"),
        number("trainings", "trainings", "{:.0f}"),
        number("epochs", "epochs", "{:.0f}"),
        number("s an epoch", "seconds_per_epoch", "{:.1f}"),
        number("one training", "seconds_each", duration),
        number("all", "seconds", duration),
        text("precision", "precision", brief=False),
    ]
    return Sheet(
        "run_times", "Run times", RUN, rows, columns,
        note=f"Wall-clock time of the trainings: {duration(total)} in all for "
        f"{sum(row['trainings'] for row in rows)} trainings, each counted once however many chains "
        "share it.",
    )  # fmt: skip


def missing(
    tables,
    lineages: dict[str, str],
    seeds: Sequence[int],
    datasets: Sequence[str],
    selectors: Sequence[str] = (),
) -> list[str]:
    """What a configuration asks for and the tables lack: models, ways to select, and their seeds.

    `lineages` are what each model is called and where it is, models on the way included.
    """
    models = tables.models
    wanted = []
    for name, lineage in lineages.items():
        of_lineage = models[models["lineage"] == lineage]
        called = name if name.endswith(lineage) else f"{name} ({lineage})"
        for dataset in datasets:
            where = f" on {dataset}" if len(datasets) > 1 else ""
            wanted.append((f"{called}{where}", of_lineage[of_lineage["dataset"] == dataset]))
    selection = tables.selection
    for name in selectors:
        rows = None if selection is None else selection[selection["selector"] == name]
        wanted.append((f"Selector {name}", rows))
    lines = []
    for name, rows in wanted:
        found = set() if rows is None else set(rows["seed"])
        absent = [str(seed) for seed in seeds if seed not in found]
        if absent:
            which = "no results" if len(absent) == len(seeds) else f"no seed {', '.join(absent)}"
            lines.append(f"{name}: {which}.")
    return lines


def _teachers(models, split: str, dataset: str) -> tuple[list[str], list[str]]:
    """Warnings about teachers that are not worth following, and a line on each of the others."""
    warnings, lines = [], []
    accuracy = lineup.over_seeds(models, "accuracy", split)
    for row in comparisons.of_teachers(models):
        difference = row["difference"]
        if math.isnan(difference.estimate):
            continue
        half = (difference.high - difference.low) / 2
        bounds = "" if math.isnan(half) else f" ± {100 * half:.1f}"
        line = (
            f"{dataset + ', first' if dataset else 'First'} model {row['teacher']}: "
            f"{lineup.percent(accuracy[row['teacher']])} %; {row['student']} from scratch: "
            f"{lineup.percent(accuracy[row['student']])} % ({split}); difference, paired by seed: "
            f"{100 * difference.estimate:+.1f}{bounds} percentage points."
        )
        if difference.estimate > 0:
            lines.append(line)
        else:
            warnings.append(f"A teacher that is no better than its student from scratch: {line}")
    return warnings, lines


def _stored_wrong(responses, teacher: str) -> float:
    if responses is None:
        return NAN
    return float(responses.loc[responses["lineage"] == teacher, "teacher_wrong"].mean())


def _too_few_wrong(rows: list[dict], dataset: str) -> list[str]:
    """A warning for every teacher that is hardly ever wrong; others' mistakes are no help there."""
    shares: dict[str, list[float]] = {}
    for row in rows:
        if not math.isnan(row["teacher_wrong"]):
            shares.setdefault(row["lineage"].rpartition("/")[0], []).append(row["teacher_wrong"])
    return [
        f"The teacher {teacher} is wrong on {100 * share:.1f} % of the training views of "
        f"{dataset}, fewer than {100 * comparisons.TOO_FEW_WRONG:.0f} %: this comparison cannot "
        "tell the rules apart."
        for teacher, each in shares.items()
        if (share := sum(each) / len(each)) < comparisons.TOO_FEW_WRONG
    ]


def _passes(tables) -> str:
    """How often teachers were run over the training images, and how often it would have been."""
    responses, models = tables.responses, tables.models
    stored = models[(models["views"] == "stored") & models["epochs"].notna()]
    stored = stored.drop_duplicates(["dataset", "seed", "lineage"])
    if responses is None or stored.empty:
        return ""
    return (
        f" Teachers were run over the training images {responses['views'].sum():.0f} times, once "
        f"for each stored view; without the store it would have been {stored['epochs'].sum():.0f} "
        "times, once for each epoch of each student."
    )


def _one_seed(rows: list[dict]) -> list[str]:
    if rows and max(row["seeds"] for row in rows) == 1:
        return ["One seed: there are no intervals, and no difference here means anything yet."]
    return []


def _mean(table, column: str) -> float:
    if table is None or table[column].notna().sum() == 0:
        return NAN
    return float(table[column].mean())


def _at_epoch(table, column: str, first: bool) -> float:
    if table is None or table[column].notna().sum() == 0:
        return NAN
    known = table[table[column].notna()]
    epoch = known["epoch"].min() if first else known["epoch"].max()
    return float(known[known["epoch"] == epoch][column].mean())
