"""One GPU for each job, given back however the job ends; and what to do when its memory is full."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from modelswitch.errors import UserError
from modelswitch.execution import gpu_lease, out_of_memory

HOLD = """
import sys, time
from modelswitch.execution import gpu_lease
with gpu_lease.lease(patience=0.3) as device:
    print(device.name, device.torch, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Two pretended devices, leased in a folder of this test's own."""
    monkeypatch.setenv("MODELSWITCH_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("MODELSWITCH_DEVICES", "0,1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


@contextlib.contextmanager
def job(**extra):
    """Another process that leases a device and holds it until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **extra},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def leased(process):
    return process.stdout.readline().split()[0]


def test_importing_does_not_wait_for_torch():
    code = "import sys, modelswitch.execution.gpu_lease; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_a_gpu_it_is_the_cpu(environment):
    environment.setenv("MODELSWITCH_DEVICES", "")
    with gpu_lease.lease() as device:
        assert device.torch == "cpu"


def test_real_gpus_are_known_by_what_no_container_renames(environment):
    environment.delenv("MODELSWITCH_DEVICES")
    environment.setattr(torch.cuda, "is_available", lambda: True)
    environment.setattr(torch.cuda, "device_count", lambda: 2)
    environment.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"ab-{index}")
    )
    with gpu_lease.lease() as first, gpu_lease.lease() as second:
        assert [first, second] == [("ab-0", "cuda:0"), ("ab-1", "cuda:1")]


def test_no_gpu_wanted_takes_no_gpu(environment):
    with gpu_lease.lease() as first, gpu_lease.lease(gpus=0) as second, gpu_lease.lease() as third:
        assert {first.name, third.name} == {"pretended-0", "pretended-1"}
        assert second == gpu_lease.CPU


def test_processes_never_share_a_device(environment):
    with job() as first, job() as second:
        assert {leased(first), leased(second)} == {"pretended-0", "pretended-1"}


def test_a_killed_job_gives_its_device_to_the_one_that_waits(environment):
    with job() as first, job() as second:
        held = {leased(first): first, leased(second): second}
        with job() as third:
            # It says that it waits, and for what.
            assert "all are leased (pretended-0, pretended-1)" in third.stderr.readline()
            os.kill(held["pretended-1"].pid, signal.SIGKILL)
            assert leased(third) == "pretended-1"


def test_a_program_started_by_a_killed_job_does_not_keep_its_device(environment):
    code = HOLD.replace(
        "    sys.stdin.read()",
        "    import subprocess; child = subprocess.Popen(['sleep', '30'], close_fds=False)\n"
        "    print(child.pid, flush=True); sys.stdin.read()",
    )
    environment.setenv("MODELSWITCH_DEVICES", "0")
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    leased(process)
    child = int(process.stdout.readline())
    try:
        process.kill()
        process.wait()
        with gpu_lease.lease() as device:
            assert device.name == "pretended-0"
    finally:
        os.kill(child, signal.SIGKILL)


def test_cuda_visible_devices_is_obeyed(environment):
    # SLURM gives a job its device this way: the lease must be that one, and no other.
    with job(CUDA_VISIBLE_DEVICES="1") as first, job() as second:
        assert leased(first) == "pretended-1"
        assert leased(second) == "pretended-0"
    environment.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_lease.visible() == []


def test_an_error_inside_gives_the_device_back(environment):
    environment.setenv("MODELSWITCH_DEVICES", "0")
    with pytest.raises(ZeroDivisionError), gpu_lease.lease():
        raise ZeroDivisionError
    started = time.monotonic()
    with gpu_lease.lease():
        assert time.monotonic() - started < 10


def test_a_folder_that_cannot_hold_locks_is_named(environment, tmp_path):
    (tmp_path / "file").touch()
    environment.setenv("MODELSWITCH_LEASES", str(tmp_path / "file" / "leases"))
    with pytest.raises(UserError, match=r"MODELSWITCH_LEASES.*file/leases"), gpu_lease.lease():
        pass


def step_with_room_for(room):
    """A training step on a pretended GPU that holds ``room`` images."""
    tried = []

    def step(images):
        tried.append(images)
        if images > room:
            raise torch.cuda.OutOfMemoryError(f"CUDA out of memory: {images} images")

    return step, tried


def test_out_of_memory_names_the_batch_that_fits():
    step, tried = step_with_room_for(100)
    with pytest.raises(UserError, match=r"training\.batch: 512 images .* 64 do"):
        out_of_memory.run_within_memory(lambda: step(512), step, 512, "training.batch")
    assert tried == [512, 512, 256, 128, 64]


def test_out_of_memory_for_a_single_image_says_so():
    step, _ = step_with_room_for(0)
    with pytest.raises(UserError, match="not even one"):
        out_of_memory.run_within_memory(lambda: step(8), step, 8, "training.batch")


def test_what_fits_just_runs():
    step, tried = step_with_room_for(100)
    assert out_of_memory.run_within_memory(lambda: "done", step, 100, "training.batch") == "done"
    assert tried == []


def test_other_errors_stay_what_they_are():
    def run():
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        out_of_memory.run_within_memory(run, print, 8, "training.batch")


def test_the_failed_step_s_tensors_are_free_before_the_search():
    alive = []

    class Tensor:
        def __del__(self):
            alive.clear()

    def run():
        kept = Tensor()
        alive.append(id(kept))
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    def attempt(images):
        assert not alive
        if images > 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match="4 do"):
        out_of_memory.run_within_memory(run, attempt, 8, "training.batch")


def test_memory_that_something_else_fills_is_not_the_batch_s_fault():
    def run():
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match="does something else compute on it"):
        out_of_memory.run_within_memory(run, lambda images: None, 8, "training.batch")
