"""Pages of reference studies say what the tables beside them say."""

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from scipy import stats

from modelswitch.config.experiment import load
from modelswitch.data.arrays import COPIES
from modelswitch.results import joining
from modelswitch.results.looks import Schedule
from modelswitch.results.table_files import read_table
from modelswitch.results.tables import Tables
from modelswitch.results.verdicts import assess

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
    pairs = pd.read_csv(ROOT / "eyes/tables/verification_summary.csv")
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


SEARCH = ROOT / "search"
WHOLE = 9  # epochs of a training


def searched_steps(arm: str) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((SEARCH / "search" / arm).iterdir())]


def on_rungs(arm: str) -> list[dict[str, float]]:
    """On each rung, accuracy by chain, the best first."""
    steps = searched_steps(arm)
    names = {trial["number"]: trial["lineage"] for step in steps for trial in step["trials"]}
    rungs: list[dict[str, float]] = [{}, {}, {}]
    scores = [score for step in steps for score in step["scores"]]
    for score in sorted(scores, key=lambda score: -score["accuracy"]):
        rungs[score["rung"]][names[score["number"]]] = score["accuracy"]
    return rungs


def search_page() -> tuple[str, list[list[str]]]:
    text = (SEARCH / "README.md").read_text(encoding="utf-8")
    return " ".join(text.split()), [cells(line) for line in text.splitlines() if line[:1] == "|"]


def test_the_page_of_a_search_is_its_tables():
    text, rows = search_page()
    final = pd.read_csv(SEARCH / "search/search_final.csv")
    for line, row in zip(rows[2:6], final.itertuples(), strict=True):
        assert line[:2] == [row.role, f"`{row.lineage}`"]
        assert numbers(line[2].replace(",", "")) == [row.parameters]
        told = [row.searched] if row.searched == row.searched else []
        assert numbers(line[3]) == [round(100 * share, 2) for share in told]
        assert numbers(line[4]) == [round(100 * row.validation, 2)]
        shares = (row.test, row.test_low, row.test_high)
        assert numbers(line[5]) == [pytest.approx(100 * share, abs=0.00501) for share in shares]
        gains = (row.winner_gains, row.winner_gains_low, row.winner_gains_high)
        told = gains if row.role != "winner" else ()
        assert numbers(line[6]) == [pytest.approx(100 * share, abs=0.00501) for share in told]
    assert set(final["seeds"]) == {3}
    own = final.set_index("role")
    less = 100 * (own["searched"] - own["test"])
    assert "is {:.2f} points for the winner, {:.2f} for random".format(*less[:2]) in text
    gone = 100 * (own["searched"] - own["validation"])
    assert "{:.2f} and {:.2f} are gone".format(*gone[:2]) in text
    images = 100 * (own["validation"] - own["test"])
    assert "have it too ({:.2f} and {:.2f})".format(*sorted(images[2:])) in text
    assert "by 0.48 points [0.38, 0.58]" in text
    assert own.loc["random search", "winner_gains_low"] > 0
    for role in ("best own chain", "from scratch"):
        assert own.loc[role, "winner_gains_low"] < 0 < own.loc[role, "winner_gains_high"]
    short = (ROOT.parents[1] / "README.md").read_text(encoding="utf-8").replace("−", "-")
    for role in ("random search", "from scratch"):
        gains = own.loc[role, ["winner_gains", "winner_gains_low", "winner_gains_high"]]
        assert "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * gains)) in short


