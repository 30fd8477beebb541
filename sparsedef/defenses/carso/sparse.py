"""Not CARSO: its condition coded by a few atoms, and one image decoded from the code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.defenses.base import Purifier
from sparsedef.defenses.carso.fitting import BRIEF, Sizes, fit_purifier
from sparsedef.learning import OnlineLearner
from sparsedef.models.carso import CARSOPurifier, Decoder
from sparsedef.models.seeded import seeded
from sparsedef.models.taps import read_layers, tapped_layers
from sparsedef.solvers import lasso
from sparsedef.solvers.alpha import alpha_max
from sparsedef.training.loop import train
from sparsedef.training.step import Batch, Step, Tensors

if TYPE_CHECKING:
    from typing_extensions import Self

SHARE = 0.2  # of the mean penalty at which the code of a condition is empty


class SparseCARSO(Purifier):
    """Rebuilds the image from the LASSO code of CARSO's condition: no latent, no samples.

    The condition c of a trained purifier is coded, ``min_a 1/2 ||c - a D||^2 + alpha ||a||_1``,
    over a dictionary D learnt from the conditions of clean images; a decoder of its own draws one
    image from a and a D, and the classifier sees that. Deterministic; gradients go through the
    LASSO exactly. An addition of this library's, not of the paper.

    Args:
        classifier: Images to logits.
        purifier: Gives c.
        dictionary: D ``[N, condition]``.
        decoder: From a and a D, ``[B, N + condition]``, to image logits.
        alpha: Penalty.
        taps: Names of the layers that the purifier reads; ``None``: ``tapped_layers``.
    """

    notes: ClassVar[str] = (
        "Not CARSO: a variant of this library's. Deterministic; its gradient is exact, through the "
        "LASSO, too, on the support that it chose."
    )
    dictionary: Tensor

    def __init__(
        self,
        classifier: nn.Module,
        purifier: CARSOPurifier,
        dictionary: Tensor,
        decoder: Decoder,
        alpha: float,
        *,
        taps: Sequence[str] | None = None,
    ) -> None:
        """Keeps the parts; see the class."""
        super().__init__(classifier)
        self.purifier, self.decoder, self.alpha = purifier, decoder, alpha
        self.taps = tapped_layers(classifier) if taps is None else tuple(taps)
        self.register_buffer("dictionary", dictionary)
        self.eval()

    @classmethod
    def fit(
        cls,
        classifier: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int = 0,
        purifier: CARSOPurifier | None = None,
        sizes: Sizes = BRIEF,
        n_atoms: int = 128,
    ) -> Self:
        """Learns dictionary and decoder for a purifier, trained before or trained here.

        Args:
            classifier: What to defend.
            images: Clean training images ``[B, 3, H, W]``.
            labels: Their classes, ``[B]`` int64.
            seed: Of everything random.
            purifier: Trained before, for all of ``tapped_layers``.
            sizes: Epochs, minibatches and attacks; width of the decoder.
            n_atoms: N.
        """
        images, labels = images[: sizes.n_images], labels[: sizes.n_images]
        if purifier is None:
            purifier = fit_purifier(classifier, images, labels, sizes, seed=seed)
        taps = tapped_layers(classifier)
        with torch.no_grad():
            c = torch.cat([
                purifier.condition(read_layers(classifier, taps, some))
                for some in images.split(256)
            ])  # fmt: skip
        alpha = _penalty(c, n_atoms, seed)
        learner = OnlineLearner(n_atoms, alpha=alpha, batch_size=64, n_epochs=10, seed=seed)
        dictionary = learner.fit(c).dictionary
        assert dictionary is not None
        with seeded(seed):
            width = n_atoms + c.shape[1]
            decoder = Decoder(width, purifier.image_size, width=sizes.width).to(images)
        defense = cls(classifier, purifier, dictionary, decoder, alpha)
        defense._train_decoder(images, labels, sizes, seed)
        decoder.requires_grad_(False)
        return defense

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode: batch statistics would leak between images."""
        return super().train(False)

    def code(self, images: Tensor) -> Tensor:
        """The codes a ``[B, N]`` of images ``[B, 3, H, W]``."""
        c = self.purifier.condition(read_layers(self.classifier, self.taps, images))
        codes = lasso(c, self.dictionary, self.alpha).codes
        assert codes is not None  # of the dense layout
        return codes

    def purify(self, images: Tensor) -> Tensor:
        """Rebuilds images ``[B, 3, H, W]`` from their codes."""
        drawn: Tensor = self.decoder(self._joined(self.code(images)))
        return drawn.sigmoid()

    def _joined(self, code: Tensor) -> Tensor:
        return torch.cat([code, code @ self.dictionary], 1)

    def _train_decoder(self, images: Tensor, labels: Tensor, sizes: Sizes, seed: int) -> None:
        """Clean images from codes of attacked ones, by Adam and one cycle of its rate."""
        mix = sizes.mix(images.std((0, 2, 3)).tolist())
        optimizer = torch.optim.Adam(self.decoder.parameters(), 2e-3)

        def loss(batch: Batch, step: Step) -> Tensor:
            clean, wanted = batch
            with torch.no_grad():
                joined = self._joined(self.code(mix(self.classifier, clean, wanted, step)))
            return functional.binary_cross_entropy_with_logits(self.decoder(joined), clean)

        train(
            self.decoder, Tensors(images, labels), loss, optimizer=optimizer,
            epochs=sizes.epochs, batch_size=sizes.batch_size, seed=seed, is_silent=True,
        )  # fmt: skip


def _penalty(c: Tensor, n_atoms: int, seed: int) -> float:
    """A share of the mean largest penalty over atoms that are some of the conditions themselves."""
    order = torch.randperm(len(c), generator=torch.Generator().manual_seed(seed))[:n_atoms]
    atoms = functional.normalize(c[order], dim=1)
    return SHARE * float(alpha_max(c, atoms).mean())
