"""A study in parts: joined they are what the whole would be, or are refused with what differs."""

import gzip
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import script_runs
import tidy_examples
import yaml

from modelswitch.errors import UserError
from modelswitch.results import joining
from modelswitch.results.schema import SCHEMAS
from modelswitch.results.table_files import read_table, write_table

STUDY = {
    "name": "example",
    "data": {"source": "digits", "name": "pictures"},
    "seeds": [0, 1, 2, 3],
    "models": {
        "teacher": {"family": "plain", "stages": [[16, 1]]},
        "middle": {"family": "plain", "stages": [[8, 1]]},
        "student": {"family": "plain", "stages": [[4, 2]]},
    },
    "transfers": {"kd": {"soft": 0.7}},
    "chains": tidy_examples.FEW,
    "claims": {
        "helps": {
            "statement": "An assistant helps.",
            "better": "chain",
            "than": "direct",
        }
    },
    "report": {"split": "test"},
}
VERSIONS = json.dumps({"threads": 1, "versions": {"python": "3.11", "torch": "2.14"}})


def part(folder: Path, seeds: list[int], **other) -> Path:
    """The tables of some seeds of one study, as a run leaves them."""
    tables = tidy_examples.write(folder / "tables", seeds=seeds, images=120, epochs=3)
    models = read_table(tables, "models").assign(surroundings=VERSIONS, data="d1")
    write_table(tables, "models", models)
    values = STUDY | {"seeds": seeds} | other
    (tables / "configuration.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    parts = [part(folder / "a", [0, 3]), part(folder / "b", [1, 2])]
    part(folder / "whole", [0, 1, 2, 3])
    return folder, parts


@pytest.mark.slow
def test_joined_parts_are_the_whole(made, tmp_path):
    folder, parts = made
    joined, whole = tmp_path / "joined", tmp_path / "whole"
    ended = script_runs.run("join", *parts, "--into", joined)
    assert ended[0] == 0, ended
    assert script_runs.run("join", folder / "whole", "--into", whole)[0] == 0
    for name in ("claims", "models", "history", "predictions", "per_class", "weights"):
        one, other = (read_table(place / "example/tables", name) for place in (joined, whole))
        keys = list(SCHEMAS[name].key)
        pd.testing.assert_frame_equal(
            *(t.sort_values(keys).reset_index(drop=True) for t in (one, other))
        )
    for file in ("tables/chains.csv", "tables/configuration.yaml"):
        assert (joined / "example" / file).read_text() == (whole / "example" / file).read_text()
    claims = read_table(joined / "example/tables", "claims")
    assert claims["seeds"].tolist() == [4]
    assert "An assistant helps" in (joined / "example/results.html").read_text()
    # What no workflow knows of can be packed, too.
    crate = tmp_path / "crate"
    assert script_runs.run("crate", "--results", joined / "example", "--crate", crate)[0] == 0
    kept = json.loads((crate / "configuration.json").read_text(encoding="utf-8"))
    assert kept["seeds"] == [0, 1, 2, 3]
    assert (
        len(json.loads((crate / "digests.json").read_text(encoding="utf-8"))) == 4 * 5
    )  # seeds, models


def refused(parts) -> str:
    with pytest.raises(UserError) as error:
        joining.join([joining.read_part(path) for path in parts])
    message = str(error.value)
    assert "\n" not in message
    return message


def changed(folder: Path, source: Path, **columns) -> Path:
    shutil.copytree(source, folder)
    models = read_table(folder / "tables", "models")
    write_table(folder / "tables", "models", models.assign(**columns))
    return folder


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"data": "d2"}, "of seed 1 differs from seed 0, 3 in data (d1, d2)"),
        ({"shapes": "s2"}, None),
        ({"code": json.dumps({"train": "c2"})}, None),
        ({"epochs": 4}, "epochs (3, 4)"),
        (
            {"surroundings": VERSIONS.replace("2.14", "2.15")},
            "versions differs in torch (2.14, 2.15)",
        ),
    ],
)
def test_what_differs_is_named(made, tmp_path, columns, said):
    first, second = made[1]
    if said is None:  # what only one of them knows is no difference: both have to say it
        [name] = columns
        value = columns[name].replace("2", "1")
        first = changed(tmp_path / "first", first, **{name: value})
        said = "c1, c2" if name == "code" else "shapes of the weights (s1, s2)"
    message = refused([first, changed(tmp_path / "other", second, **columns)])
    assert said in message
    assert str(tmp_path / "other") in message


