"""The integer screen of the LASSO never costs a certificate, whatever the numbers look like."""

import pytest
import torch

pytest.importorskip("sparsedef._C", reason="the native module is not built")
import sparsedef
from sparsedef.backends import BACKENDS, Status

lasso = BACKENDS["cpp"].functions["lasso"]


def true_gap(x, dictionary, codes, alpha):
    """In float64, from the codes alone."""
    x, dictionary, codes, alpha = x.double(), dictionary.double(), codes.double(), alpha.double()
    residual = x - codes @ dictionary
    correlations = residual @ dictionary.T
    scale = (alpha / correlations.abs().amax(dim=1).clamp_min(1e-300)).clamp_max(1)
    slack = alpha[:, None] * codes.abs() - scale[:, None] * codes * correlations
    gap = 0.5 * (1 - scale) ** 2 * residual.square().sum(dim=1) + slack.sum(dim=1)
    return gap / (0.5 * x.square().sum(dim=1))


def gaussian(*shape, dtype, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def spikes(dtype):
    """Signals and atoms with one large number each: quantised badly, but for the rotation."""
    x, atoms = gaussian(40, 96, dtype=dtype), gaussian(300, 96, dtype=dtype, seed=1)
    x[torch.arange(40), torch.arange(40)] += 30
    atoms[torch.arange(300), torch.arange(300) % 96] += 30
    return x, atoms


def one_hot(dtype):
    return gaussian(40, 64, dtype=dtype), torch.eye(64, dtype=dtype)


def many_scales(dtype):
    """Norms from 1e-12 to 1e12, beyond what is quantised."""
    norms = torch.logspace(-12, 12, 200, dtype=dtype)
    return gaussian(40, 48, dtype=dtype), gaussian(200, 48, dtype=dtype, seed=1) * norms[:, None]


def constant(dtype):
    """All atoms nearly the same."""
    return gaussian(20, 40, dtype=dtype) + 2, 1 + 1e-3 * gaussian(90, 40, dtype=dtype, seed=1)


@pytest.mark.parametrize("make", [spikes, one_hot, many_scales, constant])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_reported_gap_is_the_true_one(make, dtype):
    x, dictionary = make(dtype)
    alpha = 0.3 * (x @ dictionary.T).abs().amax(dim=1)
    code = sparsedef.lasso(x, dictionary, alpha, backend="cpp")
    assert code.is_converged.all()
    gap = true_gap(x, dictionary, code.codes, alpha)
    # Both are at rounding level; a violator that the screen lost would show as far more.
    assert (gap <= 2 * (1e-5 if dtype == torch.float32 else 1e-10)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_more_features_than_the_integers_can_sum(dtype):
    x, dictionary = gaussian(2, 60_040, dtype=dtype), gaussian(5, 60_040, dtype=dtype, seed=1)
    alpha = 0.5 * (x @ dictionary.T).abs().amax(dim=1)
    code = sparsedef.lasso(x, dictionary, alpha, backend="cpp")
    assert code.is_converged.all()
    assert (true_gap(x, dictionary, code.codes, alpha) <= 2e-5).all()


def test_an_early_end_tells_the_gap_in_full():
    x = gaussian(30, 64, dtype=torch.float64)
    dictionary = gaussian(500, 64, dtype=torch.float64, seed=1)
    alpha = 0.05 * (x @ dictionary.T).abs().amax(dim=1)
    for rounds in (1, 2):
        code = sparsedef.lasso(x, dictionary, alpha, max_iter=rounds, backend="cpp")
        assert not code.is_converged.all()
        expected = true_gap(x, dictionary, code.codes, alpha)
        torch.testing.assert_close(code.gap, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_memory_bounds_the_working_sets_and_keeps_the_certificate(dtype):
    x, dictionary = gaussian(60, 32, dtype=dtype), gaussian(600, 32, dtype=dtype, seed=1)
    alpha = 0.1 * (x @ dictionary.T).abs().amax(dim=1)

    def solve(max_memory):
        options = (None, None, False, 1e-5, 100, "active_set", False, 32, max_memory)
        return lasso(x, dictionary, alpha, *options)

    expected = solve(0)
    for a, b in zip(solve(20_000_000), expected, strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="max_memory must be at least") as refusal:
        solve(1000)
    least = int(str(refusal.value).split("at least ")[1].split(" ")[0])
    for max_memory in (2 * least, least):
        indices, values, _, gap, _, status = solve(max_memory)
        codes = torch.zeros(60, 600, dtype=dtype).scatter_add(1, indices.clamp_min(0), values)
        assert torch.equal(status == int(Status.CONVERGED), gap <= 1e-5)
        assert (true_gap(x, dictionary, codes, alpha) <= gap.double() * 1.01 + 2e-6).all()
