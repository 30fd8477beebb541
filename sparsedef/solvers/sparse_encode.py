"""scikit-learn's ``sparse_encode``, word for word, by our solvers."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsedef.solvers.checks import HALF, check_pair
from sparsedef.solvers.coding import (
    COUNTED,
    Request,
    check_words,
    encode,
    warn_unfinished,
)


def sparse_encode(
    X: Any,
    dictionary: Any,
    *,
    gram: Any = None,
    cov: Any = None,
    algorithm: str = "lasso_lars",
    n_nonzero_coefs: int | None = None,
    alpha: Any = None,
    copy_cov: bool = True,
    init: Any = None,
    max_iter: int = 1000,
    n_jobs: int | None = None,
    check_input: bool = True,
    verbose: int = 0,
    positive: bool = False,
    backend: str = "auto",
) -> Any:
    """Codes signals over a dictionary with the arguments and the answers of scikit-learn.

    A drop-in for ``sklearn.decomposition.sparse_encode`` (1.9) that needs no scikit-learn, takes
    arrays or tensors, and gives back what it got. Per signal, for atoms of any norm:

    - ``"lasso_lars"``, ``"lasso_cd"``: min_z 1/2 ||x - z @ dictionary||^2 + alpha ||z||_1, one and
      the same minimum here, by :func:`sparsedef.lasso`;
    - ``"lars"``: ``n_nonzero_coefs`` steps of least angle regression;
    - ``"omp"``: orthogonal matching pursuit, ``n_nonzero_coefs`` atoms. The next is the one with
      the largest |<atom, residual>|, atoms as they are: long atoms are preferred, as in
      scikit-learn. ``sparsedef.omp(..., normalize=True)`` prefers none;
    - ``"threshold"``: x @ dictionary.T, shrunk towards 0 by alpha.

    It differs from scikit-learn here: the LASSO is solved to a relative duality gap of 1e-10
    (float32: 1e-5) whatever the algorithm; with alpha below 1e-8 (1e-4) of ``alpha_max`` that gap
    does not see the penalty, so codes rebuild the signal but may have more than the least ||z||_1.
    More atoms than min(M, N) are lowered to it with a warning, where scikit-learn's ``"omp"``
    refuses more than N. ``"lars"`` goes on when a code changes its sign, where scikit-learn spends
    a step on the change. ``"omp"`` and ``"lars"`` stop at the rounding level of the signal, not at
    a fixed number. An ``alpha`` for these two, which scikit-learn ignores in silence, is ignored
    with a warning; :func:`sparsedef.omp` has a ``tol``.

    Args:
        X: Signals, ``[B, M]``; ``B`` may be 0. Tensors or anything that numpy makes an array of.
            float32 and float64 stay what they are, tensors of half precision become float32,
            everything else float64; of two different ones, the wider.
        dictionary: Atoms, ``[N, M]``; goes to the device of ``X`` if that is a tensor.
        gram: Accepted; our solvers make what they need of it.
        cov: dictionary @ X.T, ``[N, B]``; read by ``"threshold"`` only.
        algorithm: One of the five words above.
        n_nonzero_coefs: K of ``"lars"`` and ``"omp"``; ``None``: M / 10, but 1 to N.
        alpha: Penalty or threshold, at least 0; ``None``: 1. A number, or one for each signal,
            ``[B]`` (scikit-learn takes a number only).
        copy_cov: Accepted; nothing is overwritten.
        init: Codes to start from, ``[B, N]``; read by ``"lasso_cd"`` only.
        max_iter: Most rounds in which the LASSO's active sets grow. 0: ``init``, or 0.
        n_jobs: Accepted; ``torch.set_num_threads`` sets the threads.
        check_input: Refuse NaN and infinity in ``X``. Without it such a signal gets NaN codes.
        verbose: Accepted; there is nothing to report.
        positive: Demand codes >= 0; not with ``"lars"`` and ``"omp"``.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Returns:
        Codes ``[B, N]``: a tensor if ``X`` is one, an array otherwise.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: A shape, a range or an option is wrong, or ``X`` is not finite.
        BackendError: The forced backend cannot do this.

    Warns:
        UserWarning: Signals are short of the LASSO's minimum.
        RuntimeWarning: Signals ran out of independent atoms (``"omp"``).

    Gradients: for tensors, as of :func:`sparsedef.lasso` and :func:`sparsedef.omp`, and through the
    threshold; none for ``"lars"``.

    Example:
        >>> import sparsedef
        >>> sparsedef.sparse_encode([[3.0, 0.5, -2.0]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], alpha=1)
        array([[ 2.,  0., -1.]])

    Source: the scikit-learn documentation of the function, 1.9.
    """
    who = "sparse_encode"
    count = check_words(who, algorithm, n_nonzero_coefs, max_iter, n_jobs, positive)
    is_tensor = isinstance(X, Tensor)
    device = X.device if isinstance(X, Tensor) else torch.device("cpu")
    x, atoms = to_tensor("X", X, device), to_tensor("dictionary", dictionary, device)
    dtype = torch.promote_types(x.dtype, atoms.dtype)
    x, atoms = check_pair("sparse_encode", x.to(dtype), atoms.to(dtype))
    if check_input and not x.isfinite().all():
        raise ValueError(
            "sparse_encode: X must be finite, got NaN or infinity (check_input=False gives such"
            " signals NaN codes and leaves the others alone)"
        )
    n_signals, n_atoms = len(x), len(atoms)
    check_shape("gram", gram, (n_atoms, n_atoms))
    check_shape("cov", cov, (n_atoms, n_signals))
    check_shape("init", init, (n_signals, n_atoms))
    how = Request(
        algorithm,
        count,
        None if algorithm in COUNTED else _penalty(alpha, x),
        positive=bool(positive),
        max_iter=int(max_iter),
        init=None if init is None else to_tensor("init", init, device).to(dtype),
        correlations=None if cov is None else to_tensor("cov", cov, device).to(dtype).mT,
        backend=backend,
    )
    if algorithm in COUNTED and alpha is not None:
        _warn_unused_alpha(algorithm)
    codes, status = encode(x, atoms, how)
    warn_unfinished(status, how)
    return codes if is_tensor else codes.detach().numpy()


def to_tensor(name: str, value: Any, device: torch.device) -> Tensor:
    """Makes a float tensor of a tensor or of what numpy takes; shares memory where it can."""
    if isinstance(value, Tensor):
        if value.is_complex():
            raise TypeError(f"sparse_encode: {name} must be real, got {value.dtype}")
        if value.dtype in HALF:
            return value.to(device, torch.float32)
        is_kept = value.dtype in (torch.float32, torch.float64)
        return value.to(device, value.dtype if is_kept else torch.float64)
    if hasattr(value, "toarray"):
        raise TypeError(
            f"sparse_encode: {name} must be dense, got {type(value).__name__} (pass its .toarray())"
        )
    array: NDArray[Any] = np.asarray(value)
    if np.iscomplexobj(array):
        raise TypeError(f"sparse_encode: {name} must be real, got {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    array = np.ascontiguousarray(array) if array.ndim else array
    if not array.flags.writeable:
        array = array.copy()  # torch has no read-only tensors
    return torch.from_numpy(array).to(device)


def check_shape(name: str, value: Any, shape: tuple[int, int]) -> None:
    """Demands a matrix of this shape, or ``None``."""
    if value is not None and np.shape(value) != shape:
        raise ValueError(
            f"sparse_encode: {name} must be {list(shape)}, got {list(np.shape(value))}"
        )


def _penalty(alpha: Any, x: Tensor) -> float | Tensor | None:
    """A number or ``[B]``; its range is checked by the solver."""
    if alpha is None or isinstance(alpha, Real):
        return None if alpha is None else float(alpha)
    each = to_tensor("alpha", alpha, x.device).to(x.dtype)
    if each.shape not in ((), x.shape[:1]):
        raise ValueError(
            f"sparse_encode: alpha must be a number or [{len(x)}], got {list(each.shape)}"
        )
    return each


def _warn_unused_alpha(algorithm: str) -> None:
    warnings.warn(
        f"sparse_encode: alpha has no part in {algorithm!r}, which takes n_nonzero_coefs"
        " (sparsedef.omp stops at a squared residual, tol)",
        stacklevel=3,
    )
