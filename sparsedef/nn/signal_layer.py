"""What the layers of signals share: codes ``[..., N]`` of ``[..., M]``, or the solver's result."""

from __future__ import annotations

from torch import Tensor

from sparsedef.nn.dictionary import DictionaryLayer
from sparsedef.solvers import SparseCode as Code


class SignalLayer(DictionaryLayer):
    """Codes signals by the solver that a subclass names in ``_code``."""

    def encode(self, x: Tensor, layout: str = "compact") -> Code:
        """Gives codes with residual and status (of the LASSO also the gap), as the solver does.

        Args:
            x: Signals ``[..., M]``; the result has a row for each, in their order.
            layout: ``"compact"`` or ``"dense"``.
        """
        return self._code(self._rows(x)[0], layout)

    def forward(self, x: Tensor) -> Tensor:
        """Codes ``[..., N]`` of signals ``[..., M]``."""
        rows, back = self._rows(x)
        codes = self._code(rows, "dense").codes
        assert codes is not None
        return codes.to(back).reshape(*x.shape[:-1], self.n_atoms)

    def _code(self, rows: Tensor, layout: str) -> Code:
        raise NotImplementedError
