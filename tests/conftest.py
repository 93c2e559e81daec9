"""What several test files share."""

import json
import os
from collections import Counter

import pytest
from faults_run import finish, weights

from modelswitch.execution import flock


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """Digests of all weight files of config/test/faults.yaml, run in peace on this machine."""
    # Two workers need it, and one of them makes it.
    mine = tmp_path_factory.getbasetemp()
    shared = (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "uninterrupted.json"
    with flock.waiting(shared.with_suffix(".lock")):
        if not shared.exists():
            folder = tmp_path_factory.mktemp("uninterrupted")
            finish(folder, "--cores", "2")
            shared.write_text(json.dumps(weights(folder)))
    return json.loads(shared.read_text())


@pytest.fixture(scope="module")
def one_thread():
    """Forks of a process that has computed with several threads would hang."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


FORKS = "script_runs.fork("


def pytest_collection_modifyitems(items):
    """Files with the longest tests come first, so that workers end at about the same time.

    Before them those whose scripts run in forks of the worker: where models were exported, say,
    autograd has threads, and then no fork of it can train.
    """
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    forks = {path: FORKS in path.read_text(encoding="utf-8") for path in {i.path for i in items}}
    items.sort(key=lambda item: (not forks[item.path], -slow[item.path]))
