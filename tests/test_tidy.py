"""Tidy tables: what is read, what is refused, and documentation that is in step."""

from pathlib import Path

import pytest
import tidy_examples

from modelswitch.errors import UserError
from modelswitch.results import schema
from modelswitch.results.tables import Tables

ROOT = Path(__file__).parents[1]


def test_documentation_is_in_step():
    assert (ROOT / "docs/tables.md").read_text() == schema.documentation()


def test_optional_columns_and_tables_may_be_missing(tmp_path):
    (tmp_path / "models.csv").write_text(
        "dataset,seed,lineage,model,split,accuracy,parameters\nd,0,teacher,teacher,test,0.9,10\n"
    )
    tables = Tables(tmp_path)
    assert tables.models.loc[0, "transfer"] == ""
    assert tables.models["ece"].isna().all()
    assert tables.history is None


def test_long_tables_may_be_compressed_and_empty_ones_are_none(tmp_path):
    tidy_examples.write_selection(tmp_path)
    plain = Tables(tmp_path).selection
    plain.to_csv(tmp_path / "selection.csv.gz", index=False)
    (tmp_path / "selection.csv").unlink()
    assert Tables(tmp_path).selection.equals(plain)
    (tmp_path / "history.csv").write_text("\n")
    assert Tables(tmp_path).history is None


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "models.csv").write_text("dataset,seed\nd,0\n")
    with pytest.raises(UserError, match=r"models\.csv: column 'lineage' is missing; found dataset"):
        _ = Tables(tmp_path).models


def test_a_folder_without_tables_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no models\.csv with results"):
        _ = Tables(tmp_path).models


def test_names_that_look_like_numbers_stay_text(tmp_path):
    tidy_examples.write(tmp_path, chains={"1": "teacher/student@kd"}, images=20, epochs=2)
    models = Tables(tmp_path).models
    assert set(models["chains"]) == {"", "1"}
