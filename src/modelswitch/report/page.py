"""The results page: one HTML file that needs nothing else, and single sortable tables."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from modelswitch.errors import UserError
from modelswitch.report.contents import SYSTEMS, Entry
from modelswitch.report.sheet import Sheet


class Shown(TypedDict):
    """What the page and the summary of one experiment show alike, see `results_page`."""

    name: str
    sheets: Sequence[Sheet]
    items: Sequence[Entry]
    notice: str
    missing: Sequence[str]
    provenance: dict[str, str]
    findings: Sequence[str]


class Templates:
    """The templates, style, script and captions in one folder (workflow/report)."""

    def __init__(self, folder: str | Path) -> None:
        import jinja2
        from markupsafe import Markup

        self.folder = Path(folder)
        if not (self.folder / "page.html.jinja").is_file():
            raise UserError(f"{folder}: no page.html.jinja here; give the folder workflow/report")
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(self.folder),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        self._environment.filters |= {"zip": lambda a, b: zip(a, b, strict=True),
                                      "sort_key": _sort_key}  # fmt: skip
        self._environment.globals |= {
            "css": Markup((self.folder / "page.css").read_text(encoding="utf-8")),
            "js": Markup((self.folder / "page.js").read_text(encoding="utf-8")),
        }

    def render(self, template: str, /, **values: Any) -> str:
        return self._environment.get_template(template).render(**values)

    def caption(self, name: str):
        """A caption as HTML, from the same reStructuredText that Snakemake's report shows."""
        from docutils.core import publish_parts
        from docutils.writers.html5_polyglot import Writer
        from markupsafe import Markup

        source = (self.folder / f"{name}.rst").read_text(encoding="utf-8")
        settings = {"report_level": 5, "file_insertion_enabled": False}
        parts = publish_parts(source, writer=Writer(), settings_overrides=settings)
        return Markup(parts["body"])


def table_page(templates: Templates, sheet: Sheet) -> str:
    return templates.render("table.html.jinja", sheet=sheet)


def results_page(
    templates: Templates,
    name: str,
    sheets: Sequence[Sheet],
    items: Sequence[Entry],
    figures: str | Path,
    missing: Sequence[str] = (),
    configuration: str = "",
    provenance: dict[str, str] | None = None,
    notice: str = "",
    settings: str = "",
    findings: Sequence[str] = (),
) -> str:
    """The whole page.

    Args:
        sheets: tables, `items`: figures, both sorted into systems here.
        figures: folder with the figures, as SVG or PNG.
        missing: what the configuration asks for and the results lack.
        configuration: YAML, what differs from the defaults.
        settings: YAML, all of it.
        findings: the sentences that it begins with, see `results.sentences`.
        provenance: command, commit, machine, ….
        notice: what a reader has to know before anything else.
    """
    sections = []
    for system in SYSTEMS:
        own_sheets = [sheet for sheet in sheets if sheet.system == system]
        own_figures = [
            {
                "heading": item.heading,
                "caption": templates.caption(item.name),
                "detail": item.detail,
                **embedded(Path(figures) / item.file),
            }
            for item in items
            if item.system == system
        ]
        if own_sheets or own_figures:
            sections.append(
                {"id": system.lower().replace(" ", "-"), "title": system, "sheets": own_sheets,
                 "figures": own_figures}
            )  # fmt: skip
    return templates.render(
        "page.html.jinja",
        name=name,
        sections=sections,
        missing=missing,
        configuration=configuration,
        provenance=provenance or {},
        notice=notice,
        settings=settings,
        findings=findings,
    )


def summary(
    name: str,
    sheets: Sequence[Sheet],
    items: Sequence[Entry],
    missing: Sequence[str] = (),
    provenance: dict[str, str] | None = None,
    figures: str = "figures",
    notice: str = "",
    findings: Sequence[str] = (),
) -> str:
    """The short static summary: Markdown for a README or a pull request."""
    lines = [f"# {name}", ""]
    if provenance:
        lines += ["; ".join(f"{key}: `{value}`" for key, value in provenance.items()), ""]
    if notice:
        lines += [f"> **{notice}**", ""]
    lines += [line for finding in findings for line in (finding, "")]
    for line in missing:
        lines += [f"> **Missing.** {line}", ""]
    for system in SYSTEMS:
        own_sheets = [sheet for sheet in sheets if sheet.system == system]
        own_items = [item for item in items if item.system == system]
        if not own_sheets and not own_items:
            continue
        lines += [f"## {system}", ""]
        for sheet in own_sheets:
            if sheet.title != system:
                lines += [f"### {sheet.title}", ""]
            for warning in sheet.warnings:
                lines += [f"> {warning}", ""]
            lines += [sheet.markdown(), "", sheet.note, ""]
        for item in own_items:
            lines += [f"![{item.heading}]({figures}/{item.file}.png)", ""]
    return "\n".join(lines)


def embedded(stem: Path) -> dict[str, Any]:
    """A figure as a data URI, and whether it is wider than a column."""
    path, kind = stem.with_name(f"{stem.name}.svg"), "svg+xml"
    if not path.exists():
        path, kind = stem.with_name(f"{stem.name}.png"), "png"
    if not path.exists():
        raise UserError(f"{path}: no such figure; draw the figures before the page")
    data = path.read_bytes()
    size = re.search(rb'<svg[^>]*?width="([\d.]+)pt"', data)
    wide = size is None or float(size.group(1)) > 5 * 72
    encoded = base64.b64encode(data).decode()
    return {"uri": f"data:image/{kind};base64,{encoded}", "wide": wide}


def _sort_key(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return str(value)
