# How jobs start their scripts: `run_script <name> <options>` in a rule's shell command.

import os
import secrets
import shlex
import sys

from snakemake.logging import logger
from snakemake.settings.enums import Quietness
from snakemake_interface_executor_plugins.settings import DeploymentMethod, ExecMode

from modelswitch.execution import last_words, warm_start
from modelswitch.execution.container import bind, check_image, image


container: image()


if workflow.exec_mode == ExecMode.DEFAULT:
    last_words.listen(logger, quiet=Quietness.ALL in (workflow.output_settings.quiet or ()))
    if RESOURCES.as_profile:
        logger.warning(
            f"note: {source()}: resources still count here; better say them in a profile, which "
            f"overrides them: {'; '.join(RESOURCES.as_profile)}"
        )

# Where results are stored away from the working folder, every job may have a working folder of its
# own: what one run keeps in MODELSWITCH_RESUME, others' beside it, is then told by the storage.
if workflow.storage_settings.default_storage_prefix:
    os.environ.setdefault("MODELSWITCH_RUN", workflow.storage_settings.default_storage_prefix)


def packages(experiment):
    """Besides torch, the packages that many jobs would each take seconds to import."""
    used = {model.family for model in experiment.models.values()} & {"torchvision", "timm"}
    if experiment.selector:
        used.add("torchvision")
    deployed = experiment.deploy.formats if experiment.deploy else []
    formats = {name.partition("-")[0] for name in deployed}
    if "onnx" in formats:
        used |= {"onnxscript", "torch._dynamo"}
    if "executorch" in formats:
        used.add("executorch.backends.xnnpack.partition.xnnpack_partitioner")
    return used


# Jobs that this Snakemake runs itself start warm, see docs/warm-start.md. Those of a cluster are run
# by another Snakemake, whose mode is not the default one; those in a container or in an environment
# of their own have nothing in common.
STARTS_WARM = (
    os.environ.get("MODELSWITCH_WARM") != "0"
    and workflow.exec_mode == ExecMode.DEFAULT
    and not workflow.deployment_settings.deployment_method
)
IN_CONTAINER = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
# In jobs text is UTF-8, whatever the locale: their arguments, their files' names and their logs.
START = shlex.join([sys.executable, "-X", "utf8"])
if IN_CONTAINER:
    try:
        check_image(image())
    except UserError as error:
        fail(error)
    modules = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    own = [getattr(EXPERIMENT.data, key, None) for key in ("path", "csv", "root")]
    bind(filter(None, [PROJECT, HERE, *modules, *own]))
    # The image's Python, and the code of which this Snakemake knows what has changed.
    START = (
        shlex.quote(f"PYTHONPATH={PROJECT / 'src'}")
        + '"${PYTHONPATH:+:$PYTHONPATH}" python -X utf8'
    )
elif STARTS_WARM:
    server = f"modelswitch-{os.getpid()}-{secrets.token_hex(8)}"
    # One server for all modules of a workflow, of which the last writes the prefix.
    workflow.started_warm = getattr(workflow, "started_warm", set()) | packages(EXPERIMENT)
    imported = ",".join(sorted(workflow.started_warm))
    forked = ["-I", "-S", "-E", warm_start.__file__, server, str(os.getpid()), imported]
    START += f" {shlex.join(forked)}"


def unformatted(text):
    """For Snakemake to format, which leaves single braces of double ones."""
    return text.replace("{", "{{").replace("}", "}}")


# A prefix and no parameter of rules: a clone or an environment that has moved is no change. The first
# line is Snakemake's own prefix, which this one replaces: without it a script that fails before a pipe
# would count as done.
shell.prefix(
    "set -euo pipefail; "
    # A notebook names its own, without which matplotlib is not even imported; no job has a display.
    "run_script() {{ MPLBACKEND=agg PYTHONUTF8=1 PYTHONIOENCODING=utf-8 "
    + unformatted(f"{START} {shlex.quote(f'{SCRIPTS}/')}")
    + '"$1".py "${{@:2}}"; }}; '
    # For what computes on one thread though it has all cores. Snakemake sets these variables to a
    # job's threads; one that were left would keep it from starting warm.
    "on_one_thread() {{ for variable in {{OMP,GOTO,OPENBLAS,MKL,NUMEXPR}}_NUM_THREADS "
    'VECLIB_MAXIMUM_THREADS; do export "${{variable}}=1"; done; "$@"; }}; '
)
