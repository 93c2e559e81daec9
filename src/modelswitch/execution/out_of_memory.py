"""What to do when the GPU's memory is too small: say which batch fits."""

import gc
from collections.abc import Callable
from typing import TypeVar

from modelswitch.errors import OUT_OF_MEMORY, UserError

Result = TypeVar("Result")


def batch_that_fits(attempt: Callable[[int], object], largest: int) -> int:
    """The largest of ``largest``, ``largest``/2, /4, ... images for which ``attempt`` has memory;
    0 if none.

    ``attempt(images)`` runs one training step. Whatever it changes is lost with the run that ends
    here, so it may work on the model itself.
    """
    images = largest
    while images and not _has_memory(attempt, images):
        images //= 2
    return images


def run_within_memory(
    run: Callable[[], Result],
    attempt: Callable[[int], object],
    batch: int,
    key: str,
    memory: str = "the GPU's memory",
) -> Result:
    """``run()``; when the GPU's memory is too small, say which batch size is not.

    Args:
        memory: what the process has of it, in words.

    Raises:
        UserError: names ``key``, the size ``batch`` that was tried and the one that fits.
    """
    try:
        return run()
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
    # Outside the handler: inside it the error still holds the tensors of the step that failed.
    fits = batch_that_fits(attempt, batch)
    full = f"{key}: {batch} images at a time do not fit into {memory}"
    if fits == batch:
        raise UserError(
            f"{memory} is full, although {key} of {batch} images fits: does something else "
            "compute on it, or is the validation set too large for it?"
        )
    if fits:
        raise UserError(f"{full}; {fits} do")
    raise UserError(
        f"{full}, and not even one does; take a smaller model or another GPU, or the processor "
        "with --resources gpu=0"
    )


def _has_memory(attempt: Callable[[int], object], images: int) -> bool:
    _release_memory()
    try:
        attempt(images)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        return False
    return True


def _is_out_of_memory(error: RuntimeError) -> bool:
    import torch

    said = any(words in str(error) for words in OUT_OF_MEMORY)
    return said or isinstance(error, torch.OutOfMemoryError)


def _release_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
