"""What a decoder is: a matrix of atoms with a bias, in whatever form a model holds it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsedef.solvers.checks import HALF, check_count, check_tensor

_CHUNK = 1 << 26  # numbers, of N codes and some vectors of M for each activation


def atoms_and_bias(
    who: str, decoder: object, bias: object, activations: Tensor
) -> tuple[Tensor, Tensor]:
    """Reads a decoder as atoms ``[N, M]`` and a bias ``[M]``, in the dtype of the work.

    That dtype is the wider one of decoder and activations, and float32 at least. Both are cut off
    from autograd.
    """
    if isinstance(decoder, nn.Linear):
        atoms = decoder.weight.mT  # it computes z @ weight.T
        if bias is None:
            bias = decoder.bias
    else:
        atoms = check_tensor(who, "decoder", decoder)
    if atoms.ndim != 2 or 0 in atoms.shape:
        raise ValueError(
            f"{who}: decoder must be [N, M] with N, M >= 1, a feature per row, got"
            f" {list(atoms.shape)}"
        )
    if not atoms.isfinite().all():
        raise ValueError(f"{who}: decoder must be finite, got NaN or infinity")
    activations = check_tensor(who, "activations", activations)
    n_atoms, n_features = atoms.shape
    if activations.ndim == 0 or activations.shape[-1] != n_features:
        has_them = activations.ndim > 0 and activations.shape[-1] == n_atoms
        is_linear = isinstance(decoder, nn.Linear)
        hint = " (is it the encoder?)" if is_linear else " (transposed? pass decoder.T)"
        raise ValueError(
            f"{who}: activations must be [..., {n_features}] to match the decoder's {n_atoms}"
            f" atoms, got {list(activations.shape)}{hint if has_them else ''}"
        )
    dtype = torch.promote_types(atoms.dtype, activations.dtype)
    dtype = torch.float32 if dtype in HALF else dtype
    atoms = atoms.detach().to(dtype).contiguous()
    if bias is None:
        return atoms, atoms.new_zeros(n_features)
    shift = check_tensor(who, "bias", bias)
    if shift.shape != (n_features,):
        raise ValueError(
            f"{who}: bias must be [{n_features}], what the decoder adds to z @ atoms, got"
            f" {list(shift.shape)}"
        )
    if not shift.isfinite().all():
        raise ValueError(f"{who}: bias must be finite, got NaN or infinity")
    return atoms, shift.detach().to(atoms)


def rows_at_once(who: str, atoms: Tensor, chunk_size: int | None) -> int:
    """How many activations are held at once, with what is computed of each."""
    if chunk_size is not None:
        return check_count(who, "chunk_size", chunk_size)
    n_atoms, n_features = atoms.shape
    return max(1, _CHUNK // (n_atoms + 4 * n_features))