def test_other_versions_are_joined_where_that_is_asked_for(made, tmp_path):
    first, second = made[1]
    other = changed(tmp_path / "o", second, surroundings=VERSIONS.replace("2.14", "2.15"))
    parts = [joining.read_part(path) for path in (first, other)]
    assert joining.join(parts, versions_may_differ=True).seeds == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"transfers": {"kd": {"soft": 0.9}}},
            "configuration differs in transfers.kd.soft (0.7, 0.9)",
        ),
        ({"claims": {}}, "claims"),
    ],
)
def test_another_configuration_is_named(made, tmp_path, other, said):
    assert said in refused([made[1][0], part(tmp_path / "b", [1, 2], **other)])


def test_resources_are_of_a_machine_and_no_difference(made, tmp_path):
    other = part(tmp_path / "b", [1, 2], resources={"threads": 2})
    parts = [joining.read_part(path) for path in (made[1][0], other)]
    assert joining.join(parts).experiment.seeds == [0, 1, 2, 3]


def test_a_machine_may_have_its_data_elsewhere(tmp_path):
    """What they are is told by their checksum, and that has to agree."""
    parts = [
        part(tmp_path / name, seeds, data={"source": "npz", "name": "pictures", "path": path})
        for name, seeds, path in (("a", [0, 3], "here/x.npz"), ("b", [1, 2], "there/x.npz"))
    ]
    joined = joining.join([joining.read_part(path) for path in parts])
    assert joined.experiment.data.path == "here/x.npz"
    message = refused([parts[0], changed(tmp_path / "c", parts[1], data="d2")])
    assert "in data (d1, d2)" in message
    silent = [changed(tmp_path / f"silent{p.name}", p, data="") for p in parts]
    assert "configuration differs in data.path (here/x.npz, there/x.npz)" in refused(silent)


def test_parts_of_other_names_are_joined_by_the_name_of_the_first(made, tmp_path):
    """A name says where results go; two parts on one machine cannot have the same."""
    second = part(tmp_path / "b", [1, 2], name="second")
    for path in (second / "tables").glob("*.csv"):
        path.write_text(path.read_text().replace("example,", "second,"))
    assert set(read_table(second / "tables", "models")["experiment"]) == {"second"}
    whole = joining.join([joining.read_part(path) for path in (made[1][0], second)])
    assert whole.experiment.name == "example"
    assert whole.experiment.seeds == [0, 1, 2, 3]
    for name in ("models", "history"):
        assert set(whole.tables[name]["experiment"]) == {"example"}


LOOKS = {"looks": {"at": [2, 4]}}


def test_with_looks_the_plan_says_which_seeds_come_first(made, tmp_path):
    """Were it the seeds that are there, another seed would make it another look."""
    two, last = (
        part(tmp_path / name, seeds, **LOOKS) for name, seeds in (("a", [1, 3]), ("b", [0]))
    )
    message = refused([two, last])
    assert message.startswith("--plan: `looks` take the first seeds of all that were planned")
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(STUDY | LOOKS | {"seeds": [3, 1, 0, 2], "name": "all"}))
    into = tmp_path / "joined"
    ended = script_runs.run("join", two, last, "--into", into, "--plan", plan)
    assert ended.status == 0, ended.said
    kept = yaml.safe_load((into / "example/tables/configuration.yaml").read_text())
    assert kept["seeds"] == [3, 1, 0, 2]
    [row] = read_table(into / "example/tables", "claims").to_dict("records")
    assert (row["look"], row["seeds"]) == (1, 2)
    other = yaml.safe_dump(STUDY | LOOKS | {"seeds": [3, 1, 2]})
    for text, said in (
        (other, f"{last / 'tables'}: has seed 0, which is none of the plan's"),
        (other.replace("0.7", "0.6"), "same study as the plan: configuration differs in transfers"),
    ):
        plan.write_text(text)
        ended = script_runs.run("join", two, last, "--into", tmp_path / "no", "--plan", plan)
        assert ended.status == 1
        assert said in ended.said.splitlines()[-1]
        assert not (tmp_path / "no").exists()


