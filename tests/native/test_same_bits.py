"""OMP's answer depends on nothing but the signal and the dictionary, to the bit."""

import pytest
import torch

_C = pytest.importorskip("sparsedef._C", reason="the native module is not built")
from sparsedef.backends import BACKENDS  # noqa: E402

omp = BACKENDS["cpp"].functions["omp"]
lasso = BACKENDS["cpp"].functions["lasso"]


@pytest.fixture(autouse=True)
def _restore():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    _C.set_isa("auto")


def problem(dtype, n_signals=70, n_features=37, n_atoms=90):
    generator = torch.Generator().manual_seed(0)
    dictionary = torch.randn(n_atoms, n_features, generator=generator, dtype=dtype)
    dictionary /= dictionary.norm(dim=1, keepdim=True)
    dictionary[5] = dictionary[80]
    x = torch.randn(n_signals, n_features, generator=generator, dtype=dtype)
    x[3] = 0
    return x, dictionary, torch.zeros(n_signals, dtype=dtype)


def assert_same_bits(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("selection", ["omp", "ols"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("isa", _C.capabilities()["supported_isas"])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_omp_has_the_same_bits_on_every_instruction_set(isa, n_threads, dtype, selection):
    for n_atoms, nonnegative in ((90, False), (90, True), (4100, False), (4100, True)):
        x, dictionary, tol = problem(dtype, n_atoms=n_atoms)
        few = 70 if n_atoms < 1000 else 5  # a large dictionary takes another way
        arguments = (x[:few], dictionary, tol[:few], None, 12, selection, nonnegative, 0)
        _C.set_isa("baseline")
        torch.set_num_threads(1)
        expected = omp(*arguments)
        _C.set_isa(isa)
        torch.set_num_threads(n_threads)
        assert_same_bits(omp(*arguments), expected)


@pytest.mark.parametrize("selection", ["omp", "ols"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_omp_has_the_same_bits_alone_and_in_a_batch(selection, n_threads):
    x, dictionary, tol = problem(torch.float32)
    torch.set_num_threads(n_threads)
    limits = torch.arange(len(x), dtype=torch.int32) % 14
    for nonnegative in (False, True):
        expected = omp(x, dictionary, tol, limits, 12, selection, nonnegative, 0)
        for size in (1, 13):  # one signal: Gram rows are made when needed; in a batch: all at once
            parts = [
                omp(x[p], dictionary, tol[p], limits[p], 12, selection, nonnegative, 0)
                for p in (slice(i, i + size) for i in range(0, len(x), size))
            ]
            assert_same_bits([torch.cat(part) for part in zip(*parts, strict=True)], expected)
        for memory in (120_000, 60_000):  # with and without a table of all products
            found = omp(x, dictionary, tol, limits, 12, selection, nonnegative, memory)
            assert_same_bits(found, expected)
    with pytest.raises(ValueError, match=r"omp: max_memory must be at least \d+ bytes"):
        omp(x, dictionary, tol, limits, 12, selection, False, 1000)


@pytest.mark.parametrize("n_atoms", [100, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lasso_has_the_same_bits_alone_and_in_a_batch(dtype, n_atoms):
    x, dictionary, _ = problem(dtype, n_signals=600, n_atoms=n_atoms)
    alpha = torch.full((600,), 0.3, dtype=dtype)
    arguments = (None, None, False, 1e-5, 100, "active_set", False, 40, 0)
    expected = lasso(x, dictionary, alpha, *arguments)
    for size, n_threads in ((1, 1), (77, 2)):
        torch.set_num_threads(n_threads)
        few = 40 if size == 1 else len(x)
        parts = [
            lasso(x[i : i + size], dictionary, alpha[i : i + size], *arguments)
            for i in range(0, few, size)
        ]
        found = [torch.cat(part) for part in zip(*parts, strict=True)]
        assert_same_bits(found, [whole[:few] for whole in expected])


@pytest.mark.parametrize("isa", _C.capabilities()["supported_isas"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lasso_has_the_same_bits_on_every_instruction_set(dtype, isa):
    x, dictionary, _ = problem(dtype)
    alpha = torch.full((len(x),), 0.2, dtype=dtype)
    arguments = (alpha, None, None, False, 1e-5, 100, "active_set", False, 0, 0)
    _C.set_isa("baseline")
    expected = lasso(x, dictionary, *arguments)
    _C.set_isa(isa)
    assert_same_bits(lasso(x, dictionary, *arguments), expected)


def test_an_unknown_instruction_set_is_refused_with_the_names_of_the_known():
    with pytest.raises(ValueError, match="baseline"):
        _C.set_isa("mmx")
