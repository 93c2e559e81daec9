"""What computed a result is kept with it and told on its page."""

import json

import pandas as pd
import pytest
import torch

from modelswitch.execution.arithmetic import arithmetic, described
from modelswitch.report.provenance import machines


def test_what_decides_bits_is_recorded(monkeypatch):
    monkeypatch.setenv("MKL_DYNAMIC", "FALSE")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_CBWR", raising=False)
    found = arithmetic()
    assert found["threads"] == str(torch.get_num_threads())
    assert found["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert found["processor"]
    assert found["MKL_DYNAMIC"] == "FALSE"
    # Every job sets its own number.
    assert not {"MKL_CBWR", "OMP_NUM_THREADS"} & set(found)
    said = described(found)
    assert said.startswith(f"{found['processor']} (")
    assert said.endswith(" MKL_DYNAMIC=FALSE")


def test_a_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"H100 at {device}")
    found = arithmetic("cuda:1")
    assert described(found) == found["gpu"] == "H100 at cuda:1"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["H100", "H100", "H100"], "H100"),
        (["H100", "A100", "A100"], "A100 (2 of 3 models); H100 (1 of 3 models)"),
        ([None, None, None], ""),
    ],
)
def test_the_page_tells_what_computed_the_models(names, told):
    """Each once, though it has a row for every split; nothing where it was not recorded."""
    rows = [
        {"dataset": "d", "seed": seed, "lineage": "a", "split": split}
        | {"surroundings": json.dumps({"torch": "2.9"} | ({"gpu": name} if name else {}))}
        for seed, name in enumerate(names)
        for split in ("validation", "test")
    ]
    assert machines(pd.DataFrame(rows)) == told
    # Tables from before it was kept.
    assert machines(pd.DataFrame(rows).assign(surroundings="")) == ""
    assert machines(pd.DataFrame(rows).drop(columns="surroundings")) == ""


def test_several_processes_are_told():
    kept = {"processor": "EPYC", "instructions": "AVX2", "threads": "1", "processes": "2"}
    assert described(kept) == "EPYC (AVX2), 1 thread in each of 2 processes"
    assert described(kept | {"gpu": "H100"}) == "2 x H100"
