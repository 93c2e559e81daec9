"""What several test files share."""

import pytest
from faults_run import finish, weights


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """Digests of all weight files of config/test/faults.yaml, run in peace on this machine."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    finish(folder, "--cores", "2")
    return weights(folder)
