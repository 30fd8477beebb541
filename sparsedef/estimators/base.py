"""What a fixed and a learned dictionary share: codes from signals, and signals from codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_array, validate_data

from sparsedef.solvers.coding import COUNTED, Request, check_words, encode, warn_unfinished
from sparsedef.solvers.sparse_encode import to_tensor

FLOATS = (np.float64, np.float32)

Array = NDArray[Any]


class Coding(ClassNamePrefixFeaturesOutMixin, TransformerMixin):  # type: ignore[misc]
    """Transforms with the ``transform_...`` parameters; mix it in before ``BaseEstimator``.

    A class that has it gives ``_atoms()``, ``[N, M]``.
    """

    transform_algorithm: str
    transform_n_nonzero_coefs: int | None
    transform_alpha: float | None
    transform_max_iter: int
    split_sign: bool
    n_jobs: int | None
    positive_code: bool
    backend: str

    def _atoms(self) -> Array:
        raise NotImplementedError

    def _check_words(self, positive: object) -> int | None:
        """Checks the ``transform_...`` parameters, without alpha; gives the number of atoms."""
        return check_words(
            type(self).__name__,
            self.transform_algorithm,
            self.transform_n_nonzero_coefs,
            self.transform_max_iter,
            self.n_jobs,
            positive,
        )

    def _request(self) -> Request:
        """What ``transform`` is to do; parameters of other algorithms do not matter."""
        count = self._check_words(self.positive_code)
        alpha = self.transform_alpha
        if alpha is None:
            alpha = getattr(self, "alpha", None)  # a learner codes as it has learned
        return Request(
            self.transform_algorithm,
            count,
            None if self.transform_algorithm in COUNTED else plain(alpha),
            positive=bool(self.positive_code),
            max_iter=int(self.transform_max_iter),
            backend=self.backend,
            who=type(self).__name__,
        )

    def _encode(self, X: Any) -> Array:
        atoms = check_array(self._atoms(), dtype=FLOATS, input_name="dictionary")
        X = validate_data(self, X, dtype=FLOATS, order="C", reset=False)
        check_same_features(type(self).__name__, X, atoms)
        cpu = torch.device("cpu")
        x, dictionary = to_tensor("X", X, cpu), to_tensor("dictionary", atoms, cpu)
        dtype = torch.promote_types(x.dtype, dictionary.dtype)
        how = self._request()
        codes, status = encode(x.to(dtype), dictionary.to(dtype), how)
        warn_unfinished(status, how, ConvergenceWarning, stacklevel=4)
        found = codes.numpy()
        if self.split_sign:
            return np.concatenate([np.maximum(found, 0), np.maximum(-found, 0)], axis=1)
        return found

    def transform(self, X: Any) -> Array:
        """Codes each signal.

        Args:
            X: Signals, ``[B, M]``.

        Returns:
            Codes ``[B, N]``; with ``split_sign`` ``[B, 2 N]``, the positive parts and then the
            negative parts, both >= 0. float32 if ``X`` and the dictionary are, else float64.
        """
        return self._encode(X)

    def inverse_transform(self, X: Any) -> Array:
        """Builds signals from codes: X @ dictionary.

        Args:
            X: Codes as ``transform`` gives them, ``[B, N]`` or with ``split_sign`` ``[B, 2 N]``.

        Returns:
            Signals, ``[B, M]``.
        """
        atoms = np.asarray(self._atoms())
        codes = check_array(X, dtype=FLOATS)
        expected = self._n_features_out
        if codes.shape[1] != expected:
            raise ValueError(
                f"{type(self).__name__}: codes must be [B, {expected}] for {len(atoms)} atoms, got"
                f" {list(codes.shape)}"
            )
        if self.split_sign:
            codes = codes[:, : len(atoms)] - codes[:, len(atoms) :]
        return np.asarray(codes @ atoms)

    @property
    def _n_features_out(self) -> int:
        """Columns of what ``transform`` gives."""
        return len(self._atoms()) * (2 if self.split_sign else 1)

    def __sklearn_tags__(self) -> Any:
        """Declares that float32 stays float32."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def plain(value: Any) -> Any:
    """Python's number for numpy's: searches over parameters draw them from arrays."""
    return value.item() if isinstance(value, np.generic) else value


def check_same_features(who: str, X: Array, atoms: Array) -> None:
    """Demands signals as long as the atoms."""
    if X.shape[1] != atoms.shape[1]:
        hint = " (transposed? atoms are rows)" if X.shape[1] == atoms.shape[0] else ""
        raise ValueError(
            f"{who}: dictionary must be [N, {X.shape[1]}] to match X {list(X.shape)}, got"
            f" {list(atoms.shape)}{hint}"
        )
