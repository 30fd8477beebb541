"""Expectation over transformation, around any attack: gradients averaged over random draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from sparsedef.attacks.base import Attack
from sparsedef.attacks.target import Model, Target
from sparsedef.solvers.checks import check_count

Transform = Callable[[Tensor], Tensor]


class EOT(Attack):
    """Runs ``attack`` with every gradient averaged over ``n`` draws.

    Where ``attack`` would climb ``g = dL(f(x)) / dx``, this climbs

        ``g = 1/n * sum_i dL(f_i(t_i(x))) / dx``,  ``i = 1..n``,

    ``f_i`` the i-th draw of a random model (one that says ``is_random``; any other is the same in
    every draw), ``t_i`` the i-th draw of ``transform``, or no transformation. Every attack
    averages over a random model anyway, ``draws`` times; this sets how often, whatever the attack,
    and can smooth the gradient of a model that is not random. What counts as fooled stays the
    same: the model itself, on the image itself, more than half of its ``n`` draws if it is random.
    (A transformation that the attacked image must survive belongs into the model: one that applies
    it and says ``is_random``.)

    Args:
        attack: What to run; its budget, norm and seed are this one's.
        n: Draws per look.
        transform: Images ``[B, C, H, W]`` in [0, 1] to images that the model takes, differentiable,
            with randomness from torch's global generator, which the attack seeds.

    Example:
        >>> from sparsedef.attacks import PGD
        >>> attack = EOT(PGD(8 / 255), 20, transform=lambda x: x + 0.1 * torch.randn_like(x))
        >>> attack.name, round(attack.eps, 4), attack.norm
        ('EOT(PGD)', 0.0314, 'linf')

    Source: Athalye, Engstrom, Ilyas, Kwok, 2018.
    """

    # what the wrapped attack needs, it has checked
    needs_eps: ClassVar[bool] = False

    def __init__(self, attack: Attack, n: int, *, transform: Transform | None = None) -> None:
        """Checks and keeps the settings; see the class."""
        if not isinstance(attack, Attack):
            raise TypeError(
                f"EOT: attack must be an Attack, such as PGD(8 / 255), got {type(attack).__name__}"
            )
        if transform is not None and not callable(transform):
            raise TypeError(f"EOT: transform must be callable, got {type(transform).__name__}")
        self.attack = attack
        self.transform = transform
        super().__init__(
            attack.eps, norm=attack.norm, seed=attack.seed, draws=check_count("EOT", "n", n)
        )

    @property
    def uses_gradient(self) -> bool:  # type: ignore[override]
        """Whether the wrapped attack does."""
        return self.attack.uses_gradient

    @property
    def name(self) -> str:
        """Such as ``EOT(PGD)``."""
        return f"EOT({self.attack.name})"

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Lets ``attack`` perturb what it sees of the model through the transformation."""
        if self.transform is not None:
            target = self._behind_transform(target, self.transform)
        return self.attack.perturb(target, images, labels, start, generator)

    def _behind_transform(self, target: Target, transform: Transform) -> Target:
        """The same target, whose gradients are taken through draws of ``transform``."""
        through = _Through(target.gradient_model or target.model, transform)
        smoothed = Target(target.model, through, draws=self.draws, who=self.name)
        smoothed.health = target.health  # counted in one place
        return smoothed


class _Through:
    """A model that looks at a random transformation of each image, and says that it is random."""

    is_random = True

    def __init__(self, model: Model, transform: Transform) -> None:
        self.model = model
        self.transform = transform

    def __call__(self, images: Tensor) -> Tensor:
        return self.model(self.transform(images))
