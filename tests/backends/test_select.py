"""The choice of a backend: argument, environment, then the first without a reason against it."""

import sys

import pytest
import torch

from sparsedef import BackendError, omp, show_config
from sparsedef.backends import BACKENDS, ORDER, Backend, Problem, select_backend

PROBLEM = Problem("omp", 4, 8, 16, torch.float32, torch.device("cpu"), {"selection": "omp"})


def able(name: str) -> Backend:
    return Backend(name, {"omp": lambda: None}, lambda problem: [])


def unable(name: str) -> Backend:
    return Backend(name, {"omp": lambda: None}, lambda problem: [f"{name} does not like it"])


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARSEDEF_BACKEND", raising=False)
    for name in ORDER:
        monkeypatch.setitem(BACKENDS, name, able(name))


@pytest.mark.usefixtures("table")
def test_auto_takes_the_first_able(monkeypatch: pytest.MonkeyPatch) -> None:
    assert select_backend(PROBLEM) == "cuda"
    monkeypatch.setitem(BACKENDS, "cuda", unable("cuda"))
    assert select_backend(PROBLEM) == "triton"


@pytest.mark.usefixtures("table")
def test_argument_beats_environment_beats_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSEDEF_BACKEND", "cpp")
    assert select_backend(PROBLEM) == "cpp"
    assert select_backend(PROBLEM, "reference") == "reference"


@pytest.mark.usefixtures("table")
def test_a_forced_backend_that_cannot_serve_raises_with_its_reasons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(BACKENDS, "cpp", unable("cpp"))
    with pytest.raises(BackendError, match="cpp does not like it"):
        select_backend(PROBLEM, "cpp")


@pytest.mark.usefixtures("table")
def test_a_broken_backend_is_passed_over_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Backend("cuda", {}, lambda problem: [], broken="it failed to load: OSError('no')")
    monkeypatch.setitem(BACKENDS, "cuda", broken)
    monkeypatch.setattr(sys.modules["sparsedef.backends"], "_warned", set())
    with pytest.warns(UserWarning, match="'cuda' is broken and passed over.*OSError"):
        assert select_backend(PROBLEM) == "triton"


@pytest.mark.usefixtures("table")
def test_no_backend_at_all_lists_every_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ORDER:
        monkeypatch.setitem(BACKENDS, name, unable(name))
    with pytest.raises(BackendError) as caught:
        select_backend(PROBLEM)
    assert all(f"{name} does not like it" in str(caught.value) for name in ORDER)


def test_an_unknown_backend_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="backend must be 'auto' or one of"):
        omp(torch.eye(2), torch.eye(2), 1, backend="gpu")


def test_a_backend_without_gradients_leaves_them_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SPARSEDEF_BACKEND names who codes; backward goes to the first that can."""
    monkeypatch.setenv("SPARSEDEF_BACKEND", "cpp")
    if "omp" not in BACKENDS["cpp"].functions:
        pytest.skip("the native module is not built")
    x = torch.ones(2, 4, requires_grad=True)
    code = omp(x, torch.eye(4), 1)
    code.codes.sum().backward()
    assert code.backend == "cpp"
    assert torch.equal(x.grad, torch.tensor([[1.0, 0, 0, 0], [1.0, 0, 0, 0]]))


def test_the_result_names_its_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    assert omp(torch.eye(2), torch.eye(2), 1, backend="reference").backend == "reference"
    monkeypatch.setenv("SPARSEDEF_BACKEND", "reference")
    assert omp(torch.eye(2), torch.eye(2), 1).backend == "reference"


def test_show_config_has_a_line_for_every_backend_and_op() -> None:
    text = show_config()
    for name in ORDER:
        for op in ("lasso", "omp", "support_solve"):
            assert any(line.split()[:2] == [name, op] for line in text.splitlines()), (name, op)
