"""How the images of an epoch are cut into batches. Light to import: the plan counts steps too."""

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
