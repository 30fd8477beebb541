"""Whole images coded patch by patch: masks, statistics, bad pixels, memory, gradients."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsedef import Status, extract_patches, merge_patches, omp, patch_omp
from sparsedef.backends import Problem
from sparsedef.solvers.patch_omp import standardize_patches
from sparsedef.testing import able_backends, make_problem

PROBLEM = Problem("patch_omp", 8, 16, 32, torch.float64, torch.device("cpu"))
BACKENDS = able_backends(PROBLEM)
MODES = ["none", "mean", "zscore"]


def make_images(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def make_mask(*shape: int, share: float = 0.05) -> Tensor:
    return make_images(*shape, seed=1) < share


def put_together(
    images: Tensor, dictionary: Tensor, k: int, size: int, stride: int, how: str, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """The pipeline from public pieces, one image after the other; autograd sees all of it."""
    rebuilt, codes = [], []
    for image, inside in zip(images, mask, strict=True):
        patches = extract_patches(image[None], size, stride)[0]
        is_coded = extract_patches(inside[None, None].double(), size, stride)[0].amax(1) > 0
        signals = patches[is_coded]
        standard, shift, scale = standardize_patches(signals[None], how)
        code = omp(standard[0], dictionary, k, layout="compact", backend="reference")
        y = ((standard - code.residual) * scale + shift)[0]
        full = torch.zeros_like(patches).index_put((is_coded.nonzero()[:, 0],), y)
        values = image.new_zeros(len(patches), k)
        codes.append(values.index_put((is_coded.nonzero()[:, 0],), code.values))
        size_of = (image.shape[1], image.shape[2])
        merged = merge_patches(full[None], size_of, size, stride)[0]
        rebuilt.append(torch.where(inside, merged, image))
    return torch.stack(rebuilt), torch.stack(codes)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("standardize", MODES)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_it_is_its_parts_put_together(stride: int, standardize: str, backend: str) -> None:
    images, mask = make_images(3, 2, 11, 8), make_mask(3, 11, 8)
    mask[1], mask[2] = True, False
    _, dictionary = make_problem(1, 18, 40)
    code = patch_omp(images, dictionary, 4, stride=stride, standardize=standardize, mask=mask,
                     backend=backend)  # fmt: skip
    # Nothing is left of an image in which nothing is asked for, so it has no statistics.
    rebuilt, values = put_together(images[:2], dictionary, 4, 3, stride, standardize, mask[:2])
    torch.testing.assert_close(code.images[:2], rebuilt, atol=1e-9, rtol=0)
    torch.testing.assert_close(code.values[:2], values, atol=1e-9, rtol=0)
    assert torch.equal(code.images[2], images[2])
    assert (code.indices[2] == -1).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("standardize", ["none", "mean"])
def test_a_mask_changes_nothing_inside_and_nothing_outside(standardize: str, backend: str) -> None:
    images, mask = make_images(2, 1, 13, 15), make_mask(2, 13, 15)
    _, dictionary = make_problem(1, 16, 40)
    options = {"stride": 2, "standardize": standardize, "backend": backend}
    whole = patch_omp(images, dictionary, 3, **options)
    code = patch_omp(images, dictionary, 3, mask=mask, **options)
    inside = mask[:, None]
    assert torch.equal(code.images[~inside], images[~inside])
    torch.testing.assert_close(code.images[inside], whole.images[inside], atol=1e-12, rtol=0)
    covers = extract_patches(inside.double(), 4, 2).amax(dim=2) > 0
    assert 0 < covers.sum() < covers.numel()
    assert torch.equal(code.indices[covers], whole.indices[covers])
    assert (code.indices[~covers] == -1).all()
    assert (code.values[~covers] == 0).all()
    assert torch.equal(code.n_iter > 0, covers)
    assert (code.status == int(Status.CONVERGED)).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("standardize", MODES)
def test_a_mask_of_ones_is_no_mask(standardize: str, backend: str) -> None:
    images = make_images(2, 3, 9, 7)
    _, dictionary = make_problem(1, 27, 50)
    options = {"stride": 2, "standardize": standardize, "backend": backend}
    whole = patch_omp(images, dictionary, 3, **options)
    code = patch_omp(images, dictionary, 3, mask=torch.ones(2, 9, 7, dtype=bool), **options)
    assert torch.equal(code.indices, whole.indices)
    torch.testing.assert_close(code.images, whole.images, atol=1e-12, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("standardize", MODES)
@pytest.mark.parametrize(
    ("height", "width", "channels", "size", "stride"),
    [(4, 4, 1, 4, 1), (4, 9, 2, 4, 3), (11, 6, 1, 3, 2), (7, 7, 3, 1, 1), (8, 20, 1, 8, 8)],
)
def test_as_many_atoms_as_dimensions_rebuild_the_image(
    height: int, width: int, channels: int, size: int, stride: int, standardize: str, backend: str
) -> None:
    images, n_features = make_images(2, channels, height, width), channels * size**2
    _, dictionary = make_problem(1, n_features, n_features + 5)
    code = patch_omp(images, dictionary, n_features, stride=stride, standardize=standardize,
                     backend=backend)  # fmt: skip
    torch.testing.assert_close(code.images, images, atol=1e-8, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("standardize", MODES)
def test_a_bad_pixel_spoils_its_patches_only(standardize: str, bad: float, backend: str) -> None:
    images, mask = make_images(3, 1, 10, 9), torch.ones(3, 10, 9, dtype=bool)
    mask[1, :, 6:] = False
    _, dictionary = make_problem(1, 9, 20)
    options = {"stride": 2, "standardize": standardize, "mask": mask, "backend": backend}
    clean = patch_omp(images, dictionary, 3, **options)
    images[1, 0, 4, 3] = bad
    code = patch_omp(images, dictionary, 3, **options)
    holds = extract_patches((~images.isfinite()).double(), 3, 2).amax(dim=2) > 0
    if standardize == "zscore":  # the statistics are the image's
        holds[1] = extract_patches(mask[1:2, None].double(), 3, 2)[0].amax(dim=1) > 0
    assert torch.equal(code.status == int(Status.NONFINITE), holds)
    assert (code.indices[holds] == -1).all()
    assert code.values[holds].isnan().all()
    assert (code.n_iter[holds] == 0).all()
    under = merge_patches(holds[..., None].double().expand(-1, -1, 9), (10, 9), 3, 2) > 0
    under &= mask[:, None]
    assert torch.equal(code.images.isnan(), under)
    outside = ~mask[:, None]
    torch.testing.assert_close(code.images[outside], images[outside])
    fine = ~under & mask[:, None]
    torch.testing.assert_close(code.images[fine], clean.images[fine], atol=1e-12, rtol=0)
    assert torch.equal(code.indices[[0, 2]], clean.indices[[0, 2]])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bad_pixel_that_nothing_asks_for_spoils_nothing(backend: str) -> None:
    images, mask = make_images(1, 1, 10, 12), torch.zeros(1, 10, 12, dtype=bool)
    mask[:, :, :3] = True
    images[0, 0, 5, 11] = torch.nan
    _, dictionary = make_problem(1, 9, 20)
    code = patch_omp(images, dictionary, 3, standardize="zscore", mask=mask, backend=backend)
    assert (code.status == int(Status.CONVERGED)).all()
    torch.testing.assert_close(code.images[~mask[:, None]], images[~mask[:, None]], equal_nan=True)
    assert code.images[mask[:, None]].isfinite().all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("standardize", MODES)
def test_max_memory_bounds_nothing_but_memory(standardize: str, backend: str) -> None:
    images, mask = make_images(5, 1, 14, 12), make_mask(5, 14, 12, share=0.2)
    _, dictionary = make_problem(1, 16, 24)
    options = {"standardize": standardize, "mask": mask, "backend": backend}
    whole = patch_omp(images, dictionary, 3, **options)
    for memory in (300_000, 500_000, 1 << 30):
        code = patch_omp(images, dictionary, 3, max_memory=memory, **options)
        assert torch.equal(code.indices, whole.indices)
        torch.testing.assert_close(code.images, whole.images, atol=1e-12, rtol=0)
    with pytest.raises(ValueError, match=r"max_memory must be at least \d+ bytes"):
        patch_omp(images, dictionary, 3, max_memory=100, **options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_batches_and_half_precision(backend: str) -> None:
    _, dictionary = make_problem(1, 9, 20, dtype=torch.float32)
    code = patch_omp(torch.zeros(0, 1, 6, 6), dictionary, 3, stride=2, backend=backend)
    assert code.images.shape == (0, 1, 6, 6)
    assert code.indices.shape == code.values.shape == (0, 9, 3)
    images = make_images(1, 1, 6, 6).half()
    code = patch_omp(images, dictionary.half(), 3, backend=backend)
    assert code.images.dtype == code.values.dtype == torch.float32


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("standardize", MODES)
@pytest.mark.parametrize("stride", [1, 2])
def test_gradcheck(stride: int, standardize: str, masked: bool) -> None:
    images = make_images(2, 2, 5, 4).requires_grad_(True)
    dictionary = make_problem(1, 8, 14)[1].requires_grad_(True)
    mask = make_mask(2, 5, 4, share=0.2) if masked else None

    def rebuild(images: Tensor, dictionary: Tensor) -> tuple[Tensor, Tensor]:
        code = patch_omp(images, normalize(dictionary), 3, stride=stride, standardize=standardize,
                         mask=mask)  # fmt: skip
        return code.images, code.values

    assert torch.autograd.gradcheck(rebuild, (images, dictionary), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("standardize", MODES)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_gradients_are_those_of_the_parts(stride: int, standardize: str, backend: str) -> None:
    mask = make_mask(2, 9, 8, share=0.1)
    mask[1] = True
    weight, other = make_images(2, 2, 9, 8, seed=2) - 0.5, None

    def gradients(whole: bool) -> tuple[Tensor, Tensor]:
        nonlocal other
        images = make_images(2, 2, 9, 8).requires_grad_(True)
        dictionary = make_problem(1, 18, 40)[1].requires_grad_(True)
        if whole:
            code = patch_omp(images, dictionary, 4, stride=stride, standardize=standardize,
                             mask=mask, backend=backend)  # fmt: skip
            rebuilt, values = code.images, code.values
            other = make_images(*values.shape, seed=3) - 0.5
        else:
            rebuilt, values = put_together(images, dictionary, 4, 3, stride, standardize, mask)
        loss = (rebuilt * weight).sum() + (values * other).sum()
        return torch.autograd.grad(loss, (images, dictionary))

    for ours, theirs in zip(gradients(True), gradients(False), strict=True):
        assert theirs.abs().max() > 0.1
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("standardize", MODES)
def test_bad_patches_get_no_gradient_and_give_none(standardize: str) -> None:
    images = make_images(2, 1, 8, 8)
    images[0, 0, 0, 0] = torch.nan
    images.requires_grad_(True)
    dictionary = make_problem(1, 9, 20)[1].requires_grad_(True)
    code = patch_omp(images, dictionary, 3, standardize=standardize)
    (code.images.nan_to_num().sum() + code.values.nan_to_num().sum()).backward()
    assert images.grad is not None
    assert dictionary.grad is not None
    assert images.grad.isfinite().all()
    assert dictionary.grad.isfinite().all()
    assert images.grad[0, 0, 0, 0] == 0
    alone = make_images(2, 1, 8, 8)[1:].requires_grad_(True)
    code = patch_omp(alone, dictionary, 3, standardize=standardize)
    (code.images.sum() + code.values.sum()).backward()
    torch.testing.assert_close(images.grad[1:], alone.grad)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mask": torch.ones(2, 8, 8)}, TypeError, "mask must be a bool tensor, got torch.float32"),
        ({"mask": torch.ones(8, 8, dtype=bool)}, ValueError, r"mask must be \[2, 8, 8\]"),
        ({"max_memory": 0}, ValueError, "max_memory must be at least 1, got 0"),
        ({"stride": 5}, ValueError, "pixels missed"),
        ({"tol": -1.0}, ValueError, "tol must be finite and >= 0"),
        ({"selection": "best"}, ValueError, "selection must be one of"),
        ({"standardize": "std"}, ValueError, "standardize must be one of"),
        ({"dictionary": torch.eye(16).double()}, TypeError, "one dtype"),
        ({"dictionary": 2 * torch.eye(16)}, ValueError, "atoms of norm 1"),
        ({"images": torch.zeros(2, 1, 3, 8)}, ValueError, "at most the image's side 3"),
    ],
)
def test_bad_input_is_explained(options: dict, error: type[Exception], message: str) -> None:
    arguments = {"images": torch.zeros(2, 1, 8, 8), "dictionary": torch.eye(16), "n_nonzero": 2}
    with pytest.raises(error, match=message):
        patch_omp(**{**arguments, **options})
