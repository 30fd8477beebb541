"""The dictionary of clean patches that patch-coding defenses rebuild images from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sparsedef.defenses.filters import non_local_means
from sparsedef.defenses.non_local_means import NLMSettings
from sparsedef.learning import OnlineLearner
from sparsedef.learning.atoms import to_norm_1
from sparsedef.solvers.checks import check_choice, check_count
from sparsedef.solvers.patch_omp import standardize_patches
from sparsedef.solvers.patches import check_window, extract_patches

PATCHES = {"colour": 3, "channel": 1}  # channels of a patch
SMOOTHING = NLMSettings(search=21, template=7, strength=10 / 255)  # for images of 299 pixels
BATCH = 256
AT_ONCE = 2**22  # numbers in patches that lie in memory together


@dataclass(frozen=True)
class PatchRecipe:
    """How clean images become training signals for a dictionary.

    Args:
        size: Side b of a patch.
        patches: ``"colour"``: patches ``3 * b * b``; ``"channel"``: ``b * b``, of each channel.
        standardize: As for ``sparsedef.patch_omp``; z-scores are per dimension over all patches
            of an image, or of one channel of it, whether they are drawn or not.
        per_image: Patches drawn from each image, of all channels together; at most all.
        smoothing: Of the images before they are cut; ``None``: none.
        seed: Of the draws. Each image's depends on the seed and its number alone.

    Raises:
        ValueError: A number or word is out of range.
    """

    size: int = 8
    patches: str = "colour"
    standardize: str = "zscore"
    per_image: int = 100
    smoothing: NLMSettings | None = SMOOTHING
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks; see the class."""
        check_choice("PatchRecipe", "patches", self.patches, tuple(PATCHES))
        check_count("PatchRecipe", "size", self.size)
        check_count("PatchRecipe", "per_image", self.per_image)
        check_count("PatchRecipe", "seed", self.seed, least=0)

    @property
    def n_channels(self) -> int:
        """Channels of a patch."""
        return PATCHES[self.patches]

    @property
    def n_features(self) -> int:
        """M, numbers in a patch."""
        return self.n_channels * self.size**2

    def rows(self, height: int, width: int) -> int:
        """How many patches are drawn from an image of this size.

        Raises:
            ValueError: A patch does not fit into it.
        """
        check_window("PatchRecipe", (height, width), self.size, 1)
        n_patches = (height - self.size + 1) * (width - self.size + 1)
        return min(self.per_image, n_patches * 3 // self.n_channels)


def training_patches(
    images: Tensor, recipe: PatchRecipe, *, first: int = 0, progress: bool = False
) -> Tensor:
    """Draws smoothed, standardised patches from clean images, as signals for a dictionary.

    Args:
        images: Clean images ``[B, 3, H, W]`` in [0, 1].
        recipe: What is done to them.
        first: Number of the first of them among all, where they come in parts: the parts' patches
            are those of the whole.
        progress: Show a bar.

    Returns:
        Signals ``[B * rows, M]``, those of an image together.
    """
    height, width = images.shape[-2:]
    rows, drawn = recipe.rows(height, width), []
    most = max(1, AT_ONCE // (3 * recipe.size**2 * height * width))
    with tqdm(total=len(images), desc="patches", unit="image", disable=not progress) as bar:
        for start in range(0, len(images), most):
            part = images[start : start + most]
            if recipe.smoothing is not None:
                part = non_local_means(part, **recipe.smoothing._asdict())
            planes = part.flatten(0, 1)[:, None] if recipe.n_channels == 1 else part
            patches, _, _ = standardize_patches(
                extract_patches(planes, recipe.size), recipe.standardize
            )
            patches = patches.reshape(len(part), -1, recipe.n_features)
            for number, found in enumerate(patches, start=first + start):
                draw = np.random.default_rng((recipe.seed, number))
                chosen = draw.choice(len(found), rows, replace=False)
                drawn.append(found[torch.from_numpy(chosen).to(found.device)])
            bar.update(len(part))
    return torch.cat(drawn) if drawn else images.new_zeros(0, recipe.n_features)


def spread(signals: Tensor) -> float:
    """Root of the mean variance of the dimensions of ``signals`` ``[B, M]``; of z-scores about 1.

    The unit in which a penalty means for raw patches what it means for z-scored ones.
    """
    return float(signals.var(dim=0, correction=0).mean().sqrt())


def learn_patch_dictionary(
    signals: Tensor,
    n_atoms: int,
    *,
    alpha: float = 1.0,
    epochs: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> Tensor:
    """Learns unit-norm atoms ``[n_atoms, M]`` from ``signals`` ``[B, M]`` in ``epochs`` passes.

    Minimises ``1/2 ||x - codes @ D||^2 + alpha * ||codes||_1`` over the signals by
    ``sparsedef.learning.OnlineLearner``. What no signal uses has norm 0, and is never chosen.

    Source: Mairal, Bach, Ponce, Sapiro, 2009.
    """
    learner = OnlineLearner(n_atoms, alpha=alpha, batch_size=BATCH, n_epochs=epochs, seed=seed)
    return to_norm_1(learner.fit(signals, progress=progress).dictionary)


def dct_dictionary(n_atoms: int, size: int, n_channels: int = 1) -> Tensor:
    """Makes atoms that no data has shaped: an overcomplete cosine transform, ``[n_atoms, M]``.

    Along each side of the patch ``F`` cosines ``cos(pi k (i + 1/2) / F)``, k = 0 ... F - 1, without
    their mean but for k = 0, ``F`` at least ``size`` and no more than it takes; their products;
    each in every one of ``n_channels`` orthonormal mixtures of the channels (for three: grey and
    two opponent colours). Of these the ``n_atoms`` of lowest frequency, of norm 1, float32.

    Args:
        n_atoms: N.
        size: Side b of a patch.
        n_channels: C; M = C * b * b.

    Example:
        >>> grey = dct_dictionary(4, 2)
        >>> torch.allclose(grey @ grey.T, torch.eye(4))
        True

    Source: Elad, Aharon, "Image denoising via sparse and redundant representations", 2006.
    """
    check_count("dct_dictionary", "n_atoms", n_atoms)
    n_frequencies = max(size, math.ceil(math.sqrt(n_atoms / n_channels)))
    side, mixtures = _cosines(size, n_frequencies), _cosines(n_channels, n_channels)
    atoms = torch.einsum("ac,by,dx->bdacyx", mixtures, side, side)
    k = torch.arange(n_frequencies)
    height = (k[:, None] ** 2 + k**2)[:, :, None].expand(-1, -1, n_channels)
    lowest = height.flatten().argsort(stable=True)[:n_atoms]
    return to_norm_1(atoms.flatten(3).flatten(0, 2)[lowest].float())


def _cosines(length: int, n_frequencies: int) -> Tensor:
    """Cosines of ``length`` samples, ``[n_frequencies, length]``, the mean taken from all but 0."""
    k = torch.arange(n_frequencies, dtype=torch.float64)[:, None]
    place = torch.arange(length, dtype=torch.float64) + 0.5
    waves = torch.cos(math.pi * k * place / n_frequencies)
    waves[1:] -= waves[1:].mean(dim=1, keepdim=True)
    return torch.nn.functional.normalize(waves, dim=1)
