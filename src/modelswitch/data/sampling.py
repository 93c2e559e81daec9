"""Which images an epoch has where it has as many of every class."""

import torch


def balanced_order(labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """int64 [N]: the positions of an epoch with as many images of every class, to within one.

    A class's images are taken in turn, in a random order, until it has enough: of a rare class each
    comes several times, of a frequent one some not at all. Classes that there are no images of are
    left out.
    """
    classes, count = labels.unique(), len(labels)
    quota, more = divmod(count, len(classes))
    # Who has one more is drawn, too.
    lucky = set(torch.randperm(len(classes), generator=generator)[:more].tolist())
    parts = []
    for number, label in enumerate(classes):
        members = (labels == label).nonzero().flatten()
        wanted = quota + (number in lucky)
        turns = [
            members[torch.randperm(len(members), generator=generator)]
            for _ in range(-(-wanted // len(members)))
        ]
        parts += [torch.cat(turns)[:wanted]] if turns else []
    order = torch.cat(parts)
    return order[torch.randperm(count, generator=generator)]
