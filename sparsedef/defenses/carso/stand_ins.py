"""What attacks may differentiate in CARSO's place: its parts one by one, and its published form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sparsedef.defenses.base import IDENTITY, check_images
from sparsedef.defenses.carso.aggregation import literal_peel, mean_logit, per_sample_log_odds

if TYPE_CHECKING:
    from sparsedef.defenses.carso.carso import CARSO

FEATURES = "features"
PER_SAMPLE = "per-sample loss"
MEAN_LOGIT = "mean logit"
LITERAL = "literal float32 PeeL"
NUDGE = 1e-2  # of c's norm: the distance from c has no gradient at c itself


class StandIn(nn.Module):
    """One stand-in of a CARSO defense for one batch: images ``[B, 3, H, W]`` to logits.

    - ``"identity"``: the classifier looks at the reconstructions, the gradient goes past decoder
      and features as if nothing were purified;
    - ``"features"``: moves c away from that of the clean images; the loss of its logits rises with
      the distance;
    - ``"per-sample loss"``: logits whose cross-entropy is the mean one of the samples;
    - ``"mean logit"``: the mean of the samples' logits;
    - ``"literal float32 PeeL"``: the published aggregation as it is: what its saturation does to
      attacks. A demonstration, not an attack to rely on.

    Args:
        defense: What is attacked; shared.
        name: Which.
        images: The clean images, ``[B, 3, H, W]``.
        labels: Their classes, ``[B]`` int64.
    """

    has_exact_gradient = True

    def __init__(self, defense: CARSO, name: str, images: Tensor, labels: Tensor) -> None:
        """Keeps them; see the class."""
        super().__init__()
        self.defense, self.name = defense, name
        self.labels = labels
        if name == FEATURES:
            self._look_at(images)

    @torch.no_grad()
    def _look_at(self, images: Tensor) -> None:
        """Keeps the condition of the clean images, a way off it, and the number of classes."""
        self.clean = self.defense.condition(images)
        generator = torch.Generator().manual_seed(0)
        direction = torch.randn(self.clean.shape, generator=generator).to(self.clean)
        length = self.clean.norm(dim=1, keepdim=True).clamp_min(1e-6)
        self.nudge = NUDGE * length * direction / direction.norm(dim=1, keepdim=True)
        self.n_classes = self.defense.classifier(images[:1]).shape[1]

    @property
    def is_random(self) -> bool:
        """Whether the defense draws: then the gradient of each look is averaged, too."""
        return self.defense.is_random and self.name != FEATURES

    def forward(self, images: Tensor) -> Tensor:
        """The stand-in's logits ``[B, classes]``."""
        check_images("StandIn", images)
        if len(images) != len(self.labels):
            raise ValueError(
                f"StandIn: images must be the batch of {len(self.labels)} that it was made for, "
                f"got {len(images)}"
            )
        function = _identity if self.name == IDENTITY else STAND_INS[self.name]
        return function(self, images)


def _identity(of: StandIn, images: Tensor) -> Tensor:
    defense, past = of.defense, images - images.detach()
    with torch.no_grad():
        c = defense.condition(images)
        drawn = [defense._decode(z, c) for z in defense.latents(images)]
    logits = [defense._classify(each.detach() + past) for each in drawn]
    return torch.stack(logits).logsumexp(0)


def _features(of: StandIn, images: Tensor) -> Tensor:
    away = of.defense.condition(images) - of.clean + of.nudge
    distance = away.square().mean(1).sqrt()
    zeros = distance.new_zeros(len(images), of.n_classes)
    return zeros.scatter(1, of.labels[:, None], -distance[:, None])


def _per_sample(of: StandIn, images: Tensor) -> Tensor:
    return per_sample_log_odds(of.defense.sample_logits(images), of.labels)


def _mean_logit(of: StandIn, images: Tensor) -> Tensor:
    return mean_logit(of.defense.sample_logits(images))


def _literal(of: StandIn, images: Tensor) -> Tensor:
    return literal_peel(of.defense.sample_logits(images).float())


STAND_INS: Mapping[str, Callable[[StandIn, Tensor], Tensor]] = {
    FEATURES: _features,
    PER_SAMPLE: _per_sample,
    MEAN_LOGIT: _mean_logit,
    LITERAL: _literal,
}
