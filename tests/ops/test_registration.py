"""The ops are good citizens of torch: opcheck, compile, export, dynamic shapes, one thread each."""

import pytest
import torch

import sparsedef
from sparsedef.backends import Problem
from sparsedef.testing import able_backends, make_problem

CPU = torch.device("cpu")


def op_inputs(op: str, backend: str) -> tuple:
    x, dictionary = make_problem(5, 8, 12)
    x.requires_grad_(True)
    dictionary.requires_grad_(True)
    if op == "omp":
        return x, dictionary, torch.zeros(5).double(), None, 3, "omp", False, 0, backend
    if op == "omp-limits":
        limits = torch.tensor([3, 0, 1, 2, 3], dtype=torch.int32)
        return x, dictionary, torch.zeros(5).double(), limits, 3, "ols", True, 100_000, backend
    alpha = torch.full((5,), 0.1, dtype=torch.float64, requires_grad=True)
    ridge = torch.full((12,), 0.2, dtype=torch.float64, requires_grad=True)
    ridge = ridge if op.startswith("ridge") else None
    slots = 12 if op.endswith("compact") else 0
    options = (None, False, 1e-8, 100, "active_set", False, slots, 0)
    return x, dictionary, alpha, ridge, *options, backend


CASES = [
    (op, name)
    for op in ("lasso", "lasso-compact", "ridge", "ridge-compact", "omp", "omp-limits")
    for name in able_backends(
        Problem(
            "omp" if op.startswith("omp") else "lasso", 5, 8, 12, torch.float64, CPU,
            {"algorithm": "active_set", "ridge": op.startswith("ridge"), "n_nonzero": 3,
             "nonnegative": op == "omp-limits", "limits": op == "omp-limits"},
        )
    )
]  # fmt: skip


@pytest.mark.parametrize(("op", "backend"), CASES)
def test_opcheck(op: str, backend: str) -> None:
    overload = torch.ops.sparsedef.omp if op.startswith("omp") else torch.ops.sparsedef.lasso
    torch.library.opcheck(overload.default, op_inputs(op, backend))


@pytest.mark.parametrize("ridge", [None, torch.full((12,), 0.1).double()], ids=["plain", "ridge"])
def test_opcheck_support_solve(ridge: torch.Tensor | None) -> None:
    x, dictionary = make_problem(5, 8, 12)
    code = sparsedef.omp(x, dictionary, 3, layout="compact")
    inputs = (dictionary, code.indices, code.values, code.residual, ridge)
    grads = (torch.randn(5, 3).double(), torch.randn(5, 8).double(), True, "reference")
    torch.library.opcheck(torch.ops.sparsedef.support_solve.default, (*inputs, *grads))


def through_lasso(x, dictionary, alpha, **options):
    code = sparsedef.lasso(x, dictionary, alpha, **options)
    return code.to_dense(dictionary.shape[0]), code.residual, code.gap, code.status


def through_omp(x, dictionary, alpha, **options):
    code = sparsedef.omp(x + alpha[:, None], dictionary, 3, **options)
    return code.to_dense(dictionary.shape[0]), code.residual, code.n_iter, code.status


def through_limits(x, dictionary, alpha, **options):
    """Limits 0, 1, 2, 3, 0, ... that depend on the batch, which may have any size."""
    limits = torch.arange(x.shape[0]) % 4
    code = sparsedef.omp(x + alpha[:, None], dictionary, limits, **options)
    return code.to_dense(dictionary.shape[0]), code.residual, code.n_iter, code.status


WEIGHTS = torch.linspace(0.5, 2, 12).double()
CALLS = [
    pytest.param(through_omp, {}, id="omp"),
    pytest.param(through_omp, {"layout": "compact", "selection": "ols"}, id="ols-compact"),
    pytest.param(through_limits, {"nonnegative": True, "layout": "compact"}, id="limits-positive"),
    pytest.param(through_limits, {"selection": "ols"}, id="limits-ols"),
    pytest.param(through_lasso, {}, id="lasso"),
    pytest.param(through_lasso, {"layout": "compact"}, id="lasso-compact"),
    pytest.param(
        through_lasso, {"l2": 0.1, "weights": WEIGHTS, "relative": True}, id="elastic-net"
    ),
    pytest.param(through_lasso, {"algorithm": "fista", "tol": 0.0, "max_iter": 5}, id="unrolled"),
]  # fmt: skip


def leaves(n_signals: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    x, dictionary = make_problem(n_signals, 8, 12, seed=seed)
    alpha = torch.linspace(0.05, 0.2, n_signals).double()
    return tuple(t.requires_grad_(True) for t in (x, dictionary, alpha))


@pytest.mark.parametrize(("function", "options"), CALLS)
def test_compile_full_graph_gives_the_same_values_and_gradients(function, options) -> None:
    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    plain_leaves, leaves_ = leaves(6), leaves(6)
    plain = function(*plain_leaves, **options)
    found = compiled(*leaves_, **options)
    for ours, theirs in zip(found, plain, strict=True):
        torch.testing.assert_close(ours, theirs)
    for outputs in (plain, found):
        (outputs[0].square().sum() + outputs[1].sin().sum()).backward()
    for ours, theirs in zip(leaves_, plain_leaves, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(("function", "options"), CALLS[:-1])
def test_one_compiled_graph_serves_every_batch_size(function, options) -> None:
    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="aot_eager")
    for n_signals in (6, 9, 4):
        inputs = tuple(t.detach() for t in leaves(n_signals, seed=n_signals))
        with torch._dynamo.config.patch(error_on_recompile=n_signals != 6):
            found = compiled(*inputs, **options)
        for ours, theirs in zip(found, function(*inputs, **options), strict=True):
            torch.testing.assert_close(ours, theirs)


class Coder(torch.nn.Module):
    def __init__(self, function, options) -> None:
        super().__init__()
        self.function, self.options = function, options
        self.dictionary = torch.nn.Parameter(make_problem(1, 8, 12)[1])

    def forward(self, x: torch.Tensor, alpha: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.function(x, self.dictionary, alpha, **self.options)


@pytest.mark.parametrize(("function", "options"), CALLS[:-1])
def test_export_round_trip(function, options, tmp_path) -> None:
    x, _, alpha = (t.detach() for t in leaves(6))
    module = Coder(function, options)
    batch = torch.export.Dim("batch", min=2)
    shapes = {"x": {0: batch}, "alpha": {0: batch}}
    program = torch.export.export(module, (x, alpha), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "coder.pt2")
    loaded = torch.export.load(tmp_path / "coder.pt2").module()
    for rows in (6, 3):
        for ours, theirs in zip(
            loaded(x[:rows], alpha[:rows]), module(x[:rows], alpha[:rows]), strict=True
        ):
            torch.testing.assert_close(ours, theirs)


def test_inference_mode_and_no_grad_give_plain_results() -> None:
    x, dictionary, alpha = leaves(4)
    for mode in (torch.inference_mode(), torch.no_grad()):
        with mode:
            code = sparsedef.lasso(x, dictionary, alpha)
        assert not code.codes.requires_grad
        assert code.gradient == "none"


def test_a_second_derivative_is_refused() -> None:
    x, dictionary, alpha = leaves(4)
    code = sparsedef.lasso(x, dictionary, alpha)
    (first,) = torch.autograd.grad(code.codes.square().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="cannot be differentiated once more"):
        torch.autograd.grad(first.square().sum(), dictionary)
