"""Bounded memory for filters of many rounds: what the backward pass needs is computed again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# numbers that autograd may keep for one filter: 512 MiB in float32
KEPT = 2**27

Rounds = Callable[..., tuple[Tensor, ...]]


def recomputed(rounds: Rounds, *arguments: Tensor, kept: int) -> tuple[Tensor, ...]:
    """Calls ``rounds(*arguments)``; keeps only ``arguments`` for the backward pass if need be.

    The value is the same to the bit either way, and so is the gradient up to the order of its
    sums; forgetting costs one more forward pass of ``rounds``.

    Args:
        rounds: Some of a filter's rounds, without randomness; nothing that it uses needs a
            gradient except ``arguments``.
        arguments: What they start from.
        kept: How many numbers autograd would keep for all rounds of the filter together.

    Gradients: exact, once differentiable where they are computed again.
    """
    is_differentiated = torch.is_grad_enabled() and any(a.requires_grad for a in arguments)
    if not is_differentiated or kept <= KEPT:
        return rounds(*arguments)
    apply: Any = _Recomputed.apply  # some releases of torch annotate it
    found: tuple[Tensor, ...] = apply(rounds, *arguments)
    return found


class _Recomputed(torch.autograd.Function):
    """Runs without a graph, and builds the graph of these rounds alone when it goes backward.

    ``torch.utils.checkpoint`` builds the graph in the forward pass already: its many small nodes
    between large tensors keep the C allocator from using freed memory again, ten times over.
    """

    @staticmethod
    def forward(ctx: Any, rounds: Rounds, *arguments: Tensor) -> tuple[Tensor, ...]:
        ctx.rounds = rounds
        ctx.save_for_backward(*arguments)
        return rounds(*arguments)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[1:]
        arguments = [
            argument.detach().requires_grad_(is_wanted)
            for argument, is_wanted in zip(ctx.saved_tensors, wanted, strict=True)
        ]
        with torch.enable_grad():
            found = ctx.rounds(*arguments)
        leaves = [argument for argument in arguments if argument.requires_grad]
        results = iter(torch.autograd.grad(found, leaves, grads, allow_unused=True))
        return (None, *(next(results) if is_wanted else None for is_wanted in wanted))
