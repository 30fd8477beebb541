"""Learns dictionaries from data: online over minibatches, or by K-SVD over all signals at once."""

from sparsedef.learning.ksvd import KSVD
from sparsedef.learning.online import OnlineLearner
from sparsedef.learning.ranks import Alone, Ranks

__all__ = ["KSVD", "Alone", "OnlineLearner", "Ranks"]