def test_parts_that_all_say_the_whole_plan_keep_its_order(tmp_path):
    parts = [part(tmp_path / "a", [3, 1], **LOOKS), part(tmp_path / "b", [2], **LOOKS)]
    for folder in parts:
        values = yaml.safe_dump(STUDY | LOOKS | {"seeds": [3, 1, 0, 2]})
        (folder / "tables/configuration.yaml").write_text(values)
    whole = joining.join([joining.read_part(path) for path in parts])
    assert whole.experiment.seeds == [3, 1, 0, 2]


def test_a_seed_counts_once(made, tmp_path):
    message = refused([made[1][0], part(tmp_path / "b", [2, 3])])
    assert "has seed 3, and" in message


def test_a_part_that_lacks_a_table(made, tmp_path):
    shutil.copytree(made[1][1], tmp_path / "b")
    (tmp_path / "b/tables/predictions.parquet").unlink()
    assert "has no predictions.parquet, and" in refused([made[1][0], tmp_path / "b"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("configuration.yaml", "has no configuration.yaml"),
        ("models.csv", "no models.csv with results here"),
    ],
)
def test_a_folder_that_is_no_part(made, tmp_path, name, said):
    shutil.copytree(made[1][1], tmp_path / "b")
    (tmp_path / "b/tables" / name).unlink()
    assert said in refused([made[1][0], tmp_path / "b"])


def test_a_seed_that_its_configuration_has_not(made, tmp_path):
    shutil.copytree(made[1][1], tmp_path / "b")
    path = tmp_path / "b/tables/configuration.yaml"
    path.write_text(yaml.safe_dump(STUDY | {"seeds": [1]}))
    assert "has seed 2, which is none of seeds" in refused([made[1][0], tmp_path / "b"])


def test_the_parts_are_not_written_over(made, tmp_path):
    shutil.copytree(made[1][0], tmp_path / "example")
    ended = script_runs.run("join", tmp_path / "example", "--into", tmp_path)
    assert ended[0] == 1
    assert "--into" in str(ended)


def test_a_folder_with_more_seeds_than_the_parts_is_not_written_over(made, tmp_path):
    folder, parts = made
    into = tmp_path / "joined"
    shutil.copytree(folder / "whole", into / "example")
    before = (into / "example/tables/models.csv").read_bytes()
    ended = script_runs.run("join", parts[0], "--into", into)
    assert ended.status == 1
    last = ended.said.splitlines()[-1]
    assert last.startswith(
        f"error: --into: {into / 'example/tables'}: has seed 1, which no part has;"
    )
    assert (into / "example/tables/models.csv").read_bytes() == before


def test_a_folder_of_another_study_or_of_none_is_not_written_over(made, tmp_path):
    into = tmp_path / "joined"
    part(into / "example", [0, 3], transfers={"kd": {"soft": 0.1}})
    tables = into / "example/tables"
    before = (tables / "models.csv").read_bytes()
    ended = script_runs.run("join", *made[1], "--into", into)
    assert "configuration differs in transfers.kd.soft (0.1, 0.7); give another" in ended.said
    (tables / "configuration.yaml").unlink()
    ended = script_runs.run("join", *made[1], "--into", into)
    assert ended.said.strip() == (
        f"error: --into: {tables}: has tables and no configuration.yaml; give another folder"
    )
    assert (tables / "models.csv").read_bytes() == before


@pytest.mark.slow
def test_a_join_that_was_broken_off_is_done_again(made, tmp_path):
    into = tmp_path / "joined"
    assert script_runs.run("join", made[1][0], "--into", into).status == 0
    tables = into / "example/tables"
    # Its second time: the configuration and some of the tables were there.
    whole = yaml.safe_dump(STUDY)
    (tables / "configuration.yaml").write_text(whole)
    shutil.copy(made[0] / "whole/tables/models.csv", tables)
    (tables / "predictions.parquet").unlink()
    assert script_runs.run("join", *made[1], "--into", into).status == 0
    assert read_table(tables, "claims")["seeds"].tolist() == [4]


@pytest.mark.slow
def test_what_fewer_parts_left_is_replaced_and_what_none_has_goes(made, tmp_path):
    into = tmp_path / "joined"
    assert script_runs.run("join", made[1][0], "--into", into).status == 0
    assert (into / "example/tables/predictions.parquet").exists()
    without = [tmp_path / name for name in ("a", "b")]
    for source, folder in zip(made[1], without, strict=True):
        shutil.copytree(source, folder)
        (folder / "tables/predictions.parquet").unlink()
        (folder / "tables/history.csv").unlink()
    # As long tables are committed.
    history = into / "example/tables/history.csv"
    with gzip.open(f"{history}.gz", "wb") as packed:
        packed.write(history.read_bytes())
    history.unlink()
    assert script_runs.run("join", *without, "--into", into).status == 0
    assert not list(history.parent.glob("history.csv*"))
    tables = into / "example/tables"
    assert not (tables / "predictions.parquet").exists()
    claims = read_table(tables, "claims")
    assert claims["seeds"].tolist() == [4]
    assert claims["mcnemar_p"].isna().all(), "of answers that no part has"


def test_a_part_that_does_not_say_what_it_is_of(made, tmp_path):
    silent = changed(tmp_path / "b", made[1][1], data="")
    message = refused([made[1][0], silent])
    assert message.startswith(f"{silent / 'tables'}: models.csv does not say `data`, and that of")


def test_a_seed_in_any_table_that_the_configuration_has_not(made, tmp_path):
    shutil.copytree(made[1][1], tmp_path / "b")
    history = read_table(tmp_path / "b/tables", "history")
    write_table(tmp_path / "b/tables", "history", history.assign(seed=history["seed"] + 7))
    assert "history.csv has seed 8, which is none of seeds" in refused([tmp_path / "b"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds nothing, and not the sections of a configuration"),
        ("- a\n", "holds a list, and not the sections of a configuration"),
        ("name: 2020-13-45\n", "not YAML that can be read"),
        ("seeds: &a [*a]\n", "not YAML that can be read"),
    ],
)
def test_a_configuration_that_is_none(made, tmp_path, text, said):
    shutil.copytree(made[1][1], tmp_path / "b")
    (tmp_path / "b/tables/configuration.yaml").write_text(text)
    message = refused([tmp_path / "b"])
    assert message.startswith(f"{tmp_path / 'b/tables/configuration.yaml'}: ")
    assert said in message


def test_nowhere_is_no_folder(made, capsys):
    ended = script_runs.run("join", *made[1], "--into", "")
    assert ended.status == 1
    assert (
        ended.said.strip() == "error: --into: found nothing; give a folder for the joined results"
    )


def test_times_are_those_of_one_seed_on_each_machine(made, tmp_path):
    parts = []
    for number, source in enumerate(made[1]):
        folder = tmp_path / str(number)
        shutil.copytree(source, folder)
        seed = int(read_table(folder / "tables", "models")["seed"].min())
        rows = [
            {"dataset": "pictures", "seed": seed, "lineage": "student", "format": "onnx",
             "machine": machine, "threads": 1, "batch": 1, "median_ms": ms + 10 * number,
             "p5_ms": ms, "p95_ms": ms}
            for machine, ms in (("both", 1.0), (f"own{number}", 2.0))
        ]  # fmt: skip
        write_table(folder / "tables", "latency", pd.DataFrame(rows))
        parts.append(joining.read_part(folder))
    latency = joining.join(parts).tables["latency"]
    assert dict(zip(latency["machine"], latency["median_ms"], strict=True)) == {
        "both": 1.0, "own0": 2.0, "own1": 12.0,
    }  # fmt: skip
