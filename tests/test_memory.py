"""Memory that is freed stays with the process."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from modelswitch.execution.malloc import keep_freed_memory

keep_freed_memory()
# The heap needs some turns until its blocks lie as they stay.
for _ in range(20):
    torch.ones(4_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(4_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_blocks_are_used_again():
    ran = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    # Each of the 20 tensors has 3,900 pages of 4 KiB.
    assert int(ran.stdout) < 3_900
