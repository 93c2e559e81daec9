"""What an experiment found, in the few sentences that a page or a screen begins with.

Every sentence is computed from tidy tables. Which chain, rule or selector it is about never depends
on how that came out: claims, stated before, decide, and without one the configuration's order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modelswitch.config.methods import SELECTOR as SELECTING
from modelswitch.config.metrics import BYTES, MILLISECONDS, SHARE, Unit
from modelswitch.results import devices, differences, intervals, seeds, tree, verdicts
from modelswitch.results.devices import Exported
from modelswitch.results.intervals import PairedDifference
from modelswitch.results.judgement import CONTRADICTED, NOT_SUPPORTED, NOT_TESTED, SUPPORTED
from modelswitch.results.selection import summarise
from modelswitch.results.tree import TreeNode
from modelswitch.wording import amount, part_of

if TYPE_CHECKING:
    from modelswitch.results.tables import Tables

COMPRESSION, GAIN, DEVICE = "compression", "gain", "device"
TRANSFER, SELECTOR, CLEAN, CLAIMS = "transfer", "selector", "clean", "claims"


@dataclass(frozen=True)
class Sentence:
    """One finding in words; `about` is one of the names above, `first` what a screen has."""

    about: str
    text: str
    first: str = ""

    @property
    def brief(self) -> str:
        return self.first or self.text


def sentences(tables: Tables) -> list[Sentence]:
    """The findings of one experiment, as far as its tables have something to say: what was
    compressed how far, what that is worth, files for devices, the transfer's rules, the selector,
    claims."""
    found = []
    every = list(dict.fromkeys(tables.models["dataset"]))
    for dataset in every:
        part, on = tables.of(dataset), f"On {dataset}: " if len(every) > 1 else ""
        of_one = (of_compression(part), of_gain(part), of_device(part), of_transfer(part))
        found += [Sentence(one.about, on + one.text, on + one.brief) for one in of_one if one]
    of_all = (of_selector(tables), of_clean(tables), of_claims(tables))
    return found + [one for one in of_all if one]


# What a page needs first, where there is more than it has room for.
ORDER = (COMPRESSION, CLAIMS, GAIN, SELECTOR, DEVICE, TRANSFER, CLEAN)
MOST = 5


def foremost(found: Sequence[Sentence], most: int = MOST) -> list[str]:
    """The `most` important of the sentences, as texts in the order that they had."""
    ranked = sorted(range(len(found)), key=lambda at: (ORDER.index(found[at].about), at))
    return [found[at].text for at in sorted(ranked[:most])]


def beside(difference: PairedDifference, than: str, unit: Unit = SHARE) -> str:
    """A difference as the end of a sentence, with its 95 % interval: `beats it by 3.1 points
    [+2.1, +4.0]`, `is 3.1 points below it […]`, `is not to be told from it: +0.2 points […]`."""
    change = unit.change(difference.estimate)
    between = unit.interval(difference.low, difference.high)
    size = change.lstrip("+-")
    if not between:
        side = "below" if change.startswith("-") else "above"
        return f"is {size} points {side} {than}{' [no interval]' * (difference.count > 1)}"
    if difference.low > 0:
        return f"beats {than} by {size} points {between}"
    if difference.high < 0:
        return f"is {size} points below {than} {between}"
    return f"is not to be told from {than}: {change} points {between}"


def told_chain(tables: Tables) -> TreeNode | None:
    """Of one data set, the chain that sentences are about; `None` where nothing was switched.

    The one that is claimed to beat a first model, else the longest, else the first that is claimed
    to be better, else the last of the configuration. Switches that are there for a comparison of
    weighting rules count only where there is nothing else.
    """
    rules = {rule.node.lineage for rule in differences.of_rules(tables)}
    ends = [node for node in tree.ends(tables.models) if node.parent]
    ends = [node for node in ends if node.lineage not in rules] or ends
    if not ends:
        return None
    claimed = _claimed(tables)
    first = {lineage.split("/")[0] for lineage in tables.models["lineage"]}
    over_first = {better for better, than in claimed if than in first}
    order = list(dict.fromkeys(better for better, _ in claimed))

    def rank(at: int) -> tuple[bool, int, int, int]:
        node = ends[at]
        names = {node.lineage, *node.labels}
        places = [order.index(name) for name in names if name in order]
        return (not names & over_first, -node.level, min(places, default=len(order)), -at)

    return ends[min(range(len(ends)), key=rank)]


def _claimed(tables: Tables) -> list[tuple[str, str]]:
    """The sides of claims about accuracy, better before worse, in the order they were stated."""
    claims = tables.claims
    if claims is None:
        return []
    rows = claims[claims["metric"] == "accuracy"]
    return list(zip(map(str, rows["better"]), map(str, rows["than"]), strict=True))


def of_compression(tables: Tables) -> Sentence | None:
    """What became how small, and how good it is."""
    node = told_chain(tables)
    if node is None:
        return None
    nodes = {one.lineage: one for one in tree.tree(tables.models)}
    steps = node.lineage.split("/")
    first = nodes.get(steps[0])
    between = [step.partition("@")[0] for step in steps[1:-1]]
    through = f" through {_listed(between)}" if between else ""
    if first is None:
        return None
    known = first.parameters == first.parameters and node.parameters == node.parameters
    factor = part_of(first.parameters, node.parameters) if known else ""
    times = f"{factor} of these" if factor.startswith("1/") else factor
    return Sentence(
        COMPRESSION,
        f"{first.model}{_size(first)} was switched{through} into {node.model}"
        f"{_size(node, times)}, which answers {_accuracy(tables, node.lineage)} of the "
        f"{_images(tables)} rightly.",
    )


def _size(node: TreeNode, times: str = "") -> str:
    """In brackets, what is known of it."""
    layers = f"{node.depth:.0f} layers" if node.depth == node.depth else ""
    counted = node.parameters == node.parameters
    parameters = f"{amount(node.parameters)} parameters" if counted else ""
    known = ", ".join(part for part in (layers, parameters, times) if part)
    return f" ({known})" if known else ""


def _images(tables: Tables) -> str:
    return f"{seeds.split_of(tables.models)} images"


def _accuracy(tables: Tables, lineage: str) -> str:
    split = seeds.split_of(tables.models)
    values = seeds.per_seed(tables.models, lineage, "accuracy", split)
    return f"{seeds.percent(intervals.mean_interval(values.values()))} %"


def of_gain(tables: Tables) -> Sentence | None:
    """The told chain beside its student from scratch, a direct switch, and its first model."""
    node = told_chain(tables)
    if node is None:
        return None
    first = node.lineage.split("/")[0]
    rivals = {node.model: "the same network from scratch"} | _direct(tables, node) | {first: first}
    parts, counts = [], []
    for rival, name in rivals.items():
        difference = _difference(tables, node.lineage, rival)
        if difference is not None:
            parts.append(beside(difference, f"{name} ({_accuracy(tables, rival)})"))
            counts.append(difference.count)
    if not parts:
        return None
    if len(set(counts)) > 1:
        # A look takes some of the seeds, and only claims wait for it.
        parts = [part + _over([count]) for part, count in zip(parts, counts, strict=True)]
        return Sentence(GAIN, f"{_called(node)} {_listed(parts)}.")
    return Sentence(GAIN, f"{_called(node)} {_listed(parts)}{_over(counts)}.")


def _direct(tables: Tables, node: TreeNode) -> dict[str, str]:
    """The direct switch to a chain's student, by the chain's last transfer, else the one that a
    claim names, else the first; by another transfer that one is named, for it differs as well."""
    if node.level < 2:
        return {}
    first, rules = node.lineage.split("/")[0], differences.of_rules(tables)
    compared = {rule.node.lineage for rule in rules}
    direct = [
        end
        for end in tree.ends(tables.models)
        if end.parent == first and end.model == node.model and end.lineage not in compared
    ]
    if not direct:
        return {}
    claimed = [than for better, than in _claimed(tables) if better in node.labels]
    chosen = min(
        direct,
        key=lambda end: (
            end.transfer != node.transfer,
            not {end.lineage, *end.labels} & set(claimed),
        ),
    )
    other = "" if chosen.transfer == node.transfer else f" by {chosen.transfer}"
    return {chosen.lineage: f"a direct switch{other}"}


def _called(node: TreeNode) -> str:
    name = node.labels[0] if node.labels else node.lineage
    return "The chain" if name == "chain" else f"The chain {name}"


def _difference(tables: Tables, better: str, than: str) -> PairedDifference | None:
    models = tables.models
    if than == better or than not in set(models["lineage"]):
        return None
    judged = _judged(tables, better, than)
    if judged is not None:
        return judged if judged.count else None
    found, _ = seeds.Compared(models, "accuracy", seeds.split_of(models))(better, than)
    return found if found.count else None


def _judged(tables: Tables, better: str, than: str) -> PairedDifference | None:
    """What a claim about the same two has, where a rule says when to look: at other seeds and
    another level a page would contradict itself."""
    claims, models = tables.claims, tables.models
    if claims is None or tables.whole.models["dataset"].nunique() > 1:
        return None
    split = seeds.split_of(models)
    of_looks = claims["looks"].notna() & (claims["metric"] == "accuracy")
    for row in claims[of_looks & (claims["split"] == split)].to_dict("records"):
        sides = [verdicts.lineage_of(models, str(row[side]))[0] for side in ("better", "than")]
        known = PairedDifference.without_interval(row["estimate"], int(row["seeds"]))
        if sides == [better, than]:
            return replace(known, low=row["low"], high=row["high"], p=row["p"])
        if sides == [than, better]:
            return replace(
                known, estimate=-row["estimate"], low=-row["high"], high=-row["low"], p=row["p"]
            )
    return None


def _over(counts: Sequence[int]) -> str:
    most = max(counts)
    return f" ({most} seeds)" if most > 1 else " (one seed, so no interval)"


def of_device(tables: Tables) -> Sentence | None:
    """The smallest file of the told chain's student, or of what was exported last."""
    exported = devices.exported(tables)
    if not exported:
        return None
    node = told_chain(tables)
    lineages = list(dict.fromkeys(one.lineage for one in exported))
    chosen = node.lineage if node and node.lineage in lineages else lineages[-1]
    own = [one for one in exported if one.lineage == chosen and not one.is_network]
    network = next((one for one in exported if one.lineage == chosen and one.is_network), None)
    first = next(
        (one for one in exported if one.lineage == chosen.split("/")[0] and one.is_network), network
    )
    if not own or network is None or first is None:
        return None
    smallest = min(own, key=lambda one: one.file_bytes)
    lost = intervals.paired_by_seed(smallest.accuracy, smallest.network_accuracy)
    beside_what = f"{first.lineage} in torch" if first is not network else "its network in torch"
    text = (
        f"As {smallest.format} the student's file has {BYTES.text(smallest.file_bytes)}B beside "
        f"{BYTES.text(first.file_bytes)}B of {beside_what}"
    )
    times = [_milliseconds(one) for one in (smallest, first)]
    if all(times):
        text += f", answers an image in {times[0]} ms instead of {times[1]} (one thread)"
    kept = _no_change(lost) or beside(lost, "its network")
    return Sentence(DEVICE, f"{text}, and {kept}.")


