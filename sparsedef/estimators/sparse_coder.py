"""A dictionary that is given, as a scikit-learn transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from sparsedef.estimators.base import FLOATS, Array, Coding, check_same_features


class SparseCoder(Coding, BaseEstimator):  # type: ignore[misc]
    """Codes signals over a dictionary that is given; for pipelines and grid searches.

    A drop-in for ``sklearn.decomposition.SparseCoder`` (1.9) with the problems, and the few
    differences, of :func:`sparsedef.sparse_encode`. ``transform`` works without ``fit``.

    Args:
        dictionary: Atoms, ``[N, M]``. ``"omp"`` and ``"lars"`` take long atoms first; give them
            norm 1 to prefer none.
        transform_algorithm: ``"omp"``, ``"lars"``, ``"lasso_lars"``, ``"lasso_cd"`` or
            ``"threshold"``.
        transform_n_nonzero_coefs: Atoms per signal of ``"omp"`` and ``"lars"``; ``None``: M / 10,
            but 1 to N. The others do not look at it.
        transform_alpha: Penalty or threshold of the others, at least 0; ``None``: 1.
        split_sign: Give the positive and the negative parts of the codes as columns of their own.
        n_jobs: Accepted; ``torch.set_num_threads`` sets the threads.
        positive_code: Demand codes >= 0; not with ``"omp"`` and ``"lars"``.
        transform_max_iter: Most rounds in which the LASSO's active sets grow.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Attributes:
        n_components_: Atoms N.
        n_features_in_: Numbers per signal M, after ``fit``.
        feature_names_in_: Names of the columns of ``X``, if it had any.

    Warns:
        ConvergenceWarning: Signals are short of the LASSO's minimum.
        RuntimeWarning: Signals ran out of independent atoms (``"omp"``).

    Example:
        >>> import numpy as np
        >>> from sparsedef.estimators import SparseCoder
        >>> coder = SparseCoder(np.eye(3), transform_algorithm="lasso_cd", transform_alpha=1.0)
        >>> coder.transform([[3.0, 0.5, -2.0]])
        array([[ 2.,  0., -1.]])
    """

    def __init__(
        self,
        dictionary: Any,
        *,
        transform_algorithm: str = "omp",
        transform_n_nonzero_coefs: int | None = None,
        transform_alpha: float | None = None,
        split_sign: bool = False,
        n_jobs: int | None = None,
        positive_code: bool = False,
        transform_max_iter: int = 1000,
        backend: str = "auto",
    ) -> None:
        """Keeps the parameters as they are; ``fit`` and ``transform`` check them."""
        self.dictionary = dictionary
        self.transform_algorithm = transform_algorithm
        self.transform_n_nonzero_coefs = transform_n_nonzero_coefs
        self.transform_alpha = transform_alpha
        self.split_sign = split_sign
        self.n_jobs = n_jobs
        self.positive_code = positive_code
        self.transform_max_iter = transform_max_iter
        self.backend = backend

    def fit(self, X: Any, y: Any = None) -> SparseCoder:
        """Checks the parameters against the signals; nothing is learned.

        Args:
            X: Signals, ``[B, M]``.
            y: Not used.

        Returns:
            Itself.
        """
        X = validate_data(self, X, dtype=FLOATS)
        atoms = check_array(self.dictionary, dtype=FLOATS, input_name="dictionary")
        check_same_features("SparseCoder", X, atoms)
        self._request()
        self.n_components_ = len(atoms)
        return self

    def _atoms(self) -> Array:
        return np.asarray(self.dictionary)

    def __sklearn_tags__(self) -> Any:
        """Declares that there is nothing to fit."""
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags
