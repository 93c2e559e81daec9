"""The benchmarks' own arithmetic; nothing here measures a time."""

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _beside_the_programs(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "").parent == FOLDER:
            del sys.modules[name]


def test_verdicts_of_both_directions_and_none():
    from measure import Figure

    assert Figure.of("rate", [3.0, 1.0, 2.0], goal=2.0).verdict == "reached"
    assert Figure("rate", 1.9, goal=2.0).verdict == "missed"
    assert Figure("memory", 1.4, goal=1.5, below=True).verdict == "reached"
    assert Figure("memory", 1.6, goal=1.5, below=True).verdict == "missed"
    assert Figure("only told", 1.0).verdict == ""


def test_ratio_is_that_of_medians_and_its_spread_that_of_turns():
    from measure import ratio

    found = ratio("gain", [10.0, 20.0, 30.0], [5.0, 5.0, 20.0])
    assert (found.value, found.low, found.high) == (4.0, 1.5, 4.0)


def test_a_part_is_stored_whole_and_the_table_fits_80_columns(tmp_path):
    from measure import Figure, Part
    from table import as_csv, markdown, table

    figures = [
        Figure.of("a long name of a figure that goes on", [101.5, 99.0, 180.2], "images/s"),
        Figure("share", 94.9, "%", 93.9, 98.6, goal=95.0),
    ]
    part = Part("loop", "A title of a part", figures, ["a note"], "CIFAR-10", "now", "abc", 3.0)
    part.save(tmp_path / "part.json")
    assert Part.load(tmp_path / "part.json") == part
    text = io.StringIO()
    Console(width=80, file=text).print(table([part]))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    assert "| share | 94.9 % | 93.9 – 98.6 | ≥ 95 % | missed |" in markdown([part], {})
    assert "loop,share,94.9,93.9,98.6,%,≥ 95,missed,abc,now" in as_csv([part])


def test_unknown_parts_are_refused():
    from bench import APART, PARTS, chosen

    from modelswitch.errors import UserError

    assert chosen("") == [part for part in PARTS if part not in APART]
    assert chosen("planning,step") == ["step", "planning"]
    with pytest.raises(UserError, match="unknown part 'speed'"):
        chosen("speed")


def test_cores_time_is_divided_up_without_rest():
    from workflow import Job, account, covered

    inside = {"training": 6.0, "evaluation": 1.0}
    jobs = [
        Job("preparing data", 2.0, 4.0),
        Job("training", 4.0, 13.0, inside=inside, training=(6.0, 13.0)),
        Job("training", 5.0, 14.0, inside=inside, training=(7.0, 14.0)),
    ]
    calls = [("snakemake", 0.0, 15.0), ("python", 15.5, 16.0)]
    spent = account(jobs, calls, 2)
    assert sum(spent.values()) == pytest.approx(2 * 16.0)
    assert spent["training"] == 12.0
    assert spent["training: start, imports, files"] == 4.0
    assert spent["snakemake starts and plans"] == 4.0
    assert spent["no job for a core"] == 4.0
    assert spent["printing results"] == 1.0
    assert covered(job.training for job in jobs if job.training) == 8.0


def test_slope_of_a_power_law():
    from growth import slope

    exponent, factor, straight = slope([1.0, 10.0, 100.0], [2.0, 20.0, 200.0])
    assert (exponent, factor, straight) == pytest.approx((1.0, 2.0, 1.0))


@pytest.mark.parametrize("trainings", [1_000, 10_000])
def test_planned_configuration_has_that_many_trainings(trainings):
    from planning import configuration, jobs

    from modelswitch.config.experiment import load

    experiment = load(configuration(trainings))
    ends = {end for line in experiment.lineages.values() for end in (line, *line.ancestors())}
    assert len(ends) * len(experiment.seeds) == trainings
    assert jobs("job   count\ntrain  3\ntotal  7\n") == 7
