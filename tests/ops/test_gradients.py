"""Gradients: finite differences, two ways of computing them, scikit-learn, and the bad corners."""

import pytest
import torch
from torch import Tensor

import sparsedef
from sparsedef.backends import BACKENDS, Problem
from sparsedef.testing import able_backends, make_problem

CPU = torch.device("cpu")
NAMES = able_backends(Problem("omp", 3, 6, 10, torch.float64, CPU, {"selection": "omp"}))


def problem(n_signals: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    x, dictionary = make_problem(n_signals, 6, 10, seed=3)
    alpha = torch.linspace(0.05, 0.15, n_signals).double()
    return x.requires_grad_(True), dictionary.requires_grad_(True), alpha.requires_grad_(True)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("layout", ["dense", "compact"])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_lasso_gradcheck(nonnegative: bool, layout: str, backend: str) -> None:
    def solve(x: Tensor, dictionary: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        code = sparsedef.lasso(
            x, dictionary, alpha, nonnegative=nonnegative, layout=layout, tol=1e-13, backend=backend
        )
        assert code.gradient in ("implicit", "none")
        return code.to_dense(10), code.residual

    assert torch.autograd.gradcheck(solve, problem(), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("layout", ["dense", "compact"])
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("selection", ["omp", "ols"])
def test_omp_gradcheck(selection: str, nonnegative: bool, layout: str, backend: str) -> None:
    def solve(x: Tensor, dictionary: Tensor) -> tuple[Tensor, Tensor]:
        code = sparsedef.omp(x, dictionary, torch.tensor([3, 1, 4]), selection=selection,
                             layout=layout, normalize=True, nonnegative=nonnegative,
                             backend=backend)  # fmt: skip
        assert (code.n_iter > 0).all()
        return code.to_dense(10), code.residual

    assert torch.autograd.gradcheck(solve, problem()[:2], eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("selection", ["omp", "ols"])
def test_omp_gradcheck_where_signed_codes_turn_negative(selection: str, backend: str) -> None:
    x, dictionary = (each.detach().abs() for each in make_problem(40, 10, 10, seed=2))
    dictionary = torch.nn.functional.normalize(dictionary, dim=1)
    signed = sparsedef.omp(x, dictionary, 6, selection=selection, backend=backend)
    found = sparsedef.omp(x, dictionary, 6, selection=selection, backend=backend, nonnegative=True)
    rows = ((signed.codes != 0) != (found.codes != 0)).any(dim=1).nonzero()[:4, 0]
    assert len(rows) == 4

    def solve(x: Tensor, dictionary: Tensor) -> tuple[Tensor, Tensor]:
        code = sparsedef.omp(x, dictionary, 6, selection=selection, nonnegative=True,
                             normalize=True, backend=backend)  # fmt: skip
        return code.codes, code.residual

    leaves = x[rows].requires_grad_(True), dictionary.requires_grad_(True)
    assert torch.autograd.gradcheck(solve, leaves, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("backend", NAMES)
def test_signals_without_atoms_pass_their_gradient_to_the_residual(backend: str) -> None:
    x, dictionary, _ = problem()
    code = sparsedef.omp(x, dictionary, torch.tensor([0, 2, 0]), backend=backend)
    grad_x, grad_dictionary = torch.autograd.grad(code.residual[::2].sum(), (x, dictionary))
    assert torch.equal(grad_x[::2], torch.ones(2, 6).double())
    assert (grad_x[1] == 0).all()
    assert (grad_dictionary == 0).all()


@pytest.mark.parametrize("algorithm", ["ista", "fista"])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_unrolled_gradcheck_after_a_few_steps(nonnegative: bool, algorithm: str) -> None:
    def solve(x: Tensor, dictionary: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        code = sparsedef.lasso(
            x, dictionary, alpha, nonnegative=nonnegative, algorithm=algorithm, tol=0.0, max_iter=6
        )
        assert not code.codes.requires_grad or code.gradient == "unrolled"
        return code.codes, code.residual

    assert torch.autograd.gradcheck(solve, problem(), eps=1e-6, atol=1e-6)


def gradients(**options: object) -> tuple[tuple[Tensor, ...], str]:
    leaves = problem(8)
    code = sparsedef.lasso(*leaves, **options)
    weights = torch.linspace(-1, 1, code.codes.numel()).view_as(code.codes).double()
    return torch.autograd.grad((code.codes * weights).sum() + code.residual.sin().sum(), leaves), (
        code.gradient
    )


def test_implicit_equals_unrolled_at_convergence() -> None:
    implicit, kind = gradients(tol=1e-13)
    assert kind == "implicit"
    unrolled, kind = gradients(algorithm="fista", tol=0.0, max_iter=3000)
    assert kind == "unrolled"
    for ours, theirs in zip(implicit, unrolled, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-6)


def test_auto_unrolls_only_what_is_not_certified() -> None:
    certified, kind = gradients(algorithm="fista", tol=1e-12)
    assert kind == "implicit"
    short = {"algorithm": "ista", "max_iter": 100}
    found, kind = gradients(**short, tol=1e-4)
    status = sparsedef.lasso(*problem(8), **short, tol=1e-4).is_converged
    assert kind == "mixed"
    assert 0 < status.sum() < 8
    exact, _ = gradients(**short, tol=0.0)
    bad, good = ~status, status
    torch.testing.assert_close(found[0][bad], exact[0][bad])
    torch.testing.assert_close(found[2][bad], exact[2][bad])
    torch.testing.assert_close(found[0][good], certified[0][good], atol=2e-2, rtol=0.1)
    implicit, kind = gradients(**short, tol=1e-4, gradient="implicit")
    assert kind == "implicit"
    assert (implicit[2][bad] - exact[2][bad]).abs().max() > 1e-3


def test_an_uncertified_active_set_warns_when_a_gradient_is_wanted() -> None:
    x, dictionary, alpha = problem()
    with pytest.warns(UserWarning, match="not certified"):
        sparsedef.lasso(x, dictionary, alpha * 1e-6, tol=1e-300, max_iter=1)


def test_gradient_for_alpha_equals_a_difference_of_scikit_learn_solutions() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, dictionary, _ = problem(5)

    def peer(alpha: float) -> Tensor:
        model = linear_model.Lasso(alpha=alpha / 6, fit_intercept=False, tol=1e-15, max_iter=10**6)
        fits = [model.fit(dictionary.detach().mT.numpy(), row.detach().numpy()).coef_ for row in x]
        return torch.stack([torch.as_tensor(fit.copy()) for fit in fits])

    alpha = torch.full((5,), 0.1, dtype=torch.float64, requires_grad=True)
    codes = sparsedef.lasso(x, dictionary, alpha, tol=1e-13).codes
    weights = torch.linspace(-1, 1, 50).view(5, 10).double()
    (ours,) = torch.autograd.grad((codes * weights).sum(), alpha)
    difference = (peer(0.1 + 1e-5) - peer(0.1 - 1e-5)) / 2e-5
    torch.testing.assert_close(ours, (difference * weights).sum(dim=1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_singular_support_has_a_finite_gradient(dtype: torch.dtype, backend: str) -> None:
    x, dictionary = make_problem(4, 6, 5, dtype=dtype)
    twins = torch.cat([dictionary, dictionary, dictionary * (1 + 1e-7)]).requires_grad_(True)
    codes = torch.zeros(4, 15, dtype=dtype)
    codes[:, ::2] = 0.1
    indices = torch.empty(4, 0, dtype=torch.int64)
    grads = BACKENDS["reference"].functions["support_solve"](
        twins.detach(), indices, codes, x, None, torch.ones_like(codes), torch.ones_like(x), True
    )
    assert all(g.isfinite().all() for g in grads)
    code = sparsedef.lasso(x.requires_grad_(True), twins, 1e-3, backend=backend)
    code.codes.sum().backward()
    assert x.grad.isfinite().all()
    assert twins.grad.isfinite().all()


def test_memory_is_flat_in_the_iterations() -> None:
    def saved(max_iter: int) -> int:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: (sizes.append(t.numel()), t)[1], lambda t: t
        ):
            sparsedef.lasso(*problem(), algorithm="ista", tol=1e-9, max_iter=max_iter,
                            gradient="implicit")  # fmt: skip
        return sum(sizes)

    assert saved(3000) == saved(30) > 0


def test_frozen_support_projection_of_the_residual() -> None:
    # dr/dx = I - P_S, which is self-adjoint, so backward is the same projection.
    x, dictionary, _ = problem(1)
    code = sparsedef.omp(x, dictionary, 3, layout="compact")
    incoming = torch.randn(1, 6, dtype=torch.float64)
    (grad,) = torch.autograd.grad(code.residual, x, incoming)
    atoms = dictionary.detach()[code.indices[0]]
    projection = atoms.mT @ torch.linalg.solve(atoms @ atoms.mT, atoms)
    torch.testing.assert_close(grad, incoming - incoming @ projection)
