"""Data parallelism: the gradient of a minibatch that several ranks have shared out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsedef.learning.ranks import Ranks


def sum_over_ranks(model: nn.Module, loss: Tensor, share: float, ranks: Ranks) -> Tensor:
    """Makes every rank's gradients those of the whole minibatch, and its buffers rank 0's.

    With ``g_r`` the gradient of rank r's mean loss and ``s_r`` its share of the minibatch, each
    parameter's gradient becomes ``sum_r s_r g_r``, added in the order of the ranks, to the same
    bits on all of them. Floating-point buffers (the running statistics of batch normalisation)
    become those of rank 0. A parameter that no rank has a gradient for keeps none.

    Args:
        model: Its gradients and buffers are overwritten.
        loss: This rank's mean loss; a scalar.
        share: This rank's part of the minibatch, 0 to 1.
        ranks: Who shares the work.

    Returns:
        The mean loss of the whole minibatch; a scalar without a gradient.
    """
    loss = loss.detach()
    if ranks.n_ranks == 1:
        return loss
    parameters = [each for each in model.parameters() if each.requires_grad]
    buffers = [each for each in model.buffers() if each.is_floating_point()]
    gradients = [each.grad for each in parameters]
    has_gradient = torch.tensor([float(grad is not None) for grad in gradients])
    parts = [loss.reshape(1) * share, has_gradient]
    for parameter, grad in zip(parameters, gradients, strict=True):
        parts.append(torch.zeros_like(parameter) if grad is None else grad * share)
    parts += [each if ranks.rank == 0 else torch.zeros_like(each) for each in buffers]
    sizes = [part.numel() for part in parts]
    flat = torch.cat([part.detach().cpu().flatten() for part in parts])
    sums = ranks.sum(flat).split(sizes)
    for i, parameter in enumerate(parameters):
        if sums[1][i] > 0:
            parameter.grad = sums[2 + i].view_as(parameter).to(parameter)
    with torch.no_grad():
        for buffer, sum_ in zip(buffers, sums[2 + len(parameters) :], strict=True):
            buffer.copy_(sum_.view_as(buffer))
    return sums[0][0]
