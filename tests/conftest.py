"""What several test files share."""

from collections import Counter

import pytest
from faults_run import finish, weights


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """Digests of all weight files of config/test/faults.yaml, run in peace on this machine."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    finish(folder, "--cores", "2")
    return weights(folder)


def pytest_collection_modifyitems(items):
    """Files with the longest tests come first, so that two workers end at about the same time."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])