def test_what_the_page_of_a_search_says_was_surprising_is_in_its_steps():
    text, _ = search_page()
    fresh = "teacher/plain3-w10-d1@kd-soft0.7-temperature2-correctness-delta0.1"
    pruned = "/pruned-0.1@"
    found = {arm: on_rungs(arm) for arm in ("guided", "random")}
    for rungs in found.values():
        assert [len(rung) for rung in rungs] == [108, 36, 12]
    lowest, _, top = found["guided"]
    assert all(chain.startswith(f"teacher{pruned}") for chain in list(lowest)[:11])
    counts = {arm: sum(pruned in chain for chain in rungs[0]) for arm, rungs in found.items()}
    assert f"{counts['guided']} of its 108 students" in text
    assert f"({counts['random']} of random search's)" in text
    assert [chain for chain in top if pruned not in chain] == [fresh]
    assert next(iter(top)) == fresh
    best = 100 * list(top.values())[1]
    assert f"at most {best:.1f} % against {100 * top[fresh]:.1f} %" in text
    assert f"{list(lowest).index(fresh) + 1}th after one epoch" in text
    lowest, _, top = found["random"]
    assert f"had been {list(lowest).index(next(iter(top))) + 1}th" in text
    common = set(found["guided"][0]) & set(found["random"][0])
    assert f"{len(common)} students in common" in text
    designs = json.loads((SEARCH / "search/designs.json").read_text())["designs"]
    times = {name: each["latency_ms"] for name, each in designs.items()}
    assert max(time for time in times.values() if time < math.inf) < 0.09
    assert (round(times["plain3-w10-d1"], 3), round(times["student"], 3)) == (0.048, 0.027)
    assert {designs[name]["parameters"] for name in ("plain3-w10-d1", "student")} == {9640}
    configuration = load(yaml.safe_load((SEARCH / "tables/configuration.yaml").read_text()))
    assert f"{configuration.choices.size:,} paths" in text
    models = pd.read_csv(SEARCH / "tables/models.csv")
    [teacher] = set(models[models["lineage"] == "teacher"]["parameters"])
    assert f"a teacher of {teacher:,} parameters" in text


def test_what_sharing_and_rungs_saved_is_counted_from_every_student():
    text, rows = search_page()
    trials = pd.read_csv(SEARCH / "search/search_trials.csv")
    own = trials[trials["arm"] == "guided"]
    above = own["lineage"].str.count("/")
    shared = {chain.rsplit("/", 1)[0] for chain in own["lineage"]} | {"teacher"}
    ends = {1: 1, 2: 3, 3: 9}
    students = own["epochs"].sum()
    anew = own["rung"].map({rung: sum(list(ends.values())[:rung]) for rung in ends})
    counted = [
        (own["rung"].sum() + len(shared), students + WHOLE * len(shared)),
        ((own["rung"] * (1 + above)).sum(), (anew + WHOLE * own["rung"] * above).sum()),
        ((1 + above).sum(), (WHOLE * (1 + above)).sum()),
    ]
    for line, expected in zip(rows[-3:], counted, strict=True):
        assert [int(cell.replace(",", "")) for cell in line[1:]] == list(expected)
    less = [round(100 * (1 - counted[0][1] / epochs)) for _, epochs in counted[1:]]
    assert "{} and {} % of the epochs".format(*less) in text
    assert f"would be {WHOLE * len(own)} epochs instead of {students}" in text
    alone = WHOLE * above.sum()
    assert f"for each student alone {alone:,} instead of {WHOLE * len(shared)}" in text
    said = (SEARCH / "search/summary.md").read_text(encoding="utf-8")
    for trained, epochs in counted:
        assert f"{trained} trainings and {epochs} epochs" in said


