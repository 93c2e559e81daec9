"""Store a recogniser's outputs on every degraded set, validation and test."""

import time

from modelswitch import artifacts, evaluation, jobs
from modelswitch.degradation_specs import DegradedSpec
from modelswitch.errors import run_script
from modelswitch.multimodal import CLEAN, SPLITS, degraded_images
from modelswitch.specs import Job


def main() -> None:
    import torch

    parser = jobs.parser(__doc__)
    parser.add_argument("--sets", required=True, help="degradations and levels, as JSON")
    parser.add_argument("--model", required=True, help="weights of the recogniser")
    parser.add_argument("--outputs", required=True, help="file to write")
    args = parser.parse_args()
    job = Job.model_validate_json(args.job)
    spec = DegradedSpec.model_validate_json(args.sets)
    with jobs.session(args) as session:
        model = session.new_model()
        session.load_weights(model, args.model, kind="model", job_digest=job.digest)
        data, held = session.data, session.validation_index
        images = {
            "validation": (data.train_images[held], data.train_labels[held]),
            "test": (data.test_images, data.test_labels),
        }
        tensors = {}
        start = time.perf_counter()
        for split in SPLITS:
            clean, labels = images[split]
            tensors[f"{split}.labels"] = labels
            tensors[f"{split}.logits"] = torch.stack(
                [
                    evaluation.answers(
                        model,
                        degraded_images(clean, name, level, spec, split),
                        session.normalise,
                        session.device,
                    )
                    for name, level in (CLEAN, *spec.sets)
                ]
            )
        artifacts.save(
            args.outputs, tensors, session.passport("degraded", sets=[list(s) for s in spec.sets])
        )
        jobs.report(f"{1 + len(spec.sets)} sets in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    run_script(main)
