"""Transformers for scikit-learn's pipelines; these alone need scikit-learn."""

try:
    from sklearn.utils.validation import validate_data as _needed  # noqa: F401  (since 1.6)
except ImportError as error:
    raise ImportError(
        "sparsedef.estimators needs scikit-learn >= 1.6: pip install 'sparsedef[sklearn]'"
        " (sparsedef.sparse_encode and sparsedef.learning work without it)"
    ) from error

from sparsedef.estimators.dictionary_learner import DictionaryLearner
from sparsedef.estimators.sparse_coder import SparseCoder

__all__ = ["DictionaryLearner", "SparseCoder"]
