"""Finds the caller's mistakes before any work, and says how to mend them.

Every message says who, what must be, what was, and the way out where one is known. Checks that
must read values (norms, signs, finiteness) wait for the device, and are left out while
``torch.compile`` or ``torch.export`` traces, or a CUDA graph is captured.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from sparsedef.ops.library import autocasts, is_traced

HALF = (torch.float16, torch.bfloat16)
_FLOAT = (torch.float32, torch.float64, *HALF)


def check_tensor(who: str, name: str, value: object) -> Tensor:
    """Demands a floating-point tensor."""
    if not isinstance(value, Tensor):
        hint = " (torch.from_numpy(array) makes one)" if hasattr(value, "__array__") else ""
        raise TypeError(f"{who}: {name} must be a torch.Tensor, got {type(value).__name__}{hint}")
    if value.dtype not in _FLOAT:
        raise TypeError(
            f"{who}: {name} must be float32, float64, float16 or bfloat16, got {value.dtype}"
            f" ({name}.float() converts)"
        )
    return value


def check_pair(
    who: str, x: object, dictionary: object, *, reads_atoms: bool = True
) -> tuple[Tensor, Tensor]:
    """Demands signals ``[B, M]`` and atoms ``[N, M]`` that fit; half precision becomes float32.

    ``reads_atoms=False`` leaves it to ``check_unit_norm`` to find atoms that are not finite.
    """
    x, dictionary = check_tensor(who, "x", x), check_tensor(who, "dictionary", dictionary)
    if x.ndim != 2:
        hint = " (pass x[None] for one signal)" if x.ndim == 1 else ""
        raise ValueError(f"{who}: x must be [B, M], got {_shape(x)}{hint}")
    _check_dictionary_shape(who, dictionary)
    if x.shape[1] != dictionary.shape[1]:
        is_transposed = x.shape[1] == dictionary.shape[0]
        hint = " (transposed? pass dictionary.T)" if is_transposed else ""
        raise ValueError(
            f"{who}: dictionary must be [N, {x.shape[1]}] to match x {_shape(x)},"
            f" got {_shape(dictionary)}{hint}"
        )
    if x.device != dictionary.device:
        raise ValueError(
            f"{who}: x and dictionary must be on one device, got {x.device} and"
            f" {dictionary.device} (dictionary.to(x.device) moves it)"
        )
    x, dictionary = meet(x, dictionary)
    if x.dtype != dictionary.dtype:
        raise TypeError(
            f"{who}: x and dictionary must have one dtype, got {x.dtype} and {dictionary.dtype}"
            " (dictionary.to(x.dtype) converts)"
        )
    if reads_atoms:
        check_dictionary(who, dictionary)
    if x.dtype in HALF:
        x, dictionary = x.float(), dictionary.float()
    return x, dictionary


def meet(signals: Tensor, dictionary: Tensor) -> tuple[Tensor, Tensor]:
    """Under ``torch.autocast``, makes float32 of half precision, as its own float32 ops do.

    There the output of one layer is bfloat16 and the parameter of the next float32; elsewhere
    mixed dtypes are the caller's mistake.
    """
    if not autocasts(signals.device):
        return signals, dictionary
    if signals.dtype in HALF:
        signals = signals.float()
    return signals, dictionary.float() if dictionary.dtype in HALF else dictionary


def check_dictionary(who: str, dictionary: Tensor) -> None:
    """Demands at least one atom of at least one feature, all finite."""
    _check_dictionary_shape(who, dictionary)
    if is_traced(dictionary):
        return
    # A sum is finite only if all its terms are, and several times faster than looking at each.
    total = dictionary.detach().sum().item()
    if not math.isfinite(total) and not dictionary.isfinite().all():
        bad = (~dictionary.isfinite().all(dim=1)).nonzero()[:, 0].tolist()
        raise ValueError(
            f"{who}: dictionary must be finite, got NaN or infinity in atoms {bad[:5]}"
        )


def _check_dictionary_shape(who: str, dictionary: Tensor) -> None:
    if dictionary.ndim != 2 or 0 in dictionary.shape:
        raise ValueError(
            f"{who}: dictionary must be [N, M] with N, M >= 1, got {_shape(dictionary)}"
        )


def check_unit_norm(who: str, dictionary: Tensor, tolerance: float, way_out: str) -> None:
    """Demands finite atoms of norm 1; atoms of norm 0 are allowed, they are never chosen."""
    if is_traced(dictionary):
        return
    norms = torch.linalg.vector_norm(dictionary.detach(), dim=1)
    low, high = torch.aminmax(norms)
    # False for NaN
    if low.item() >= 1 - tolerance and high.item() <= 1 + tolerance:
        return
    check_dictionary(who, dictionary)
    wrong = norms[((norms - 1).abs() > tolerance) & (norms > 0)]
    if len(wrong):
        raise ValueError(
            f"{who}: dictionary must have atoms of norm 1, got norms from {float(norms.min()):.4g}"
            f" to {float(norms.max()):.4g} ({len(wrong)} of {len(norms)} are wrong; {way_out})"
        )


def check_per_signal(who: str, name: str, value: float | Tensor, x: Tensor) -> Tensor:
    """Makes ``[B]`` of a number or a ``[B]`` tensor that must be finite and at least 0."""
    if isinstance(value, Tensor):
        if value.ndim != 0 and value.shape != (x.shape[0],):
            raise ValueError(
                f"{who}: {name} must be a number or [{x.shape[0]}] to match x {_shape(x)},"
                f" got {_shape(value)}"
            )
        if value.ndim == 1 and value.device != x.device:
            raise ValueError(f"{who}: {name} must be on {x.device} as x is, got {value.device}")
        each = value.to(x).expand(x.shape[0])
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if not 0 <= value < math.inf:
            raise ValueError(f"{who}: {name} must be finite and >= 0, got {float(value)}")
        return x.new_full((x.shape[0],), float(value))
    else:
        raise TypeError(f"{who}: {name} must be a number or a tensor, got {type(value).__name__}")
    if not is_traced(each) and not ((each >= 0) & each.isfinite()).all():
        raise ValueError(f"{who}: {name} must be finite and >= 0, got {_worst(each.detach())}")
    return each


def check_count(who: str, name: str, value: object, least: int = 1) -> int:
    """Demands an int of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, torch.SymInt)):
        raise TypeError(f"{who}: {name} must be an int, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"{who}: {name} must be at least {least}, got {value}")
    return int(value)


def check_support_size(
    who: str, n_nonzero: object, x: Tensor, dictionary: Tensor
) -> tuple[int, Tensor | None]:
    """Demands an int of at least 1, or ``[B]`` integers of at least 0.

    Returns:
        The number of slots K (for a tensor its largest entry, but at least 1; while a graph is
        traced, which cannot read it, min(M, N)), and the limits ``[B]`` int32, ``None`` for an int.
    """
    if not isinstance(n_nonzero, Tensor):
        return clip_n_nonzero(who, check_count(who, "n_nonzero", n_nonzero), dictionary), None
    kind = n_nonzero.dtype
    if kind == torch.bool or kind.is_floating_point or kind.is_complex:
        raise TypeError(
            f"{who}: n_nonzero must hold integers, got {kind} (n_nonzero.long() rounds)"
        )
    if n_nonzero.shape != (x.shape[0],):
        raise ValueError(
            f"{who}: n_nonzero must be an int or [{x.shape[0]}] to match x {_shape(x)},"
            f" got {_shape(n_nonzero)}"
        )
    if n_nonzero.device != x.device:
        raise ValueError(f"{who}: n_nonzero must be on {x.device} as x is, got {n_nonzero.device}")
    most = min(dictionary.shape)
    if is_traced(n_nonzero):
        return most, n_nonzero.clamp(0, most).to(torch.int32)
    if len(n_nonzero) == 0:
        return 1, n_nonzero.to(torch.int32)
    least, largest = (int(each) for each in n_nonzero.aminmax())
    if least < 0:
        raise ValueError(f"{who}: n_nonzero must be at least 0, got {least}")
    n_slots = clip_n_nonzero(who, max(largest, 1), dictionary)
    return n_slots, n_nonzero.clamp_max(n_slots).to(torch.int32)


def check_choice(who: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    """Demands one of a few words."""
    if value not in choices:
        raise ValueError(f"{who}: {name} must be one of {list(choices)}, got {value!r}")


def clip_n_nonzero(who: str, n_nonzero: int, dictionary: Tensor) -> int:
    """Lowers ``n_nonzero`` to min(M, N), with a warning: no more atoms can be independent."""
    most = min(dictionary.shape)
    if n_nonzero <= most:
        return n_nonzero
    if not torch.compiler.is_compiling():
        warnings.warn(
            f"{who}: n_nonzero={n_nonzero} is more than min(M, N) = {most} independent atoms"
            f" of a dictionary {_shape(dictionary)}; {most} is used",
            stacklevel=4,
        )
    return most


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))


def _worst(values: Tensor) -> float:
    wrong = values[~((values >= 0) & values.isfinite())]
    return float(wrong[0])
