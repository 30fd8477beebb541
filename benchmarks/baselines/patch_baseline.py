"""Image to image with SPAMS and with scikit-learn: extract, code, average the overlaps.

Neither has it in one call. For SPAMS the other steps are whole-array numpy; scikit-learn brings its
own, which put the patches back one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.baselines.sklearn_baseline import quiet
from benchmarks.contestants import Call, Contestant, Problem, missing_library
from benchmarks.omp_problems import PatchProblem
from benchmarks.photographs import PATCH

Array = np.ndarray[Any, Any]


def _with_spams(problem: PatchProblem, setting: None, threads: int) -> Call:
    import spams

    images, atoms = problem.images.numpy(), problem.dictionary.numpy()
    k = problem.n_nonzero

    def call() -> Array:
        patches = extract(images)
        means = patches.mean(axis=1, keepdims=True)
        rows = patches - means
        codes = spams.omp(rows.T, atoms.T, L=k, eps=0.0, lambda1=0.0, numThreads=threads)
        return merge(codes.T @ atoms + means, images.shape)

    return call


def extract(images: Array) -> Array:
    """All patches of ``[B, C, H, W]``, one per row, channel by channel."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, images.shape[1] * PATCH**2)


def merge(patches: Array, shape: tuple[int, ...]) -> Array:
    """Averages patches into images: one addition of whole images for each pixel of a patch."""
    n_images, n_channels, height, width = shape
    rows, columns = height - PATCH + 1, width - PATCH + 1
    windows = patches.reshape(n_images, rows, columns, n_channels, PATCH, PATCH)
    windows = windows.transpose(4, 5, 0, 3, 1, 2)
    images, counts = np.zeros(shape, patches.dtype), np.zeros((height, width), patches.dtype)
    for i in range(PATCH):
        for j in range(PATCH):
            images[:, :, i : i + rows, j : j + columns] += windows[i, j]
            counts[i : i + rows, j : j + columns] += 1
    return images / counts


def _with_sklearn(problem: PatchProblem, setting: None, threads: int) -> Call:
    """Its patches are pixel by pixel, so are the atoms that it is given."""
    from sklearn.feature_extraction.image import extract_patches_2d, reconstruct_from_patches_2d
    from sklearn.linear_model import orthogonal_mp_gram

    images = [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in problem.images]
    n_channels = problem.images.shape[1]
    pixels = problem.dictionary.reshape(-1, n_channels, PATCH**2).mT
    atoms = pixels.reshape(len(pixels), -1).contiguous().numpy()

    def rebuild(image: Array) -> Array:
        patches = extract_patches_2d(image, (PATCH, PATCH))
        rows = patches.reshape(len(patches), -1)
        means = rows.mean(axis=1, keepdims=True)
        codes = orthogonal_mp_gram(
            atoms @ atoms.T, atoms @ (rows - means).T, n_nonzero_coefs=problem.n_nonzero
        )
        rebuilt = (codes.T @ atoms + means).reshape(len(patches), PATCH, PATCH, n_channels)
        return np.asarray(reconstruct_from_patches_2d(rebuilt, (*image.shape[:2], n_channels)))

    return quiet(lambda: np.stack([rebuild(image).transpose(2, 0, 1) for image in images]))


def _to_images(result: Any, problem: Problem) -> Tensor:
    return torch.from_numpy(result)


def _is_patches(problem: Problem, selection: str) -> bool:
    return isinstance(problem, PatchProblem) and problem.selection == selection


CONTESTANTS = (
    Contestant(
        "spams.omp + numpy",
        "spams-bin",
        lambda problem: _is_patches(problem, "ols"),
        _with_spams,
        _to_images,
        missing=missing_library("spams", "spams-bin"),
    ),
    Contestant(
        "sklearn patches",
        "scikit-learn",
        lambda problem: _is_patches(problem, "omp"),
        _with_sklearn,
        _to_images,
        most_work=1.3e8,
        missing=missing_library("sklearn", "scikit-learn"),
    ),
)
