"""The LASSO along a falling sequence of penalties."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sparsedef import ops
from sparsedef.backends.base import Status
from sparsedef.backends.slots import pack, unpack
from sparsedef.solvers.alpha import largest_alpha
from sparsedef.solvers.checks import check_choice, check_count, check_pair, check_tensor
from sparsedef.solvers.lasso_inputs import (
    ALGORITHMS,
    Inputs,
    Settings,
    absorb_weights,
    check_l2,
    check_settings,
    check_weights,
)
from sparsedef.solvers.lasso_solve import dense_chunks, plan
from sparsedef.solvers.omp import LAYOUTS


class LassoPath(NamedTuple):
    """Codes of B signals at L penalties, each with the proof of its quality.

    Attributes:
        alphas: Penalties ``[L, B]``, falling.
        codes: Dense codes ``[L, B, N]``; ``None`` when ``layout="compact"``.
        indices: Atoms of the nonzero codes ``[L, B, K]``, unused slots -1; ``None`` when dense.
        values: Their codes ``[L, B, K]``, unused slots 0; ``None`` when dense.
        gap: Relative duality gap ``[L, B]``, as in ``SparseCode``.
        n_iter: Iterations from the codes of the penalty before, ``[L, B]``, int32.
        status: How each ended, ``[L, B]``, int32; see :class:`sparsedef.Status`.
        backend: Who computed it.
    """

    alphas: Tensor
    codes: Tensor | None
    indices: Tensor | None
    values: Tensor | None
    gap: Tensor
    n_iter: Tensor
    status: Tensor
    backend: str

    @property
    def is_converged(self) -> Tensor:
        """Which codes are certified, ``[L, B]``, bool."""
        return self.status == int(Status.CONVERGED)

    @property
    def n_nonzero(self) -> Tensor:
        """Nonzero codes, ``[L, B]``."""
        values = self.codes if self.codes is not None else self.values
        assert values is not None
        return torch.count_nonzero(values, dim=2)

    def to_dense(self, n_atoms: int) -> Tensor:
        """Gives the codes as ``[L, B, N]`` whatever the layout."""
        if self.codes is not None:
            return self.codes
        assert self.indices is not None
        assert self.values is not None
        steps = [
            unpack(indices, values, n_atoms)
            for indices, values in zip(self.indices, self.values, strict=True)
        ]
        is_lost = self.status == int(Status.NONFINITE)
        return torch.stack(steps).masked_fill(is_lost[:, :, None], torch.nan)


def lasso_path(
    x: Tensor,
    dictionary: Tensor,
    alphas: Tensor | None = None,
    *,
    n_alphas: int = 50,
    eps: float = 1e-3,
    weights: Tensor | None = None,
    l2: float | Tensor = 0.0,
    algorithm: str = "auto",
    nonnegative: bool = False,
    tol: float | None = None,
    max_iter: int | None = None,
    layout: str = "dense",
    max_memory: int | None = None,
    allow_tf32: bool = False,
    backend: str = "auto",
) -> LassoPath:
    """Codes every signal at a falling sequence of penalties, each from the code before.

    At each alpha the problem of :func:`sparsedef.lasso`: per signal
    min_z 1/2 ||x - z @ dictionary||^2 + alpha sum_j w_j |z_j| + l2/2 ||z||^2.

    Args:
        x: Signals, ``[B, M]``, float32 or float64 (half precision is coded in float32).
        dictionary: Atoms, ``[N, M]``, same dtype and device as ``x``.
        alphas: Penalties, ``[L]`` for all signals or ``[L, B]``; they are sorted to fall. ``None``:
            for each signal ``n_alphas`` in equal ratios from its ``alpha_max``.
        n_alphas: How many, when ``alphas`` is not given.
        eps: The last of them, as a fraction of the first, in (0, 1).
        weights: Positive factors of the atoms' penalties, ``[N]``.
        l2: Weight of 1/2 ||z||^2, at least 0.
        algorithm: As for :func:`sparsedef.lasso`.
        nonnegative: Demand z >= 0.
        tol: As for :func:`sparsedef.lasso`, but above 0.
        max_iter: Most iterations at one penalty.
        layout: ``"dense"`` codes ``[L, B, N]`` or ``"compact"`` indices and values ``[L, B, K]``.
        max_memory: Most bytes of workspace beside inputs and outputs: signals are then coded some
            at a time (their warm starts are dense). ``None``: we choose.
        allow_tf32: As for :func:`sparsedef.lasso`.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Returns:
        ``LassoPath``. A signal with NaN or infinity is ``NONFINITE`` at every penalty.

    Raises:
        TypeError: Not tensors, or the wrong or mixed dtypes.
        ValueError: A shape, a device, a range or an option is wrong.
        BackendError: The forced backend cannot do this.

    Gradients: none; code the penalty that you choose with :func:`sparsedef.lasso`.

    Example:
        >>> import sparsedef, torch
        >>> x = torch.tensor([[4.0, 2.0]])
        >>> path = sparsedef.lasso_path(x, torch.eye(2), n_alphas=3, eps=0.25)
        >>> path.alphas[:, 0].tolist(), path.codes[:, 0].tolist()
        ([4.0, 2.0, 1.0], [[0.0, 0.0], [2.0, 0.0], [3.0, 1.0]])

    Source: Friedman, Hastie, Tibshirani, "Regularization paths for generalized linear models via
    coordinate descent", 2010.
    """
    who = "lasso_path"
    x, dictionary = check_pair(who, x, dictionary)
    check_choice(who, "algorithm", algorithm, ("auto", *ALGORITHMS))
    check_choice(who, "layout", layout, LAYOUTS)
    max_iter = None if max_iter is None else check_count(who, "max_iter", max_iter)
    memory = 0 if max_memory is None else check_count(who, "max_memory", max_memory)
    settings = check_settings(x, algorithm, nonnegative, tol, max_iter, allow_tf32)
    if settings.tol == 0:
        raise ValueError(f"{who}: tol must be > 0, got 0 (None is a good choice for the dtype)")
    weights, l2 = check_weights(who, weights, dictionary), check_l2(who, l2, x)
    with torch.no_grad():
        inputs = Inputs(x, dictionary, x.new_zeros(len(x)), None, None)
        inputs = absorb_weights(inputs, weights, l2).contiguous()
        falling = _penalties(alphas, n_alphas, eps, inputs, settings)
        chosen = plan(inputs, settings, layout, "implicit", memory, backend).backend
        return _walk(inputs, settings, falling, weights, layout, memory, chosen)


def _penalties(
    alphas: object, n_alphas: int, eps: float, inputs: Inputs, settings: Settings
) -> Tensor:
    x = inputs.x
    if alphas is None:
        n_alphas = check_count("lasso_path", "n_alphas", n_alphas)
        if not 0 < eps < 1:
            raise ValueError(f"lasso_path: eps must be in (0, 1), got {eps}")
        top, _ = largest_alpha(x, inputs.dictionary, settings.nonnegative)
        steps = torch.arange(n_alphas, dtype=torch.float64, device=x.device)
        fraction = eps ** (steps / max(n_alphas - 1, 1))
        return top * fraction.to(x.dtype)[:, None]
    each = check_tensor("lasso_path", "alphas", alphas).to(x)
    if each.ndim == 1:
        each = each[:, None].expand(-1, len(x))
    if each.ndim != 2 or each.shape[1] != len(x) or len(each) == 0:
        raise ValueError(
            f"lasso_path: alphas must be [L] or [L, {len(x)}] with L >= 1, got {list(each.shape)}"
        )
    if not ((each >= 0) & each.isfinite()).all():
        raise ValueError("lasso_path: alphas must be finite and >= 0, got one that is not")
    return each.sort(dim=0, descending=True).values


def _walk(
    inputs: Inputs,
    settings: Settings,
    alphas: Tensor,
    weights: Tensor | None,
    layout: str,
    max_memory: int,
    backend: str,
) -> LassoPath:
    (n_steps, n_signals), n_atoms = alphas.shape, len(inputs.dictionary)
    is_dense = layout == "dense"
    gap = torch.empty_like(alphas)
    n_iter = torch.empty_like(alphas, dtype=torch.int32)
    status = torch.empty_like(n_iter)
    codes = alphas.new_empty((n_steps, n_signals, n_atoms)) if is_dense else None
    packed: list[tuple[int, slice, Tensor, Tensor]] = []
    parts, memory = dense_chunks(inputs.x, n_atoms, max_memory)
    for part in parts:
        chunk = inputs.of_rows(part)
        is_finite = chunk.x.isfinite().all(dim=1)
        for i in range(n_steps):
            task = chunk._replace(alpha=alphas[i, part].contiguous())
            outputs = ops.lasso(*task, *settings, 0, memory, backend)
            found = outputs[0]
            gap[i, part], n_iter[i, part], status[i, part] = outputs[3:]
            start = found.where(is_finite[:, None], 0)
            chunk = chunk._replace(init=start)
            if codes is not None:
                codes[i, part] = found if weights is None else found / weights
                continue
            width = int(torch.count_nonzero(start, dim=1).amax()) if len(start) else 0
            indices, values, _ = pack(start, width)
            values = values if weights is None else values / weights[indices.clamp_min(0)]
            packed.append((i, part, indices, values.where(is_finite[:, None], torch.nan)))
    if codes is not None:
        return LassoPath(alphas, codes, None, None, gap, n_iter, status, backend)
    width = max(each[2].shape[1] for each in packed)
    indices = torch.full((n_steps, n_signals, width), -1, device=alphas.device)
    values = alphas.new_zeros((n_steps, n_signals, width))
    for i, part, some_indices, some_values in packed:
        indices[i, part, : some_indices.shape[1]] = some_indices
        values[i, part, : some_values.shape[1]] = some_values
    return LassoPath(alphas, None, indices, values, gap, n_iter, status, backend)