def test_what_pages_say_of_a_gpu_is_in_its_table():
    kept = json.loads((ROOT / "gpu/gpu.json").read_text(encoding="utf-8"))
    assert "H100" in kept["machine"]["gpu"]
    parts = {part["name"]: part for part in kept["parts"]}
    rates = {
        figure["name"]: figure["value"] for part in parts.values() for figure in part["figures"]
    }
    live, stored = (rates[f"batch 128: {name}"] for name in ("live teacher", "stored responses"))
    [before] = [note for note in parts["steps"]["notes"] if "before steps were recorded" in note]
    old_live, old_stored = (
        float(re.findall(rf"{name} ([\d,]+)", before)[0].replace(",", ""))
        for name in ("live teacher", "stored responses")
    )
    docs = ROOT.parents[1] / "docs"
    text = " ".join((docs / "training.md").read_text(encoding="utf-8").split())
    assert f"from {old_live:,.0f} to {live:,.0f} images a second" in text
    assert f"from {old_stored:,.0f} to {stored:,.0f} (" in text
    faster = [
        f"{rates[f'batch 128: {name} / torchdistill, float32']:.1f}"
        for name in ("live teacher", "stored responses")
    ]
    short = (ROOT.parents[1] / "README.md").read_text(encoding="utf-8")
    [row] = [line for line in short.splitlines() if line.startswith("| [speed]")]
    assert row.endswith(f"; {', '.join(faster)} |")
    on_a_core = json.loads((ROOT / "bench/parts/step.json").read_text(encoding="utf-8"))
    ratios = [figure["value"] for figure in on_a_core["figures"][:2]]
    assert f"{ratios[0]:.1f} times as fast as torchdistill's, {ratios[1]:.2f} with" in row
    changes = (ROOT.parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    assert round(live / old_live) == 9
    assert "nine times as many images a second" in " ".join(changes.split())
    [before] = [note for note in parts["sharing"]["notes"] if "before steps were recorded" in note]
    one, _, four = (
        float(rate.replace(",", "")) for rate in re.findall(r"k = \d: ([\d,]+\d)", before)
    )
    text = " ".join((docs / "cluster.md").read_text(encoding="utf-8").split())
    gained = {round(rates[f"k = {k}: over k = 1"], 1) for k in (2, 4)}
    assert gained == {1.2}
    assert "two or four together did 1.2 times as many images a second as one" in text
    assert f"four did {four / one:.1f} times as many" in text


def test_what_scale_says_is_measured_or_worked_out_from_that():
    part = json.loads((ROOT / "bench/parts/on_disk.json").read_text(encoding="utf-8"))
    assert part["title"].startswith("200,000 images of 224 x 224")
    disk = {figure["name"]: figure for figure in part["figures"]}
    kept = json.loads((ROOT / "gpu/gpu.json").read_text(encoding="utf-8"))
    card = {f["name"]: f["value"] for each in kept["parts"] for f in each["figures"]}
    text = (ROOT.parents[1] / "docs/scale.md").read_text(encoding="utf-8")
    rows = {row[0]: row[1:] for row in map(cells, text.splitlines()) if len(row) > 1}

    def value(name: str) -> float:
        return disk[name]["value"]

    preparing = value("preparing as JPEG: images a second")
    decoding = value("decoding: images a second of a core")
    memory, raw, jpeg = (
        value(name)
        for name in (
            "steps in memory: images a second",
            "steps, raw on disk, of those in memory",
            "steps, jpeg on disk, of those in memory",
        )
    )
    peak = value("preparing: peak memory")
    for row, measured in {
        "preparing as JPEG, one thread: images a second": f"{preparing:,.0f}",
        "its peak memory": f"{peak:.2f} GB",
        "training from that file, its peak memory": (
            f"{value('training from JPEG: peak memory'):.2f} GB"
        ),
        "images a second of one core, in memory": f"{memory:,.0f}",
        "raw on disk, of that": f"{raw:.0f} %",
        "JPEG on disk, of that": f"{jpeg:.0f} %",
        "decoding alone: images a second of one core": f"{decoding:,.0f}",
    }.items():
        assert rows[row] == [measured]
    pixels, images = 224 * 224 * 3, 1_281_167 + 50_000
    for row, side in (("224 × 224 in memory (`keep: auto`, half of it free)", 224),
                      ("32 × 32 in memory, the same", 32)):  # fmt: skip
        held = [round(gigabytes * 1e9 / 2 / COPIES / (3 * side**2)) for gigabytes in (16, 64, 512)]
        assert rows[f"images of {row}"] == [f"{count:,}" for count in held]
    [prepared] = re.findall(r"prepared ([\d.]+) GB", part["notes"][0])
    each = float(prepared) * 1e9 / 200_000
    assert rows["disk, `stored: jpeg`"][0] == f"{images * each / 1e9:.0f} GB"
    assert rows["disk, `stored: raw`"][0].startswith(f"{images * pixels / 1e9:.0f} GB, ")
    assert rows["preparing, one thread"][0] == f"{images / preparing / 3600:.1f} hours"
    more = (images - 200_000) * 1500 / 1e9
    assert rows["memory of preparing"][0] == f"{peak + more:.1f} GB"
    slow = 1_281_167 / (memory * jpeg / 100) / 3600
    assert rows["an epoch of the small network above, one core"][0] == f"{slow:.1f} hours"
    # Multiplications of a forward pass, in millions: ours as counted, torchvision's by torch.
    cost = {"ResNet-50": 4089.2, "ResNet-34": 3663.8, "ResNet-18": 1814.1, "MobileNetV2": 300.8}
    twenty = 40.551
    a_second = 3 * twenty * card["batch 128: stored responses"]
    assert f"{a_second / 1e6:.1f} T multiplications a second" in text
    trainings = {name: row for name, row in rows.items() if name.split(" ")[0] in cost}
    assert len(trainings) == 4
    for name, row in trainings.items():
        student, _, teacher = name.partition(" under ")
        total = 3 * cost[student.split()[0]] + cost.get(teacher, 0)
        rate = a_second / total
        hours = 90 * 1_281_167 / rate / 3600
        assert [numbers(cell.replace(",", ""))[0] for cell in row] == [
            pytest.approx(found, abs=0.51 * 10**-digits)
            for found, digits in (
                (total / 1000, 1), (rate, 0), (hours, 0), (hours / 8, 0),
                (math.ceil(rate / decoding), 0),
            )
        ]  # fmt: skip


def methods_tables(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / f"methods/tables/{name}.csv")


def test_the_page_of_all_methods_is_its_tables():
    text = (ROOT / "methods/README.md").read_text(encoding="utf-8")
    rows = {row[0].strip("`"): row[1:] for row in map(cells, text.splitlines()) if len(row) > 3}
    chains = methods_tables("chains").dropna(subset=["chain"]).set_index("chain")
    claims = methods_tables("claims")
    over_kd = claims[claims["than"] == "kd"].set_index("better")
    assert len(chains) == 20
    assert len(over_kd) == 16
    for chain, row in chains.iterrows():
        accuracy, difference, p, verdict, seconds = rows[chain]
        shares = row[["accuracy", "accuracy_low", "accuracy_high"]]
        assert numbers(accuracy) == [pytest.approx(100 * share, abs=0.0501) for share in shares]
        times = row["processor_seconds"] / chains.loc["kd", "processor_seconds"]
        assert numbers(seconds) == [pytest.approx(times, abs=0.0501)]
        if chain in over_kd.index:
            claim = over_kd.loc[chain]
            assert numbers(difference) == [
                pytest.approx(100 * share, abs=0.00501)
                for share in claim[["estimate", "low", "high"]]
            ]
            shown = "< 0.001" if claim["p_holm"] < 0.001 else f"{claim['p_holm']:.3f}"
            assert p == shown
            assert verdict == claim["verdict"]
    for claim in claims[claims["than"] != "kd"].itertuples():
        difference, p, verdict = rows[claim.claim.replace("_", " ")]
        told = [round(100 * share, 2) for share in (claim.estimate, claim.low, claim.high)]
        assert numbers(difference) == told
        assert verdict == claim.verdict


def test_what_the_page_of_all_methods_concludes_is_in_its_tables():
    text = " ".join((ROOT / "methods/README.md").read_text(encoding="utf-8").split())
    chains = methods_tables("chains").dropna(subset=["chain"]).set_index("chain")
    claims = methods_tables("claims")
    over_kd = claims[claims["than"] == "kd"].set_index("better")
    taught = chains.drop(index=["scratch", "smoothing", "tf-kd"])
    assert not (taught["gain_low"] > 0).any(), "no method beats training without a teacher"

    def gain(name: str) -> str:
        shares = chains.loc[name, ["gain", "gain_low", "gain_high"]]
        return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * shares))

    best = taught["accuracy"].idxmax()
    assert f"The best of them, `{best}`, is {gain(best)} points over `scratch`" in text
    assert f"plain distillation is {gain('kd')}" in text
    for control in ("tf-kd", "smoothing"):
        assert f"`{control}` {gain(control)}" in text
        assert chains.loc[control, "accuracy"] > taught["accuracy"].max()
    assert not ((over_kd["p_holm"] < 0.05) & (over_kd["estimate"] > 0)).any()
    assert not (over_kd["verdict"] == "supported").any()
    assert "and none does by its own interval" in text
    below = taught["gain_high"] < 0
    assert below.sum() == 12
    assert "twelve methods are below `scratch`" in text
    models = methods_tables("models")
    died = models[models["at_chance"].astype(bool)]
    assert set(died["lineage"]) == {"wide/thin@multi-level"}
    assert set(died["seed"]) == set(models["seed"])
    assert pytest.approx(400) == (128 / 10) ** 2 / (64 / 100) ** 2
    times = chains["processor_seconds"] / chains.loc["kd", "processor_seconds"]
    others = times.drop("review")
    assert f"takes {times['review']:.1f} times as long" in text
    assert f"others up to {others.max():.1f} times (`{others.idxmax()}`)" in text
    once = models.drop_duplicates(["lineage", "seed"])
    assert f"{once['processor_seconds'].sum() / 60:.0f} minutes of one core" in text
    assert f"for {len(once)} trainings" in text
    planned = load(yaml.safe_load((ROOT.parents[1] / "config/benchmark-thin.yaml").read_text()))
    assert set(models["seed"]) == set(planned.seeds)
    assert f"Seeds 0 to {len(planned.seeds) - 1}, " in text
    short = (ROOT.parents[1] / "README.md").read_text(encoding="utf-8").replace("−", "-")
    [row] = [line for line in short.splitlines() if "methods/README.md" in line]
    assert f"over training alone {gain(best)}" in row


def test_the_page_of_the_search_behind_the_claims_is_its_table():
    text = (ROOT / "claims-search/README.md").read_text(encoding="utf-8")
    models = pd.read_csv(ROOT / "claims-search/tables/models.csv")
    assert set(models["split"]) == {"validation"}
    found = models.set_index("lineage")["accuracy"]
    assert f"{len(found)} trainings of 20 or 40 epochs" in text

    def of(*lineages: str) -> list[float]:
        return [round(100 * found[lineage], 1) for lineage in lineages]

    behind = "teacher/assistant@hints/student@hints"
    long = ("long_teacher", "long_teacher/long_student@hints",
            "long_teacher/long_assistant@hints/long_student@hints")  # fmt: skip
    expected = [
        of("teacher/student@kd-soft0.9-temperature4"),
        of("teacher/student@kd-soft0.5-temperature4"),
        of(*(f"teacher/student@kd-soft0.5-temperature{t}" for t in (2, 8))),
        of(*(f"teacher/assistant@hints-weight{w}" for w in (0.1, 1.0, 10.0))),
        of(*(f"teacher/assistant@deep-weight{w}" for w in (0.1, 1.0))),
        of(*(f"{behind}-weight{w}-scheduleconstant" for w in (0.1, 1.0, 10.0))),
        of(*(f"{behind}-weight{w}-schedulelinear" for w in (0.1, 1.0, 10.0))),
        of("teacher/assistant@every/student@every"),
        of("teacher/assistant@hints/smaller@hints/student@hints",
           "teacher/smaller@hints/student@hints"),
        of(*(f"teacher/assistant@hints/{which}_student@hints" for which in ("slow", "fast"))),
        of(*long),
        of("teacher", "teacher/student@hints", behind),
    ]  # fmt: skip
    rows = [cells(line) for line in text.splitlines() if line.startswith("| ")][1:]
    assert [numbers(row[1]) for row in rows] == expected
    [told] = re.findall(r"\((\d\d\.\d), then\n?\s*(\d\d\.\d)\)", text)
    assert [float(one) for one in told] == of("student", "long_student")
    [twice] = re.findall(r"ended at (\d\d\.\d) and (\d\d\.\d)\.", text)
    assert sorted(map(float, twice)) == sorted(
        of("teacher/assistant@hints", "teacher/assistant@hints-weight1.0")
    )
    # What was chosen is what the studies have.
    for study in ("little", "full", "augmented", "fashion", "plain"):
        transfers = load(
            yaml.safe_load((ROOT.parents[1] / f"config/claims-{study}.yaml").read_text()), study
        ).transfers
        assert {transfer.soft for transfer in transfers.values()} <= {0.5, 0.1}
        [hint] = transfers["hints"].hints
        assert (hint.stages, hint.weight, hint.schedule) == (True, 1.0, "linear")


