"""What dictionary learning keeps of a batch."""

from __future__ import annotations

from torch import Tensor

from sparsedef.backends.slots import unpack

_CHUNK = 4096  # signals whose dense codes are held at once


def code_statistics(
    x: Tensor, indices: Tensor, values: Tensor, n_atoms: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Adds up the products of a batch's codes Z with themselves and with its signals X.

    Args:
        x: X, ``[B, M]``.
        indices: Atoms of the nonzero codes, ``[B, K]``, unused slots -1.
        values: Their codes, ``[B, K]``.
        n_atoms: N.

    Returns:
        Z^T Z ``[N, N]``, Z^T X ``[N, M]``, and how many codes of each atom are not zero ``[N]``.
    """
    gram = x.new_zeros(n_atoms, n_atoms)
    cross = x.new_zeros(n_atoms, x.shape[1])
    usage = x.new_zeros(n_atoms)
    for start in range(0, len(x), _CHUNK):
        part = slice(start, start + _CHUNK)
        codes = unpack(indices[part], values[part], n_atoms)
        gram.addmm_(codes.mT, codes)
        cross.addmm_(codes.mT, x[part])
        usage += (codes != 0).sum(dim=0)
    return gram, cross, usage
