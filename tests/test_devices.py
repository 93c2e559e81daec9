"""GPUs for each job, or a part of one, given back however the job ends; and full memory."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from modelswitch.errors import UserError
from modelswitch.execution import device_locks, gpu_lease, out_of_memory

HOLD = """
import sys, time
from modelswitch.execution import gpu_lease
gpus, share = map(int, sys.argv[1:] or (1, 1))
with gpu_lease.several(gpus, patience=0.3, share=share) as devices:
    print(*(device.name for device in devices), flush=True)
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
def job(gpus=1, share=1, **extra):
    """Another process that leases devices and holds them until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(gpus), str(share)],
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


def holder(stack, gpus=1, share=1):
    """A process that has got what it wanted."""
    process = stack.enter_context(job(gpus, share))
    assert leased(process)
    return process


def waits(process):
    """Whether it says so, rather than that it has got what it wanted."""
    said, _, _ = select.select([process.stdout, process.stderr], [], [])
    return said == [process.stderr] and "waiting for" in process.stderr.readline()


def test_as_many_jobs_have_a_gpu_together_as_share_it(environment):
    environment.setenv("MODELSWITCH_DEVICES", "0")
    with contextlib.ExitStack() as stack:
        first, *_ = [holder(stack, share=3) for _ in range(3)]
        fourth = stack.enter_context(job(share=3))
        assert "waiting for 1/3 of a GPU: all are leased (pretended-0)" in fourth.stderr.readline()
        # However it ends, its part is free.
        os.kill(first.pid, signal.SIGKILL)
        assert leased(fourth) == "pretended-0"


def test_whoever_wants_a_whole_gpu_has_it_alone_and_before_those_that_come_later(environment):
    environment.setenv("MODELSWITCH_DEVICES", "0")
    with contextlib.ExitStack() as stack:
        sharing = [holder(stack, share=4) for _ in range(2)]
        whole = stack.enter_context(job())
        assert waits(whole)
        # There are parts left, but they are for the one that waits.
        later = stack.enter_context(job(share=4))
        assert waits(later)
        for process in sharing:
            process.kill()
        assert leased(whole) == "pretended-0"
        assert later.poll() is None
        whole.kill()
        assert leased(later) == "pretended-0"


@pytest.mark.parametrize(
    ("held", "wanted", "fits"),
    [([2, 4], 4, True), ([2, 4], 3, False), ([2, 3], 6, True), ([3, 3], 2, False), ([5], 2, True)],
)
def test_parts_of_different_size_are_never_more_than_the_gpu(environment, held, wanted, fits):
    environment.setenv("MODELSWITCH_DEVICES", "0")
    with contextlib.ExitStack() as stack:
        for share in held:
            stack.enter_context(gpu_lease.lease(share=share))
        locks = device_locks.DeviceLocks(device_locks.lock_folder())
        assert (locks.try_take(["pretended-0"], 1, wanted) is not None) == fits
        locks.release()


def test_parts_of_a_gpu_are_taken_before_those_of_the_next(environment):
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(gpu_lease.lease(share=share)).name for share in (2, 2, 2, 4)]
    assert found == ["pretended-0", "pretended-0", "pretended-1", "pretended-1"]


def test_several_gpus_are_taken_at_once_or_not_at_all(environment):
    with contextlib.ExitStack() as stack:
        one = holder(stack)
        both = [stack.enter_context(job(gpus=2)) for _ in range(2)]
        assert all(map(waits, both))
        one.kill()
        # Each of the two gets both, one after the other.
        said, _, _ = select.select([process.stdout for process in both], [], [])
        [first] = [process for process in both if process.stdout in said]
        assert first.stdout.readline().split() == ["pretended-0", "pretended-1"]
        first.kill()
        [second] = [process for process in both if process is not first]
        assert second.stdout.readline().split() == ["pretended-0", "pretended-1"]


@pytest.mark.parametrize(
    ("gpus", "share", "said"),
    [
        (3, 1, r"resources\.gpu: 3 GPUs .* 2 are visible here \(pretended-0, pretended-1\)"),
        (1, 0, r"resources\.gpu_share: found 0; allowed: 1 .* to 64"),
        (2, 2, r"resources\.gpu_share: found 2 beside gpu: 2"),
    ],
)
def test_what_can_never_be_leased_is_refused_and_not_waited_for(environment, gpus, share, said):
    with pytest.raises(UserError, match=said), gpu_lease.several(gpus, share=share):
        pass


def test_a_device_that_is_named_twice_is_one(environment):
    environment.setenv("MODELSWITCH_DEVICES", "0,0")
    with pytest.raises(UserError, match="1 is visible"), gpu_lease.several(2):
        pass


def test_a_part_of_a_gpu_is_a_part_of_its_memory(environment):
    limits = []
    environment.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda *given: limits.append(given)
    )
    environment.setattr(gpu_lease, "visible", lambda: [gpu_lease.Device("ab-0", "cuda:0")])
    with gpu_lease.lease():
        assert limits == []
    with gpu_lease.lease(share=4), gpu_lease.lease(share=2):
        assert limits == [(0.25, "cuda:0"), (0.5, "cuda:0")]


def test_a_shard_that_slurm_gives_is_used_though_no_gpu_was_asked_for(environment):
    with gpu_lease.lease(gpus=0) as device:
        assert device == gpu_lease.CPU
    environment.setenv("SLURM_SHARDS_ON_NODE", "1")
    environment.setenv("CUDA_VISIBLE_DEVICES", "1")
    with gpu_lease.lease(gpus=0, share=2) as device, gpu_lease.lease(gpus=0, share=2) as other:
        assert device.name == other.name == "pretended-1"


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


def test_out_of_memory_of_a_part_says_so():
    step, _ = step_with_room_for(100)
    with pytest.raises(UserError, match=r"do not fit into 1/4 of the GPU's memory; 64 do"):
        out_of_memory.run_within_memory(
            lambda: step(512), step, 512, "training.batch", "1/4 of the GPU's memory"
        )


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