@pytest.mark.parametrize(
    "study", sorted(path.parents[1].name for path in ROOT.glob("claims-*/tables/claims.csv"))
)
def test_pages_of_the_studies_of_claims_are_their_tables(study):
    text = (ROOT / study / "README.md").read_text(encoding="utf-8")
    chains = pd.read_csv(ROOT / study / "tables/chains.csv")
    claims = pd.read_csv(ROOT / study / "tables/claims.csv")
    rows = {row[0].strip("`"): row[1:] for row in map(cells, text.splitlines()) if len(row) > 3}
    for row in chains.itertuples():
        parameters, layers, accuracy, gain = rows[
            row.lineage if row.chain != row.chain else row.chain
        ]
        assert numbers(parameters.replace(",", "")) == [row.parameters]
        assert numbers(layers) == [row.depth]
        half = (row.accuracy_high - row.accuracy_low) / 2
        assert numbers(accuracy) == [
            pytest.approx(100 * share, abs=0.0501) for share in (row.accuracy, half)
        ]
        told = [] if math.isnan(row.gain) else [row.gain, row.gain_low, row.gain_high]
        assert numbers(gain) == [pytest.approx(100 * share, abs=0.00501) for share in told]
    for claim in claims.itertuples():
        difference, verdict, p = rows[claim.claim.replace("_", " ")]
        assert numbers(difference) == [
            pytest.approx(100 * share, abs=0.00501)
            for share in (claim.estimate, claim.low, claim.high)
        ]
        assert verdict == claim.verdict
        assert p == ("< 0.001" if claim.p_holm < 0.001 else f"{claim.p_holm:.3f}")


def test_what_the_page_of_networks_without_normalisation_concludes_is_in_its_tables():
    text = " ".join((ROOT / "claims-plain/README.md").read_text(encoding="utf-8").split())
    folder = ROOT / "claims-plain/tables"
    chains = pd.read_csv(folder / "chains.csv")
    lineages = dict(zip(chains["chain"].fillna(chains["lineage"]), chains["lineage"], strict=True))
    models = pd.read_csv(folder / "models.csv")
    tested = models[models["split"] == "test"].pivot(
        index="seed", columns="lineage", values="accuracy"
    )
    for better, than in (
        ("chain-fit", "direct-fit"), ("chain", "direct"), ("chain-fit", "teacher"),
    ):  # fmt: skip
        gains = tested[lineages[better]] - tested[lineages[than]]
        low, high = stats.ttest_1samp(gains, 0).confidence_interval()
        told = f"{100 * gains.mean():+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
        assert told.lstrip("+") in text, (better, than)
    for chain in ("chain-fit", "direct-hints", "chain-hints"):
        row = chains.set_index("chain").loc[chain, ["gain", "gain_low", "gain_high"]]
        assert "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * row)).lstrip("+") in text
    claims = pd.read_csv(folder / "claims.csv").set_index("claim")
    assert claims["verdict"].to_dict() == {
        "intermediates_help": "not supported",
        "hints_help": "contradicted",
        "student_beats_teacher": "contradicted",
        "pretraining_beats_joint": "supported",
        "hints_needed": "supported",
    }
    assert claims.loc["intermediates_help", "note"].endswith("the next look is at 12 seeds; "
                                                             "missing: 18, 19, 20, 21")  # fmt: skip
    assert f"intervals have its level, {100 * (1 - claims['alpha'].iloc[0]):.1f} %" in text
    assert len(set(claims["alpha"])) == 1
    once = models.drop_duplicates(["lineage", "seed"])
    minutes = once["processor_seconds"].sum() / 60
    assert f"{len(once)} trainings of 30 epochs in {minutes:.0f} minutes of a core" in text
    assert not models["at_chance"].astype(bool).any()


@pytest.mark.parametrize(
    "folder", [path.parent for path in sorted(ROOT.glob("*/tables/claims.csv"))], ids=str
)
def test_verdicts_are_what_this_code_says_of_the_tables(folder):
    """A change of the statistics has to reach what was published."""
    experiment = load(yaml.safe_load((folder / "configuration.yaml").read_text("utf-8")))
    kept = read_table(folder, "claims")
    told = pd.DataFrame(assess(experiment.claims, Tables(folder), Schedule.of(experiment)))
    columns = ["claim", "verdict", "than", "seeds", "estimate", "low", "high", "p", "p_holm"]
    pd.testing.assert_frame_equal(kept[columns], told[columns], check_dtype=False, rtol=1e-5)


@pytest.mark.parametrize("study", sorted(path.name for path in ROOT.glob("parts/*")))
def test_parts_of_studies_that_go_on_can_be_joined_and_are_of_their_configuration(study):
    planned = load(
        yaml.safe_load((ROOT.parents[1] / f"config/{study}.yaml").read_text(encoding="utf-8")),
        study,
    )
    parts = [joining.read_part(path) for path in sorted((ROOT / "parts" / study).iterdir())]
    whole = joining.join(parts, plan=planned)
    assert whole.seeds <= set(planned.seeds)
    assert whole.experiment == planned
    # Every model of every seed is there.
    counts = whole.tables["models"].groupby("seed")["lineage"].nunique()
    assert counts.nunique() == 1
