"""LAAT's classifier: an image encoder, and a cosine head whose anchors can be exchanged."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.defenses.base import Defense
from sparsedef.solvers.checks import check_count

if TYPE_CHECKING:
    from typing_extensions import Self


class LAAT(Defense):
    """Classifies by the nearest anchor: ``logits = cos(encoder(image), anchors) / temperature``.

    The anchors are texts, so that classes can be exchanged after training: ``with_anchors`` gives
    the same network for other classes. Deterministic and differentiable from end to end.

    Args:
        encoder: Images ``[B, 3, H, W]`` in [0, 1] to features ``[B, M]`` of any norms; kept as
            ``classifier``, as every defense keeps what it defends.
        anchors: ``[C, M]``, of any norms; scaled to 1.
        temperature: 1 as published: cosines never saturate the cross-entropy. A smaller one
            changes no answer; to an attacker it only scales gradients.

    Raises:
        ValueError: Anchors are no ``[C, M]``, or one is zero, or the temperature is not positive.

    Example:
        >>> two = LAAT(nn.Flatten(), torch.eye(12)[:2])
        >>> image = torch.zeros(1, 3, 2, 2)
        >>> image[0, 0, 0, 0] = 1.0
        >>> two(image).tolist(), two.with_anchors(torch.eye(12)[1:4])(image).shape
        ([[1.0, 0.0]], torch.Size([1, 3]))

    Source: LAAT, Li, Zhang, Hu, "Language-driven anchors for zero-shot adversarial robustness",
    CVPR 2024.
    """

    notes = (
        "An image encoder trained adversarially towards fixed text anchors. Deterministic, with an "
        "exact gradient: ordinary white-box attacks are adaptive. Logits are cosines, so gradients "
        "of the cross-entropy are small; attacks at a lower temperature are run as well."
    )

    anchors: Tensor

    def __init__(self, encoder: nn.Module, anchors: Tensor, *, temperature: float = 1.0) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(encoder)
        if not temperature > 0:
            raise ValueError(f"LAAT: temperature must be above 0, got {temperature}")
        self.temperature = float(temperature)
        self.register_buffer("anchors", _checked(anchors))

    @property
    def encoder(self) -> nn.Module:
        """What embeds the images."""
        return self.classifier

    @classmethod
    def fit(
        cls,
        classifier: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int = 0,
        anchors: Tensor | None = None,
        eps: float = 8 / 255,
        epochs: int = 20,
    ) -> Self:
        """Trains a copy of an encoder adversarially towards anchors, as ``train_anchored`` does.

        Args:
            classifier: An encoder, images to features ``[B, M]``; it is left as it is.
            images: Clean training images ``[B, 3, H, W]`` in [0, 1].
            labels: Their classes, ``[B]`` int64.
            seed: Of order and inner attacks.
            anchors: ``[C, M]``, of texts; ``None`` for corners of a simplex, which mean nothing.
            eps: Radius of the inner attack.
            epochs: How often each image is seen.
        """
        from sparsedef.training.anchored import AnchorObjective, train_anchored
        from sparsedef.training.inner import LinfAscent
        from sparsedef.training.step import Tensors

        encoder = copy.deepcopy(classifier)
        if anchors is None:
            with torch.no_grad():
                width = encoder(images[:1]).shape[1]
            anchors = torch.eye(width)[: int(labels.max()) + 1]
        made = cls(encoder, anchors.to(images)).train()
        objective = AnchorObjective(LinfAscent(eps, 7, eps / 4))
        train_anchored(
            made, Tensors(images, labels), objective, epochs=epochs, seed=seed, is_silent=True
        )
        return made.eval()

    def embed(self, images: Tensor) -> Tensor:
        """Embeds images ``[B, 3, H, W]``: ``[B, M]``, of any norms."""
        features: Tensor = self.classifier(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Classifies features ``[B, M]`` of any norms: logits ``[B, C]``; differentiable."""
        if features.shape[-1] != self.anchors.shape[1]:
            raise ValueError(
                f"LAAT: the encoder must give [B, {self.anchors.shape[1]}], as wide as the anchors,"
                f" got {list(features.shape)}"
            )
        cosines = functional.normalize(features, dim=-1) @ self.anchors.to(features.dtype).T
        return cosines / self.temperature

    def logits(self, images: Tensor) -> Tensor:
        """Classifies images: cosines with the anchors over the temperature, ``[B, C]``."""
        return self.classify(self.embed(images))

    def with_anchors(self, anchors: Tensor) -> LAAT:
        """Gives this network, its weights shared, for the classes of other anchors ``[C, M]``."""
        anchors = anchors.to(self.anchors)
        return self._like(LAAT(self.classifier, anchors, temperature=self.temperature))

    def with_temperature(self, temperature: float) -> LAAT:
        """Gives this network, its weights shared, with other logits and the same answers."""
        return self._like(LAAT(self.classifier, self.anchors, temperature=temperature))

    def _like(self, made: LAAT) -> LAAT:
        # not train(): it would change the mode of the shared encoder
        made.training = self.training
        return made


def _checked(anchors: Tensor) -> Tensor:
    if not anchors.is_floating_point():
        raise TypeError(f"LAAT: anchors must be float, got {anchors.dtype}")
    if anchors.ndim != 2:
        raise ValueError(f"LAAT: anchors must be [C, M], got {list(anchors.shape)}")
    check_count("LAAT", "anchors", len(anchors))
    norms = anchors.norm(dim=1, keepdim=True)
    if not bool((norms > 0).all()) or not bool(torch.isfinite(norms).all()):
        raise ValueError("LAAT: every anchor must be finite and not zero")
    return (anchors / norms).detach().clone()
