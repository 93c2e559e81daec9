"""Train a selector on held-back samples under the degradations that it is meant to know."""

import argparse
import sys
from pathlib import Path

import torch

from modelswitch import artifacts, jobs, precision
from modelswitch.digests import code_digest
from modelswitch.errors import UserError, run_script
from modelswitch.lineage import derive_seed
from modelswitch.multimodal import load_outputs, mix, selector_conditions
from modelswitch.objectives.selection import (
    Selection,
    SelectionBatches,
    Selector,
    features,
    trusted,
)
from modelswitch.resume import ResumeFiles
from modelswitch.selector_specs import SelectorJob
from modelswitch.specs import digest
from modelswitch.training import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", required=True, help="the job's configuration, as JSON")
    parser.add_argument("--outputs", required=True, nargs="+", help="one file a modality, in order")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", help="folder for resume files")
    parser.add_argument("--model", required=True)
    parser.add_argument("--history", required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    precision.make_deterministic()
    job = SelectorJob.model_validate_json(args.job)
    outputs = load_outputs(job.recognisers, args.outputs)["validation"]

    conditions = selector_conditions(outputs.modalities, job.degradations, job.spec.target)
    mixture = mix(outputs, conditions)
    targets, rows = trusted(mixture, job.spec.target)
    if len(rows) == 0:
        raise UserError(
            f"selector {job.name}: no held-back sample tells its modalities apart; "
            "raise selector.degradations.levels or data.validation"
        )
    inputs = features(mixture.logits[:, rows], job.spec)

    def seed(*purpose: object) -> int:
        return derive_seed(job.seed, "selector", job.name, *purpose)

    torch.manual_seed(seed("weights"))
    selector = Selector(inputs.shape[1], len(outputs.modalities), job.spec.hidden)
    selector.standardise(inputs)
    code = code_digest(Path(sys.argv[0]).resolve())
    key = digest(f"{job.canonical()} {code} {artifacts.checksum({'inputs': inputs})}")
    with jobs.undisturbed(args.resume) as resume:
        history = train(
            Selection(selector),
            SelectionBatches(inputs, targets, job.training.batch, lambda e: seed("epoch", e)),
            job.training,
            device=torch.device("cpu"),
            epoch_seed=lambda epoch: seed("epoch", epoch),
            resume=ResumeFiles(resume, key, jobs.report) if resume else None,
            report=jobs.report,
        )
        jobs.write_history(args.history, history, "train")
        passport = {
            "kind": "selector",
            "job": job.model_dump(mode="json"),
            "inputs": inputs.shape[1],
        }
        passport |= {"job_digest": digest(job.canonical()), "code": code}
        artifacts.save(args.model, selector.state_dict(), passport)


if __name__ == "__main__":
    run_script(main)
