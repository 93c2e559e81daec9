"""The job that Kubernetes is asked to run, as the executor's own classes build it."""

import subprocess
import sys

import pytest
import yaml
from faults_run import CONFIG, ROOT, environment

# In a process of its own, since Snakemake's settings are global. The network is replaced: no
# cluster's address, no bucket; the executor's code between them is the real one.
SUBMIT = """
import os
import sys
from unittest.mock import patch

import kubernetes
import snakemake.cli
import yaml
from snakemake_interface_storage_plugins.io import Mtime
from snakemake_storage_plugin_s3 import StorageObject

# What the bucket holds already: files whose names end so.
STORED = sys.argv[2]

def exists(self):
    return bool(STORED) and self.query.endswith(STORED)

async def inventory(self, cache):
    cache.exists_in_storage[self.cache_key()] = exists(self)
    if exists(self):
        cache.mtime[self.cache_key()] = Mtime(storage=1.0)
        cache.size[self.cache_key()] = 1

def submit(self, namespace, body):
    job = kubernetes.client.ApiClient().sanitize_for_serialization(body)
    job["run"] = os.environ.get("MODELSWITCH_RUN")
    with open(sys.argv[1], "w") as stream:
        yaml.safe_dump(job, stream)
    raise kubernetes.client.rest.ApiException("that is all")

with (
    patch("kubernetes.config.load_kube_config"),
    patch("kubernetes.client.CoreV1Api.create_namespaced_secret"),
    patch("kubernetes.client.CoreV1Api.delete_namespaced_secret"),
    patch("kubernetes.client.BatchV1Api.create_namespaced_job", submit),
    patch.object(StorageObject, "inventory", inventory),
    patch.object(StorageObject, "exists", exists),
    patch.object(StorageObject, "mtime", lambda self: 1.0),
    patch.object(StorageObject, "size", lambda self: 1),
    patch.object(StorageObject, "store_object", lambda self: None),
    patch.object(StorageObject, "remove", lambda self: None),
):
    snakemake.cli.main(sys.argv[3:])
"""


def submitted(tmp_path, stored: str = "") -> dict:
    """The specification of the first job that is left when the bucket holds what is ``stored``."""
    pytest.importorskip("snakemake_storage_plugin_s3")
    done = subprocess.run(
        [
            *(sys.executable, "-c", SUBMIT, str(tmp_path / "job.yaml"), stored),
            *("models", "--profile", "profiles/kubernetes", "--configfile", str(CONFIG)),
            *("--default-storage-prefix", "s3://bucket", "--container-image", "image"),
            *("--retries", "0"),
        ],
        cwd=ROOT,
        env=environment(MODELSWITCH_RESUME="/modelswitch/resume", AWS_EC2_METADATA_DISABLED="true"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (tmp_path / "job.yaml").exists(), done.stdout[-3000:] + done.stderr[-3000:]
    return yaml.safe_load((tmp_path / "job.yaml").read_text())


@pytest.mark.long
def test_a_job_without_a_gpu_asks_for_none(tmp_path):
    pod = submitted(tmp_path)["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert "--target-jobs 'prepare_data:" in container["args"][1]
    assert container["image"] == "image"
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert "tolerations" not in pod
    assert container["resources"]["requests"]["memory"].endswith("M")
    # Resume files outlive the pod: the volume is mounted, and the variable points into it.
    assert {"name": "modelswitch", "mountPath": "/modelswitch"} in container["volumeMounts"]
    claims = [v.get("persistentVolumeClaim", {}).get("claimName") for v in pod["volumes"]]
    assert "modelswitch" in claims
    assert "MODELSWITCH_RESUME" in [variable["name"] for variable in container["env"]]


@pytest.mark.long
def test_a_training_asks_for_one_gpu_and_its_rule_s_memory(tmp_path):
    pod = submitted(tmp_path, stored="data.safetensors")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert "--target-jobs 'train:experiment=faults" in container["args"][1]
    # Kubernetes takes GPUs as a limit, and as a request only of the same number.
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["resources"]["requests"].get("nvidia.com/gpu", "1") == "1"
    assert container["resources"]["requests"]["memory"] == "3000M"
    # Nodes with GPUs keep others away.
    assert "nvidia.com/gpu" in [toleration["key"] for toleration in pod["tolerations"]]
    assert {"name": "modelswitch", "mountPath": "/modelswitch"} in container["volumeMounts"]


@pytest.mark.long
def test_pods_of_one_run_are_known_by_where_its_results_are_stored(tmp_path):
    job = submitted(tmp_path)
    # The rules set it wherever they are read, and each pod reads them with the same prefix.
    assert job["run"] == "s3://bucket"
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert "--default-storage-prefix" in container["args"][1]