def _no_change(difference: PairedDifference) -> str:
    """Where files answered every test image alike well there is nothing that could be compared."""
    if difference.estimate == 0 and difference.spread in (0.0, difference.low):
        return "answers as well as its network"
    return ""


def _milliseconds(one: Exported) -> str:
    value = one.times.get((1, 1), {}).get("median_ms", math.nan)
    return MILLISECONDS.text(value, finer=0 if value >= 1 else 1)


def of_transfer(tables: Tables) -> Sentence | None:
    """One weighting rule beside the fixed weight, and how many of all differ from it."""
    rules = [
        rule for rule in differences.of_rules(tables) if rule.difference and rule.difference.count
    ]
    if not rules:
        return None
    order = list(dict.fromkeys(better for better, _ in _claimed(tables)))

    def rank(at: int) -> tuple[int, bool, float, int]:
        rule = rules[at]
        places = [order.index(n) for n in {rule.node.lineage, *rule.node.labels} if n in order]
        delta = rule.delta if rule.delta == rule.delta else math.inf
        return (min(places, default=len(order)), rule.rule != "correctness", delta, at)

    told = rules[min(range(len(rules)), key=rank)]
    difference = _difference(tables, told.node.lineage, told.baseline)
    if difference is None:
        return None
    baseline = f"a fixed weight ({_accuracy(tables, told.baseline)})"
    text = (
        f"{told.node.model} under the rule {told.name} {beside(difference, baseline)}"
        f"{_over([difference.count])}"
    )
    first = f"{text}."
    if len(rules) > 1:
        apart = [rule for rule in rules if rule.p_holm < 1 - intervals.CONFIDENCE]
        better = [rule.name for rule in apart if rule.difference and rule.difference.estimate > 0]
        named = f" ({_listed(better)})" if 0 < len(better) <= 3 else ""
        text += (
            f". Of {len(rules)} rules {_number(len(better))} better than the fixed weight{named} "
            f"and {_number(len(apart) - len(better))} worse, corrected for their number"
        )
    return Sentence(TRANSFER, f"{text}.", first)


