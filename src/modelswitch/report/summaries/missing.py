"""What a configuration asks for and the results lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def missing(
    tables,
    lineages: dict[str, str],
    seeds: Sequence[int],
    datasets: Sequence[str],
    selectors: Sequence[str] = (),
    repeats: Mapping[str, int] | None = None,
) -> list[str]:
    """What a configuration asks for and the tables lack: models, ways to select, and their seeds.

    `lineages` are what each model is called and where it is, models on the way included; `repeats`
    are how often each lineage is trained for a seed, if more than once.
    """
    trainings = dict(iter(tables.trainings.groupby(["lineage", "dataset"], sort=False)))
    wanted = []
    for name, lineage in lineages.items():
        called = name if name.endswith(lineage) else f"{name} ({lineage})"
        for dataset in datasets:
            where = f" on {dataset}" if len(datasets) > 1 else ""
            rows = trainings.get((lineage, dataset))
            wanted.append((f"{called}{where}", rows, (repeats or {}).get(lineage, 1)))
    selection = tables.selection
    for name in selectors:
        rows = None if selection is None else selection[selection["selector"] == name]
        wanted.append((f"Selector {name}", rows, 1))
    there = [set() if rows is None else set(rows["seed"]) for _, rows, _ in wanted]
    anywhere = set[int]().union(*there)
    # Said once: a study that is not finished lacks them everywhere.
    nowhere = [seed for seed in seeds if seed not in anywhere] if anywhere else []
    lines = [f"No results of seed {', '.join(map(str, nowhere))} yet."] if nowhere else []
    for (name, rows, times), found in zip(wanted, there, strict=True):
        absent = [str(seed) for seed in seeds if seed not in found | set(nowhere)]
        if absent:
            which = f"no seed {', '.join(absent)}" if found else "no results"
            lines.append(f"{name}: {which}.")
        if times > 1 and rows is not None and found:
            counts = rows.groupby("seed")["repeat"].nunique()
            few = [f"{seed} ({count})" for seed, count in counts.items() if count < times]
            if few:
                lines.append(f"{name}: fewer than {times} repeats of seed {', '.join(few)}.")
    return lines
