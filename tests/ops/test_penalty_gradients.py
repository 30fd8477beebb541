"""Gradients for weights, l2 and relative penalties: differences, both ways, and the bad corners."""

import pytest
import torch
from torch import Tensor

import sparsedef
from sparsedef.backends import BACKENDS, Problem
from sparsedef.testing import able_backends, make_problem

CPU = torch.device("cpu")
OPTIONS = {"algorithm": "active_set", "ridge": True}
NAMES = able_backends(Problem("lasso", 3, 6, 10, torch.float64, CPU, OPTIONS))
STEPS = [
    {"tol": 1e-13},
    {"tol": 1e-13, "layout": "compact"},
    {"tol": 0.0, "max_iter": 6, "algorithm": "ista"},
    {"tol": 0.0, "max_iter": 6, "algorithm": "fista"},
    {"tol": 0.0, "max_iter": 6, "algorithm": "fista", "layout": "compact"},
]
IDS = ["implicit", "implicit-compact", "ista", "fista", "fista-compact"]


def leaves(n_signals: int = 3) -> tuple[Tensor, ...]:
    """x, dictionary, alpha, weights, l2."""
    x, dictionary = make_problem(n_signals, 6, 10, seed=3)
    alpha = torch.linspace(0.05, 0.15, n_signals).double()
    weights = torch.linspace(0.6, 1.7, 10).double()
    l2 = torch.tensor(0.3, dtype=torch.float64)
    return tuple(t.requires_grad_(True) for t in (x, dictionary, alpha, weights, l2))


def code(inputs: tuple[Tensor, ...], **options: object) -> sparsedef.SparseCode:
    x, dictionary, alpha, weights, l2 = inputs
    return sparsedef.lasso(x, dictionary, alpha, weights=weights, l2=l2, **options)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("options", STEPS, ids=IDS)
