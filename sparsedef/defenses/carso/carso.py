"""CARSO: sample clean images from a robust classifier's features, and classify all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sparsedef.defenses.base import IDENTITY, Defense, check_images
from sparsedef.defenses.carso.aggregation import AGGREGATIONS, vote
from sparsedef.defenses.carso.stand_ins import STAND_INS, StandIn
from sparsedef.models.carso import CARSOPurifier
from sparsedef.models.taps import read_layers, tapped_layers
from sparsedef.solvers.checks import check_choice, check_count

if TYPE_CHECKING:
    from typing_extensions import Self


class CARSO(Defense):
    """Classifies several clean images that are drawn from the classifier's own features.

    A vector c is made of the classifier's inner features of the image; for each sample
    ``z_i ~ N(0, I)``, ``l_i = classifier(decode(z_i, c))``; the ``l_i`` are aggregated. What is
    classified are the reconstructions: of the image itself only its features are left.

    Samples are streamed: one at a time, and, with ``is_checkpointed``, what a gradient needs of a
    sample is computed again when its turn comes. So memory hardly grows with ``n_samples``: by
    the latents and the logits of each.

    Args:
        classifier: Images ``[B, 3, H, W]`` in [0, 1] to logits; adversarially trained, as
            published.
        purifier: Trained for this classifier (``training.carso.train_carso``).
        taps: Names of the classifier's layers that the purifier was made for; ``None``:
            ``tapped_layers``.
        n_samples: Per image; published 8.
        aggregation: ``"log_domain"`` (the published prediction), ``"mean_logit"`` or
            ``"mean_probability"``. Counting votes: ``VotingCARSO``.
        is_checkpointed: Trade time for memory where gradients are asked for.
        autocast: ``torch.bfloat16`` or ``torch.float16`` for the networks; images, aggregation
            and losses stay in single precision.

    Raises:
        ValueError: A number or a word is wrong, or the purifier has no latent.

    Source: Ballarin, Ansuini, Bortolussi, 2023.
    """

    is_random: ClassVar[bool] = True
    notes: ClassVar[str] = (
        "Random: each call draws new samples, so attacks average over draws. Its gradient is "
        "exact: through the features, the decoder and the classifier's second look. The published "
        "aggregation saturates in float32, which silences attacks; the log domain predicts the "
        "same and does not."
    )
    looks_once: ClassVar[bool] = False  # no one map of its layers shows what it saw
    fewest_samples: ClassVar[int] = 1

    purifier: CARSOPurifier

    def __init__(
        self,
        classifier: nn.Module,
        purifier: CARSOPurifier,
        *,
        taps: Sequence[str] | None = None,
        n_samples: int = 8,
        aggregation: str = "log_domain",
        is_checkpointed: bool = True,
        autocast: torch.dtype | None = None,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(classifier)
        who = type(self).__name__
        check_choice(who, "aggregation", aggregation, tuple(AGGREGATIONS))
        if purifier.latent == 0:
            raise ValueError(f"{who}: purifier must have a latent (without: ConditionalDenoiser)")
        self.purifier = purifier
        self.taps = tapped_layers(classifier) if taps is None else tuple(taps)
        if len(self.taps) != len(purifier.compressors):
            raise ValueError(
                f"{who}: purifier reads {len(purifier.compressors)} layers, got {len(self.taps)} "
                f"names in taps"
            )
        self.n_samples = check_count(who, "n_samples", n_samples, least=self.fewest_samples)
        self.aggregation = aggregation
        self.is_checkpointed = is_checkpointed
        self.autocast = autocast
        self.eval()

    @classmethod
    def fit(cls, classifier: nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> Self:
        """Trains a small purifier, briefly: 12 epochs of at most 1,200 images.

        ``sparsedef train carso`` trains longer, wider, and on all. The classifier should be
        trained adversarially (``sparsedef train at``).

        Args:
            classifier: What to defend.
            images: Clean training images ``[B, 3, H, W]``.
            labels: Their classes, ``[B]`` int64.
            seed: Of the network's start and of the training.
        """
        from sparsedef.defenses.carso.fitting import BRIEF, fit_purifier

        purifier = fit_purifier(classifier, images, labels, BRIEF, seed=seed)
        return cls(classifier, purifier)

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode: batch statistics would leak between images."""
        return super().train(False)

    def condition(self, images: Tensor) -> Tensor:
        """The vector c ``[B, condition]`` of images ``[B, 3, H, W]``."""
        with self._cast(images):
            return self.purifier.condition(read_layers(self.classifier, self.taps, images))

    def latents(self, images: Tensor) -> Tensor:
        """Draws ``[n, B, latent]`` for images ``[B, 3, H, W]``."""
        # float32 whatever the images are: the same seed gives the same draw in either precision
        shape = (self.n_samples, len(images), self.purifier.latent)
        return torch.randn(shape, dtype=torch.float32, device=images.device).to(images)

    def reconstructions(self, images: Tensor) -> Tensor:
        """What is classified: drawn images ``[n, B, 3, H, W]`` in [0, 1]."""
        c = self.condition(images)
        return torch.stack([self._decode(z, c) for z in self.latents(images)])

    def sample_logits(self, images: Tensor) -> Tensor:
        """Logits of all samples, ``[n, B, classes]``."""
        c = self.condition(images)

        def one(z: Tensor, c: Tensor) -> Tensor:
            return self._classify(self._decode(z, c))

        return self.stream(one, images, c)

    def stream(self, one: Callable[[Tensor, Tensor], Tensor], images: Tensor, c: Tensor) -> Tensor:
        """Runs ``one`` (latent ``[B, latent]`` and c to logits) on each sample's latent, in turn.

        Returns:
            Logits ``[n, B, classes]``.
        """
        found = []
        is_checkpointed = self.is_checkpointed and torch.is_grad_enabled() and c.requires_grad
        for z in self.latents(images):
            if is_checkpointed:
                again: Tensor = checkpoint(one, z, c, use_reentrant=False, preserve_rng_state=False)
                found.append(again)
            else:
                found.append(one(z, c))
        return torch.stack(found)

    def logits(self, images: Tensor) -> Tensor:
        """Classifies images: aggregated logits ``[B, classes]``."""
        return AGGREGATIONS[self.aggregation](self.sample_logits(images))

    @property
    def stand_in_names(self) -> tuple[str, ...]:
        """The identity in the decoder's place, and what aims at CARSO's own parts."""
        return (IDENTITY, *STAND_INS)

    def stand_in(self, name: str, images: Tensor, labels: Tensor) -> StandIn:
        """The stand-in of that name for one batch; see ``stand_ins``."""
        if name not in self.stand_in_names:
            super().stand_in(name, images, labels)
        return StandIn(self, name, images, labels)

    def _decode(self, z: Tensor, c: Tensor) -> Tensor:
        with self._cast(c):
            return self.purifier.decode(z, c)

    def _classify(self, images: Tensor) -> Tensor:
        with self._cast(images):
            logits: Tensor = self.classifier(images)
        return logits if logits.dtype == torch.float64 else logits.float()

    def _cast(self, like: Tensor) -> torch.autocast:
        is_on = self.autocast is not None and like.dtype != torch.float64
        return torch.autocast(like.device.type, self.autocast, enabled=is_on)


