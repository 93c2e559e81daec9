"""Looking at every operation of a pass, whatever modules it comes from."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Operations(TorchDispatchMode):
    """What sees torch's operations, one by one, while it is entered."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch's compiler is imported at the first operation: a second and a half, and
        # 150 MB, for nothing.
        return False


def tensors_in(values: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested arguments or results that have memory of their own to be known by."""
    for leaf in tree_leaves(values):
        if isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided:
            yield leaf


def memory_of(tensor: torch.Tensor) -> int:
    """One key for all tensors that share memory: writing to one of them changes the others."""
    return tensor.untyped_storage()._cdata
