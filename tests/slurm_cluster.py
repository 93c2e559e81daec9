"""A real SLURM of one node with two pretended GPUs, for tests.

Everything lives in one temporary folder with ports of its own, so it never meets an installed
cluster. Needs Debian's ``slurm-wlm`` and ``munge`` and the root user. By hand:

    python tests/slurm_cluster.py sbatch --wait --gpus=1 --wrap 'env | grep CUDA'
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "srun", "scancel")
# The two text terminals are files that every Linux has: SLURM only counts them, and sets
# CUDA_VISIBLE_DEVICES by their number.
GPU_FILES = "/dev/tty[0-1]"

# A job that is requeued waits until its credential has expired, and then for the scheduler's next
# turn: by default two minutes and up to one more. Not much less than this: on a node under load,
# a job has to start before its credential expires.
SLURM_CONF = """
ClusterName=modelswitch
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=20
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
GresTypes=gpu,shard
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
JobRequeue=1
KillWait=10
MinJobAge={min_job_age}
MaxJobCount=20000
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 Sockets=1 CoresPerSocket={cores} ThreadsPerCore=1 \
RealMemory={memory_mb} Gres=gpu:a100:2,shard:8 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """The reason why no cluster can be started here, or None."""
    missing = [name for name in PROGRAMS if find(name) is None]
    if missing:
        return f"SLURM is not installed (no {', '.join(missing)})"
    if os.geteuid() != 0:
        return "SLURM's daemons are started as root here"
    return None


def find(program: str) -> str | None:
    """Debian puts the daemons in /usr/sbin, which is not on every user's path."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Cluster:
    """Start the three daemons on entry, cancel what runs and stop them on exit.

    ``environment`` is what a command needs to find the cluster.
    """

    def __init__(self, cores: int = 2, memory_mb: int = 64000, min_job_age: int = 300) -> None:
        # Short, since a Unix socket's path has 107 characters at most.
        self.folder = Path(tempfile.mkdtemp(prefix="modelswitch-slurm-"))
        self.host = socket.gethostname().split(".")[0]
        controller_port, node_port = free_ports(2)
        (self.folder / "slurm.conf").write_text(
            SLURM_CONF.format(
                folder=self.folder,
                host=self.host,
                controller_port=controller_port,
                node_port=node_port,
                cores=cores,
                memory_mb=memory_mb,
                min_job_age=min_job_age,
            )
        )
        (self.folder / "gres.conf").write_text(
            f"Name=gpu Type=a100 File={GPU_FILES}\nName=shard Count=8\n"
        )
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir()
        # The executor plugin clears SLURM_CONF before it calls srun inside a job, since on a
        # real cluster the configuration is found without it.
        srun = self.folder / "bin" / "srun"
        srun.write_text(
            f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {find("srun")} "$@"\n'
        )
        srun.chmod(0o755)
        self.environment = {
            # A test may itself run inside a SLURM job; nothing of that one may leak in.
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))},
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
        }
        self.daemons: list[subprocess.Popen] = []

    def __enter__(self) -> "Cluster":
        folder = self.folder
        try:
            self._start(
                *("munged", "--foreground", "--force", f"--key-file={folder}/munge.key"),
                *(f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"),
                *(f"--seed-file={folder}/munged.seed", f"--log-file={folder}/munged.log"),
            )
            self._wait("munged", lambda: (folder / "munge.socket").exists())
            self._start("slurmctld", "-D", "-c")
            self._start("slurmd", "-D", "-c", "-N", self.host)
            self._wait("a node that is idle", lambda: "idle" in self.run("sinfo", "-h", "-o", "%T"))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if len(self.daemons) > 1:
            self.run("scancel", "--user=root", check=False)
            deadline = time.monotonic() + 15
            while self.run("squeue", "-h", check=False) and time.monotonic() < deadline:
                time.sleep(0.2)
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, program: str, *arguments: str) -> None:
        with (self.folder / f"{program}.out").open("w") as output:
            self.daemons.append(
                subprocess.Popen(
                    [find(program) or program, *arguments],
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )

    def _wait(self, what: str, ready, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if ready():
                    return
            except (subprocess.CalledProcessError, OSError):
                pass
            if any(daemon.poll() is not None for daemon in self.daemons):
                break
            time.sleep(0.1)
        logs = "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}"
            for path in sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*.out"))
        )
        raise RuntimeError(f"SLURM: waited {seconds:.0f} s for {what}\n{logs}")

    def run(self, *command: str, check: bool = True) -> str:
        """Run one of SLURM's commands and return what it printed."""
        done = subprocess.run(
            command, env=self.environment, text=True, capture_output=True, timeout=60, check=check
        )
        return done.stdout.strip()


if __name__ == "__main__":
    if reason := why_not():
        raise SystemExit(reason)
    with Cluster() as cluster:
        status = subprocess.call(sys.argv[1:] or ["bash"], env=cluster.environment)
    raise SystemExit(status)
