"""RegionSparse: rebuild the object from a few clean patches, smooth the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from sparsedef.defenses.base import Purifier
from sparsedef.defenses.filters import Localiser, bilateral_filter
from sparsedef.defenses.filters.localise import REGIONS
from sparsedef.defenses.fixed_region import FixedRegion, MovedRegion, check_region, two_regions
from sparsedef.defenses.patch_dictionary import (
    PATCHES,
    dct_dictionary,
    learn_patch_dictionary,
    spread,
    training_patches,
)
from sparsedef.defenses.regionsparse_stages import (
    RegionSparseSizes,
    check_without,
    usual_n_nonzero,
)
from sparsedef.learning.atoms import to_norm_1
from sparsedef.solvers.checks import check_choice, check_count, check_dictionary, check_tensor
from sparsedef.solvers.patch_omp import STANDARDIZE, patch_omp

if TYPE_CHECKING:
    from typing_extensions import Self

HELD, MOVED = "region held fixed", "region moved"
ALPHA = 1.0  # penalty of the dictionary learning, for z-scored patches


class RegionSparse(Purifier):
    """Codes overlapping patches of the object sparsely; filters the background bilaterally.

    Each patch of the image is z-scored with the statistics of all of them, replaced by its best
    approximation with at most ``n_nonzero`` atoms (OMP), un-scaled and averaged with its overlaps.
    Pixels inside the object's region are taken from that, pixels outside are smoothed; the result
    is clipped to [0, 1].

    Autograd gives the exact derivative with the region and each patch's support held fixed, which
    is the derivative almost everywhere. Discontinuities where a region or a support switches
    remain.

    Args:
        classifier: Images ``[B, 3, H, W]`` in [0, 1] to logits.
        dictionary: Atoms of clean patches, ``[N, 3 * size * size]``, or ``[N, size * size]``: then
            each channel is coded on its own. Brought to norm 1; atoms of norm 0 are never chosen.
        n_nonzero: Atoms per patch; ``None``: 8 of 192 numbers, 4 of 64 of a single channel, and in
            proportion.
        stride: Pixels between neighbouring patches.
        standardize: ``"zscore"``; or ``"mean"``, each patch's own mean is kept apart; or
            ``"none"``, patches are coded as they are. As the dictionary's patches were.
        region: ``"box"`` around the object, or its ``"contour"``; see ``Localiser``.
        localiser: Where the object is.
        smooths_background: Whether pixels outside the region are filtered, or stay as they are.
        bilateral_size: Side of the background filter's window, odd.
        sigma_color: Its colour reach, in [0, 1] units.
        sigma_space: Its spatial reach, in pixels.
        backend: Of the sparse coder: ``"auto"`` or a name from ``sparsedef.backends()``.

    Raises:
        ValueError: The dictionary is not one of square patches, or a number or word is wrong.

    The published design leaves most sizes open; those here are this library's defaults.

    Source: patches, Mairal, Bach, Ponce, Sapiro, 2009; bilateral filter, Tomasi, Manduchi, 1998.
    """

    notes: ClassVar[str] = (
        "Deterministic. Its gradient is exact with the region and each patch's atoms held fixed; "
        "it does not see where these switch. An attacker can therefore also hold the region fixed "
        "in the value (frozen, with_region), or push it off the object (region_margin) and attack "
        "what is then only smoothed; both are stand-ins that an evaluation runs beside the exact "
        "gradient. Published results of this design are gray-box, that is, made without the "
        "defense in the attack's gradient."
    )

    dictionary: Tensor

    def __init__(
        self,
        classifier: nn.Module,
        dictionary: Tensor,
        *,
        n_nonzero: int | None = None,
        stride: int = 2,
        standardize: str = "zscore",
        region: str = "box",
        localiser: Localiser | None = None,
        smooths_background: bool = True,
        bilateral_size: int = 5,
        sigma_color: float = 25 / 255,
        sigma_space: float = 2.0,
        backend: str = "auto",
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(classifier)
        who = "RegionSparse"
        self.patch_size, self.patches = _patch_shape(who, dictionary)
        self.register_buffer("dictionary", to_norm_1(dictionary.detach()))
        if n_nonzero is None:
            n_nonzero = usual_n_nonzero(dictionary.shape[1], self.patches)
        self.n_nonzero = check_count(who, "n_nonzero", n_nonzero)
        self.stride = check_count(who, "stride", stride)
        check_choice(who, "standardize", standardize, STANDARDIZE)
        check_choice(who, "region", region, REGIONS)
        self.standardize = standardize
        self.region = region
        self.localiser = localiser or Localiser()
        self.smooths_background = smooths_background
        self.bilateral_size = bilateral_size
        self.sigma_color = sigma_color
        self.sigma_space = sigma_space
        self.backend = backend

    @classmethod
    def fit(
        cls,
        classifier: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int = 0,
        dictionary: Tensor | None = None,
        without: str | Collection[str] = (),
        region: str = "box",
        patches: str = "colour",
        sizes: RegionSparseSizes | None = None,
        progress: bool = False,
    ) -> Self:
        """Learns the dictionary from clean images, with sizes scaled to theirs.

        The dictionary minimises ``1/2 ||x - codes @ D||^2 + alpha * ||codes||_1`` over patches of
        smoothed images, with ``alpha`` 1 for z-scored patches, and in proportion to their spread
        for those that are not normalised.

        Args:
            classifier: What to defend.
            images: Clean training images ``[B, 3, H, W]``; only the first so many are used.
            labels: Not used.
            seed: Of the draw of patches and of the learning.
            dictionary: Learnt before, by the same call or by ``sparsedef learn`` from what
                ``sparsedef patches`` wrote; then nothing is learnt.
            without: Stages to leave out, by their names in ``STAGES``, one or several; a row of
                ``ABLATIONS``.
            region: ``"box"`` or ``"contour"``.
            patches: ``"colour"``, or ``"channel"`` for each channel on its own; a given
                ``dictionary`` decides by its width.
            sizes: What ``RegionSparseSizes.for_size`` gives, or others; then ``patches`` is theirs.
            progress: Show bars of smoothing and learning.

        Raises:
            ValueError: A name is unknown, or there is a dictionary where none shall be trained.
        """
        left_out = check_without(cls.__name__, without)
        side = min(images.shape[-2:])
        sizes = sizes or RegionSparseSizes.for_size(side, patches)
        if dictionary is not None and "TR" in left_out:
            raise ValueError(f"{cls.__name__}: dictionary must be None without 'TR', got one")
        if dictionary is None:
            n_nonzero: int | None = sizes.n_nonzero
            dictionary = cls._make_dictionary(images, sizes, left_out, seed, progress)
        else:
            n_nonzero = None
        return cls(
            classifier,
            dictionary,
            n_nonzero=n_nonzero,
            standardize="none" if "PN" in left_out else "zscore",
            region=region,
            localiser=Localiser.for_size(side),
            smooths_background="BS" not in left_out,
            bilateral_size=sizes.bilateral_size,
            sigma_space=sizes.sigma_space,
        )

    @staticmethod
    def _make_dictionary(
        images: Tensor,
        sizes: RegionSparseSizes,
        without: Collection[str],
        seed: int,
        progress: bool,
    ) -> Tensor:
        recipe = sizes.recipe(without, seed)
        if "TR" in without:
            return dct_dictionary(sizes.n_atoms, recipe.size, recipe.n_channels).to(images)
        signals = training_patches(images[: sizes.n_images], recipe, progress=progress)
        alpha = ALPHA * (spread(signals) if "PN" in without else 1.0)
        return learn_patch_dictionary(
            signals, sizes.n_atoms, alpha=alpha, epochs=sizes.n_epochs, seed=seed, progress=progress
        )

    def boxes(self, images: Tensor) -> Tensor:
        """Where the object is: top, left, bottom, right, ends excluded, ``[B, 4]`` int64."""
        return self.localiser.boxes(images.detach())

    def regions(self, images: Tensor) -> Tensor:
        """The pixels of ``images`` that are coded, ``[B, 1, H, W]`` bool."""
        return self.localiser.regions(images.detach(), self.region)

    def region_margin(self, images: Tensor, region: Tensor) -> Tensor:
        """How far the pixels of ``region`` pass for an object, ``[B]``; differentiable.

        The mean over ``region`` of what the localiser thresholds, minus its threshold (held
        fixed). An attack that lowers it on the object and raises it elsewhere moves the region.

        Args:
            images: ``[B, 3, H, W]`` in [0, 1].
            region: ``[B or 1, 1, H, W]``, bool or weights in [0, 1].
        """
        weight = check_region(region, images).to(images).expand_as(images[:, :1])
        strength = self.localiser.strength(images)
        over = (strength - self.localiser.threshold(strength))[:, None]
        return (weight * over).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp_min(1e-6)

    def with_region(self, region: Tensor) -> FixedRegion:
        """The same defense of a batch whose region is given, for attacks that hold it fixed.

        Args:
            region: ``[B or 1, 1, H, W]``, bool or, to blend, weights in [0, 1].
        """
        return FixedRegion(self, region)

    def frozen(self, images: Tensor) -> FixedRegion:
        """The same defense with the region that it has on ``images`` now.

        As an attack's ``gradient_model`` it is the gradient with a fixed region in the value too:

            for _ in range(rounds):  # the region is found anew every few steps
                frozen = defense.frozen(found)
                found = attack(defense, images, labels, gradient_model=frozen, start=found).images
        """
        return self.with_region(self.regions(images))

    @property
    def stand_in_names(self) -> tuple[str, ...]:
        """The identity; the region held fixed, as it is on the clean images; the region moved."""
        return (*super().stand_in_names, HELD, MOVED)

    def stand_in(self, name: str, images: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        """What ``frozen`` gives, or ``MovedRegion``; see ``Defense.stand_in``."""
        if name == HELD:
            return self.frozen(images)
        if name == MOVED:
            return MovedRegion(self, self.regions(images), labels)
        return super().stand_in(name, images, labels)

    def purify(self, images: Tensor, *, region: Tensor | None = None) -> Tensor:
        """Rebuilds images ``[B, 3, H, W]`` inside the region and smooths them outside.

        Args:
            images: In [0, 1].
            region: Where to rebuild, ``[B or 1, 1, H, W]``, bool or weights in [0, 1];
                ``None``: what the localiser finds.

        Raises:
            ValueError: ``region`` does not fit the images.
        """
        inside = self.regions(images) if region is None else check_region(region, images)
        return two_regions(self.rebuild(images), self.smooth(images), inside).clamp(0, 1)

    def rebuild(self, images: Tensor) -> Tensor:
        """Codes all patches of images ``[B, 3, H, W]``: what the object is made of."""
        planes = images if self.patches == "colour" else images.flatten(0, 1)[:, None]
        code = patch_omp(
            planes,
            self.dictionary,
            self.n_nonzero,
            stride=self.stride,
            standardize=self.standardize,
            backend=self.backend,
        )
        return code.images.view_as(images)

    def smooth(self, images: Tensor) -> Tensor:
        """Filters images ``[B, 3, H, W]``: what the background is made of."""
        if not self.smooths_background:
            return images
        return bilateral_filter(
            images,
            size=self.bilateral_size,
            sigma_color=self.sigma_color,
            sigma_space=self.sigma_space,
        )


def _patch_shape(who: str, dictionary: Tensor) -> tuple[int, str]:
    """The side of a dictionary's square patches, and whether they are of all channels or one."""
    check_dictionary(who, check_tensor(who, "dictionary", dictionary))
    n_features = dictionary.shape[1]
    for patches, n_channels in PATCHES.items():  # no square is three times a square
        size = math.isqrt(n_features // n_channels)
        if n_channels * size**2 == n_features:
            return size, patches
    raise ValueError(
        f"{who}: dictionary must be [N, 3 * size * size], atoms of square RGB patches, or "
        f"[N, size * size], of a single channel, got {list(dictionary.shape)}"
    )
