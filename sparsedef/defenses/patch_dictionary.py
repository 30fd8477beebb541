"""The dictionary of clean patches that patch-coding defenses rebuild images from."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from sparsedef.defenses.filters import non_local_means
from sparsedef.solvers.patch_omp import standardize_patches
from sparsedef.solvers.patches import extract_patches


def training_patches(
    images: Tensor,
    size: int,
    *,
    per_image: int,
    nlm_strength: float,
    nlm_template: int,
    nlm_search: int,
    seed: int,
) -> Tensor:
    """Draws smoothed, standardised patches from clean images, as signals for a dictionary.

    Images are smoothed by non-local means; patches are z-scored per image and per dimension over
    all patches of that image; then ``per_image`` of them are drawn.

    Args:
        images: Clean images ``[B, C, H, W]`` in [0, 1].
        size: Side of a patch.
        per_image: Patches kept per image, at most all.
        nlm_strength: Of the smoothing; see ``non_local_means``.
        nlm_template: Side of the compared surroundings.
        nlm_search: Side of the search window.
        seed: Of the draw.

    Returns:
        Signals ``[B * per_image, C * size * size]``.
    """
    smooth = non_local_means(
        images, strength=nlm_strength, template=nlm_template, search=nlm_search
    )
    patches = extract_patches(smooth, size)
    standard, _, _ = standardize_patches(patches, "zscore")
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(patches.shape[:2], generator=generator).argsort(1)[:, :per_image]
    return standard[torch.arange(len(images))[:, None], order].flatten(0, 1)


def learn_patch_dictionary(
    signals: Tensor, n_atoms: int, *, alpha: float = 1.0, epochs: int = 1, seed: int = 0
) -> Tensor:
    """Learns unit-norm atoms ``[n_atoms, M]`` from ``signals`` ``[B, M]`` in ``epochs`` passes.

    Minimises ``1/2 ||x - codes @ D||^2 + alpha * ||codes||_1`` over the signals by scikit-learn's
    online dictionary learning.

    Raises:
        ImportError: scikit-learn is not installed.

    Source: Mairal, Bach, Ponce, Sapiro, 2009.
    """
    try:
        from sklearn.decomposition import MiniBatchDictionaryLearning
        from sklearn.exceptions import ConvergenceWarning
    except ImportError as error:
        raise ImportError(
            "learn_patch_dictionary: scikit-learn is not installed "
            "(pip install 'sparsedef[sklearn]')"
        ) from error
    learner = MiniBatchDictionaryLearning(
        n_atoms, alpha=alpha, batch_size=256, max_iter=epochs, random_state=seed
    )
    with warnings.catch_warnings():
        # grey images have equal colour channels: LARS meets equal atoms, drops one, and says so
        warnings.simplefilter("ignore", ConvergenceWarning)
        # in float32 this LARS can divide by zero
        learner.fit(signals.detach().cpu().double().numpy())
    atoms = torch.from_numpy(learner.components_).to(signals)
    norms = atoms.norm(dim=1, keepdim=True)
    return torch.where(norms > 1e-8, atoms / norms.clamp_min(1e-8), 0.0).contiguous()