def _number(count: int) -> str:
    return {0: "none is", 1: "one is"}.get(count, f"{count} are")


def of_selector(tables: Tables) -> Sentence | None:
    """The configuration's first selector: what it picks, and what that is worth."""
    told, best = _first_selector(tables)
    # A screen has less room, but also for it what is seen says nothing without what is not.
    parts: list[str] = []
    shorter: list[str] = []
    for situation, words in (("seen", ""), ("unseen", " in ways it has not seen")):
        if situation in told:
            row = told[situation]
            picked = row["selection_accuracy"]
            picks = f"picks an undegraded one in {SHARE.text(picked)} % and " * (picked == picked)
            against = _against(row, best[situation])
            who = f"with one modality degraded{words} the selector {row['selector']}"
            parts.append(f"{who} {picks}answers rightly {against}")
            briefly = f"{who} answers rightly" if not shorter else words.strip()
            shorter.append(f"{briefly} {against}")
    if not parts:
        return None
    over = _over([row["seeds"] for row in told.values()])
    whole, first = ("; ".join(each) for each in (parts, shorter))
    return Sentence(SELECTOR, *(f"{text[0].upper()}{text[1:]}{over}." for text in (whole, first)))


def of_clean(tables: Tables) -> Sentence | None:
    """What that selector costs or gains where it is not needed."""
    told, best = _first_selector(tables)
    if "clean" not in told:
        return None
    row = told["clean"]
    against = _against(row, best["clean"])
    return Sentence(
        CLEAN, f"With nothing degraded the selector {row['selector']} answers rightly {against}."
    )