class FixedCARSO(CARSO):
    """CARSO with the same latents for every image and call: deterministic, for full attacks.

    Args:
        classifier: As for ``CARSO``.
        purifier: As for ``CARSO``.
        seed: Of the latents.
        options: As for ``CARSO``; ``n_samples=0`` classifies one sample, with ``z = 0``.
    """

    is_random: ClassVar[bool] = False
    notes: ClassVar[str] = (
        "Deterministic: the same latents for every image and call. It must not be much weaker than "
        "the random one: if it is, what looked like robustness was noise."
    )
    fewest_samples: ClassVar[int] = 0
    fixed: Tensor

    def __init__(
        self, classifier: nn.Module, purifier: CARSOPurifier, *, seed: int = 0, **options: object
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(classifier, purifier, **options)  # type: ignore[arg-type]
        self.seed = seed
        shape = (max(1, self.n_samples), 1, purifier.latent)
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        like = next(purifier.parameters())
        self.register_buffer("fixed", (drawn if self.n_samples else 0 * drawn).to(like))

    def latents(self, images: Tensor) -> Tensor:
        """The fixed latents, ``[n, B, latent]``."""
        return self.fixed.to(images).expand(-1, len(images), -1)


class VotingCARSO(CARSO):
    """CARSO whose samples vote; counts have no gradient, so attacks take the log domain's."""

    has_exact_gradient: ClassVar[bool] = False
    notes: ClassVar[str] = (
        "Random: each call draws new samples, which vote. Counts have a gradient of zero: the "
        "surrogate has the gradient of the log-domain logits of the same samples."
    )

    def logits(self, images: Tensor) -> Tensor:
        """Votes ``[B, classes]``."""
        return vote(self.sample_logits(images))

    def surrogate(self, images: Tensor) -> Tensor:
        """The votes, with the gradient of the log-domain logits."""
        check_images(type(self).__name__, images)
        drawn = self.sample_logits(images)
        soft = AGGREGATIONS[self.aggregation](drawn)
        return vote(drawn.detach()) + (soft - soft.detach())
