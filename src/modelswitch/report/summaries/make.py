"""Every summary table that the results have something for."""

from __future__ import annotations

from modelswitch.report.sheet import Sheet
from modelswitch.report.summaries.abstaining import abstaining_sheet
from modelswitch.report.summaries.chains import chains_sheet
from modelswitch.report.summaries.claims import claims_sheet
from modelswitch.report.summaries.classes import classes_sheet
from modelswitch.report.summaries.data import data_sheet
from modelswitch.report.summaries.devices import devices_sheet
from modelswitch.report.summaries.rules import rules_sheet
from modelswitch.report.summaries.run_times import run_times_sheet
from modelswitch.report.summaries.selection import selection_sheet
from modelswitch.report.summaries.selector_files import selector_files_sheet
from modelswitch.report.summaries.tops import tops_sheet
from modelswitch.report.summaries.verification import verification_sheet


def all_sheets(tables) -> list[Sheet]:
    """Every summary that the tables have something for, claims first."""
    makers = (
        claims_sheet,
        chains_sheet,
        classes_sheet,
        devices_sheet,
        selector_files_sheet,
        rules_sheet,
        tops_sheet,
        selection_sheet,
        abstaining_sheet,
        verification_sheet,
        data_sheet,
        run_times_sheet,
    )
    return [sheet for maker in makers if (sheet := maker(tables)) is not None]
