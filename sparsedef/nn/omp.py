"""Orthogonal matching pursuit as a layer."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from sparsedef.nn.signal_layer import SignalLayer
from sparsedef.solvers import SparseCode as Code
from sparsedef.solvers.checks import check_choice, check_count
from sparsedef.solvers.omp import SELECTIONS, omp


class OMP(SignalLayer):
    """Turns features into codes of at most ``n_nonzero`` atoms, and learns the atoms.

    Per signal: few codes with a small ||x - z @ dictionary||^2, chosen greedily and fitted by
    least squares; see :func:`sparsedef.omp`.

    Shapes: ``[..., M]`` to ``[..., N]``. float32, float64, or half precision coded in float32; the
    output has the dtype of the input, under ``torch.autocast`` float32 at least.

    Parameter of the module: ``weight`` ``[N, M]``, the atoms up to their norms (``dictionary``
    gives them with norm 1).

    Args:
        dictionary: First atoms, ``[N, M]`` of any norms, copied; or their shape ``(N, M)``, for
            random ones.
        n_nonzero: Most atoms per signal.
        tol: Stop a signal when its squared residual is at most this.
        selection: ``"omp"`` or ``"ols"``.
        nonnegative: Demand codes > 0.
        learn_dictionary: Let the atoms be trained.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.
        device: Where the parameter is made; of a tensor ``dictionary``: ``None`` keeps its own.
        dtype: Likewise.

    Raises:
        TypeError: Not a tensor, or the wrong dtype.
        ValueError: A shape, a range or an option is wrong.

    Gradients: exact for x and ``weight`` while the supports stay as they are.

    Example:
        >>> import sparsedef.nn, torch
        >>> layer = sparsedef.nn.OMP(torch.eye(3), n_nonzero=1)
        >>> layer(torch.tensor([3.0, 0.0, -4.0])).tolist()
        [0.0, 0.0, -4.0]

    Source: Pati, Rezaiifar, Krishnaprasad, 1993.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (
        "n_nonzero", "tol", "selection", "nonnegative", "learn_dictionary", "backend",
    )  # fmt: skip

    def __init__(
        self,
        dictionary: Tensor | tuple[int, int],
        n_nonzero: int,
        *,
        tol: float = 0.0,
        selection: str = "omp",
        nonnegative: bool = False,
        learn_dictionary: bool = True,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(dictionary, learn_dictionary=learn_dictionary, device=device, dtype=dtype)
        check_choice("OMP", "selection", selection, SELECTIONS)
        self.n_nonzero = check_count("OMP", "n_nonzero", n_nonzero)
        self.tol = tol
        self.selection = selection
        self.nonnegative = nonnegative
        self.backend = backend

    def _code(self, rows: Tensor, layout: str) -> Code:
        return omp(
            rows,
            self.dictionary,
            self.n_nonzero,
            tol=self.tol,
            selection=self.selection,
            nonnegative=self.nonnegative,
            layout=layout,
            backend=self.backend,
        )
