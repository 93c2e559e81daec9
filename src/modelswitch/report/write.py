"""From stored results to tables, claims, figures, summary and page, in one process."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path

from modelswitch.config import claims, shortened
from modelswitch.config.deploy import CARD_FILE
from modelswitch.config.experiment import Experiment
from modelswitch.errors import UserError
from modelswitch.graph import Graph
from modelswitch.lineage import EXPERIMENT_FOLDER, FIGURES_FOLDER, PAGES_FOLDER, TABLES_FOLDER
from modelswitch.report import contents, page, provenance
from modelswitch.report.card import model_card
from modelswitch.report.figures import draw
from modelswitch.report.sheet import Sheet
from modelswitch.report.summaries import make, missing
from modelswitch.results import sentences, table_files, tables, verdicts
from modelswitch.results.joining import CONFIGURATION
from modelswitch.results.looks import Schedule
from modelswitch.storage import atomic

SEARCH = (
    "A search: everything here is measured on validation images. The test set appears nowhere, so "
    "that nothing can be chosen on it."
)


class Report:
    """What the page of an experiment is made of, in its folder of results.

    Args:
        experiment: its configuration.
        templates: folder with templates and captions.
        results: the folder of all results.
        command: what made the results, to be shown.
        source: folder whose git commit is shown.
    """

    def __init__(
        self,
        experiment: Experiment,
        templates: Path,
        results: Path = Path("results"),
        command: str = "",
        source: Path | None = None,
    ) -> None:
        self.experiment = experiment
        self.facts = contents.facts_of(experiment)
        self._results = results
        self.folder, self.tables, self.figures, self._pages = (
            results / template.format(experiment=experiment.name)
            for template in (EXPERIMENT_FOLDER, TABLES_FOLDER, FIGURES_FOLDER, PAGES_FOLDER)
        )
        self._templates = templates
        self._command, self._source = command, source

    def write_tables(self) -> None:
        """Tidy tables, then claims and summaries made from them."""
        from modelswitch.results import collect

        collect.write(collect.StoredResults(self.experiment, self._results), self.tables)
        self.write_summaries()

    def write_configuration(self) -> None:
        """What the tables are of."""
        atomic.write_text(self.tables / CONFIGURATION, self._configuration)

    def write_summaries(self) -> None:
        """Claims and summaries from tidy tables that are in place."""
        self.write_configuration()
        schedule = Schedule.of(self.experiment)
        write_claims(self.experiment.claims, self.tables, schedule, self._tidy)
        write_sheets(self._sheets, self.tables)

    def write_figures(self) -> None:
        draw.draw_all(self._tidy, contents.figures(self.facts), self.figures)

    def write_page(self) -> None:
        """Single tables as HTML, the page and the summary."""
        templates = page.Templates(self._templates)
        items = [item for item in contents.all_figures(self.facts) if self._drawn(item)]
        made = {sheet.name: sheet for sheet in self._sheets}
        for item in contents.tables(self.facts):
            sheet = made.get(item.name) or Sheet(
                item.name, item.title, item.system, [], [], "The results have nothing for this."
            )
            path = self._pages / f"{item.name}.html"
            atomic.write_text(path, page.table_page(templates, sheet))
        shown: page.Shown = {
            "name": self.experiment.name,
            "sheets": self._sheets,
            "items": items,
            "notice": SEARCH if self._is_search else "",
            "missing": self._missing,
            "provenance": self._provenance,
            "findings": sentences.foremost(sentences.sentences(self._tidy)),
        }
        html = page.results_page(
            templates,
            figures=self.figures,
            configuration=self._configuration,
            settings=_yaml(self.experiment.model_dump(mode="json")),
            **shown,
        )
        atomic.write_text(self.folder / "results.html", html)
        atomic.write_text(self.folder / "summary.md", page.summary(**shown))

    def write_cards(self) -> None:
        """A card beside every exported model that is there."""
        for place in Graph(self.experiment).exported():
            folder = self._results / place.folder
            found = sorted((folder / "deploy").glob("*.json"))
            if found:
                about = json.loads(found[0].read_text(encoding="utf-8"))
                own = self._tidy.of(place.dataset)
                text = model_card(own, str(place.lineage), place.branch.seed, about)
                atomic.write_text(folder / CARD_FILE, text)

    @functools.cached_property
    def _tidy(self) -> tables.Tables:
        found = tables.Tables(self.tables)
        if self._is_search and (found.models["split"] == "test").any():
            raise UserError(
                f"{self.tables}: made before report.split was 'validation', with the test set's "
                "figures; make them again: snakemake tables --cores 1 --configfile …"
            )
        return found

    @property
    def _is_search(self) -> bool:
        return self.experiment.report.split == "validation"

    @functools.cached_property
    def _sheets(self) -> list[Sheet]:
        return make.all_sheets(self._tidy)

    @property
    def _missing(self) -> list[str]:
        ends = {f"Chain {label}": str(end) for label, end in self.experiment.lineages.items()}
        above = map(str, self.experiment.all_lineages)
        on_the_way = {
            f"Model {lineage}": lineage for lineage in above if lineage not in ends.values()
        }
        lines = missing.missing(
            self._tidy,
            on_the_way | ends,
            self.experiment.seeds,
            self.facts.datasets,
            self.facts.selectors,
            {str(each): self.experiment.repeats_of(each) for each in self.experiment.all_lineages},
        )
        undrawn = [item for item in contents.all_figures(self.facts) if not self._drawn(item)]
        return lines + [
            f"Figure {item.heading}: not drawn, for want of results." for item in undrawn
        ]

    def _drawn(self, item: contents.Entry) -> bool:
        """Whether a figure is there: those of selectors are drawn by jobs of their own."""
        return any((self.figures / f"{item.file}.{kind}").exists() for kind in draw.FORMATS)

    @property
    def _configuration(self) -> str:
        return _yaml(shortened.short(self.experiment))

    @property
    def _provenance(self) -> dict[str, str]:
        shown = {
            "command": self._command,
            "commit": provenance.commit(self._source) if self._source else "",
            "machine": provenance.machines(self._tidy.trainings),
        }
        return {key: value for key, value in shown.items() if value}


def _yaml(values: dict) -> str:
    import yaml

    return yaml.safe_dump(
        values, sort_keys=False, allow_unicode=True, width=96, default_flow_style=None
    )


def write_claims(
    stated: dict[str, claims.Claim],
    folder: Path,
    schedule: Schedule | None = None,
    found: tables.Tables | None = None,
) -> None:
    """claims.csv from the tidy tables in `folder`; no such file if nothing was claimed.

    Args:
        found: these tables, if they have been read.
    """
    if not stated:
        for old in ("claims.csv", "claims.md", "verdicts.csv"):
            (folder / old).unlink(missing_ok=True)
        return
    import pandas as pd

    rows = verdicts.assess(stated, found or tables.Tables(folder), schedule)
    table_files.write_table(folder, "claims", pd.DataFrame(rows))


def write_sheets(sheets: Sequence[Sheet], folder: Path) -> None:
    """Summary tables as CSV and Markdown; claims.csv has been written with all its columns."""
    for sheet in sheets:
        if sheet.name != "claims":
            sheet.write_csv(folder)
        else:
            write_verdicts(sheet, folder)
        text = "\n\n".join([sheet.markdown(), *sheet.warnings, sheet.note])
        atomic.write_text(folder / f"{sheet.name}.md", text + "\n")


def write_verdicts(sheet: Sheet, folder: Path) -> None:
    """verdicts.csv, the claims as a reader sees them: what Snakemake's report opens with."""
    import csv

    with (
        atomic.replacing(folder / "verdicts.csv") as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow([column.heading for column in sheet.visible(brief=True)])
        writer.writerows(sheet.cells(brief=True))
