"""scikit-learn's own checks of what an estimator must do."""

from typing import Any

import numpy as np
import pytest

decomposition = pytest.importorskip("sklearn.decomposition", reason="needs scikit-learn")

from sklearn.utils._test_common import instance_generator  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from sparsedef.estimators import DictionaryLearner, SparseCoder  # noqa: E402

# A given dictionary must fit the width of each check's data: scikit-learn keeps a table of
# dictionaries for its own SparseCoder, and ours gets the same.
_TABLE = instance_generator.PER_ESTIMATOR_CHECK_PARAMS
_TABLE[SparseCoder] = _TABLE[decomposition.SparseCoder]

CODER = SparseCoder(np.random.default_rng(0).standard_normal((5, 3)))


LEARNERS = [
    DictionaryLearner(),
    DictionaryLearner(4, fit_algorithm="omp", transform_algorithm="lasso_cd"),
]


@parametrize_with_checks([CODER, *LEARNERS])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)
