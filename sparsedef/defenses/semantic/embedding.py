"""Classifiers that see an image through its embedding: centred, coded, and a linear head."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from sparsedef.clip import unit
from sparsedef.defenses.base import Defense, check_images
from sparsedef.defenses.semantic.inputs import CENTERS, check_embeddings, check_labels
from sparsedef.defenses.semantic.logistic import SCALINGS, HeadFit, fit_head
from sparsedef.defenses.semantic.words import Words
from sparsedef.solvers.checks import check_choice, check_count

if TYPE_CHECKING:
    from typing_extensions import Self


class EmbeddingClassifier(Defense):
    """Embeds the image, centres the embedding, takes features of it, and reads them linearly.

    e = unit(encoder(image)), x = unit(e - mean of e over clean training images) if ``center`` says
    so, logits = features(x) @ weight.T + bias. Deterministic, and differentiable almost everywhere
    from the pixels on. A subclass gives ``features``. Embed the images once (``embed_images``), and
    fit as many heads as you like to the embeddings.

    Args:
        encoder: Images ``[B, 3, H, W]`` in [0, 1] to embeddings ``[B, M]``: a ``ClipEncoder``, or
            any module. It is kept as ``classifier``, as every defense keeps what it defends.
        n_classes: C.
        n_features: F, of ``features``.
        width: M.
        center: What is centred: ``"none"``, ``"text"`` (the atoms made of texts, by their mean),
            ``"image"`` (the images), or ``"both"``.
        standardise: What the head's penalty sees; see ``logistic.fit_head``.

    Raises:
        ValueError: An option is not one of its words.

    Source: centring, Bhalla et al., "Interpreting CLIP with sparse linear concept embeddings",
    2024.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("center", "standardise", "l2", "is_fitted")

    image_mean: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        n_classes: int,
        n_features: int,
        width: int,
        *,
        center: str = "both",
        standardise: str = "whole",
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(encoder)
        who = type(self).__name__
        check_choice(who, "center", center, CENTERS)
        check_choice(who, "standardise", standardise, SCALINGS)
        check_count(who, "n_classes", n_classes)
        self.center = center
        self.standardise = standardise
        self.l2: float | None = None
        self.is_fitted = False
        unknown = torch.nan if self.centers_images else 0.0
        self.register_buffer("image_mean", torch.full((width,), unknown))
        self.register_buffer("weight", torch.zeros(n_classes, n_features))
        self.register_buffer("bias", torch.zeros(n_classes))

    @property
    def encoder(self) -> nn.Module:
        """What embeds the images."""
        return self.classifier

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.bias)

    @property
    def centers_images(self) -> bool:
        """Whether the mean of the training embeddings is subtracted."""
        return self.center in ("image", "both")

    @classmethod
    @abstractmethod
    def of_words(
        cls, encoder: nn.Module, words: Words, width: int, n_classes: int, seed: int, **options: Any
    ) -> Self:
        """Builds one that is not fitted yet, with what it needs of ``words``."""

    @classmethod
    def fit(
        cls,
        classifier: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int = 0,
        concepts: Sequence[str] = (),
        dictionary: Tensor | None = None,
        words: Words | None = None,
        **options: Any,
    ) -> Self:
        """Embeds clean training images and fits to them; see ``from_embeddings``.

        Args:
            classifier: The encoder.
            images: Clean training images ``[B, 3, H, W]`` in [0, 1].
            labels: Their classes, ``[B]`` int64.
            seed: Of what is drawn: held-out examples, random atoms.
            concepts: Texts, embedded as ``Words.embed`` does.
            dictionary: Embeddings of concepts ``[N, M]`` in their place; ``concepts`` then are
                only their names.
            words: All that is told of texts, in place of both.
            options: Of ``from_embeddings``.
        """
        check_images(cls.__name__, images)
        if words is None:
            if dictionary is not None:
                words = Words(dictionary, tuple(concepts))
            else:
                words = Words.embed(classifier, concepts)
        embeddings = embed_images(classifier, images)
        return cls.from_embeddings(classifier, embeddings, labels, words, seed=seed, **options)

    @classmethod
    def from_embeddings(
        cls,
        encoder: nn.Module,
        embeddings: Tensor,
        labels: Tensor,
        words: Words | None = None,
        *,
        n_classes: int | None = None,
        validation: float | tuple[Tensor, Tensor] = 0.2,
        l2: float | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Self:
        """Builds and fits one to embeddings of clean training images.

        Args:
            encoder: Which made the embeddings; only ``logits`` of images will use it.
            embeddings: ``[n, M]`` of ``embed_images`` or ``encoder.image``; any norms.
            labels: ``[n]`` int64.
            words: Embedded texts; some classifiers need none.
            n_classes: C; by default the largest label + 1, or one per prompt.
            validation: Share of each class held out to choose the head's penalty by, or embeddings
                and labels of their own. Never test data, and never attacked images.
            l2: The head's penalty, if it is not to be chosen.
            seed: Of what is drawn.
            options: Of the constructor.

        Raises:
            TypeError: Embeddings or labels have the wrong dtype.
            ValueError: A shape, a number or an option is wrong, or ``words`` lack what is needed.
        """
        who = cls.__name__
        check_embeddings(who, embeddings)
        words = Words() if words is None else words
        if n_classes is None and words.prompts is not None:
            n_classes = len(words.prompts)
        check_labels(who, embeddings, labels, n_classes)
        if n_classes is None:
            n_classes = int(labels.max()) + 1
        made = cls.of_words(encoder, words, embeddings.shape[1], n_classes, seed, **options)
        made.keep_as(embeddings, _device_of(encoder, embeddings))
        made.fit_features(embeddings)
        made.fit_head(embeddings, labels, validation=validation, l2=l2, seed=seed)
        return made

    def keep_as(self, like: Tensor, device: torch.device) -> None:
        """Moves all but the encoder to a device, and to the dtype of ``like`` (half: float32)."""
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        for name, buffer in self._buffers.items():
            assert buffer is not None
            kept = dtype if buffer.is_floating_point() else buffer.dtype
            self._buffers[name] = buffer.to(device, kept)

    @torch.no_grad()
    def fit_features(self, embeddings: Tensor) -> None:
        """Takes from clean training embeddings ``[n, M]`` what the features need: here the mean.

        The head must be fitted afterwards, because it would see other features than before.
        """
        check_embeddings(type(self).__name__, embeddings, len(self.image_mean))
        if self.centers_images:
            # in double, so that it does not depend on how a sum of many is ordered
            parts = [unit(part.double()).sum(dim=0) for part in embeddings.split(65536)]
            self.image_mean.copy_(torch.stack(parts).sum(dim=0) / len(embeddings))
        self.is_fitted = False

    def fit_head(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        validation: float | tuple[Tensor, Tensor] = 0.2,
        l2: float | None = None,
        seed: int = 0,
    ) -> HeadFit:
        """Fits the head to embeddings ``[n, M]`` of training images, after ``fit_features``.

        Returns:
            The fit, with the penalties tried; see ``logistic.fit_head``.
        """
        who = type(self).__name__
        self._check_ready()
        check_embeddings(who, embeddings, len(self.image_mean))
        check_labels(who, embeddings, labels, self.n_classes)
        if isinstance(validation, tuple):
            check_embeddings(who, validation[0], len(self.image_mean))
            check_labels(who, *validation, self.n_classes)
            validation = self.features_of(validation[0]), validation[1].to(self.bias.device)
        fit = fit_head(
            self.features_of(embeddings), labels.to(self.bias.device), self.n_classes,
            standardise=self.standardise, validation=validation, l2=l2, seed=seed,
        )  # fmt: skip
        self.set_head(fit)
        return fit

    def set_head(self, fit: HeadFit) -> None:
        """Takes a head that was fitted elsewhere."""
        self.weight.copy_(fit.weight)
        self.bias.copy_(fit.bias)
        self.l2 = fit.l2
        self.is_fitted = True

    def embed(self, images: Tensor) -> Tensor:
        """Embeds images ``[B, 3, H, W]``: e of norm 1, ``[B, M]``."""
        embedding: Tensor = self.classifier(images)
        return unit(embedding.to(self.image_mean.dtype))

    def centre(self, embeddings: Tensor) -> Tensor:
        """Makes x of norm 1 of embeddings of any norm, ``[B, M]``; differentiable."""
        embeddings = unit(embeddings.to(self.image_mean.dtype))
        return unit(embeddings - self.image_mean) if self.centers_images else embeddings

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """What the head sees of centred embeddings ``[B, M]``: ``[B, F]``; differentiable."""

    def features_of(self, embeddings: Tensor, *, batch_size: int = 2048) -> Tensor:
        """Features ``[n, F]`` of many embeddings, without gradient."""
        self._check_ready()
        with torch.no_grad():
            parts = embeddings.to(self.bias.device).split(batch_size)
            return torch.cat([self.features(self.centre(part)) for part in parts])

    def classify(self, embeddings: Tensor) -> Tensor:
        """Classifies embeddings ``[B, M]`` of any norm: logits ``[B, C]``; differentiable.

        Raises:
            ValueError: There is no head yet.
        """
        if not self.is_fitted:
            raise ValueError(f"{type(self).__name__}: there is no head yet (call fit_head)")
        return functional.linear(self.features(self.centre(embeddings)), self.weight, self.bias)

    def logits(self, images: Tensor) -> Tensor:
        """Classifies images ``[B, 3, H, W]``: logits ``[B, C]``."""
        return self.classify(self.embed(images))

    def get_extra_state(self) -> dict[str, Any]:
        """The settings, so that a ``state_dict`` holds all that was fitted or chosen."""
        return {name: getattr(self, name) for name in self.SETTINGS}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Takes the settings of a ``state_dict``."""
        for name in self.SETTINGS:
            setattr(self, name, state[name])

    def _check_ready(self) -> None:
        if self.image_mean.isnan().any():
            raise ValueError(
                f"{type(self).__name__}: the mean embedding of clean training images must be known"
                f" (call fit_features)"
            )


def embed_images(encoder: nn.Module, images: Tensor, *, batch_size: int = 256) -> Tensor:
    """Embeds many images once, for all the heads that will be fitted to them.

    The encoder is in evaluation mode meanwhile and left as it was.

    Args:
        encoder: Images to embeddings.
        images: ``[n, 3, H, W]`` in [0, 1].
        batch_size: Images at a time.

    Returns:
        ``[n, M]`` of norm 1, without gradient.
    """
    modes = [(part, part.training) for part in encoder.modules()]
    encoder.eval()
    try:
        with torch.no_grad():
            parts = tqdm(images.split(batch_size), desc="embedding", disable=None, leave=False)
            return torch.cat([unit(encoder(part)) for part in parts])
    finally:
        for part, mode in modes:
            part.training = mode


def _device_of(encoder: nn.Module, embeddings: Tensor) -> torch.device:
    for tensor in (*encoder.parameters(), *encoder.buffers()):
        return tensor.device
    return embeddings.device
