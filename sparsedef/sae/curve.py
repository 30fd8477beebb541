"""How much of its activations a decoder explains, against how many features it may use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sparsedef.ops.library import as_given
from sparsedef.sae.decoder import atoms_and_bias, rows_at_once
from sparsedef.sae.pursuit import encode_with_pursuit
from sparsedef.solvers.checks import check_count

Encoder = Callable[[Tensor], Tensor]


class VarianceCurve(NamedTuple):
    """Explained variance against L0.

    Attributes:
        l0: Mean number of features that the pursuit used for each k, ``[L]``, float64.
        explained: What they explain, ``[L]``, float64, at most 1; 1 - ``explained`` is the fraction
            of variance unexplained.
        encoder_l0: Mean number of features that the encoder used; ``None`` without an encoder.
        encoder_explained: What they explain.
        matched_explained: What the pursuit explains with, for each activation, at most as many
            features as the encoder used.
        n_rows: Activations that these numbers are about: the finite ones.
    """

    l0: Tensor
    explained: Tensor
    encoder_l0: float | None
    encoder_explained: float | None
    matched_explained: float | None
    n_rows: int


def explained_variance_curve(
    decoder: Tensor | nn.Linear,
    activations: Tensor,
    ks: Sequence[int],
    *,
    bias: Tensor | None = None,
    encoder: Encoder | None = None,
    nonnegative: bool = True,
    selection: str = "omp",
    chunk_size: int | None = None,
    backend: str = "auto",
) -> VarianceCurve:
    """Measures what a decoder explains with k features of each activation, chosen by pursuit.

    With x^ = z @ decoder + bias and the mean over the activations given, the fraction of variance
    unexplained is sum_b ||x_b - x^_b||^2 / sum_b ||x_b - mean||^2, one ratio of two sums (not a
    mean of ratios), in float64; explained variance is 1 minus it. It is negative where the codes
    do worse than the mean.

    Args:
        decoder: As for :func:`encode_with_pursuit`.
        activations: ``[..., M]``. Rows with NaN or infinity are left out of every number.
        ks: Numbers of features, each >= 1.
        bias: As for :func:`encode_with_pursuit`.
        encoder: The SAE's own: activations ``[n, M]`` (as given, chunk by chunk) to codes
            ``[n, N]`` for the same decoder and bias.
        nonnegative: As for :func:`encode_with_pursuit`.
        selection: As for :func:`encode_with_pursuit`.
        chunk_size: As for :func:`encode_with_pursuit`.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Returns:
        ``VarianceCurve``; more features never explain less.

    Raises:
        TypeError: Not tensors, or the wrong dtypes.
        ValueError: A shape, a range or an option is wrong, or the activations do not vary.

    Gradients: none.

    Example:
        >>> import sparsedef.sae, torch
        >>> activations = torch.tensor([[3.0, 1.0], [0.0, 0.0], [1.0, 3.0], [0.0, 0.0]])
        >>> curve = sparsedef.sae.explained_variance_curve(torch.eye(2), activations, ks=[1, 2])
        >>> [round(each, 3) for each in curve.explained.tolist()], curve.l0.tolist()
        ([0.833, 1.0], [0.5, 1.0])
    """
    who = "explained_variance_curve"
    atoms, shift = atoms_and_bias(who, decoder, bias, activations)
    rows = activations.detach().reshape(-1, atoms.shape[1])
    counts = [check_count(who, "each of ks", k) for k in ks]
    step = rows_at_once(who, atoms, chunk_size)
    n_rows, variance = _variance(rows, step)
    if not variance > 0:
        raise ValueError(f"{who}: activations must vary, got {n_rows} finite ones that do not")

    def pursue(x: Tensor, k: int | Tensor) -> Tensor:
        code = encode_with_pursuit(
            atoms,
            x,
            k,
            bias=shift,
            nonnegative=nonnegative,
            selection=selection,
            chunk_size=chunk_size,
            backend=backend,
        )
        assert code.values is not None
        return _sums(code.values, code.residual)

    found = torch.zeros(len(counts) + 2, 2, dtype=torch.float64)
    for part in _finite(rows, step):
        for i, k in enumerate(counts):
            found[i] += pursue(part, k)
        if encoder is not None:
            codes = _encode(who, encoder, part, atoms)
            with as_given(codes.device):
                found[-2] += _sums(codes, part.to(atoms) - shift - codes @ atoms)
            found[-1] += pursue(part, torch.count_nonzero(codes, dim=1).clamp_max(min(atoms.shape)))
    l0, explained = found[:, 0] / n_rows, 1 - found[:, 1] / variance
    own = (None, None, None)
    if encoder is not None:
        own = (float(l0[-2]), float(explained[-2]), float(explained[-1]))  # type: ignore[assignment]
    return VarianceCurve(l0[:-2], explained[:-2], *own, n_rows)


def _finite(rows: Tensor, step: int) -> Iterator[Tensor]:
    """Gives the finite activations, chunk by chunk."""
    for part in rows.split(step):
        yield part[part.isfinite().all(dim=1)]


def _variance(rows: Tensor, step: int) -> tuple[int, float]:
    """Counts the activations and sums their squared distances from their mean, in two passes."""
    n_rows, total = 0, rows.new_zeros(rows.shape[1], dtype=torch.float64)
    for part in _finite(rows, step):
        n_rows += len(part)
        total += part.sum(dim=0, dtype=torch.float64)
    mean = total / max(n_rows, 1)
    squares = ((part.double() - mean).square().sum() for part in _finite(rows, step))
    return n_rows, sum(float(each) for each in squares)


def _sums(codes: Tensor, residual: Tensor) -> Tensor:
    """Nonzeros and squared error of some activations, ``[2]`` float64 on the CPU."""
    error = residual.double().square().sum().cpu()
    return torch.stack([torch.count_nonzero(codes).cpu().double(), error])


def _encode(who: str, encoder: Encoder, x: Tensor, atoms: Tensor) -> Tensor:
    with torch.no_grad():
        codes = encoder(x)
    wanted = [len(x), len(atoms)]
    if not isinstance(codes, Tensor) or list(codes.shape) != wanted:
        got = list(codes.shape) if isinstance(codes, Tensor) else type(codes).__name__
        raise ValueError(f"{who}: encoder must give codes {wanted} for {list(x.shape)}, got {got}")
    return codes.to(atoms)
