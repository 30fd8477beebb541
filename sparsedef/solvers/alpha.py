"""Which penalty to choose: the smallest one that leaves nothing, and fractions of it."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.ops.library import as_given
from sparsedef.solvers.checks import check_pair
from sparsedef.solvers.lasso_inputs import check_weights

_CHUNK = 1 << 24  # numbers in the largest temporary, [., N]


def alpha_max(
    x: Tensor, dictionary: Tensor, *, nonnegative: bool = False, weights: Tensor | None = None
) -> Tensor:
    """Tells for each signal the smallest penalty at which its LASSO code is 0.

    max_j |<d_j, x>| / w_j (without the absolute value when z >= 0 is demanded, and at least 0).
    ``0.1 * alpha_max(x, dictionary)`` is a penalty that suits every signal whatever its norm. An
    elastic net (``l2``) has the same one.

    Args:
        x: Signals, ``[B, M]``, float32 or float64 (half precision is coded in float32).
        dictionary: Atoms, ``[N, M]``, same dtype and device as ``x``.
        nonnegative: For codes z >= 0.
        weights: As for :func:`sparsedef.lasso`, ``[N]``.

    Returns:
        ``[B]``; NaN for a signal that is not finite.

    Raises:
        TypeError: Not tensors, or the wrong or mixed dtypes.
        ValueError: A shape, a device or a range is wrong.

    Gradients: for ``x``, ``dictionary`` and ``weights``, through the largest term.

    Example:
        >>> import sparsedef, torch
        >>> sparsedef.alpha_max(torch.tensor([[3.0, 0.5, -4.0]]), torch.eye(3))
        tensor([4.])

    Source: Osborne, Presnell, Turlach, "On the LASSO and its dual", 2000.
    """
    x, dictionary = check_pair("alpha_max", x, dictionary)
    weights = check_weights("alpha_max", weights, dictionary)
    peak, is_finite = largest_alpha(x, dictionary, nonnegative, weights)
    return peak.masked_fill(~is_finite, torch.nan)


def largest_alpha(
    x: Tensor, dictionary: Tensor, nonnegative: bool, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Does the work of :func:`alpha_max` on checked tensors, some signals at a time.

    Returns:
        ``[B]``, 0 for a signal that is not finite; and which signals are finite.
    """
    if weights is not None:
        dictionary = dictionary / weights[:, None]
    is_finite = x.isfinite().all(dim=1)
    signals = x.where(is_finite[:, None], 0)
    with torch.no_grad():
        if torch.compiler.is_compiling():
            atoms = _most_correlated(signals, dictionary, nonnegative)
        else:
            parts = signals.split(max(1, _CHUNK // len(dictionary)))
            atoms = torch.cat([_most_correlated(part, dictionary, nonnegative) for part in parts])
    # The one term that counts, again: autograd keeps [B, M] numbers of it, not [B, N].
    peak = (signals * dictionary[atoms]).sum(dim=1)
    peak = peak.clamp_min(0) if nonnegative else peak.abs()
    return peak, is_finite


def _most_correlated(x: Tensor, dictionary: Tensor, nonnegative: bool) -> Tensor:
    with as_given(x.device):
        correlations = x @ dictionary.mT
    return (correlations if nonnegative else correlations.abs()).argmax(dim=1)