Rows = dict[str, dict[str, Any]]


def _first_selector(tables: Tables) -> tuple[Rows, Rows]:
    """Of the configuration's first selector and of its best baseline: a row for each situation."""
    if tables.selection is None:
        return {}, {}
    rows = summarise(tables.selection)
    own = [row for row in rows if row["selector"] == rows[0]["selector"]]
    return (
        {row["situation"]: row for row in own if row["method"] == SELECTING},
        {row["situation"]: row for row in own if row["best_baseline"]},
    )


def _against(row: dict[str, Any], best: dict[str, Any]) -> str:
    baseline = f"the best baseline ({SHARE.text(best['accuracy'])} %)"
    return f"in {SHARE.text(row['accuracy'])} %, which {beside(_difference_of(row), baseline)}"


def _difference_of(row: dict[str, Any]) -> PairedDifference:
    known = PairedDifference.without_interval(row["difference"], row["seeds"])
    return replace(known, low=row["difference_low"], high=row["difference_high"], p=row["p"])


def of_claims(tables: Tables) -> Sentence | None:
    """How many claims there are, and which of them came out how."""
    claims = tables.claims
    if claims is None or claims.empty:
        return None
    parts = []
    for verdict in (SUPPORTED, NOT_SUPPORTED, CONTRADICTED, NOT_TESTED):
        names = [
            str(n).replace("_", " ") for n in claims.loc[claims["verdict"] == verdict, "claim"]
        ]
        if names:
            parts.append(f"{_number(len(names))} {verdict} ({', '.join(names)})")
    total = len(claims)
    if total == 1:
        return Sentence(CLAIMS, f"The one claim is {claims['verdict'].iloc[0]}.")
    return Sentence(CLAIMS, f"Of {total} claims {_listed(parts)}.")


def _listed(parts: Iterable[str]) -> str:
    *firsts, last = parts
    return f"{', '.join(firsts)} and {last}" if firsts else last
