"""Model cards: what a person has to know who is handed an exported model, from facts alone."""

from __future__ import annotations

import math
from typing import Any

from modelswitch.config.metrics import BYTES, COUNT
from modelswitch.report.sheet import DASH
from modelswitch.results import intervals
from modelswitch.results.devices import Exported, exported
from modelswitch.results.seeds import over_seeds, percent
from modelswitch.results.tree import TreeNode, tree
from modelswitch.wording import markdown_table

_TO_FILL_IN = "*to be filled in by whoever passes the model on*"


def model_card(tables, lineage: str, seed: int, about: dict[str, Any]) -> str:
    """The card of one exported model, in Markdown.

    Args:
        tables: the tidy tables of the model's data set.
        lineage, seed: which model.
        about: what lies beside one of its files: classes, shape, preprocessing, data.
    """
    nodes = {node.lineage: node for node in tree(tables.models)}
    node, files = nodes[lineage], [one for one in exported(tables) if one.lineage == lineage]
    # What is exported is the first of a seed's repeats, not their mean.
    firsts = tables.firsts("models")
    own = firsts[(firsts["lineage"] == lineage) & (firsts["seed"] == seed)]
    test = own[own["split"] == "test"].iloc[0]
    height, width, channels = about["shape"]
    takes = (
        "pixels, uint8 `[N, height, width, channels]`; normalisation is inside"
        if about["preprocessing"]
        else "normalised numbers, float32 `[N, channels, height, width]`"
    )
    lines = [
        f"# {node.name} ({about['dataset']}, seed {seed})",
        "",
        f"Tells {len(about['classes'])} classes apart in images of {height} × {width} with "
        f"{channels} channel{'s' if channels != 1 else ''}. In: {takes}. Out: probabilities, "
        "float32 `[N, classes]`.",
        "",
        f"Classes, in this order: {', '.join(f'`{name}`' for name in about['classes'])}.",
        "",
        "## How it came about",
        "",
        *_chain(node, nodes, tables),
        "",
        f"Data: `{about['dataset']}`, checksum `{about['data'][:16]}…`. Licence of the data and of "
        f"what was trained on them: {_TO_FILL_IN}.",
        "",
        "## How well it does",
        "",
        *_accuracy(tables, lineage, test),
        "",
        *_calibration(tables, lineage, seed),
        *_classes(tables, lineage, seed),
        "## Files",
        "",
        *_files(files, seed),
        "",
        "## Known limits",
        "",
        *_limits(tables, test, len(about["classes"])),
        f"- Meant use, and uses that it must not be put to: {_TO_FILL_IN}.",
    ]
    return "\n".join(lines) + "\n"


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    return markdown_table(headings, rows).splitlines()


def _chain(node: TreeNode, nodes: dict[str, TreeNode], tables) -> list[str]:
    accuracy = over_seeds(tables.models, "accuracy", "test")
    taught = set(tables.models.loc[tables.models["epochs"] > 0, "lineage"])
    path: list[TreeNode] = []
    step: TreeNode | None = node
    while step is not None:
        path.insert(0, step)
        step = nodes.get(step.parent)
    rows = [
        [
            f"`{one.model}`",
            _how(one, trained=one.lineage in taught),
            COUNT.text(one.parameters),
            percent(accuracy[one.lineage]) if one.lineage in accuracy else DASH,
        ]
        for one in path
    ]
    heads = [
        "model",
        "how",
        "parameters",
        "test accuracy %, mean over seeds ± half of the interval",
    ]
    return _table(heads, rows)


def _how(node: TreeNode, trained: bool) -> str:
    """How a model came about, in the words of a card."""
    from_parent = {
        "distilled": "switched to by",
        "pruned": "pruned from the one before and trained on by",
        "grown": "grown from the one before and trained on by",
        "quantised": "the one before, trained on as integers by",
    }
    if node.parent:
        return f"{from_parent[node.kind]} `{node.transfer}`"
    if node.kind == "merged":
        return "answers of several models together"
    if node.kind == "given":
        return f"from given weights{', trained on labels' if trained else ', taken as it is'}"
    return "trained first, on labels"


