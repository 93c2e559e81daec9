"""The page of a search, its tables and figures, and the winner's configuration."""

import math
from pathlib import Path

from modelswitch.config.experiment import Experiment
from modelswitch.lineage import Lineage
from modelswitch.report.figures import style
from modelswitch.report.page import Templates, embedded
from modelswitch.report.sheet import Sheet, number, share, text
from modelswitch.search import figures, journal, outcome
from modelswitch.search.designs import Known
from modelswitch.search.flow import tried
from modelswitch.search.proposals import importances
from modelswitch.search.recipe import recipe
from modelswitch.search.schedule import GUIDED
from modelswitch.search.steps import Record
from modelswitch.storage import atomic
from modelswitch.wording import amount

SYSTEM = "Search"
_SIZES = [
    number("param.", "parameters", amount),
    number("MACs", "macs", amount),
    number("ms", "latency_ms", "{:.3g}"),
    number("kB", "size_kb", "{:.3g}"),
]
_CAPTIONS = {
    "front": "Every student on the highest rung that it got to: the further up, the better it is "
    "on validation images, the further left, the smaller. The line joins those trained to the end "
    "that no other is better than in both; one that is best in both is a star alone.",
    "judged": "What was found, trained anew from fresh seeds and asked once about the test images. "
    "Intervals are over seeds. The mark left behind is the accuracy by which a model was chosen.",
    "importance": "How much each choice tells the best tenth of the students on the lowest rung "
    "from the others (PED-ANOVA). Choices within a family of which none is among that tenth are "
    "left out, and so are those with one value.",
    "path": "From the first model to the student; a circle's area is proportional to the number of "
    "parameters.",
}


def judged_sheet(found: list[outcome.Judged]) -> Sheet:
    best = next(one for one in found if one.role == outcome.WINNER)
    rows = [one.row(None if one is best else best) for one in found]
    return Sheet(
        "search_final",
        "What was found, beside controls",
        SYSTEM,
        rows,
        [
            text("", "role"),
            text("chain", "lineage"),
            *_SIZES,
            share("validation, searching", "searched"),
            share("validation", "validation"),
            share("test", "test"),
            share("luck", "luck", signed=True),
            share("winner gains", "winner_gains", signed=True),
            number("epochs", "epochs", amount),
        ],
        note="Trained whole from seeds that the search did not have; `validation` and `test` are "
        "means over them. `luck`: accuracy on validation images by which a model was chosen, less "
        "that on test images; the best of many is chosen for its luck too. `winner gains`: test "
        "accuracy of the winner less that of this model, seed by seed; another search might have "
        "found others, of which an interval over seeds says nothing. `epochs`: of students, to "
        "find it.",
    )


def trials_sheet(rows: list[dict]) -> Sheet:
    return Sheet(
        "search_trials",
        "Every student",
        SYSTEM,
        rows,
        [
            text("search", "arm"),
            number("number", "number", "{:.0f}"),
            text("chain", "lineage"),
            number("epochs", "epochs", "{:.0f}"),
            share("validation", "validation"),
            *_SIZES,
            share("lacks", "lacks"),
        ],
        note="On the highest rung that each got to. `lacks`: accuracy that it has less than the "
        "constraint asks for.",
    )


def write(
    experiment: Experiment,
    results: Path,
    records: dict[str, Record],
    known: Known,
    folder: Path,
    templates: Templates,
) -> None:
    """Write everything that a reader sees of a search to its folder."""
    search, choices = experiment.search, experiment.choices
    assert search is not None
    assert choices is not None
    found = outcome.judged(experiment, results, records, known)
    rows = outcome.trial_rows(experiment, records, known)
    guided = records[GUIDED]
    winner = Lineage.parse(guided.steps[-1].trials[0].lineage)
    # The lowest rung is the one that all students were on.
    lowest, scores = tried(search, guided, known), guided.on(0)
    shares = importances(choices, lowest, [-score.accuracy for score in scores.values()])
    sheets = [judged_sheet(found), trials_sheet(rows)]
    size = outcome.size_name(experiment)
    with style.look():
        drawn = {
            "front": figures.front_figure(
                rows,
                size,
                search.rungs.count,
                next((b for n, b in search.constraints.bounds.items() if n == size), None),
            ),
            "judged": figures.judged_figure(found),
            "importance": figures.importance_figure(shares),
            "path": _path(experiment, results, winner, known),
        }
        for name, figure in drawn.items():
            style.save(figure, folder, name)
    for sheet in sheets:
        sheet.write_csv(folder)
    said = [
        *outcome.verdict(found),
        *_constraint(experiment, guided, winner),
        _saved(experiment, guided),
    ]
    journal.write(folder / "optuna.journal", experiment, records, known)
    yaml = recipe(experiment, winner)
    atomic.write_text(folder / "winner.yaml", yaml)
    page = templates.render(
        "search.html.jinja",
        name=experiment.name,
        said=said,
        sheets=sheets,
        figures=[
            {"heading": name, "caption": _CAPTIONS[name], **embedded(folder / name)}
            for name in drawn
        ],
        winner=yaml,
        path=str(winner),
    )
    atomic.write_text(folder / "search.html", page)
    lines = [f"# {experiment.name}: search", "", *said, "", f"Winner: `{winner}`", ""]
    for sheet in sheets[:1]:
        lines += [f"## {sheet.title}", "", sheet.markdown(), "", sheet.note, ""]
    lines += [f"![{name}]({name}.png)" for name in drawn]
    atomic.write_text(folder / "summary.md", "\n".join(lines) + "\n")


def _path(experiment: Experiment, results: Path, winner: Lineage, known: Known):
    from modelswitch.graph import Graph
    from modelswitch.search.places import whole_places
    from modelswitch.search.scores import accuracy

    graph = Graph(experiment)
    models = [*reversed(list(winner.ancestors())), winner]
    reached = []
    for lineage in models:
        each = accuracy(graph, results, whole_places(experiment, lineage), "test")
        reached.append(sum(each) / len(each))
    sizes = [known.parameters(lineage) for lineage in models]
    return figures.path_figure(winner, sizes, reached)


def _constraint(experiment: Experiment, record: Record, winner: Lineage) -> list[str]:
    """What has to be said where no student kept to the constraint."""
    search = experiment.search
    assert search is not None
    bound = search.constraints.accuracy
    if bound is None:
        return []
    top = record.on(search.rungs.count - 1)
    score = top[record.steps[-1].trials[0].number]
    least = bound.share * (score.teacher if bound.of_teacher else 1.0)
    if score.accuracy >= least:
        return []
    return [
        f"No student kept to accuracy {bound.at_least}: {100 * least:.2f} % on validation images "
        f"is asked for, and the winner, which lacks least of it, reached "
        f"{100 * score.accuracy:.2f} %."
    ]


def _saved(experiment: Experiment, record: Record) -> str:
    saved = outcome.savings(experiment, record)
    epochs, alone = saved["epochs"], saved["epochs_alone"]
    less = math.nan if not alone else 100 * (1 - epochs / alone)
    return (
        f"{saved['students']} students took {saved['trainings']} trainings and {epochs} epochs, "
        f"models above them included; without shared models and rungs that go on it would be "
        f"{saved['trainings_alone']} trainings and {alone} epochs ({less:.0f} % less), without "
        f"shared models and without rungs {saved['trainings_whole']} trainings and "
        f"{saved['epochs_whole']} epochs."
    )
