"""What a computation in torch waits for and holds, on any device: seen at the dispatcher."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = (
    "_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique", "item",
)  # fmt: skip
READS = {"tolist", "numpy", "cpu", "__array__", "__bool__", "__float__"}


class Waits(TorchDispatchMode):
    """Counts the operations for which a CUDA tensor would make the host wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.overloadpacket.__name__
        is_mask = name.startswith(("index", "_index", "_unsafe_index")) and any(
            isinstance(t, Tensor) and t.dtype == torch.bool
            for t in (args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ())
        )
        if is_mask or name.startswith(WAITS):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class Reads(TorchFunctionMode):
    """Counts the ways to the host that the dispatcher does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = getattr(func, "__name__", "")
        if name in READS:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class Peak(TorchDispatchMode):
    """Adds up the storages that operations make, as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if is_tensor(t)}
        result = func(*args, **(kwargs or {}))
        for each in filter(is_tensor, tree_leaves(result)):
            storage = each.untyped_storage()
            if storage._cdata not in self.known | given:
                self.known.add(storage._cdata)
                self.held += storage.nbytes()
                weakref.finalize(storage, self.forget, storage._cdata, storage.nbytes())
        self.most = max(self.most, self.held)
        return result

    def forget(self, key: int, n_bytes: int) -> None:
        self.known.discard(key)
        self.held -= n_bytes


def is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def peak_bytes(function: Callable[[], object]) -> int:
    """Gives the most bytes that the storages made by ``function`` hold at once."""
    with Peak() as peak:
        function()
    assert peak.held == 0
    return peak.most