def test_gradcheck(options: dict[str, object], nonnegative: bool, backend: str) -> None:
    if "algorithm" in options:
        backend = "auto"  # recorded steps are the reference's

    def solve(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        found = code(inputs, nonnegative=nonnegative, backend=backend, **options)
        kind = "unrolled" if options["tol"] == 0 else "implicit"
        assert found.gradient in (kind, "none")
        return found.to_dense(10), found.residual

    assert torch.autograd.gradcheck(solve, leaves(), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("layout", ["dense", "compact"])
@pytest.mark.parametrize("which", ["weights", "l2"])
def test_gradcheck_of_one_penalty_alone(which: str, layout: str) -> None:
    x, dictionary, alpha, weights, l2 = leaves()

    def solve(one: Tensor) -> tuple[Tensor, Tensor]:
        found = sparsedef.lasso(
            x.detach(), dictionary.detach(), alpha.detach(), tol=1e-13, layout=layout,
            **{which: one},
        )  # fmt: skip
        return found.to_dense(10), found.residual

    assert torch.autograd.gradcheck(solve, weights if which == "weights" else l2)


def test_gradcheck_of_a_relative_penalty() -> None:
    def solve(
        x: Tensor, dictionary: Tensor, fraction: Tensor, weights: Tensor
    ) -> tuple[Tensor, ...]:
        found = sparsedef.lasso(x, dictionary, fraction, weights=weights, relative=True, tol=1e-13)
        return found.codes, found.residual, found.alpha

    x, dictionary, alpha, weights, _ = leaves()
    inputs = (x, dictionary, (3 * alpha).detach().requires_grad_(True), weights)
    assert torch.autograd.gradcheck(solve, inputs, eps=1e-6, atol=1e-6)


def test_gradcheck_of_alpha_max() -> None:
    x, dictionary, _, weights, _ = leaves()
    for nonnegative in (False, True):

        def top(x: Tensor, dictionary: Tensor, weights: Tensor, flag: bool = nonnegative) -> Tensor:
            return sparsedef.alpha_max(x, dictionary, weights=weights, nonnegative=flag)

        assert torch.autograd.gradcheck(top, (x, dictionary, weights))


def gradients(**options: object) -> tuple[Tensor, ...]:
    inputs = leaves(8)
    found = code(inputs, **options)
    pull = torch.linspace(-1, 1, 80).view(8, 10).double()
    loss = (found.to_dense(10) * pull).sum() + found.residual.sin().sum()
    return torch.autograd.grad(loss, inputs)


def test_implicit_equals_unrolled_at_convergence() -> None:
    implicit = gradients(tol=1e-13)
    unrolled = gradients(algorithm="fista", tol=0.0, max_iter=1000)
    for ours, theirs in zip(implicit, unrolled, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-6)


def test_l2_gradient_equals_a_difference_of_scikit_learn_solutions() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, dictionary, *_ = leaves(5)

    def peer(l2: float) -> Tensor:
        model = linear_model.ElasticNet(
            alpha=(0.1 + l2) / 6, l1_ratio=0.1 / (0.1 + l2), fit_intercept=False, tol=1e-15,
            max_iter=10**6,
        )  # fmt: skip
        fits = [model.fit(dictionary.detach().mT.numpy(), row.detach().numpy()).coef_ for row in x]
        return torch.stack([torch.as_tensor(fit.copy()) for fit in fits])

    l2 = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    codes = sparsedef.lasso(x, dictionary, 0.1, l2=l2, tol=1e-13).codes
    pull = torch.linspace(-1, 1, 50).view(5, 10).double()
    (ours,) = torch.autograd.grad((codes * pull).sum(), l2)
    difference = (peer(0.3 + 1e-5) - peer(0.3 - 1e-5)) / 2e-5
    torch.testing.assert_close(ours, (difference * pull).sum(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layout", ["dense", "compact"])
def test_memory_is_flat_in_the_iterations_and_compact_in_the_atoms(layout: str) -> None:
    def saved(max_iter: int, n_atoms: int = 40) -> list[int]:
        x, dictionary = make_problem(50, 6, n_atoms, seed=3)
        inputs = x.requires_grad_(True), dictionary, torch.full((50,), 0.3).double()
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: (sizes.append(t.numel()), t)[1], lambda t: t
        ):
            sparsedef.lasso(*inputs, weights=torch.ones(n_atoms).double(), l2=0.1, layout=layout,
                            max_iter=max_iter, relative=True, gradient="implicit")  # fmt: skip
        return sizes

    assert sum(saved(3)) == sum(saved(200)) > 0
    if layout == "compact":  # what grows with N is the dictionary, not the codes
        assert max(saved(200, n_atoms=400)) == 400 * 6


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_singular_support_has_finite_gradients(dtype: torch.dtype, backend: str) -> None:
    x, dictionary = make_problem(4, 6, 5, dtype=dtype)
    twins = torch.cat([dictionary, dictionary, dictionary * (1 + 1e-7)])
    w = torch.ones(15, dtype=dtype, requires_grad=True)
    for value in (0.0, 1e-12, 0.1):
        l2 = torch.tensor(value, dtype=dtype, requires_grad=True)
        inputs = (x.requires_grad_(True), twins.requires_grad_(True), 1e-3, w, l2)
        pull = code(inputs, backend=backend).codes.sum()
        grads = torch.autograd.grad(pull, (*inputs[:2], w, l2))
        assert all(g.isfinite().all() for g in grads)


@pytest.mark.parametrize("layout", ["dense", "compact"])
def test_a_bad_row_spoils_no_penaltys_gradient(layout: str) -> None:
    def grads(rows: list[int], is_bad: bool) -> tuple[Tensor, ...]:
        x, dictionary, alpha, weights, l2 = leaves(4)
        signals = x.detach().clone()
        if is_bad:
            signals[2, 1] = torch.nan
        found = code((signals, dictionary, alpha, weights, l2), layout=layout, relative=True)
        return torch.autograd.grad(
            found.to_dense(10)[rows].sin().sum(), (dictionary, alpha, weights, l2)
        )

    for ours, theirs in zip(grads([0, 1, 3], True), grads([0, 1, 3], False), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_ridge_gradient_of_a_ridge_regression() -> None:
    # All signs fixed and alpha = 0: z = (D D^T + R)^-1 D x, whose derivative is known.
    x, dictionary = make_problem(3, 6, 4)
    ridge = torch.full((4,), 0.2, dtype=torch.float64)
    codes = torch.linalg.solve(dictionary @ dictionary.mT + torch.diag(ridge), dictionary @ x.mT).mT
    indices = torch.empty(3, 0, dtype=torch.int64)
    pull = torch.ones_like(codes)
    u, grad_x, _ = BACKENDS["reference"].functions["support_solve"](
        dictionary, indices, codes, x - codes @ dictionary, ridge, pull, torch.zeros_like(x), False
    )
    inverse = torch.linalg.inv(dictionary @ dictionary.mT + torch.diag(ridge))
    torch.testing.assert_close(u, pull @ inverse)
    torch.testing.assert_close(grad_x, pull @ inverse @ dictionary)
