"""Several studies side by side: gains and teachers' leads as computed by hand, claims as stored."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from script_runs import run as run_script
from tidy_examples import FEW, write

from modelswitch.config.claims import Claim
from modelswitch.errors import UserError
from modelswitch.report import studies
from modelswitch.report.figures import gains, style
from modelswitch.report.two_runs import tables_of
from modelswitch.report.write import write_claims

SEEDS = (0, 1, 2)


def study(folder, name: str, claims: dict[str, Claim] | None = None, **options):
    """Tables of a study called `name`."""
    tables = write(folder / name / "tables", **({"seeds": SEEDS} | options))
    models = pd.read_csv(tables / "models.csv")
    models["experiment"] = name
    models.to_csv(tables / "models.csv", index=False)
    if claims:
        write_claims(claims, tables)
    return tables


def accuracies(tables, lineage: str) -> np.ndarray:
    models = pd.read_csv(tables / "models.csv")
    rows = models[(models["lineage"] == lineage) & (models["split"] == "test")]
    return rows.sort_values("seed")["accuracy"].to_numpy()


CLAIMED = {
    "chain_beats_direct": Claim(better="chain", than="direct"),
    "student_beats_teacher": Claim(better="chain", than="teacher"),
}


def test_gains_and_leads_are_paired_differences_to_the_student_from_scratch(tmp_path):
    folders = [study(tmp_path, "one"), study(tmp_path, "two", seeds=(5, 6))]
    found = studies.gains(studies.by_name([tables_of(str(folder)) for folder in folders]))
    assert [(one.study, one.chain, one.switches) for one in found] == [
        ("one", "direct", 1), ("one", "chain", 2), ("two", "direct", 1), ("two", "chain", 2),
    ]  # fmt: skip
    for one in found:
        tables = folders[one.study == "two"]
        scratch = accuracies(tables, "student")
        for result, lineage in ((one.lead, "teacher"), (one.gain, FEW[one.chain])):
            differences = accuracies(tables, lineage) - scratch
            assert result.estimate == pytest.approx(differences.mean())
            # Of two or three seeds: Student's quantiles from a printed table.
            factor = {2: 12.706, 3: 4.303}[len(scratch)] / len(scratch) ** 0.5
            assert result.high - result.estimate == pytest.approx(
                factor * differences.std(ddof=1), rel=1e-3
            )


def test_only_chains_that_claims_are_about_are_named_where_there_are_claims(tmp_path):
    claims = {"student_beats_teacher": CLAIMED["student_beats_teacher"]}
    folder = study(tmp_path, "claimed", claims)
    found = studies.gains({"claimed": tables_of(str(folder))})
    assert [one.chain for one in found] == ["chain"]


def test_claims_of_all_studies_stand_in_one_table(tmp_path):
    folders = [study(tmp_path, name, CLAIMED) for name in ("one", "two")]
    sheet = studies.claims_sheet(studies.by_name([tables_of(str(f)) for f in folders]))
    assert [(row["study"], row["claim"]) for row in sheet.rows] == [
        (name, claim) for name in ("one", "two") for claim in CLAIMED
    ]
    stored = pd.read_csv(folders[1] / "claims.csv")
    assert [row["verdict"] for row in sheet.rows[2:]] == stored["verdict"].tolist()
    estimate = 100 * (accuracies(folders[1], FEW["chain"]) - accuracies(folders[1], "teacher"))
    assert f"{estimate.mean():+.2f}" in sheet.markdown().splitlines()[-1]


def test_two_parts_of_one_study_are_refused(tmp_path):
    parts = [study(tmp_path / part, "one") for part in "ab"]
    with pytest.raises(UserError, match=r"is of the study 'one', as .* is; join parts"):
        studies.by_name([tables_of(str(part)) for part in parts])


def test_the_script_writes_tables_and_a_figure(tmp_path):
    folders = [study(tmp_path, "one", CLAIMED), study(tmp_path, "two")]
    into = tmp_path / "all"
    assert run_script("studies", *folders, "--into", into) == (0, "")
    assert sorted(path.name for path in into.iterdir()) == [
        "all_claims.csv", "all_claims.md", "all_gains.csv", "all_gains.md", "all_gains.png",
        "all_gains.svg",
    ]  # fmt: skip
    table = pd.read_csv(into / "all_gains.csv")
    assert set(table["study"]) == {"one", "two"}
    assert table["lead"].is_monotonic_increasing
    with Image.open(into / "all_gains.png") as picture:
        colours = {tuple(pixel) for pixel in np.asarray(picture.convert("RGB")).reshape(-1, 3)}
    assert {(0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)} <= colours  # a colour for each study


def test_no_two_studies_look_the_same(tmp_path):
    folders = [study(tmp_path, f"study{number}") for number in range(9)]
    points = studies.gains(studies.by_name([tables_of(str(folder)) for folder in folders]))
    with style.look():
        figure = gains.gains(points)
    [key] = figure.legends
    looks = {
        (handle.get_color(), handle.get_fillstyle())
        for handle, text in zip(key.get_lines(), key.get_texts(), strict=True)
        if text.get_text().startswith("study")
    }
    assert len(looks) == 9


def test_studies_without_a_student_from_scratch_make_a_figure_that_says_so(tmp_path):
    folder = study(tmp_path, "one", chains={"direct": "teacher/student@kd"})
    into = tmp_path / "all"
    assert run_script("studies", folder, "--into", into) == (0, "")
    assert sorted(path.name for path in into.iterdir()) == ["all_gains.png", "all_gains.svg"]


def test_a_folder_without_tables_is_told_in_a_line(tmp_path):
    ended = run_script("studies", tmp_path, "--into", tmp_path / "all")
    assert ended.status != 0
    assert "STUDY: " in ended.said
    assert not (tmp_path / "all").exists()
