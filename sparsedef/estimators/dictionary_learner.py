"""A dictionary that is learned, as a scikit-learn transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from sparsedef.estimators.base import FLOATS, Array, Coding, plain
from sparsedef.learning import OnlineLearner
from sparsedef.solvers.checks import check_choice, check_count
from sparsedef.solvers.sparse_encode import to_tensor

FIT_ALGORITHMS = ("lars", "cd", "omp")


class DictionaryLearner(Coding, BaseEstimator):  # type: ignore[misc]
    """Learns atoms from minibatches of signals, and codes signals over them.

    Minimises the mean over the signals of 1/2 ||x - z @ components_||^2 + alpha ||z||_1 (no 1/M)
    over codes z and atoms of norm at most 1, by :class:`sparsedef.learning.OnlineLearner`. Takes
    the place of ``sklearn.decomposition.MiniBatchDictionaryLearning`` (1.9), parameter names and
    all, with these differences: it makes ``max_iter`` passes and does not stop before them (no
    ``tol``, ``max_no_improvement``, ``callback``); it visits the signals in random order always;
    it starts from signals, not from singular vectors; ``fit_algorithm`` may be ``"omp"`` too, and
    may be positive.

    Args:
        n_components: Atoms N; ``None``: as many as the signals have features.
        alpha: Penalty while learning, and while transforming if ``transform_alpha`` is ``None``.
        max_iter: Passes over the signals, at least 1.
        fit_algorithm: What codes while learning: ``"lars"`` or ``"cd"``, the LASSO (one and the
            same here), or ``"omp"``.
        fit_n_nonzero_coefs: Atoms per signal of that ``"omp"``; ``None``: M / 10, but 1 to N.
        batch_size: Signals between two updates of the atoms, in ``fit``.
        dict_init: Atoms to start from, ``[N, M]``; ``None``: signals drawn at random.
        transform_algorithm: As of :class:`SparseCoder`.
        transform_n_nonzero_coefs: As of :class:`SparseCoder`.
        transform_alpha: As of :class:`SparseCoder`, but ``None``: ``alpha``.
        verbose: Show a progress bar.
        split_sign: As of :class:`SparseCoder`.
        random_state: Seed; ``None``: another one at each ``fit``.
        n_jobs: Accepted; ``torch.set_num_threads`` sets the threads.
        positive_code: Demand codes >= 0; not for transforming with ``"omp"`` and ``"lars"``.
        positive_dict: Demand atoms >= 0.
        transform_max_iter: As of :class:`SparseCoder`.
        backend: ``"auto"`` or a name from ``sparsedef.backends()``.

    Attributes:
        components_: Atoms, ``[N, M]``, float32 if the signals are, else float64.
        learner_: The :class:`sparsedef.learning.OnlineLearner`; its ``objective`` is the curve.
        n_iter_: Passes made.
        n_steps_: Minibatches seen.
        n_features_in_: Numbers per signal M.
        feature_names_in_: Names of the columns of ``X``, if it had any.

    Example:
        >>> import numpy as np
        >>> from sparsedef.estimators import DictionaryLearner
        >>> signals = np.random.default_rng(0).standard_normal((60, 1)) * [[0.6, 0.8]]
        >>> learner = DictionaryLearner(1, alpha=0.01, max_iter=20, random_state=0).fit(signals)
        >>> bool(np.allclose(abs(learner.components_), [[0.6, 0.8]]))
        True
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        alpha: float = 1.0,
        max_iter: int = 10,
        fit_algorithm: str = "lars",
        fit_n_nonzero_coefs: int | None = None,
        batch_size: int = 256,
        dict_init: Any = None,
        transform_algorithm: str = "omp",
        transform_n_nonzero_coefs: int | None = None,
        transform_alpha: float | None = None,
        verbose: bool = False,
        split_sign: bool = False,
        random_state: Any = None,
        n_jobs: int | None = None,
        positive_code: bool = False,
        positive_dict: bool = False,
        transform_max_iter: int = 1000,
        backend: str = "auto",
    ) -> None:
        """Keeps the parameters as they are; ``fit`` and ``transform`` check them."""
        self.n_components = n_components
        self.alpha = alpha
        self.max_iter = max_iter
        self.fit_algorithm = fit_algorithm
        self.fit_n_nonzero_coefs = fit_n_nonzero_coefs
        self.batch_size = batch_size
        self.dict_init = dict_init
        self.transform_algorithm = transform_algorithm
        self.transform_n_nonzero_coefs = transform_n_nonzero_coefs
        self.transform_alpha = transform_alpha
        self.verbose = verbose
        self.split_sign = split_sign
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.positive_code = positive_code
        self.positive_dict = positive_dict
        self.transform_max_iter = transform_max_iter
        self.backend = backend

    def fit(self, X: Any, y: Any = None) -> DictionaryLearner:
        """Learns the atoms anew, in ``max_iter`` passes over the signals.

        Args:
            X: Signals, ``[B, M]``.
            y: Not used.

        Returns:
            Itself.
        """
        X = validate_data(self, X, dtype=FLOATS, order="C")
        self.learner_ = self._learner(X)
        self.learner_.fit(to_tensor("X", X, torch.device("cpu")), progress=bool(self.verbose))
        self.n_iter_ = int(self.max_iter)
        return self._keep()

    def partial_fit(self, X: Any, y: Any = None) -> DictionaryLearner:
        """Goes on learning with these signals as one minibatch, whatever ``batch_size``.

        Args:
            X: Signals, ``[B, M]``.
            y: Not used.

        Returns:
            Itself.
        """
        is_new = not hasattr(self, "learner_")
        X = validate_data(self, X, dtype=FLOATS, order="C", reset=is_new)
        if is_new:
            self.learner_ = self._learner(X)
        else:
            X = X.astype(self.components_.dtype, copy=False)
        self.learner_.partial_fit(to_tensor("X", X, torch.device("cpu")))
        return self._keep()

    def _learner(self, X: Array) -> OnlineLearner:
        who = "DictionaryLearner"
        check_choice(who, "fit_algorithm", self.fit_algorithm, FIT_ALGORITHMS)
        self._check_words(positive=False)  # a dictionary of positive codes may be used otherwise
        n_features = X.shape[1]
        n_atoms = n_features if self.n_components is None else plain(self.n_components)
        n_atoms = check_count(who, "n_components", n_atoms)
        n_epochs = check_count(who, "max_iter", plain(self.max_iter))
        batch_size = check_count(who, "batch_size", plain(self.batch_size))
        init = None
        if self.dict_init is not None:
            atoms = check_array(self.dict_init, dtype=FLOATS, input_name="dict_init")
            init = to_tensor("dict_init", atoms.astype(X.dtype), torch.device("cpu"))
        options: dict[str, Any] = {"coder": "lasso", "alpha": plain(self.alpha)}
        if self.fit_algorithm == "omp":
            count = self.fit_n_nonzero_coefs
            count = min(max(n_features // 10, 1), n_atoms) if count is None else plain(count)
            options = {"coder": "omp", "n_nonzero": count}
        return OnlineLearner(
            n_atoms,
            **options,
            nonnegative_codes=bool(self.positive_code),
            nonnegative_atoms=bool(self.positive_dict),
            batch_size=batch_size,
            n_epochs=n_epochs,
            init=init,
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            backend=self.backend,
        )

    def _keep(self) -> DictionaryLearner:
        self.components_ = self.learner_.dictionary.numpy().copy()
        self.n_steps_ = len(self.learner_.objective)
        return self

    def _atoms(self) -> Array:
        check_is_fitted(self)
        return np.asarray(self.components_)
