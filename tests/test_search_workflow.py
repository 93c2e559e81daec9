"""A search run by Snakemake, in peace and killed in the middle of a rung."""

import csv
import itertools
import json
import os
import signal
import time

import pytest
import yaml
from faults_run import ROOT, files, finish, leftovers, resumed, start, stop, trainings, weights

from modelswitch.config.experiment import load

CONFIG = ROOT / "config" / "test" / "search.yaml"
RESULTS = "results/tiny-search"
PAGE = f"{RESULTS}/search/search.html"
CORES = ("--cores", "2")


def proposals(folder):
    """What every step of both searches tried, and what came of it."""
    return {
        str(path.relative_to(folder)): json.loads(path.read_text())
        for path in sorted(folder.glob(f"{RESULTS}/search/*/step*.json"))
    }


def written(folder):
    """When each step of a search and each model that is whole was written, in nanoseconds."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in files(folder / "results")
        if path.name == "history.csv" or path.match("step?.json")
    }


@pytest.mark.slow
def test_a_search_ends_in_a_page_and_a_configuration(tmp_path):
    finish(tmp_path, *CORES, config=CONFIG, target=PAGE)
    found = tmp_path / RESULTS / "search"
    steps = proposals(tmp_path)
    assert len(steps) == 2 * 4
    for arm in ("guided", "random"):
        tried = [steps[f"{RESULTS}/search/{arm}/step{step}.json"] for step in range(4)]
        assert [len(step["trials"]) for step in tried[:3]] == [2, 2, 2]
    # Rung 2 went on from rung 1, and teachers and assistants were trained once a seed.
    logs = list((tmp_path / RESULTS).glob("digits/seed1000.until4/**/train.log"))
    assert logs
    assert all("resumed after epoch 2" in log.read_text() for log in logs)
    assert len(list((tmp_path / RESULTS).glob("digits/seed1000/**/model.safetensors"))) <= 2
    with (found / "search_final.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    roles = [row["role"] for row in rows]
    assert roles[0] == "winner"
    assert roles[-3:] == ["random search", "best own chain", "from scratch"]
    assert all(float(row["parameters"]) <= 1000 for row in rows)
    page = (found / "search.html").read_text()
    assert rows[0]["lineage"] in page
    assert "One seed cannot tell" in page
    winner = load(yaml.safe_load((found / "winner.yaml").read_text()))
    assert str(winner.lineages["winner"]) == rows[0]["lineage"]
    assert leftovers(tmp_path) == []
    before = weights(tmp_path)
    said = finish(tmp_path, *CORES, config=CONFIG, target=PAGE)
    assert "Nothing to be done" in said
    assert weights(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("target", [PAGE, "plan"])
def test_a_limit_that_nothing_keeps_is_one_line_and_trains_nothing(tmp_path, target):
    values = yaml.safe_load(CONFIG.read_text())
    values["search"]["constraints"]["parameters"] = 10
    config = tmp_path / "small.yaml"
    config.write_text(yaml.safe_dump(values))
    process = start(tmp_path, *CORES, config=config, target=target)
    assert process.wait(300) == 1
    said = (tmp_path / "snakemake.out").read_text()
    [line] = [line for line in said.splitlines() if line.startswith("error:")]
    assert "search.constraints.parameters: found 10, but the smallest of" in line
    assert "Traceback" not in said
    assert not list(tmp_path.glob("results/**/model.safetensors"))


@pytest.mark.long
def test_killed_in_the_middle_of_a_rung_it_proposes_the_same_and_ends_alike(tmp_path):
    peace, killed = tmp_path / "peace", tmp_path / "killed"
    finish(peace, *CORES, config=CONFIG, target=PAGE)
    moments = []
    for rung in ("seed1000.until2", "seed1000.until4"):
        process = start(killed, *CORES, config=CONFIG, target=PAGE)
        try:
            deadline = time.monotonic() + 600
            while not any(
                rung in path.parts and path.match("resume?.safetensors") for path in files(killed)
            ):
                assert process.poll() is None, (killed / "snakemake.out").read_text()[-5000:]
                assert time.monotonic() < deadline
                time.sleep(0.002)
            # All of it: Snakemake, its server, the training.
            os.killpg(process.pid, signal.SIGKILL)
        finally:
            stop(process, killed)
        assert trainings(killed) == []
        moments.append(written(killed))
        finish(killed, "--unlock", config=CONFIG, target=PAGE)
    finish(killed, *CORES, "--rerun-incomplete", config=CONFIG, target=PAGE)
    # Nothing was made again, but for the jobs of two cores that Snakemake had not heard the end of;
    # and what was broken off went on.
    for before, after in itertools.pairwise([*moments, written(killed)]):
        assert len(before) > 2
        assert sum(after[path] != at for path, at in before.items()) <= 2
    for rung in ("seed1000.until2", "seed1000.until4"):
        assert {line for line in resumed(killed) - resumed(peace) if rung in line}
    assert proposals(killed) == proposals(peace)
    assert weights(killed) == weights(peace)
    assert leftovers(killed) == []
