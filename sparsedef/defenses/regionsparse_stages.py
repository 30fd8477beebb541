"""RegionSparse's stages, each of which can be left out, and its sizes for any image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sparsedef.defenses.non_local_means import NLMSettings
from sparsedef.defenses.patch_dictionary import PATCHES, SMOOTHING, PatchRecipe
from sparsedef.solvers.checks import check_choice

STAGES: Mapping[str, str] = {
    "TR": "trained dictionary: without it, an overcomplete cosine transform of the same shape",
    "IS": "image smoothing: without it, the dictionary is of patches of unsmoothed images",
    "PN": "patch normalisation: without it, patches are learnt and coded as they are, not "
    "z-scored; their mean stays in them and is coded with the rest",
    "BS": "background suppression: without it, pixels outside the region stay as they are",
}
ABLATIONS: Mapping[str, tuple[str, ...]] = {
    "full": (), "noTR": ("TR",), "noIS": ("IS",), "noPN": ("PN",), "noBS": ("BS",),
}  # fmt: skip


def check_without(who: str, without: str | Collection[str]) -> frozenset[str]:
    """Demands names of ``STAGES``, one or several; gives the set of them."""
    names = frozenset([without] if isinstance(without, str) else without)
    unknown = sorted(names - STAGES.keys())
    if unknown:
        raise ValueError(f"{who}: without must name stages of {list(STAGES)}, got {unknown}")
    return names


@dataclass(frozen=True)
class RegionSparseSizes:
    """The numbers that RegionSparse is fitted with; the defaults are for images of 299 pixels.

    Args:
        patch_size: Side b of a patch.
        patches: ``"colour"``: patches of ``3 * b * b`` numbers; ``"channel"``: of ``b * b``, each
            channel coded on its own.
        n_atoms: Of the dictionary.
        n_nonzero: Atoms per patch.
        n_images: Training images used, at most.
        per_image: Training patches drawn from each.
        smoothing: Of the training images.
        n_epochs: Passes of the learning over the training patches.
        bilateral_size: Side of the background filter's window, odd.
        sigma_space: Its spatial reach, in pixels.
    """

    patch_size: int = 8
    patches: str = "colour"
    n_atoms: int = 512
    n_nonzero: int = 8
    n_images: int = 1000
    per_image: int = 100
    smoothing: NLMSettings = SMOOTHING
    n_epochs: int = 4
    bilateral_size: int = 5
    sigma_space: float = 2.0

    @classmethod
    def for_size(cls, side: int, patches: str = "colour") -> RegionSparseSizes:
        """Scales the sizes to images of ``side`` pixels; none of them is tuned.

        Patches of 8 x 8 from 160 pixels up, 6 x 6 from 64, 4 x 4 below (less is no patch), and
        with them the dictionary, the atoms per patch, the windows of the filters and the number
        of training patches.
        """
        check_choice("RegionSparseSizes", "patches", patches, tuple(PATCHES))
        size = 8 if side >= 160 else 6 if side >= 64 else 4
        n_features = PATCHES[patches] * size**2
        template, search = {8: (7, 21), 6: (5, 13), 4: (3, 7)}[size]
        return cls(
            patch_size=size,
            patches=patches,
            n_atoms=n_features * 8 // 3 if patches == "colour" else 4 * n_features,
            n_nonzero=usual_n_nonzero(n_features, patches),
            n_images={8: 1000, 6: 500, 4: 200}[size],
            per_image={8: 100, 6: 60, 4: 40}[size],
            smoothing=NLMSettings(search, template, 10 / 255),
            bilateral_size=3 if size == 4 else 5,
            sigma_space={8: 2.0, 6: 1.5, 4: 1.0}[size],
        )

    def recipe(self, without: Collection[str] = (), seed: int = 0) -> PatchRecipe:
        """How training patches are made, but for the stages left out."""
        return PatchRecipe(
            size=self.patch_size,
            patches=self.patches,
            standardize="none" if "PN" in without else "zscore",
            per_image=self.per_image,
            smoothing=None if "IS" in without else self.smoothing,
            seed=seed,
        )


def usual_n_nonzero(n_features: int, patches: str) -> int:
    """Atoms per patch: 8 of 192 numbers, 4 of 64 of a single channel, and in proportion."""
    return max(1, n_features // (24 if patches == "colour" else 16))
