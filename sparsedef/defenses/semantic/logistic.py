"""Multinomial logistic regression, its penalty chosen on examples held out of the training data."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.solvers.checks import check_choice

GRID = (5e-2, 2e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)  # penalties tried, each starts from the last
SCALINGS = ("none", "whole", "each")
MAX_ITER = 1000


class HeadFit(NamedTuple):
    """A fitted linear head ``features @ weight.T + bias``.

    Attributes:
        weight: ``[C, F]``, float64.
        bias: ``[C]``, float64.
        l2: The penalty it was fitted with.
        spread: What the penalised features were divided by, ``[F]``: the penalty is of
            ``weight * spread``.
        held_out: Pairs of a penalty tried and the mean cross-entropy it gave on the examples held
            out; empty when the penalty was given.
    """

    weight: Tensor
    bias: Tensor
    l2: float
    spread: Tensor
    held_out: tuple[tuple[float, float], ...] = ()


def fit_logistic(
    features: Tensor,
    labels: Tensor,
    n_classes: int,
    l2: float,
    *,
    init: tuple[Tensor, Tensor] | None = None,
    tol: float = 1e-6,
    max_iter: int = MAX_ITER,
) -> HeadFit:
    """Fits a linear head by multinomial logistic regression, in float64.

    Minimises the mean over examples of the cross-entropy, plus ``l2 / 2`` times the squared norm of
    the weights; the bias is free. (scikit-learn's ``C`` is 1 / (n l2).) The problem is convex, so
    the answer depends on no seed.

    Args:
        features: ``[n, F]``.
        labels: ``[n]`` int64, each in 0 to C - 1.
        n_classes: C.
        l2: Weight of the penalty, above 0.
        init: Weight ``[C, F]`` and bias ``[C]`` to start from.
        tol: Done when no entry of the gradient is larger. Short of it after ``max_iter`` steps of
            L-BFGS, it warns.
        max_iter: Most steps.

    Example:
        >>> fit = fit_logistic(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]), 2, 0.1)
        >>> bool(fit.weight[1, 0] > 0 > fit.weight[0, 0])
        True
    """
    if not l2 > 0:
        raise ValueError(f"fit_logistic: l2 must be above 0, got {l2}")
    data = torch.cat([features.double(), features.new_ones(len(features), 1).double()], dim=1)
    wanted = functional.one_hot(labels, n_classes).double()
    head = data.new_zeros(n_classes, data.shape[1])
    if init is not None:
        head[:, :-1], head[:, -1] = init[0], init[1]
    penalty = torch.full_like(head[0], l2)
    penalty[-1] = 0
    solver = torch.optim.LBFGS(
        [head], max_iter=max_iter, max_eval=2 * max_iter, history_size=30, tolerance_grad=tol,
        tolerance_change=1e-15, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        scores = data @ head.T
        log_share = scores.log_softmax(dim=1)
        shrunk = penalty * head
        head.grad = (log_share.exp() - wanted).T @ data / len(data) + shrunk
        return -(wanted * log_share).sum() / len(data) + (shrunk * head).sum() / 2

    solver.step(closure)
    closure()
    assert head.grad is not None
    worst = float(head.grad.abs().amax())
    if not worst <= 10 * tol:
        warnings.warn(
            f"fit_logistic: the gradient is still {worst:.1e} after at most {max_iter} steps"
            f" (l2={l2:g}; a larger one, or standardise='whole', converges faster)",
            stacklevel=2,
        )
    return HeadFit(head[:, :-1].clone(), head[:, -1].clone(), l2, torch.ones_like(head[0, :-1]))


def fit_head(
    features: Tensor,
    labels: Tensor,
    n_classes: int,
    *,
    standardise: str = "whole",
    validation: float | tuple[Tensor, Tensor] = 0.2,
    l2: float | None = None,
    grid: Sequence[float] = GRID,
    seed: int = 0,
) -> HeadFit:
    """Fits a linear head with the penalty that serves held-out training examples best.

    Best is the lowest mean cross-entropy on the examples held out. With a share held out, the head
    is then fitted again to all of them; a ``validation`` set of its own is never fitted to.

    Args:
        features: ``[n, F]``, finite.
        labels: ``[n]`` int64.
        n_classes: C.
        standardise: What the penalty sees. ``"none"``: the features as they are. ``"each"``: every
            feature shifted and scaled to mean 0 and variance 1 over ``features`` (those that never
            vary are left out). ``"whole"``: every feature shifted to mean 0, all divided by one
            number so that their mean squared norm is 1; their relative scales stay. The returned
            weight and bias are for the features as given, whichever it is.
        validation: Share of each class to hold out, or features and labels of their own.
        l2: The penalty; then nothing is held out.
        grid: Penalties to choose from.
        seed: Of the draw of held-out examples.

    Raises:
        ValueError: Features do not vary, or too few examples to hold some out.
    """
    check_choice("fit_head", "standardise", standardise, SCALINGS)
    features = features.double()
    shift, spread = _scaling(features, standardise)
    scaled = (features - shift) / spread
    tried: list[tuple[float, float]] = []
    start = None
    if l2 is None:
        if isinstance(validation, tuple):
            held, held_labels = (validation[0].double() - shift) / spread, validation[1]
            fitted, fitted_labels = scaled, labels
        else:
            is_held = hold_out(labels, validation, seed)
            held, held_labels = scaled[is_held], labels[is_held]
            fitted, fitted_labels = scaled[~is_held], labels[~is_held]
        best = float("inf")
        init = None
        for penalty in sorted(grid, reverse=True):
            fit = fit_logistic(fitted, fitted_labels, n_classes, penalty, init=init)
            init = fit.weight, fit.bias
            scores = held @ fit.weight.T + fit.bias
            loss = float(functional.cross_entropy(scores, held_labels))
            tried.append((penalty, loss))
            if loss < best:
                best, l2, start = loss, penalty, init
    assert l2 is not None
    fit = fit_logistic(scaled, labels, n_classes, l2, init=start)
    weight = fit.weight / spread
    return HeadFit(weight, fit.bias - weight @ shift, l2, spread, tuple(tried))


def hold_out(labels: Tensor, share: float, seed: int) -> Tensor:
    """Draws a share of each class, but never all of it: a mask ``[n]``, true where held out.

    Raises:
        ValueError: The share is not inside (0, 1), or no class has enough examples.
    """
    if not 0 < share < 1:
        raise ValueError(f"hold_out: share must lie in (0, 1), got {share}")
    generator = torch.Generator().manual_seed(seed)
    is_held = torch.zeros(len(labels), dtype=torch.bool)
    where = labels.cpu()
    for each in where.unique().tolist():
        members = (where == each).nonzero()[:, 0]
        count = min(round(share * len(members)), len(members) - 1)
        order = torch.randperm(len(members), generator=generator)
        is_held[members[order[:count]]] = True
    if not is_held.any():
        raise ValueError(
            f"hold_out: {share:g} of each class must be at least one example of some class, got "
            f"classes of at most {int(where.bincount().amax()) if len(where) else 0} examples "
            f"(pass validation=(embeddings, labels), or l2=0.01)"
        )
    return is_held.to(labels.device)


def _scaling(features: Tensor, how: str) -> tuple[Tensor, Tensor]:
    """What to subtract from the features and what to divide them by, ``[F]`` each."""
    shift = features.mean(dim=0)
    variance = (features - shift).square().mean(dim=0)
    # Rounding of the mean leaves a constant feature some 1e-32 of its square.
    varies = variance > 1e-20 * features.square().mean(dim=0)
    if not varies.any():
        raise ValueError(
            "fit_head: features must vary over the training examples, got constant ones "
            "(all codes zero? choose a smaller alpha)"
        )
    if how == "none":
        return torch.zeros_like(shift), torch.ones_like(shift)
    if how == "whole":
        return shift, variance.sum().sqrt().expand_as(shift)
    return shift, variance.sqrt().where(varies, 1)
