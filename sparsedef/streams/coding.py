"""Which sparse codes are wanted: the settings that ``encode`` and Ray's encoder share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsedef.solvers.lasso import lasso
from sparsedef.solvers.omp import SELECTIONS, omp
from sparsedef.solvers.result import SparseCode
from sparsedef.streams.sources import open_source

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Coding:
    """Says which codes are wanted: the LASSO's (``alpha``, ``target_l0``) or OMP's (``n_nonzero``).

    Attributes:
        alpha: Penalty of the LASSO, as in :func:`sparsedef.lasso` (no 1/M).
        relative: ``alpha`` is a fraction of each signal's ``alpha_max``.
        target_l0: In place of ``alpha``: nonzeros that each signal's LASSO code shall have.
        n_nonzero: OMP: most atoms of a signal.
        tol: OMP: a squared residual that is small enough; LASSO: of the relative duality gap.
        nonnegative: Demand codes >= 0.
        selection: OMP's rule, ``"omp"`` or ``"ols"``.
        normalize: Choose as if all atoms had norm 1; codes are for the atoms as given.
        unit_signals: Scale each signal to norm 1 first (a zero signal stays zero).
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Raises:
        ValueError: Neither the LASSO nor OMP is asked for, or both, or an option of the other.

    Example:
        >>> from sparsedef.streams import Coding
        >>> Coding(alpha=0.1, relative=True).method, Coding(n_nonzero=5).method
        ('lasso', 'omp')
    """

    alpha: float | None = None
    relative: bool = False
    target_l0: int | None = None
    n_nonzero: int | None = None
    tol: float | None = None
    nonnegative: bool = False
    selection: str = "omp"
    normalize: bool = False
    unit_signals: bool = False
    backend: str = "auto"

    def __post_init__(self) -> None:
        """Finds settings that make no sense together."""
        wanted = [name for name in ("alpha", "target_l0", "n_nonzero") if getattr(self, name)]
        wanted += ["alpha"] if self.alpha == 0 else []
        if len(wanted) != 1:
            raise ValueError(
                "one of alpha and target_l0 (LASSO) or n_nonzero (OMP) must be given, got"
                f" {' and '.join(wanted) or 'none'}"
            )
        if self.relative and self.alpha is None:
            raise ValueError(f"relative belongs to alpha, got it with {wanted[0]}")
        if self.selection not in SELECTIONS:
            raise ValueError(f"selection must be one of {SELECTIONS}, got {self.selection!r}")
        if self.selection != "omp" and self.method != "omp":
            raise ValueError("selection belongs to n_nonzero (OMP), got it with the LASSO")

    @property
    def method(self) -> str:
        """``"lasso"`` or ``"omp"``."""
        return "lasso" if self.n_nonzero is None else "omp"

    @property
    def keeps_alpha(self) -> bool:
        """Whether each signal has a penalty of its own, worth keeping with its codes."""
        return self.relative or self.target_l0 is not None

    def most_nonzeros(self, n_atoms: int, n_features: int) -> int:
        """An upper bound of a signal's nonzeros."""
        asked = self.n_nonzero or self.target_l0
        most = min(n_atoms, n_features)
        return most if asked is None else min(asked, most)

    def to_json(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)


class Coder:
    """Codes batches of signals over one dictionary, all in the same way.

    Args:
        coding: What is wanted.
        dictionary: ``[N, M]``; its dtype and device are those of the work.
        max_memory: Bytes of workspace of the solver; ``None``: the backend chooses.

    Raises:
        TypeError: As the solver says; found here, before any signal is read.
        ValueError: Likewise.
        BackendError: Likewise.
    """

    def __init__(
        self, coding: Coding, dictionary: Tensor, *, max_memory: int | None = None
    ) -> None:
        """Codes one zero signal, so that a wrong setting is found now; see the class."""
        self.coding, self.dictionary, self.max_memory = coding, dictionary, max_memory
        norms = dictionary.norm(dim=1) if dictionary.ndim == 2 else dictionary
        self._weights = norms.where(norms > 0, 1) if coding.normalize else None
        self.backend = self(dictionary[:1] * 0).backend

    def __call__(self, x: Tensor) -> SparseCode:
        """Codes signals ``[B, M]``; the result is compact."""
        how = self.coding
        x = x.to(self.dictionary)
        if how.unit_signals:
            x = normalize(x, dim=1)
        with torch.no_grad():
            if how.n_nonzero is not None:
                return omp(
                    x, self.dictionary, how.n_nonzero, tol=how.tol or 0.0, layout="compact",
                    selection=how.selection, nonnegative=how.nonnegative, normalize=how.normalize,
                    max_memory=self.max_memory, backend=how.backend,
                )  # fmt: skip
            # Penalties in proportion to the atoms' norms: the LASSO over atoms of norm 1.
            return lasso(
                x, self.dictionary, how.alpha, relative=how.relative, target_l0=how.target_l0,
                weights=self._weights, tol=how.tol, nonnegative=how.nonnegative, layout="compact",
                max_memory=self.max_memory, backend=how.backend,
            )  # fmt: skip


def read_dictionary(path: str | Path, key: str | None = None) -> Tensor:
    """Reads a dictionary ``[N, M]``, an atom per row, from ``.npy`` or ``.safetensors``.

    Args:
        path: The file.
        key: Which tensor of a safetensors file; ``None``: its only 2-d one.

    Raises:
        ValueError: It is missing, damaged, or holds no matrix of numbers.
    """
    source = open_source(Path(path), key)
    atoms = source.read(0, source.shape[0])
    return atoms if atoms.dtype in (torch.float32, torch.float64) else atoms.float()


def widest(*dtypes: torch.dtype) -> torch.dtype:
    """float64 if it is among them, else float32."""
    return torch.float64 if torch.float64 in dtypes else torch.float32


def to_device(name: str, local_rank: int = 0) -> torch.device:
    """Turns ``"auto"``, ``"cpu"`` or ``"cuda"`` into a device; each rank gets its own GPU.

    Raises:
        ValueError: CUDA is asked for and not there.
    """
    has_cuda = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not has_cuda):
        return torch.device("cpu")
    if not has_cuda:
        raise ValueError("--device cuda: torch sees no CUDA device here (--device cpu works)")
    return torch.device("cuda", local_rank % torch.cuda.device_count())
