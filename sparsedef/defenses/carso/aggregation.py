"""One answer from the logits of several samples: the published product in the log domain, others.

The published rule, PeeL, gives class c the probability ``P_c ~ prod_i exp(exp(l_i^c))``, that is
``P = softmax(sum_i exp(l_i))``, and hands on ``log(P / (1 - P))``. Doubly exponential, it
saturates: in float32, with 8 samples and one class at logit 3 above the others, P is exactly 1 and
0 otherwise, its log-odds are infinite and their gradients NaN. As softmax keeps the order, the
winner is the class with the largest ``sum_i exp(l_i^c)``, that is with the largest logsumexp over
samples: the same prediction without overflow, with a gradient everywhere.

All functions take logits ``[n, B, C]`` and give ``[B, C]``.

Source of PeeL: Ballarin, Ansuini, Bortolussi, 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional


def log_domain(logits: Tensor) -> Tensor:
    """PeeL's prediction without its overflow: ``s_c = logsumexp_i l_i^c``.

    Example:
        >>> log_domain(torch.tensor([[[2.0, 0.0]], [[2.0, 3.0]]])).argmax(1).tolist()
        [1]
    """
    return logits.logsumexp(0)


def mean_logit(logits: Tensor) -> Tensor:
    """Averages the logits."""
    return logits.mean(0)


def mean_probability(logits: Tensor) -> Tensor:
    """Log-odds of the averaged sigmoid of each logit, in the log domain."""
    return functional.logsigmoid(logits).logsumexp(0) - functional.logsigmoid(-logits).logsumexp(0)


def literal_peel(logits: Tensor) -> Tensor:
    """PeeL as published, in the precision of ``logits``: a demonstration of how it saturates."""
    probability = logits.exp().sum(0).softmax(1)
    return (probability / (1 - probability)).log()


def vote(logits: Tensor) -> Tensor:
    """Counts for each class the samples that choose it; no gradient. The first class wins a tie."""
    chosen = functional.one_hot(logits.argmax(2), logits.shape[2])
    return chosen.sum(0).to(logits)


# those with a gradient; `vote` has none, and `literal_peel` none of use
AGGREGATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "log_domain": log_domain,
    "mean_logit": mean_logit,
    "mean_probability": mean_probability,
}


def per_sample_log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits ``[B, C]`` whose cross-entropy is the mean cross-entropy of the samples.

    With ``v = mean_i log p_i(y)``: the label's logit is v, and the others share ``1 - exp(v)``.
    Labels ``[B]``. For attacks: their loss of these logits is then the mean per-sample loss.
    """
    n_classes = logits.shape[2]
    index = labels[None, :, None].expand(len(logits), -1, 1)
    true = logits.log_softmax(2).gather(2, index).mean(0)[:, 0]
    # away from 0, where log(1 - exp(v)) and its gradient are infinite
    rest = torch.log(-torch.expm1(true.clamp_max(-1e-6)))
    spread = (rest - torch.log(rest.new_tensor(n_classes - 1.0)))[:, None].expand(-1, n_classes)
    return spread.scatter(1, labels[:, None], true[:, None])