def _accuracy(tables, lineage: str, test) -> list[str]:
    rows = tables.models[(tables.models["lineage"] == lineage) & (tables.models["split"] == "test")]
    names = {"accuracy": ("accuracy %", 100, 1),
             "majority_share": ("always answering the most frequent class %", 100, 1),
             "balanced_accuracy": ("balanced accuracy %, mean over classes", 100, 1),
             "macro_f1": ("macro-F1 %", 100, 1),
             "ece": ("expected calibration error %", 100, 1),
             "nll": ("negative log-likelihood, nats", 1, 3)}  # fmt: skip
    table = []
    for column, (name, factor, digits) in names.items():
        if column not in rows or rows[column].isna().all():
            continue
        found = intervals.mean_interval(rows[column])
        interval = (
            DASH
            if math.isnan(found.low)
            else f"[{factor * found.low:.{digits}f}, {factor * found.high:.{digits}f}]"
        )
        table.append(
            [
                name,
                f"{factor * test[column]:.{digits}f}",
                f"{factor * found.mean:.{digits}f}",
                interval,
            ]
        )
    seeds = rows["seed"].nunique()
    heads = ["on the test set", "this model", f"mean of {seeds} seeds", "95 % interval over seeds"]
    return _table(heads, table)


def _calibration(tables, lineage: str, seed: int) -> list[str]:
    """Whether its probabilities can be believed, in a sentence."""
    answers = tables.answers([lineage], "test")
    if answers is None or (own := answers[answers["seed"] == seed]).empty:
        return []
    sure, right = own["confidence"].mean(), (own["predicted"] == own["label"]).mean()
    verdict = "surer than it is right" if sure > right else "no surer than it is right"
    return [
        f"Calibration: it gives its answers {100 * sure:.1f} % on average, and {100 * right:.1f} % "
        f"of them are right, so it is {verdict}.",
        "",
    ]


def _classes(tables, lineage: str, seed: int) -> list[str]:
    per_class = tables.firsts("per_class")
    if per_class is None:
        return []
    rows = per_class[
        (per_class["lineage"] == lineage)
        & (per_class["seed"] == seed)
        & (per_class["split"] == "test")
    ].sort_values(["recall", "label"])
    if rows.empty:
        return []
    heads = ["class", "test images", "answered rightly %", "right of its answers %"]
    table = [
        [f"`{row.label_name}`", f"{row.images:.0f}", _share(row.recall), _share(row.precision)]
        for row in rows.itertuples()
    ]
    return [*_table(heads, table), ""]


def _share(value: float) -> str:
    return DASH if math.isnan(value) else f"{100 * value:.1f}"


def _files(files: list[Exported], seed: int) -> list[str]:
    rows = []
    for one in files:
        time = one.times.get((1, 1), {}).get("median_ms", math.nan)
        rows.append(
            [
                f"`{one.format}`",
                f"{BYTES.text(one.file_bytes)}B",
                f"{100 * one.accuracy[seed]:.1f}" if seed in one.accuracy else DASH,
                DASH if math.isnan(time) else f"{time:.3g}",
            ]
        )
    machine = next((one.machine for one in files if one.machine), "")
    where = f"ms an image, one thread{f' ({machine})' if machine else ''}"
    return _table(["format", "size", "test accuracy %, in its own runtime", where], rows)


def _limits(tables, test, classes: int) -> list[str]:
    lines = [
        f"- Known from {test['images']:.0f} test images of the same source as the training's; "
        "images from elsewhere, of other cameras or of other subjects are not covered.",
        "- It always names one of its classes, also for an image of none of them.",
    ]
    majority = float(test.get("majority_share", math.nan))
    if majority > 2 / classes:
        lines.append(
            f"- Its test images are unbalanced: always answering the most frequent class would be "
            f"right on {_share(majority)} %. Read the balanced accuracy."
        )
    per_class = tables.firsts("per_class")
    if per_class is not None:
        own = per_class[
            (per_class["lineage"] == test["lineage"])
            & (per_class["seed"] == test["seed"])
            & (per_class["split"] == "test")
        ]
        few = own[own["images"] < 30]
        if len(few):
            lines.append(
                f"- {len(few)} of {classes} classes have fewer than 30 test images: their figures "
                "above say little."
            )
        worst = own.nsmallest(1, "recall")
        if len(worst):
            row = worst.iloc[0]
            lines.append(
                f"- Worst at `{row['label_name']}`: {_share(row['recall'])} % of its images are "
                "answered rightly."
            )
    return lines
