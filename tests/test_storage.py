"""Where jobs share no disk, each gets the files that its rule names and no others."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from faults_run import ROOT, environment, finish
from test_surroundings import CONFIGURATION, images

from modelswitch.results.schema import SCHEMAS
from modelswitch.results.table_files import read_table

# A bucket that is a folder; all else of the storage is the real one. After every job its copies of
# files are removed, as from the disk of a machine that goes with the job.
RUN = """
import os
import shutil
import sys
from pathlib import Path
from unittest.mock import patch

import snakemake.cli
from snakemake_interface_storage_plugins.io import Mtime
from snakemake_storage_plugin_s3 import StorageObject

BUCKET = Path(sys.argv[1])

def at(self):
    return BUCKET / self.key

async def inventory(self, cache):
    there = at(self).exists()
    cache.exists_in_storage[self.cache_key()] = there
    if there:
        cache.mtime[self.cache_key()] = Mtime(storage=at(self).stat().st_mtime)
        cache.size[self.cache_key()] = at(self).stat().st_size

def retrieve(self):
    self.local_path().parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(at(self), self.local_path())

def store(self):
    at(self).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(self.local_path(), at(self))

with (
    patch.object(StorageObject, "inventory", inventory),
    patch.object(StorageObject, "exists", lambda self: at(self).exists()),
    patch.object(StorageObject, "mtime", lambda self: at(self).stat().st_mtime),
    patch.object(StorageObject, "size", lambda self: at(self).stat().st_size),
    patch.object(StorageObject, "is_dir", lambda self: at(self).is_dir()),
    patch.object(StorageObject, "retrieve_object", retrieve),
    patch.object(StorageObject, "store_object", store),
    patch.object(StorageObject, "remove", lambda self: at(self).unlink()),
):
    snakemake.cli.main(sys.argv[2:])
"""
# What is measured anew in every run.
TIMES = {
    *("seconds", "validation_seconds", "train_seconds", "processor_seconds", "peak_memory_mb"),
    *("latency_ms", "median_ms", "p5_ms", "p95_ms"),
}


def configuration(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True)
    images(folder / "tiny.npz")
    transfers = {
        "fit": {"hint": {"mode": "pretrain"}},
        "stored": {"views": "stored"},
        "rule": {"weighting": {"rule": "correctness", "delta": 0.1}},
    }
    chains = {name: f"teacher/student@{name}" for name in transfers}
    values = CONFIGURATION | {"transfers": transfers, "chains": chains} | changes
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.mark.long
@pytest.mark.slow
def test_every_job_works_with_the_files_that_it_names(tmp_path):
    pytest.importorskip("snakemake_storage_plugin_s3")
    shared, apart = tmp_path / "shared", tmp_path / "apart"
    finish(shared, "--cores", "2", config=configuration(shared), target="all")
    configuration(apart)
    done = subprocess.run(
        [
            *(sys.executable, "-c", RUN, str(tmp_path / "bucket"), "all", "--cores", "2"),
            *("--snakefile", str(ROOT / "Snakefile"), "--configfile", "tiny.yaml"),
            *("--default-storage-provider", "s3", "--default-storage-prefix", "s3://bucket"),
        ],
        cwd=apart,
        env=environment(AWS_EC2_METADATA_DISABLED="true"),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    assert not (apart / "results").exists()
    for table in [name for name, schema in SCHEMAS.items() if schema.collected]:
        here, there = (
            read_table(folder / "results/tiny/tables", table)
            for folder in (shared, tmp_path / "bucket")
        )
        if here is None:
            assert there is None, table
            continue
        assert there is not None, f"{table}: empty"
        kept = [column for column in here.columns if column not in TIMES]
        pd.testing.assert_frame_equal(there[kept], here[kept])
    page = (tmp_path / "bucket/results/tiny/results.html").read_text(encoding="utf-8")
    assert "Missing" not in page
