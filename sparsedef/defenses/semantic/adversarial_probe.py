"""A linear probe trained on attacked embeddings, as adversarial training would have it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.defenses.semantic.dense import NO_LP_CLAIM, LinearProbe
from sparsedef.defenses.semantic.inputs import check_embeddings, check_labels
from sparsedef.defenses.semantic.logistic import HeadFit


class AdversarialProbe(LinearProbe):
    """A linear head trained on the worst embeddings near the clean ones, or on given ones.

    Without attacked embeddings, each step of Adam sees x + eps sign(gradient of its loss for x),
    the one-step attack on the current head in an l_inf ball around the centred embedding (for a
    linear head of two classes the worst point of the ball). It starts from the plain probe and
    keeps its penalty. With attacked embeddings, the head is fitted to clean and attacked ones
    together.

    Args:
        encoder: Images to embeddings.
        width: M.
        n_classes: C.
        eps: Radius of the ball; coordinates of x are some M^-1/2 in size.
        steps: Of Adam, each over all examples.
        options: Of ``LinearProbe``.

    Source: Madry et al., 2018, on embeddings; one step, Goodfellow et al., 2015.
    """

    notes: ClassVar[str] = (
        "Trained on perturbed embeddings, not images: what it resists is small in the embedding. "
        + NO_LP_CLAIM
    )
    SETTINGS: ClassVar[tuple[str, ...]] = (*LinearProbe.SETTINGS, "eps", "steps")

    def __init__(
        self,
        encoder: nn.Module,
        width: int,
        n_classes: int,
        *,
        eps: float = 0.02,
        steps: int = 300,
        **options: Any,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(encoder, width, n_classes, **options)
        if not eps > 0:
            raise ValueError(f"AdversarialProbe: eps must be above 0, got {eps}")
        self.eps = float(eps)
        self.steps = steps

    def fit_head(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        attacked: tuple[Tensor, Tensor] | None = None,
        **options: Any,
    ) -> HeadFit:
        """Fits the head to embeddings ``[n, M]`` after ``fit_features``.

        Args:
            embeddings: Of clean training images.
            labels: ``[n]`` int64.
            attacked: Embeddings of attacked training images and their true classes; then no
                perturbation is made up.
            options: ``validation``, ``l2``, ``seed`` of ``EmbeddingClassifier.fit_head``.
        """
        if attacked is not None:
            more, more_labels = attacked
            check_embeddings(type(self).__name__, more, len(self.image_mean))
            check_labels(type(self).__name__, more, more_labels, self.n_classes)
            embeddings = torch.cat([embeddings, more.to(embeddings)])
            labels = torch.cat([labels, more_labels.to(labels)])
            return super().fit_head(embeddings, labels, **options)
        fit = super().fit_head(embeddings, labels, **options)
        features = self.features_of(embeddings).double()
        fit = harden(fit, features, labels.to(features.device), self.eps, self.steps)
        self.set_head(fit)
        return fit


def harden(fit: HeadFit, features: Tensor, labels: Tensor, eps: float, steps: int) -> HeadFit:
    """Trains a head further, on features ``[n, F]`` moved by ``eps`` against it at each step."""
    weight, bias = fit.weight.clone().requires_grad_(), fit.bias.clone().requires_grad_()
    solver = torch.optim.Adam([weight, bias], lr=float(weight.detach().abs().mean()) / 10)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(solver, steps)
    wanted = functional.one_hot(labels, len(fit.bias)).double()
    for _ in range(steps):
        with torch.no_grad():
            share = (features @ weight.T + bias).softmax(dim=1)
            moved = features + eps * ((share - wanted) @ weight).sign()
        solver.zero_grad()
        loss = functional.cross_entropy(moved @ weight.T + bias, labels)
        (loss + fit.l2 / 2 * (weight * fit.spread).square().sum()).backward()
        solver.step()
        schedule.step()
    return fit._replace(weight=weight.detach(), bias=bias.detach())
