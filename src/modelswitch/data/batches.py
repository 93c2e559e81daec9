"""How the images of an epoch are cut into batches. Light to import: the plan counts steps too."""

import itertools

# Of an epoch's images, the share that an incomplete last batch may hold and be left out.
_LEFT_OUT = 0.1


def epoch_cuts(images: int, batch: int) -> list[int]:
    """Where an epoch's images, in their order, are cut: step i takes those from [i] to [i + 1].

    Batches of ``batch``, of all where there are fewer. What would be an incomplete last batch is
    left out while it is at most a tenth of the images: each epoch leaves out others, and every
    step weighs the same. Where it is more, all images are cut into one batch more of equal size
    (to within one image), so that small sets are seen whole and no step has a handful of images.
    """
    batch = min(batch, images)
    whole, left = divmod(images, batch)
    if left <= _LEFT_OUT * images:
        return [step * batch for step in range(whole + 1)]
    return [images * step // (whole + 1) for step in range(whole + 2)]


def incomplete(images: int, batch: int) -> str:
    """What an incomplete last batch leaves out of an epoch, or does to its batches; '' if nothing
    is left over."""
    cuts, left = epoch_cuts(images, batch), images % min(batch, images)
    if not left:
        return ""
    share = f"{100 * left / images:.1f} %"
    said = f"{images} images make {len(cuts) - 1} steps"
    if cuts[-1] < images:
        return f"{said}; {share} are left out, others each epoch"
    largest = max(after - before for before, after in itertools.pairwise(cuts))
    return f"{said} of at most {largest}, or {share} would be left out"
