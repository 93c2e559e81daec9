"""docs/methods.md, generated from the losses and rules of a configuration: ``make docs``."""

from typing import Any, get_args

from modelswitch.config.base import Imported
from modelswitch.config.losses import InnerLoss, Loss, OutputLoss
from modelswitch.config.weighting import Weighting, WeightingSpec

HEADER = """# Methods

Everything that gets from a teacher into its student, with its formula and source. This page is
generated from `src/modelswitch/config/` by `make docs`, and a test keeps it in step; the settings
of each, with defaults, are in [config/README.md](../config/README.md).

`s` and `t` are the logits of student and teacher for one image, `p_z = softmax(z / T)` at the
transfer's `temperature` `T`, `y` the label, `B` the images of a batch and `C` the classes. `F_s`
and `F_t` are the features of two inner layers, `f` those of one image. What a step minimises is
the mean over the batch of

```text
w · L_soft + w' · CE(s, y) + Σ_i β_i · L_hint,i
```

with weights `w` and `w' = 1 − w` by the weighting rule. `λ` is the transfer's `soft`, `‖a‖` the
root of the sum of squares, `KL(a ‖ b)` the Kullback-Leibler divergence, `CE` cross-entropy and
`ρ` Pearson's correlation. Each loss is held against its original by `tests/test_originals.py`:
numbers that torchdistill or the authors' code gave once.
"""
_PARTS: tuple[tuple[str, str, Any], ...] = (
    (
        "Output losses: `transfers.<name>.loss`",
        "One value `L_soft` a sample, from the outputs of both models.",
        OutputLoss,
    ),
    (
        "Inner losses: `hint.loss`, `hints[].loss`",
        "One value `L_hint` a batch, from the features of two layers.",
        InnerLoss,
    ),
    (
        "Weighting rules: `transfers.<name>.weighting`",
        "The weight `w` of the soft loss, sample by sample; every output loss can be weighted by "
        "every rule, but for what the configuration refuses in a line.",
        WeightingSpec,
    ),
)


def _kinds(union: Any) -> list[type[Loss | Weighting]]:
    """The sections of a union of sections, through annotations."""
    if isinstance(union, type):
        if issubclass(union, Imported):
            return []
        assert issubclass(union, Loss | Weighting)
        return [union]
    return [kind for part in get_args(union) for kind in _kinds(part)]


def _name(kind: type[Loss | Weighting]) -> str:
    tag = kind.model_fields.get("name") or kind.model_fields["rule"]
    return get_args(tag.annotation)[0]


def _entry(kind: type[Loss | Weighting]) -> str:
    lines = [f"### `{_name(kind)}`", "", " ".join((kind.__doc__ or "").split()), ""]
    if kind.formula:
        lines += ["```text", kind.formula, "```", ""]
    if kind.source:
        lines += [f"Source: {kind.source}.", ""]
    if needs := getattr(kind, "needs", ""):
        lines += [f"Needs: {needs}.", ""]
    return "\n".join(lines)


def overview() -> list[tuple[str, str, str, str]]:
    """Of every method: what it is of, its name, its source, and what it needs."""
    return [
        (title.split(":")[0], _name(kind), kind.source, getattr(kind, "needs", ""))
        for title, _, union in _PARTS
        for kind in _kinds(union)
    ]


def document() -> str:
    """The whole page."""
    parts = [HEADER]
    for title, meaning, union in _PARTS:
        parts += [f"## {title}\n\n{meaning}\n", *map(_entry, _kinds(union))]
    return "\n".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    print(document(), end="")
