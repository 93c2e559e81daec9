"""What the losses' originals give on fixed numbers: made once, for `test_originals.py`.

    pip download torchdistill==1.1.5 --no-deps && unzip -d originals torchdistill-1.1.5*.whl
    git clone https://github.com/megvii-research/mdistiller originals/mdistiller
    git clone https://github.com/Jin-Ying/Multi-Level-Logit-Distillation originals/mlld
    git clone https://github.com/yuanli2333/Teacher-free-Knowledge-Distillation originals/tfkd
    PYTHONPATH=originals python tests/originals.py originals

Commits: mdistiller a08d46f, mlld 5ee473f, tfkd d000ab3. Of the repositories, single functions are
run as they stand there.
"""

import ast
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F


def wave(*shape: int, phase: float) -> torch.Tensor:
    """Numbers that look like random ones and are the same in every version of torch."""
    index = torch.arange(math.prod(shape), dtype=torch.float64)
    return (2 * torch.sin(index * index * 0.37 + index * 1.3 + phase)).float().view(shape)


STUDENT, TEACHER = wave(8, 6, phase=0.1), wave(8, 6, phase=2.0)
LABELS = torch.arange(8) % 6
# Vectors, and maps of two stages.
VECTORS = wave(8, 5, phase=0.4), wave(8, 9, phase=1.4)
MAPS = wave(8, 3, 6, 6, phase=0.7), wave(8, 4, 6, 6, phase=1.9)
COARSE = wave(8, 5, 3, 3, phase=1.1), wave(8, 7, 3, 3, phase=2.6)


def fill(module: torch.nn.Module) -> torch.nn.Module:
    """Give every parameter numbers that are fixed, in the order of their definition."""
    with torch.no_grad():
        for index, parameter in enumerate(module.parameters()):
            parameter.copy_(wave(*parameter.shape, phase=0.2 + index) / 4)
    return module


def functions(path: Path, *names: str) -> SimpleNamespace:
    """Functions of a file, without what else it imports and does."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    chosen = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in names]
    scope = {"torch": torch, "F": F, "nn": torch.nn, "np": np}
    exec(compile(ast.Module(chosen, []), str(path), "exec"), scope)
    return SimpleNamespace(**{name: scope[name] for name in names})


def main(folder: Path) -> None:
    from torchdistill.losses import mid_level
    from torchdistill.models.wrapper import AttentionBasedFusion

    torch.Tensor.cuda = lambda self: self

    def call(loss, student, teacher):
        return loss({"m": {"output": student}}, {"m": {"output": teacher}})

    where = ("m", "output", "m", "output")
    path = {"student_output_path": "m", "teacher_output_path": "m"}
    found = {}
    kl = mid_level.KDLoss(*where, temperature=4.0, alpha=0, beta=1)
    found["kl"] = 16 * call(kl, STUDENT, TEACHER)
    standardised = mid_level.LogitStdKDLoss(*where, temperature=2.0, alpha=0, beta=1)
    found["standardised"] = 4 * call(standardised, STUDENT, TEACHER)
    found["dist"] = call(mid_level.DISTLoss(*where, beta=1.5, gamma=2, tau=4), STUDENT, TEACHER)
    found["mse"] = torch.nn.MSELoss()(STUDENT, TEACHER)

    theirs = folder / "mdistiller" / "mdistiller" / "distillers"
    dkd = functions(theirs / "DKD.py", "dkd_loss", "_get_gt_mask", "_get_other_mask", "cat_mask")
    found["dkd"] = dkd.dkd_loss(STUDENT, TEACHER, LABELS, 1.5, 8.0, 4.0)
    levels = functions(
        folder / "mlld" / "mdistiller" / "distillers" / "KD_ours.py",
        "kd_loss",
        "cc_loss",
        "bc_loss",
    )
    found["multi_level"] = sum(
        part(STUDENT, TEACHER, t)
        for t in (2.0, 3.0, 4.0, 5.0, 6.0)
        for part in (levels.kd_loss, levels.cc_loss, levels.bc_loss)
    )
    free = functions(
        folder / "tfkd" / "my_loss_function.py",
        "loss_kd_regularization",
        "loss_label_smoothing",
    )
    # Their mean over classes as well is undone by their multiplier, 100 for CIFAR-100.
    options = SimpleNamespace(reg_alpha=1.0, reg_temperature=20.0, multiplier=6)
    found["tf_kd"] = free.loss_kd_regularization(STUDENT, LABELS, options)

    attention = mid_level.ATLoss(
        {"p": {"student": {"path": "m", "io": "output"}, "teacher": {"path": "m", "io": "output"}}}
    )
    found["attention"] = call(attention, *MAPS)
    similarity = functions(theirs / "SP.py", "similarity_loss")
    found["similarity"] = similarity.similarity_loss(*MAPS)[0]
    relational = mid_level.RKDLoss(**path, dist_factor=1.0, angle_factor=2.0, reduction="mean")
    found["relational"] = call(relational, *VECTORS)
    # The square of what is not squared there: the paper has it.
    correlation = mid_level.CCKDLoss(
        student_linear_path="m",
        teacher_linear_path="m",
        kernel_config={"type": "gaussian", "gamma": 0.4, "max_p": 2},
        reduction="sum",
    )
    unit = [F.normalize(features) for features in VECTORS]
    found["correlation"] = call(correlation, *unit) ** 2 / 64

    # The review of two stages, the coarse one first: its fusion has no coarser one to look at.
    coarse = fill(AttentionBasedFusion(5, 5, 7, uses_attention=False))
    fine = fill(AttentionBasedFusion(3, 5, 4, uses_attention=True))
    out, residual = coarse(COARSE[0])
    reviewed, _ = fine(MAPS[0], residual, 6)
    context = mid_level.HierarchicalContextLoss(*where)

    def contextual(student, teacher):
        return context({"m": {"output": (student, None)}}, {"m": {"output": teacher}})

    found["review"] = contextual(out, COARSE[1]) + contextual(reviewed, MAPS[1])
    for name, value in found.items():
        print(f'    "{name}": {value.item():.7g},')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
