"""The workflow on a real SLURM: cancelled and requeued trainings, GPUs of one's own, same bits."""

import contextlib
import subprocess
import time
from pathlib import Path

import pytest
import slurm_cluster
from faults_run import ROOT, files, leftovers, resumed, servers, start, stop, trainings, weights

pytestmark = pytest.mark.skipif(
    slurm_cluster.why_not() is not None, reason=str(slurm_cluster.why_not())
)

# The profile as it is, but for what differs on a cluster of one node without accounting: where to
# ask for the state of jobs, and how often, so that a test does not wait for a poll.
PROFILE = [
    *("--profile", str(ROOT / "profiles" / "slurm"), "--slurm-no-account"),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"),
    *("--seconds-between-status-checks", "1", "--latency-wait", "10"),
]
LEASE = """
import os, sys, time
from modelswitch.execution import gpu_lease
with gpu_lease.lease() as device:
    open(os.path.join(sys.argv[1], device.name), "x").close()
    time.sleep(1)
    os.remove(os.path.join(sys.argv[1], device.name))
    print(device.name)
"""


@pytest.fixture(scope="module")
def cluster():
    with slurm_cluster.Cluster() as cluster:
        yield cluster


def environment_of(pid: int) -> dict[str, str]:
    with contextlib.suppress(OSError):
        entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        return dict(entry.split("=", 1) for entry in entries if "=" in entry)
    return {}


@pytest.mark.slow
def test_jobs_that_ask_for_one_gpu_each_never_share_one(cluster, tmp_path):
    script = tmp_path / "lease.py"
    script.write_text(LEASE)
    environment = cluster.environment | {
        "PYTHONPATH": str(ROOT / "src"),
        "MODELSWITCH_DEVICES": "0,1",
        "MODELSWITCH_LEASES": str(tmp_path / "leases"),
    }
    held = tmp_path / "held"
    held.mkdir()
    # As many as the cores allow run beside each other; making a file that is there would fail.
    jobs = [
        subprocess.Popen(
            ["srun", "--gpus=1", "--ntasks=1", "python3", str(script), str(held)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    said = [job.communicate(timeout=120)[0].strip() for job in jobs]
    assert [job.returncode for job in jobs] == [0] * 4
    assert set(said) == {"pretended-0", "pretended-1"}


@pytest.mark.long
@pytest.mark.slow
def test_jobs_that_ask_for_shards_share_the_gpu_that_slurm_gives(cluster, tmp_path):
    script = tmp_path / "share.py"
    script.write_text(LEASE.replace("gpu_lease.lease()", "gpu_lease.lease(gpus=0, share=4)"))
    environment = cluster.environment | {
        "PYTHONPATH": str(ROOT / "src"),
        "MODELSWITCH_DEVICES": "0,1",
        "MODELSWITCH_LEASES": str(tmp_path / "leases"),
    }
    said = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        command = ["srun", "--gres=shard:1", "--ntasks=1", "python3", str(script)]
        done = subprocess.run(
            [*command, str(tmp_path / str(number))],
            env=environment, capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        said.append(done.stdout.strip())
    assert said == ["pretended-0"] * 2


@pytest.mark.long
@pytest.mark.slow
def test_cancelled_and_requeued_trainings_resume_to_the_same_bits(
    cluster, uninterrupted, tmp_path, capsys
):
    variables = {
        **{k: v for k, v in cluster.environment.items() if k.startswith("SLURM") or k == "PATH"},
        "MODELSWITCH_DEVICES": "0,1",
        "MODELSWITCH_LEASES": str(tmp_path / "leases"),
    }
    folder = tmp_path / "run"
    process = start(folder, *PROFILE, **variables)
    # Both commands end a training in its middle; after scancel it is Snakemake that submits it
    # again, after a requeue (what happens at a pre-emption) SLURM runs it again by itself.
    commands = [["scancel"], ["scontrol", "requeue"]]
    ended, leaving, resumes, gpus = [], set(), set(), set()
    try:
        deadline = time.monotonic() + 900
        while process.poll() is None:
            assert time.monotonic() < deadline, (folder / "snakemake.out").read_text()[-5000:]
            time.sleep(0.05)
            resumes.update(resumed(folder))
            assert servers(folder) == [], "a job of the cluster has left a process behind"
            running = {pid: environment_of(pid) for pid in trainings(folder)}
            # A training that was told to end saves first. This cluster (without cgroups) may have
            # lost sight of it by then and given its GPU away; its lease makes the next one wait.
            staying = {pid: e for pid, e in running.items() if e and pid not in leaving}
            devices = [e.get("CUDA_VISIBLE_DEVICES") for e in staying.values()]
            assert len(set(devices)) == len(devices), "two trainings on one GPU"
            gpus.update(devices)
            begun = any(path.match("resume?.safetensors") for path in files(folder / "results"))
            if commands and begun:
                jobs = {e["SLURM_JOB_ID"] for e in running.values() if "SLURM_JOB_ID" in e}
                for job in jobs - set(ended):
                    # Refused for a job that has just ended by itself: the next one, then.
                    with contextlib.suppress(subprocess.CalledProcessError):
                        if commands:
                            cluster.run(*commands[0], job)
                            commands.pop(0)
                            ended.append(job)
                            leaving |= {
                                pid for pid, e in running.items() if e.get("SLURM_JOB_ID") == job
                            }
        said = (folder / "snakemake.out").read_text()
        assert process.returncode == 0, said[-5000:]
    finally:
        stop(process, folder)
    assert commands == []
    assert resumes
    assert gpus - {None} == {"0", "1"}
    assert "SLURM status is: 'CANCELLED'" in said
    assert weights(folder) == uninterrupted
    assert leftovers(folder) == []
    with capsys.disabled():
        print(
            f"\nSLURM: one training cancelled and one requeued, {len(resumes)} resumes, "
            f"{len(uninterrupted)} weight files compared with the local run: the same to the bit"
        )
