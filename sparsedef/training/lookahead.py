"""Lookahead: slow weights that follow the fast ones of another optimiser."""

from __future__ import annotations

from typing import Any

import torch

from sparsedef.solvers.checks import check_count


class Lookahead:
    """Lets another optimiser run ahead, and follows it part of the way every few steps.

    After each ``k`` steps of ``inner``: ``slow <- slow + alpha * (fast - slow)``, ``fast <- slow``.

    Args:
        inner: Steps the weights.
        k: Steps between two of the slow weights.
        alpha: How far these follow.

    Raises:
        ValueError: A number is out of range.

    Source: Zhang, Lucas, Hinton, Ba, 2019.
    """

    def __init__(self, inner: torch.optim.Optimizer, *, k: int = 6, alpha: float = 0.8) -> None:
        """Checks and keeps the settings; see the class."""
        check_count("Lookahead", "k", k)
        if not 0 < alpha <= 1:
            raise ValueError(f"Lookahead: alpha must be above 0 and at most 1, got {alpha}")
        self.inner, self.k, self.alpha, self.count = inner, k, alpha, 0
        self.fast = [each for group in inner.param_groups for each in group["params"]]
        self.slow = [each.detach().clone() for each in self.fast]

    @torch.no_grad()
    def step(self) -> None:
        """Takes one step of the inner optimiser, and maybe one of the slow weights."""
        self.inner.step()
        self.count += 1
        if self.count % self.k == 0:
            for slow, fast in zip(self.slow, self.fast, strict=True):
                slow.lerp_(fast, self.alpha)
                fast.copy_(slow)

    def state_dict(self) -> dict[str, Any]:
        """All that it needs to go on."""
        return {"inner": self.inner.state_dict(), "slow": self.slow, "count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes it over."""
        self.inner.load_state_dict(state_dict["inner"])
        with torch.no_grad():
            for slow, kept in zip(self.slow, state_dict["slow"], strict=True):
                slow.copy_(kept)
        self.count = state_dict["count"]
