"""scikit-learn's own tests of sparse coding and dictionary learning, run against ours."""

from typing import Any

import numpy as np
import pytest
from borrowed import borrow, their_tests

theirs = pytest.importorskip(
    "sklearn.decomposition.tests.test_dict_learning", reason="needs scikit-learn with its tests"
)

from sparsedef import sparse_encode  # noqa: E402
from sparsedef.estimators import DictionaryLearner, SparseCoder  # noqa: E402

Array = np.ndarray[Any, Any]

NOT_SHARED = {
    "test_dict_learning_lars_positive_parameter": "'lars' and 'cd' are one LASSO here, which may be"
    " positive",
    "test_dict_learning_online_lars_positive_parameter": "as test_dict_learning_lars_positive_...",
    "test_dict_learning_online_initialization": "max_iter is 1 or more, and atoms get norm 1",
    "test_update_dict": "a test of a private function",
}


class Learner(DictionaryLearner):
    """Ours, with the names under which theirs keeps its sums."""

    @property
    def _A(self) -> Array:
        return np.asarray(self.learner_.state_dict()["gram"])

    @property
    def _B(self) -> Array:
        return np.asarray(self.learner_.state_dict()["cross"].T)


def learner(n_components: int | None = None, **options: Any) -> Learner:
    """Both of their learners; ours always shuffles, and does not stop early."""
    for name in ("shuffle", "tol", "max_no_improvement", "callback"):
        options.pop(name, None)
    return Learner(n_components, **options)


def learn(X: Array, n_components: int = 2, **options: Any) -> tuple[Array, Array]:
    """Codes and atoms, as their functions return them."""
    method = options.pop("method", "lars")
    options.pop("return_code", None)
    model = learner(n_components, fit_algorithm=method, transform_algorithm="lasso_cd", **options)
    return model.fit(X).transform(X), model.components_


def dict_learning(X: Array, n_components: int, **options: Any) -> tuple[Array, Array, list[float]]:
    return *learn(X, n_components, **options), []


def dict_learning_online(X: Array, n_components: int = 2, **options: Any) -> Any:
    both = learn(X, n_components, **options)
    return both if options.get("return_code", True) else both[1]


def ours(value: Any) -> Any:
    """Our estimator with the parameters of theirs."""
    if isinstance(value, theirs.SparseCoder):
        return SparseCoder(value.dictionary)
    if isinstance(value, (theirs.DictionaryLearning, theirs.MiniBatchDictionaryLearning)):
        return DictionaryLearner()
    return value


NAMES = {
    "sparse_encode": sparse_encode,
    "SparseCoder": SparseCoder,
    "DictionaryLearning": learner,
    "MiniBatchDictionaryLearning": learner,
    "dict_learning": dict_learning,
    "dict_learning_online": dict_learning_online,
}
globals().update(borrow(theirs, NAMES, NOT_SHARED, ours))


def test_the_tests_left_out_exist() -> None:
    assert set(NOT_SHARED) <= set(their_tests(theirs))
