"""Pages of reference studies say what the tables beside them say."""

import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1] / "results" / "reference"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[+-]?\d+\.?\d*", text)]


def test_the_page_of_files_for_devices_is_its_table():
    text = (ROOT / "deploy/README.md").read_text(encoding="utf-8")
    table = pd.read_csv(ROOT / "deploy/tables/devices.csv")
    lines = [cells(line) for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(lines) == len(table)
    for line, row in zip(lines, table.itertuples(), strict=True):
        assert line[:2] == [row.name, row.format]
        shares = (row.accuracy, row.accuracy_low, row.accuracy_high)
        assert numbers(line[2]) == [round(100 * share, 1) for share in shares]
        if row.format != "torch":
            lost = (row.lost, row.lost_low, row.lost_high)
            assert numbers(line[3]) == [round(100 * share, 2) for share in lost]
        assert numbers(line[4]) == [round(row.file_bytes / 1000)]
        assert numbers(line[5]) == [round(row.median_ms, 3)]
        assert numbers(line[6]) == [round(row.batch_ms, 2)]
        assert numbers(line[7]) == [round(row.peak_memory_mb)]


def test_what_the_page_of_files_for_devices_concludes_is_in_its_table():
    text = " ".join((ROOT / "deploy/README.md").read_text(encoding="utf-8").split())
    table = pd.read_csv(ROOT / "deploy/tables/devices.csv").set_index(["name", "format"])
    files = table.drop(index="torch", level="format")
    [most] = re.findall(r"No file loses more than ([\d.]+) points", text)
    assert float(most) == round(100 * files["lost_high"].max(), 2)
    away = files[(files["lost_low"] > 0) | (files["lost_high"] < 0)]
    assert away.index.tolist() == [("assistant@kd", "executorch-int8")]
    integers = files[files.index.get_level_values("format").str.endswith("int8")]["agreement"]
    [agreed] = re.findall(r"those of eight bits on ([\d.]+) to ([\d.]+) %", text)
    assert [*map(float, agreed)] == [
        round(100 * share, 1) for share in (min(integers), max(integers))
    ]
    times = table["median_ms"]["chain"]
    [times_less] = re.findall(r"(\d+) times less", text)
    assert int(times_less) == round(times["torch"] / times["onnx"])
    assert times["onnx"] > table["median_ms"]["teacher"]["onnx"]
    # Integers: slower under ONNX Runtime than floats, faster under ExecuTorch.
    assert times["onnx-int8"] > times["onnx"]
    assert times["executorch-int8"] < times["executorch"]
    short = (ROOT.parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"eight bits cost at most {most} points" in short
    assert f"the student is {times_less} times as fast as in PyTorch" in short


def origins(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / f"origins/tables/{name}.csv")


def test_the_page_of_a_given_model_is_its_tables():
    text = (ROOT / "origins/README.md").read_text(encoding="utf-8")
    rows = [cells(line) for line in text.splitlines() if line.startswith("| ")]
    models, claims = rows[1:8], rows[9:]
    for line, row in zip(models, origins("chains").itertuples(), strict=True):
        assert numbers(line[1].replace(",", "")) == [row.parameters]
        shares = [row.accuracy, row.accuracy_low, row.accuracy_high]
        told = shares[:1] if row.lineage == "teacher" else shares
        assert numbers(line[2]) == [pytest.approx(100 * share, abs=0.0501) for share in told]
    for line, row in zip(claims, origins("claims").itertuples(), strict=True):
        assert line[0] == row.claim.replace("_", " ")
        told = (row.estimate, row.low, row.high)
        assert numbers(line[1]) == [round(100 * share, 2) for share in told]
        assert numbers(line[2]) == [round(row.p_holm, 3)]
        assert line[3] == row.verdict


def test_what_the_page_of_a_given_model_concludes_is_in_its_tables():
    text = " ".join((ROOT / "origins/README.md").read_text(encoding="utf-8").split())
    claims = origins("claims").set_index("claim")
    [most] = re.findall(r"no room for a gain of more than ([\d.]+) points", text)
    assert float(most) == round(100 * claims.loc["three_steps_beat_one", "high"], 2)
    chains = origins("chains").set_index("chain")
    width = chains["accuracy_high"] - chains["accuracy_low"]
    assert 2.5 < width["distilled"] / width[["one-step", "three-steps"]].mean() < 3.5
    assert len(set(chains["parameters"].loc["scratch":])) == 1
    models = origins("models").drop_duplicates(["lineage", "seed"])
    assert len(models) == 35
    assert round(models["processor_seconds"].sum() / 60) == 68
    short = (ROOT.parents[1] / "README.md").read_text(encoding="utf-8").replace("−", "-")
    for claim in ("pruning_beats_a_fresh_network", "three_steps_beat_one"):
        row = claims.loc[claim]
        told = "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * row[["estimate", "low", "high"]]))
        assert told in short


def test_the_page_of_eyes_is_its_tables():
    text = (ROOT / "eyes/README.md").read_text(encoding="utf-8")
    rows = [cells(line) for line in text.splitlines() if line.startswith("| ")]
    claims = pd.read_csv(ROOT / "eyes/tables/claims.csv")
    told = {row[0]: row for row in rows}
    for row in claims.itertuples():
        _, difference, verdict = told[row.claim.replace("_", " ")]
        shares = (row.estimate, row.low, row.high)
        assert numbers(difference) == [round(100 * share, 2) for share in shares]
        assert verdict == row.verdict
    table = pd.read_csv(ROOT / "eyes/tables/selection_summary.csv")
    table = table.set_index(["selector", "situation", "method"]).sort_index()
    situations = ("seen", "unseen", "everywhere", "clean")
    shown = [row for row in rows if row[0].endswith((", picks", ", weighs"))]
    assert len(shown) == len(set(table.index.get_level_values("selector"))) == 9
    for row in shown:
        name = row[0].split("`")[1]
        for cell, situation in zip(row[1:], situations, strict=True):
            own, rival = (
                table.loc[(name, situation, method)] for method in ("selector", "chosen_baseline")
            )
            half = 50 * (own["accuracy_high"] - own["accuracy_low"])
            over = 100 * (own["accuracy"] - rival["accuracy"])
            expected = [100 * own["accuracy"], half, over]
            assert numbers(cell) == [pytest.approx(n, abs=0.0501) for n in expected]
    pairs = pd.read_csv(ROOT / "eyes/tables/verification.csv")
    pairs = pairs[pairs["recognisers"] == '{"iris":"teacher","periocular":"teacher"}']
    methods = {
        "periocular alone": "always_periocular", "iris alone": "always_iris",
        "sum of similarities": "sum_rule", "logistic fusion": "logistic_fusion",
        "the larger probability": "largest_probability",
    }  # fmt: skip
    checked = 0
    for row in rows:
        name = row[0].strip("`")
        own = pairs[(pairs["method"] == methods.get(name)) | (pairs["selector"] == name)]
        if own.empty or " / " not in row[1]:
            continue
        own = own.drop_duplicates("situation").set_index("situation")
        for cell, situation in zip(row[1:], situations, strict=True):
            found = own.loc[situation]
            expected = [100 * found["eer"], 100 * found["fnmr"]]
            assert numbers(cell) == [
                pytest.approx(expected[0], abs=0.0501), pytest.approx(expected[1], abs=0.501)
            ]  # fmt: skip
        checked += 1
    assert checked == 8
    models = pd.read_csv(ROOT / "eyes/tables/chains.csv")
    for row in models.itertuples():
        assert f"{100 * row.accuracy:.1f} ± " in " ".join(told[row.dataset])
    short = (ROOT.parents[1] / "README.md").read_text(encoding="utf-8").replace("−", "-")
    for claim in (
        "gate_beats_baseline_on_unseen_degradations",
        "gate_costs_nothing_on_clean_inputs",
    ):
        row = claims.set_index("claim").loc[claim]
        assert (
            "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * row[["estimate", "low", "high"]])) in short
        )
