"""The LASSO as a layer."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from sparsedef.nn.penalty import log_penalty, penalty
from sparsedef.nn.signal_layer import SignalLayer
from sparsedef.solvers import SparseCode as Code
from sparsedef.solvers.checks import check_choice
from sparsedef.solvers.lasso import lasso
from sparsedef.solvers.lasso_inputs import ALGORITHMS


class SparseCode(SignalLayer):
    """Turns features into their LASSO codes, and learns atoms and penalty from any loss.

    Per signal: argmin_z 1/2 ||x - z @ dictionary||^2 + alpha ||z||_1, z >= 0 on request; no 1/M.

    Shapes: ``[..., M]`` to ``[..., N]``. float32, float64, or half precision coded in float32; the
    output has the dtype of the input, under ``torch.autocast`` float32 at least.

    Parameters of the module: ``weight`` ``[N, M]``, the atoms up to their norms (``dictionary``
    gives them with norm 1), and ``log_alpha`` ``[1]`` (``alpha`` gives the penalty itself).

    Args:
        dictionary: First atoms, ``[N, M]`` of any norms, copied; or their shape ``(N, M)``, for
            random ones.
        alpha: First penalty, > 0; where it leaves no code nonzero, nothing can be learned from.
        relative: Take alpha as a fraction of each signal's :func:`sparsedef.alpha_max`.
        nonnegative: Demand z >= 0.
        algorithm: As for :func:`sparsedef.lasso`.
        tol: As for :func:`sparsedef.lasso`.
        max_iter: As for :func:`sparsedef.lasso`.
        learn_dictionary: Let the atoms be trained.
        learn_alpha: Let the penalty be trained.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.
        device: Where the parameters are made; of a tensor ``dictionary``: ``None`` keeps its own.
        dtype: Likewise.

    Raises:
        TypeError: Not a tensor, or the wrong dtype.
        ValueError: A shape, a range or an option is wrong.

    Gradients: for x, ``weight`` and ``log_alpha``, as for :func:`sparsedef.lasso`.

    Example:
        >>> import sparsedef.nn, torch
        >>> layer = sparsedef.nn.SparseCode(torch.eye(3), alpha=1.0)
        >>> layer(torch.tensor([[3.0, 0.5, -2.0]])).tolist()
        [[2.0, 0.0, -1.0]]
        >>> net = torch.nn.Sequential(sparsedef.nn.SparseCode((32, 8), 0.1), torch.nn.Linear(32, 2))
        >>> net(torch.randn(5, 7, 8)).shape
        torch.Size([5, 7, 2])

    Source: Mairal, Bach, Ponce, "Task-driven dictionary learning", 2012.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (
        "relative", "nonnegative", "algorithm", "tol", "max_iter", "learn_dictionary",
        "learn_alpha", "backend",
    )  # fmt: skip

    log_alpha: nn.Parameter

    def __init__(
        self,
        dictionary: Tensor | tuple[int, int],
        alpha: float = 0.1,
        *,
        relative: bool = False,
        nonnegative: bool = False,
        algorithm: str = "auto",
        tol: float | None = None,
        max_iter: int | None = None,
        learn_dictionary: bool = True,
        learn_alpha: bool = True,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(dictionary, learn_dictionary=learn_dictionary, device=device, dtype=dtype)
        check_choice("SparseCode", "algorithm", algorithm, ("auto", *ALGORITHMS))
        self.log_alpha = log_penalty("SparseCode", alpha, self.weight, learn_alpha)
        self.relative = relative
        self.nonnegative = nonnegative
        self.algorithm = algorithm
        self.tol = tol
        self.max_iter = max_iter
        self.backend = backend

    @property
    def alpha(self) -> Tensor:
        """The penalty, positive, without a dimension; differentiable."""
        return penalty(self.log_alpha)

    @property
    def learn_alpha(self) -> bool:
        """Whether the penalty takes part in training."""
        return self.log_alpha.requires_grad

    def _code(self, rows: Tensor, layout: str) -> Code:
        return lasso(
            rows,
            self.dictionary,
            self.alpha,
            relative=self.relative,
            nonnegative=self.nonnegative,
            algorithm=self.algorithm,
            tol=self.tol,
            max_iter=self.max_iter,
            layout=layout,
            backend=self.backend,
        )
