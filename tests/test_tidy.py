"""Tidy tables: what is read, what is refused, and documentation that is in step."""

import math
import re
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import tidy_examples
from hypothesis import given, settings
from hypothesis import strategies as st

from modelswitch.errors import UserError
from modelswitch.lineage import NAME
from modelswitch.results import schema
from modelswitch.results.table_files import read_table, write_table
from modelswitch.results.tables import Tables
from modelswitch.results.tree import tree
from modelswitch.results.verdicts import lineage_of

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


# What a YAML accepts as a name, and what other readers take for nothing, a number or a truth value.
NAMES = st.one_of(
    st.from_regex(rf"\A{NAME}\Z"),
    st.sampled_from(
        ["NA", "N.A", "nan", "NaN", "None", "null", "NULL", "true", "False", "1e5", "007", "1_000",
         "0x1", "inf", "2024-01-01", "1.0", "01.10", "no", "-0", "n", "a+b", "1.5e-3"]
    ).filter(lambda name: re.fullmatch(NAME, name)),
)  # fmt: skip
# Names of classes come from people's folders, statements from their YAML: anything goes.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64)


SEVERAL = st.lists(NAMES, min_size=2, max_size=6, unique=True)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), names=SEVERAL)
def test_a_table_reads_back_the_same_for_any_name(data, names):
    read_back(data, names)


@pytest.mark.long
@settings(deadline=None, max_examples=500)
@given(data=st.data(), names=SEVERAL)
def test_tables_read_back_the_same_for_names_at_length(data, names):
    read_back(data, names)


def read_back(data, names) -> None:
    first, other, *_ = names
    models = [
        {"experiment": first, "dataset": other, "seed": 3, "lineage": f"{first}/{other}@{first}",
         "model": other, "transfer": first, "chains": ";".join(names), "split": "test",
         "accuracy": data.draw(st.floats(0, 1)), "parameters": 2**53 - 1, "rule": other,
         "delta": None}
    ]  # fmt: skip
    label, answer, note = data.draw(TEXTS), data.draw(TEXTS), data.draw(TEXTS)
    key = {"dataset": other, "seed": 3, "lineage": first, "split": "test"}
    classes = [key | {"label": 0, "label_name": label, "recall": data.draw(NUMBERS)}]
    pairs = [key | {"label": 0, "label_name": label, "predicted": 1, "predicted_name": answer,
                    "images": 7}]  # fmt: skip
    claims = [{"claim": first, "verdict": other, "better": other, "metric": "accuracy",
               "smallest": 0.1, "note": note, "statement": label}]  # fmt: skip
    predictions = [key | {"index": 0, "label": 0, "predicted": 1, "confidence": 0.5}]
    written = {"models": models, "per_class": classes, "class_confusions": pairs, "claims": claims,
               "predictions": predictions}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in written.items():
            write_table(folder, name, pd.DataFrame(rows))
            [read] = read_table(folder, name).to_dict("records")
            for column, value in rows[0].items():
                assert read[column] == value or (value is None and math.isnan(read[column])), column
            assert all(read[c.name] == "" for c in schema.SCHEMAS[name].columns
                       if c.kind == "text" and c.name not in rows[0])  # fmt: skip
        tables = Tables(folder)
        [node] = tree(tables.models)
        assert node.labels == names
        assert lineage_of(tables.models, names[-1])[0] == models[0]["lineage"]


def test_a_column_of_numbers_that_holds_words_is_named(tmp_path):
    (tmp_path / "models.csv").write_text(
        "dataset,seed,lineage,model,split,accuracy,parameters\nd,0,t,t,test,good,10\n"
    )
    with pytest.raises(UserError, match=r"models.csv: column 'accuracy' holds more than numbers"):
        _ = Tables(tmp_path).models


COLUMNS = "dataset,seed,lineage,model,split,accuracy,parameters,surroundings,code\n"
WHOLE = ["d", "0", "t", "t", "test", "0.9", "10", '"{""threads"": 1}"', "{}"]


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("accuracy", "84.16", "'accuracy' holds no share from 0 to 1 ('84.16') in row 2"),
        ("accuracy", "-0.1", "'accuracy' holds no share from 0 to 1 ('-0.1') in row 2"),
        ("accuracy", "inf", "'accuracy' holds no share from 0 to 1 ('inf') in row 2"),
        ("accuracy", "1e400", "'accuracy' holds no share from 0 to 1 ('inf') in row 2"),
        ("seed", "", "'seed' holds nothing in row 2"),
        ("lineage", "", "'lineage' holds nothing in row 2"),
        ("surroundings", "not json", "'surroundings' holds no JSON object ('not json') in row 2"),
        ("code", "{", "'code' holds no JSON object ('{') in row 2"),
        ("code", "[1]", "'code' holds no JSON object ('[1]') in row 2"),
        ("accuracy", "", ""),
        ("accuracy", "1", ""),
        ("accuracy", "1.0000000000000002", ""),
        ("code", "", ""),
    ],
)
def test_a_cell_that_its_column_cannot_hold_is_named(tmp_path, column, cell, said):
    other = [*WHOLE]
    other[1], other[COLUMNS.strip().split(",").index(column)] = "1", cell
    rows = "".join(f"{','.join(row)}\n" for row in (WHOLE, other))
    (tmp_path / "models.csv").write_text(COLUMNS + rows)
    if not said:
        assert len(read_table(tmp_path, "models")) == 2
        return
    with pytest.raises(UserError) as caught:
        read_table(tmp_path, "models")
    assert str(caught.value) == f"{tmp_path / 'models.csv'}: column {said}"


def test_a_table_that_was_cut_short_anywhere_is_refused(tmp_path):
    rows = "".join(f"{','.join([*WHOLE[:1], str(seed), *WHOLE[2:]])}\n" for seed in range(3))
    path, whole = tmp_path / "models.csv", COLUMNS + rows
    begins = [0, len(COLUMNS), *(len(COLUMNS) + n * len(rows) // 3 for n in (1, 2, 3))]
    for end in range(len(COLUMNS) + 1, len(whole)):
        path.write_text(whole[:end])
        if end in begins:
            # Whole rows are missing: nothing shows it.
            assert len(read_table(tmp_path, "models")) == begins.index(end) - 1
            continue
        with pytest.raises(UserError, match=r"cut short|not a readable table"):
            read_table(tmp_path, "models")
    # Rows of other lengths in the middle, and cells with line breaks.
    path.write_text(COLUMNS + rows.replace(",0.9,10", ",0.9", 1))
    with pytest.raises(UserError, match=r"line 2 has 8 cells, and the first line 9"):
        read_table(tmp_path, "models")
    path.write_text(COLUMNS + rows.replace("\n", "\n  \n"))
    assert len(read_table(tmp_path, "models")) == 3, "blank lines are no rows"
    path.write_text(COLUMNS.strip())
    assert read_table(tmp_path, "models") is None
    path.write_text(COLUMNS + rows.replace(",t,t,", ',"t\n1",t,'), newline="")
    assert set(read_table(tmp_path, "models")["lineage"]) == {"t\n1"}


def test_names_that_look_like_numbers_stay_text(tmp_path):
    tidy_examples.write(tmp_path, chains={"1": "teacher/student@kd"}, images=20, epochs=2)
    models = Tables(tmp_path).models
    assert set(models["chains"]) == {"", "1"}
