"""Patch coding depends on nothing but the image and the dictionary, to the bit."""

import pytest
import torch

_C = pytest.importorskip("sparsedef._C", reason="the native module is not built")
from sparsedef.backends import BACKENDS  # noqa: E402
from sparsedef.testing import TOLERANCES, make_problem  # noqa: E402

DTYPES = [torch.float32, torch.float64]
# H, W, C, size, stride
SHAPES = [
    (8, 8, 1, 8, 1), (8, 21, 1, 8, 3), (19, 26, 1, 8, 1), (13, 9, 3, 4, 2), (11, 11, 2, 3, 3),
    (5, 6, 1, 1, 1), (17, 9, 3, 5, 5),
]  # fmt: skip
MODES = ["none", "mean", "zscore"]


@pytest.fixture(autouse=True)
def _restore():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    _C.set_isa("auto")


def problem(shape, dtype, n_images=3):
    height, width, channels, size, _ = shape
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(n_images, channels, height, width, generator=generator, dtype=torch.float64)
    mask = torch.rand(n_images, height, width, generator=generator) < 0.05
    n_features = channels * size**2
    _, dictionary = make_problem(1, n_features, 2 * n_features + 3, dtype=dtype)
    return images.to(dtype), dictionary, mask


def code(backend, images, dictionary, mask, shape, standardize, selection="omp", max_memory=0):
    k = min(4, dictionary.shape[1])
    return BACKENDS[backend].functions["patch_omp"](
        images, dictionary, 1e-3, mask, k, shape[4], standardize, selection, max_memory
    )


def assert_same_bits(found, expected):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0, equal_nan=True)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("selection", ["omp", "ols"])
@pytest.mark.parametrize("standardize", MODES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_fused_equals_composed(shape, masked, standardize, selection, dtype):
    images, dictionary, mask = problem(shape, dtype)
    mask = mask if masked else None
    expected = code("reference", images, dictionary, mask, shape, standardize, selection)
    found = code("cpp", images, dictionary, mask, shape, standardize, selection)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        close = TOLERANCES[dtype].close
        torch.testing.assert_close(ours, theirs, atol=close, rtol=close)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("standardize", MODES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [SHAPES[2], SHAPES[3]], ids=str)
def test_the_bits_do_not_depend_on_batch_threads_memory_or_instruction_set(
    shape, masked, standardize, dtype
):
    images, dictionary, mask = problem(shape, dtype)
    images[1, 0, 2, 3] = torch.nan
    mask = mask if masked else None
    torch.set_num_threads(1)
    _C.set_isa("baseline")
    arguments = (shape, standardize)
    expected = code("cpp", images, dictionary, mask, *arguments)
    for isa in _C.capabilities()["supported_isas"]:
        for n_threads in (1, 3):
            _C.set_isa(isa)
            torch.set_num_threads(n_threads)
            assert_same_bits(code("cpp", images, dictionary, mask, *arguments), expected)
    alone = [
        code("cpp", images[i : i + 1], dictionary, None if mask is None else mask[i : i + 1],
             *arguments)
        for i in range(3)
    ]  # fmt: skip
    assert_same_bits([torch.cat(part) for part in zip(*alone, strict=True)], expected)
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        least = least_memory(images, dictionary, mask, *arguments)
        for memory in (least, 2 * least, 4 * least):  # a row at a time, some rows, some images
            found = code("cpp", images, dictionary, mask, *arguments, max_memory=memory)
            assert_same_bits(found, expected)


def least_memory(*arguments):
    with pytest.raises(ValueError, match=r"patch_omp: max_memory must be at least") as refusal:
        code("cpp", *arguments, max_memory=1)
    return int(str(refusal.value).split("at least ")[1].split()[0])
