"""Codes for a trained decoder by matching pursuit in place of the trained encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsedef.backends import Status
from sparsedef.sae.decoder import atoms_and_bias, rows_at_once
from sparsedef.solvers import SparseCode
from sparsedef.solvers.checks import check_count, check_support_size
from sparsedef.solvers.omp import omp


def encode_with_pursuit(
    decoder: Tensor | nn.Linear,
    activations: Tensor,
    k: int | Tensor,
    *,
    bias: Tensor | None = None,
    nonnegative: bool = True,
    selection: str = "omp",
    tol: float = 0.0,
    chunk_size: int | None = None,
    backend: str = "auto",
) -> SparseCode:
    """Codes activations with at most ``k`` features of an SAE's decoder, by pursuit.

    Per activation, in search of a small ||x - bias - z @ decoder||^2 with at most k nonzero codes
    z, all > 0 unless ``nonnegative`` is off: :func:`sparsedef.omp` with ``normalize=True``, so
    the decoder's rows may have any norms and the codes are for the rows as they are. An SAE's
    encoder spends one product on this; the pursuit explains more of the activation with as many
    features (inference-time optimisation).

    Args:
        decoder: Features ``[N, M]``, one per row, any norms; or the ``torch.nn.Linear(N, M)`` that
            decodes, whose weight ``[M, N]`` is read as its transpose and whose bias is the bias
            unless one is given.
        activations: ``[..., M]``; any floating dtype, on any device. Work is done where the
            decoder is, in the wider of the two dtypes and float32 at least.
        k: Largest number of features: an int >= 1, or one for each activation, ``[...]`` integers
            >= 0 (such as the numbers that the SAE's own encoder used).
        bias: What the decoder adds to z @ decoder, ``[M]``; it is subtracted before coding.
        nonnegative: Demand codes > 0, as ReLU and TopK encoders give.
        selection: ``"omp"`` or ``"ols"``.
        tol: Stop an activation when its squared residual is at most this.
        chunk_size: Activations coded at once; the answer does not depend on it. ``None``: as many
            as keep chunks near 256 MiB.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Returns:
        ``SparseCode``, compact, on the device of ``activations``, with one row for each of them
        in their order: indices and values ``[B, K]``, ``residual`` ``[B, M]`` (of the activation
        less the bias), ``status``. An activation with NaN or infinity gets status ``NONFINITE``
        and NaN outputs, its neighbours are untouched.

    Raises:
        TypeError: Not tensors, or the wrong dtypes.
        ValueError: A shape, a range or an option is wrong.
        BackendError: The forced backend cannot do this.

    Gradients: none; ``sparsedef.omp(..., normalize=True)`` has them.

    Example:
        >>> import sparsedef.sae, torch
        >>> decoder = torch.nn.Linear(3, 2)  # three features of activations of two numbers
        >>> with torch.no_grad():
        ...     decoder.weight.copy_(torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 1.0]])).shape
        ...     decoder.bias.fill_(1.0).shape
        torch.Size([2, 3])
        torch.Size([2])
        >>> code = sparsedef.sae.encode_with_pursuit(decoder, torch.tensor([[5.0, 1.0]]), k=1)
        >>> code.indices.tolist(), code.values.tolist()
        ([[0]], [[2.0]])

    Source: Smith, "Replacing SAE encoders with inference-time optimisation", 2024; Pati,
    Rezaiifar, Krishnaprasad, 1993.
    """
    who = "encode_with_pursuit"
    atoms, shift = atoms_and_bias(who, decoder, bias, activations)
    rows = activations.detach().reshape(-1, atoms.shape[1])
    if isinstance(k, Tensor):
        if k.shape != activations.shape[:-1]:
            raise ValueError(
                f"{who}: k must be an int or {list(activations.shape[:-1])}, one for each"
                f" activation, got {list(k.shape)}"
            )
        k = k.flatten().to(rows.device)
    else:
        check_count(who, "k", k)
    n_slots, limits = check_support_size(who, k, rows, atoms)
    found = SparseCode(
        None,
        torch.full((len(rows), n_slots), -1, device=rows.device),
        atoms.new_zeros((len(rows), n_slots), device=rows.device),
        torch.empty_like(rows, dtype=atoms.dtype),
        None,
        torch.empty(len(rows), dtype=torch.int32, device=rows.device),
        torch.empty(len(rows), dtype=torch.int32, device=rows.device),
        "",
        "none",
    )
    step = rows_at_once(who, atoms, chunk_size)
    backends = []
    for start in range(0, max(len(rows), 1), step):
        part = slice(start, start + step)
        code = omp(
            rows[part].to(atoms) - shift,
            atoms,
            n_slots if limits is None else limits[part].to(atoms.device),
            tol=tol,
            selection=selection,
            nonnegative=nonnegative,
            layout="compact",
            normalize=True,
            backend=backend,
        )
        _put(found, part, code)
        backends.append(code.backend)
    return found._replace(backend=backends[0])


def _put(found: SparseCode, part: slice, code: SparseCode) -> None:
    """Writes the codes of a chunk, which may have fewer slots, where they belong."""
    assert found.indices is not None
    assert found.values is not None
    assert code.indices is not None
    assert code.values is not None
    n_slots = code.indices.shape[1]
    is_lost = (code.status == int(Status.NONFINITE))[:, None].to(found.values.device)
    found.indices[part, :n_slots] = code.indices
    found.values[part] = found.values[part].masked_fill(is_lost, torch.nan)
    found.values[part, :n_slots] = code.values
    found.residual[part] = code.residual
    found.n_iter[part] = code.n_iter
    found.status[part] = code.status
