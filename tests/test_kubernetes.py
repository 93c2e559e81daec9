"""The job that Kubernetes is asked to run, as the executor's own classes build it."""

import subprocess
import sys

import pytest
import yaml
from faults_run import CONFIG, ROOT, environment

# In a process of its own, since Snakemake's settings are global. The network is replaced: no
# cluster's address, no bucket; the executor's code between them is the real one.
SUBMIT = """
import sys
from unittest.mock import patch

import kubernetes
import snakemake.cli
import yaml
from snakemake_storage_plugin_s3 import StorageObject

async def inventory(self, cache):
    cache.exists_in_storage[self.cache_key()] = False

def submit(self, namespace, body):
    job = kubernetes.client.ApiClient().sanitize_for_serialization(body)
    with open(sys.argv[1], "w") as stream:
        yaml.safe_dump(job, stream)
    raise kubernetes.client.rest.ApiException("that is all")

with (
    patch("kubernetes.config.load_kube_config"),
    patch("kubernetes.client.CoreV1Api.create_namespaced_secret"),
    patch("kubernetes.client.CoreV1Api.delete_namespaced_secret"),
    patch("kubernetes.client.BatchV1Api.create_namespaced_job", submit),
    patch.object(StorageObject, "inventory", inventory),
    patch.object(StorageObject, "exists", lambda self: False),
    patch.object(StorageObject, "store_object", lambda self: None),
    patch.object(StorageObject, "remove", lambda self: None),
):
    snakemake.cli.main(sys.argv[2:])
"""


def submitted(tmp_path, target) -> dict:
    """The specification of the first job on the way to ``target``."""
    pytest.importorskip("snakemake_storage_plugin_s3")
    done = subprocess.run(
        [
            *(sys.executable, "-c", SUBMIT, str(tmp_path / "job.yaml")),
            *(target, "--profile", "profiles/kubernetes", "--configfile", str(CONFIG)),
            *("--default-storage-prefix", "s3://bucket", "--container-image", "image"),
        ],
        cwd=ROOT,
        env=environment(MODELSWITCH_RESUME="/modelswitch/resume", AWS_EC2_METADATA_DISABLED="true"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (tmp_path / "job.yaml").exists(), done.stdout[-3000:] + done.stderr[-3000:]
    return yaml.safe_load((tmp_path / "job.yaml").read_text())


def test_a_job_without_a_gpu_asks_for_none(tmp_path):
    pod = submitted(tmp_path, "models")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["image"] == "image"
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert "tolerations" not in pod
    assert container["resources"]["requests"]["memory"].endswith("M")
    # Resume files outlive the pod: the volume is mounted, and the variable points into it.
    assert {"name": "modelswitch", "mountPath": "/modelswitch"} in container["volumeMounts"]
    claims = [v.get("persistentVolumeClaim", {}).get("claimName") for v in pod["volumes"]]
    assert "modelswitch" in claims
    assert "MODELSWITCH_RESUME" in [variable["name"] for variable in container["env"]]
