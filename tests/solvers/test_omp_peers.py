"""OMP against scikit-learn ("omp") and SPAMS ("ols"), in float64, on random and real signals."""

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from sparsedef import omp
from sparsedef.backends import Problem
from sparsedef.testing import able_backends, make_problem

BLOCK = 5000  # signals in one call of a peer


def able(rule: str) -> list[str]:
    options = {"selection": rule, "n_nonzero": 8}
    return able_backends(Problem("omp", 8, 64, 128, torch.float64, torch.device("cpu"), options))


def gray_patches(name: str) -> Tensor:
    """All 8x8 patches of a photograph, ``[P, 64]``, their means removed."""
    pytest.importorskip("sklearn", reason="the photographs come with scikit-learn")
    from sparsedef.data.photographs import load_photograph

    image = load_photograph(name).double().mean(dim=0)
    patches = image.unfold(0, 8, 1).unfold(1, 8, 1).reshape(-1, 64)
    return patches - patches.mean(dim=1, keepdim=True)


def real_problem(n_signals: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Patches of one photograph, over patches of the other: atoms that are much alike."""
    generator = torch.Generator().manual_seed(seed)
    signals, atoms = gray_patches("china"), gray_patches("flower")
    x = signals[torch.randint(len(signals), (n_signals,), generator=generator)]
    atoms = atoms[atoms.norm(dim=1) > 0.5]
    atoms = atoms[torch.randperm(len(atoms), generator=generator)[:128]]
    return x, torch.nn.functional.normalize(atoms, dim=1)


def problems(n_signals: int) -> Iterator[tuple[Tensor, Tensor, int]]:
    yield (*make_problem(n_signals, 20, 50), 5)
    yield (*make_problem(n_signals, 32, 64, correlation=0.5, seed=1), 8)
    yield (*real_problem(2 * n_signals), 6)


def scikit_learn(x: Tensor, dictionary: Tensor, k: int) -> Tensor:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="no scikit-learn")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "ended prematurely": a zero residual
        codes = linear_model.orthogonal_mp(
            dictionary.mT.numpy(), x.mT.numpy(), n_nonzero_coefs=k, precompute=True
        )
    return torch.as_tensor(codes).mT


def spams_omp(x: Tensor, dictionary: Tensor, k: int) -> Tensor:
    spams = pytest.importorskip("spams", reason="no SPAMS")
    columns, atoms = (np.asfortranarray(each.mT.numpy()) for each in (x, dictionary))
    codes = spams.omp(columns, atoms, L=k, eps=0.0, lambda1=0.0, numThreads=1)
    return torch.from_numpy(np.ascontiguousarray(codes.toarray().T))


def assert_same_codes(x: Tensor, dictionary: Tensor, k: int, rule: str, backend: str) -> None:
    peer = {"omp": scikit_learn, "ols": spams_omp}[rule]
    for start in range(0, len(x), BLOCK):
        part = x[start : start + BLOCK]
        theirs = peer(part, dictionary, k)
        ours = omp(part, dictionary, k, selection=rule, backend=backend)
        size = part.norm(dim=1, keepdim=True)
        # Where nothing is left to code, peers may go on and code rounding noise.
        assert torch.equal(ours.codes.abs() > 1e-10 * size, theirs.abs() > 1e-10 * size)
        assert ((ours.codes - theirs).abs() <= 1e-8 * size).all()


@pytest.mark.parametrize(
    ("rule", "backend"), [(rule, name) for rule in ("omp", "ols") for name in able(rule)]
)
def test_codes_equal_the_peers_on_thousands(rule: str, backend: str) -> None:
    for x, dictionary, k in problems(1000):
        assert_same_codes(x, dictionary, k, rule, backend)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["omp", "ols"])
def test_codes_equal_the_peers_on_a_hundred_thousand(rule: str) -> None:
    for x, dictionary, k in problems(25_000):
        assert_same_codes(x, dictionary, k, rule, "auto")
