"""What a configuration asks for and the results lack."""

from __future__ import annotations

from collections.abc import Sequence


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
