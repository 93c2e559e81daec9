"""What a results page consists of: which figures and tables an experiment has, without data.

The workflow asks for it while it is parsed, to declare output files, so nothing heavy is imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from modelswitch.config.experiment import Experiment
from modelswitch.config.metrics import METRICS, SHARE

CLAIMS, COMPRESSION = "Claims", "Compression"
SELECTIVE, SELECTOR, RUN = "Selective transfer", "Multimodal selector", "Run"
DEVICES = "On a device"
SYSTEMS = (CLAIMS, COMPRESSION, DEVICES, SELECTIVE, SELECTOR, RUN)


@dataclass(frozen=True)
class PageFacts:
    """What decides about figures and tables."""

    datasets: tuple[str, ...]
    models: int = 2  # trained ones, of one seed and data set
    claimed: int = 2  # claims about shares
    pairs: int = 2  # of models that are compared anyway
    epochs: int = 2  # of the longest training
    rules: frozenset[str] = frozenset()  # weighting rules of all transfers that are used
    weighted: int = 0  # transfers with any rule but a fixed weight
    deltas: int = 0  # transfers with the rule `correctness`
    claims: bool = False
    selectors: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()  # modalities that are degraded, for the selectors
    contact_sheet: bool = False
    verifies: bool = False  # people in no training are told apart
    iris_sheet: bool = False  # data are photographs of eyes
    deploys: bool = False  # models are exported for devices
    deploys_selectors: bool = False  # and so is every selector with its recognisers
    absent: frozenset[str] = frozenset()  # tidy tables that are not there

    @property
    def differences(self) -> int:
        return self.claimed + self.pairs

    @property
    def compares_rules(self) -> bool:
        return len(self.rules) > 1


@dataclass(frozen=True)
class Entry:
    """A figure or a table of the page; `name` is its file name and that of its caption."""

    name: str
    system: str
    title: str
    draw: str = ""  # module:function in modelswitch.report.figures
    applies: Callable[[PageFacts], bool] = lambda facts: True
    needs: str = ""  # a tidy table besides `models`
    dataset: str = ""
    arguments: tuple[str, ...] = ()  # passed on to `draw`
    detail: bool = False  # folded on the page

    @property
    def file(self) -> str:
        return "-".join(part for part in (self.name, self.dataset, *self.arguments) if part)

    @property
    def heading(self) -> str:
        return ", ".join(part for part in (self.title, self.dataset, *self.arguments) if part)


# What would show a single point is left to the tables.
FIGURES = (
    Entry("chains", COMPRESSION, "The models and their switches", "chains:diagram",
         lambda facts: facts.models > 1),
    Entry("size", COMPRESSION, "Accuracy against size", "size:accuracy_by_size",
         lambda facts: facts.models > 1),
    Entry("differences", COMPRESSION, "Paired differences", "differences:forest",
         lambda facts: facts.differences > 1),
    Entry("learning", COMPRESSION, "Learning curves", "learning:curves",
         lambda facts: facts.epochs > 1, needs="history", detail=True),
    Entry("calibration", COMPRESSION, "Calibration", "learning:calibration",
         needs="predictions", detail=True),
    Entry("confusions", COMPRESSION, "Confused classes", "confusions:matrices",
         needs="class_confusions", detail=True),
    Entry("devices", DEVICES, "Accuracy against latency and size", "devices:tradeoff",
          lambda facts: facts.deploys, needs="exports"),
    Entry("rules", SELECTIVE, "Rules against a fixed weight", "differences:rules_forest",
         lambda facts: facts.compares_rules and facts.weighted > 1),
    Entry("delta", SELECTIVE, "Accuracy against δ", "weighting:delta_curve",
         lambda facts: facts.deltas > 1 and facts.compares_rules),
    Entry("where", SELECTIVE, "Where each rule helps", "weighting:teacher_right_wrong",
         lambda facts: facts.compares_rules),
    Entry("weights", SELECTIVE, "Weights of single samples", "weighting:weight_histograms",
         lambda facts: facts.compares_rules, needs="weights", detail=True),
)  # fmt: skip
# Of these there is one for every selector and side; rules/selector.smk draws them in a run.
SELECTION = Entry("selection", SELECTOR, "Selecting a modality", "selection:for_selector")
# Of these there is one for every selector.
ABSTAINING = Entry("abstaining", SELECTOR, "Answers only where sure", "abstaining:risks",
                   needs="risk_coverage")  # fmt: skip
VERIFICATION = Entry("verification", SELECTOR, "People in no training", "verification:det")
CONTACT_SHEET = Entry("contact_sheet", SELECTOR, "Degraded images")
IRIS_SHEET = Entry("iris_sheet", RUN, "Irises found in photographs")  # rules/data.smk draws it
# One maker each in summaries/make.py.
TABLES = (
    Entry("claims", CLAIMS, "Claims", applies=lambda facts: facts.claims),
    Entry("chains", COMPRESSION, "Chains"),
    Entry("classes", COMPRESSION, "Hardest classes"),
    Entry("devices", DEVICES, "Files for devices", applies=lambda facts: facts.deploys),
    Entry("selector_files", DEVICES, "A selector and its recognisers in one file",
          applies=lambda facts: facts.deploys_selectors),
    Entry("rules", SELECTIVE, "Weighting rules", applies=lambda facts: facts.compares_rules),
    Entry("delta_top", SELECTIVE, "Top of the curve over δ",
          applies=lambda facts: facts.deltas > 2 and facts.compares_rules),
    Entry(
        "selectors",
        SELECTOR,
        "Ways to select a modality",
        applies=lambda facts: bool(facts.selectors),
    ),
    Entry("abstaining_summary", SELECTOR, "Answers only where sure",
          applies=lambda facts: bool(facts.selectors)),
    Entry("verification_summary", SELECTOR, "Verification of people in no training",
          applies=lambda facts: facts.verifies),
    Entry("data", RUN, "Data"),
    Entry("run_times", RUN, "Run times"),
)  # fmt: skip


def figures(facts: PageFacts) -> list[Entry]:
    """Figures made from models.csv and its like; one of each kind for every data set."""
    datasets = facts.datasets if len(facts.datasets) > 1 else ("",)
    # Claims are about the experiment: without pairs on a data set they are one figure.
    once = () if facts.pairs else ("differences",)
    return [
        dataclasses.replace(item, dataset=dataset)
        for item in FIGURES
        if item.applies(facts) and item.needs not in facts.absent
        for dataset in (("",) if item.name in once else datasets)
    ]


def selection_figures(facts: PageFacts) -> list[Entry]:
    """Figures made from selection.csv."""
    return [
        dataclasses.replace(SELECTION, arguments=(selector, side))
        for selector in facts.selectors
        for side in facts.sides
    ]


def abstaining_figures(facts: PageFacts) -> list[Entry]:
    """Figures made from risk_coverage.csv."""
    known = () if ABSTAINING.needs in facts.absent else facts.selectors
    return [dataclasses.replace(ABSTAINING, arguments=(name,)) for name in known]


def verification_figures(facts: PageFacts) -> list[Entry]:
    """Figures made from det.csv."""
    return [
        dataclasses.replace(VERIFICATION, arguments=(selector,))
        for selector in (facts.selectors if facts.verifies else ())
    ]


def all_figures(facts: PageFacts) -> list[Entry]:
    """Every picture of the page, in its order."""
    sheets = [CONTACT_SHEET] * facts.contact_sheet + [IRIS_SHEET] * facts.iris_sheet
    of_selectors = [
        *selection_figures(facts),
        *abstaining_figures(facts),
        *verification_figures(facts),
    ]
    return [*figures(facts), *of_selectors, *sheets]


def tables(facts: PageFacts) -> list[Entry]:
    return [item for item in TABLES if item.applies(facts)]


def facts_of(experiment: Experiment) -> PageFacts:
    """What a configuration will have on its page."""
    transfers = (lineage.last.transfer for lineage in experiment.all_lineages)
    used = {name for name in transfers if name is not None}
    rules = [experiment.all_transfers[name].weighting.rule for name in used]
    selector = experiment.selector
    return PageFacts(
        datasets=tuple(experiment.datasets),
        models=len(experiment.all_lineages),
        claimed=_of_shares(claim.metric for claim in experiment.claims.values()),
        pairs=_pairs(
            map(str, experiment.lineages.values()), set(map(str, experiment.all_lineages))
        ),
        epochs=max(
            (experiment.training_of(each.last).epochs for each in experiment.all_lineages),
            default=0,
        ),
        rules=frozenset(rules),
        weighted=len(rules) - rules.count("fixed"),
        deltas=rules.count("correctness"),
        claims=bool(experiment.claims),
        selectors=() if selector is None else tuple(selector.selectors),
        sides=() if selector is None else _sides(experiment.datasets),
        contact_sheet=selector is not None,
        verifies=selector is not None and selector.verification is not None,
        iris_sheet=experiment.data.source == "eye_photos",
        deploys=experiment.deploy is not None,
        deploys_selectors=selector is not None
        and experiment.deploy is not None
        and "onnx" in experiment.deploy.formats,
    )


def facts_in(tables) -> PageFacts:
    """What tidy tables (a `tidy.Tables`) have something for."""
    models = tables.models
    used = models[models["rule"] != ""].drop_duplicates("transfer")
    selection, history, claims = tables.selection, tables.history, tables.claims
    ends = models.loc[models["chains"] != "", "lineage"]
    return PageFacts(
        datasets=tuple(dict.fromkeys(models["dataset"])),
        models=models["lineage"].nunique(),
        claimed=_of_shares(
            () if claims is None else claims.loc[claims["estimate"].notna(), "metric"]
        ),
        pairs=_pairs(dict.fromkeys(ends), set(models["lineage"])),
        epochs=0 if history is None else history["epoch"].nunique(),
        rules=frozenset(used["rule"]),
        weighted=int((used["rule"] != "fixed").sum()),
        deltas=int((used["rule"] == "correctness").sum()),
        claims=claims is not None,
        selectors=() if selection is None else tuple(dict.fromkeys(selection["selector"])),
        sides=() if selection is None else tuple(dict.fromkeys(selection["side"])),
        verifies=tables.det is not None,
        deploys=tables.exports is not None,
        deploys_selectors=tables.selector_exports is not None,
        absent=frozenset(
            item.needs
            for item in (*FIGURES, ABSTAINING)
            if item.needs and not tables.has(item.needs)
        ),
    )


def _sides(modalities: Sequence[str]) -> tuple[str, ...]:
    from modelswitch.config.degradations import side_name, sides

    return tuple(side_name(chosen, modalities) for chosen in sides(modalities))


def _of_shares(metrics: Iterable[str]) -> int:
    """How many claims are about shares, by their metrics."""
    return sum(METRICS[metric].unit is SHARE for metric in metrics)


def _pairs(ends: Iterable[str], every: set[str]) -> int:
    """How many chains there are beside the same network from scratch and beside a direct switch
    (`differences.of_chains`)."""
    count = 0
    for end in ends:
        steps = end.split("/")
        rivals = {steps[-1].partition("@")[0]} if steps[1:] else set()
        rivals |= {f"{steps[0]}/{steps[-1]}"} if steps[2:] else set()
        count += len(rivals & every)
    return count
