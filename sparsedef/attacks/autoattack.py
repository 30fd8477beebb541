"""AutoAttack, the field's standard ensemble, run by the package ``pyautoattack``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from sparsedef.attacks.base import Attack, misclassified
from sparsedef.attacks.inputs import Norm
from sparsedef.attacks.losses import margin
from sparsedef.attacks.target import GradientHealth, Target
from sparsedef.solvers.checks import check_choice, check_count

# the DLR loss ranks three logits, its targeted form four
FEWEST_CLASSES = {"standard": 4, "rand": 3, "plus": 4}


class AutoAttack(Attack):
    """Runs several attacks with fixed settings, each on the images that withstood those before.

    - ``"standard"``: APGD on cross-entropy; APGD on the targeted DLR loss; targeted FAB; Square
      with 5000 queries.
    - ``"rand"``, for random models: APGD on cross-entropy and on the DLR loss, each gradient the
      mean over ``draws`` draws.
    - ``"plus"``: APGD on cross-entropy and on the DLR loss with 5 restarts, FAB with 5 restarts,
      Square, targeted APGD, targeted FAB.

    APGD and FAB take 100 steps per restart and target. The targeted parts aim at each of the
    ``n_targets`` most likely wrong classes in turn. An image that no part fools comes back
    unchanged; so does one that is misclassified from the start.

    It computes in float32, whatever the images are; a float64 model is asked in float64. A random
    model is asked ``draws`` times per look and its logits averaged, except where ``"rand"`` takes
    gradients: there each look is one draw, as published. ``start`` is kept where it fools; the
    other images are attacked from where AutoAttack begins.

    Args:
        eps: Radius, in pixel units of [0, 1].
        norm: ``"linf"`` or ``"l2"``.
        version: ``"standard"``, ``"rand"`` or ``"plus"``.
        n_targets: Number of target classes; ``None``: all wrong ones. With fewer classes than that,
            as many as there are.
        seed: Of the attack's randomness, and of a random model's draws.
        draws: How often a random model is asked.

    Raises:
        ImportError: ``pyautoattack`` is not installed.
        ValueError: An argument is out of range, or the model has too few classes for the version,
            or the images too few rows for Square in L2.

    Source: Croce, Hein, 2020.
    """

    def __init__(
        self,
        eps: float,
        *,
        norm: Norm = "linf",
        version: str = "standard",
        n_targets: int | None = 9,
        seed: int = 0,
        draws: int = 20,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(eps, norm=norm, seed=seed, draws=draws)
        check_choice(self.name, "version", version, tuple(FEWEST_CLASSES))
        self.version = version
        if n_targets is not None:
            check_count(self.name, "n_targets", n_targets)
        self.n_targets = n_targets
        _import_package()

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Runs the package on what is still classified correctly; see the class."""
        found = (images if start is None else start).clone()
        logits = target.logits(found, labels)
        self._check_fits(images.shape[2], logits.shape[1])
        rows = torch.nonzero(~misclassified(logits, labels))[:, 0]
        if rows.numel() == 0:
            return found
        # a model without a gradient is found here, and by its own name, before the long run
        draws = max(target.draws, target.gradient_draws)
        first = Target(target.model, target.gradient_model, draws=draws, who=self.name)
        first.probe(images[rows[:1]], labels[rows[:1]], margin)
        ensemble = self._ensemble(target, images, n_classes=logits.shape[1])
        with _tracing_kept():
            attacked, _ = ensemble.run_standard_evaluation(
                images[rows].float(), labels[rows], batch_size=len(rows)
            )
        found[rows] = attacked.to(images.dtype)
        return found

    def _check_fits(self, height: int, n_classes: int) -> None:
        if self.norm == "l2" and self.version != "rand" and height < 5:
            raise ValueError(
                f"{self.name}: images must be at least 5 pixels high for l2, where Square begins "
                f"with five rows of tiles, got {height}"
            )
        fewest = FEWEST_CLASSES[self.version]
        if n_classes < fewest:
            raise ValueError(
                f"{self.name}: version {self.version!r} needs at least {fewest} classes, for its "
                f"losses rank that many logits, got {n_classes}"
            )

    def _ensemble(self, target: Target, images: Tensor, *, n_classes: int) -> Any:
        """Sets the package up for ``target``."""
        is_rand = self.version == "rand"
        ensemble = _import_package().AutoAttack(
            _Seen(
                target,
                images.dtype,
                n_classes=n_classes,
                draws=1 if is_rand else target.gradient_draws,
            ),
            device=images.device,
            eps=self.radius,
            norm={"linf": "Linf", "l2": "L2"}[self.norm],
            seed=self.seed,
            version=self.version,
        )
        if is_rand:
            ensemble.apgd.eot_iter = target.gradient_draws
        else:
            n_targets = min(self.n_targets or n_classes, n_classes - 1)
            ensemble.apgd_targeted.n_target_classes = n_targets
            ensemble.fab.n_target_classes = n_targets
        return ensemble


class _Seen:
    """The target as the package asks it: a model that autograd can go through.

    Its value is the model's logits; its gradient is that of what the target differentiates, is
    counted by ``target.health``, and stops at the images (FAB calls ``backward``, which would
    leave gradients in the model's parameters).
    """

    def __init__(self, target: Target, dtype: torch.dtype, *, n_classes: int, draws: int) -> None:
        self.target = target
        self.dtype = dtype
        self.n_classes = n_classes
        self.draws = draws

    def __call__(self, images: Tensor) -> Tensor:
        if len(images) == 0:  # Square asks so where the images left have tied logits
            return images.new_zeros(0, self.n_classes)
        asked = images.to(self.dtype)
        if torch.is_grad_enabled() and images.requires_grad:
            apply: Any = _Look.apply  # some releases of torch annotate it
            logits: Tensor = apply(asked, self.target, self.draws)
        else:
            logits = self.target.logits(asked, _any_labels(asked))
        return logits.to(images.dtype)


class _Look(torch.autograd.Function):
    """Logits ``[B, classes]`` through which a gradient flows to the images and to nothing else."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, target: Target, draws: int) -> Tensor:
        with torch.enable_grad():
            seen = images.detach().requires_grad_(True)
            differentiated = target.gradient_model or target.model
            mean = torch.stack([differentiated(seen) for _ in range(draws)]).mean(0)
        ctx.seen, ctx.mean, ctx.health = seen, mean, target.health
        if target.has_true_logits:
            return mean.detach().clone()
        return target.logits(seen.detach(), _any_labels(seen))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        # kept: FAB goes through one look once per class
        (grad,) = torch.autograd.grad(ctx.mean, ctx.seen, grads[0], retain_graph=True)
        health: GradientHealth = ctx.health
        return health.record(grad), None, None


def _any_labels(images: Tensor) -> Tensor:
    """Labels for a look that does not need them, ``[B]``."""
    return torch.zeros(len(images), dtype=torch.int64, device=images.device)


@contextmanager
def _tracing_kept() -> Iterator[None]:
    """Gives a debugger or a coverage measurement its trace back: the package's checks end it."""
    trace = sys.gettrace()
    try:
        yield
    finally:
        sys.settrace(trace)


def _import_package() -> Any:
    try:
        import pyautoattack
    except ImportError as error:
        raise ImportError(
            "AutoAttack needs pyautoattack: pip install 'sparsedef[robust]'"
        ) from error
    return pyautoattack
