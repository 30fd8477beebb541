"""The way past torch's dispatcher is taken only where nobody would notice."""

from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import sparsedef
from sparsedef.testing import make_problem

X, DICTIONARY = make_problem(5, 16, 24)
CALLS = {
    "lasso": lambda x: sparsedef.lasso(x, DICTIONARY, 0.1).codes,
    "omp": lambda x: sparsedef.omp(x, DICTIONARY, 3).codes,
}


class Seen(TorchDispatchMode):
    """Notes the names of all ops."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(op))
        return op(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", CALLS)
def test_a_mode_sees_the_op_and_the_answer_is_the_same(name: str) -> None:
    with Seen() as seen:
        watched = CALLS[name](X)
    assert f"sparsedef.{name}.default" in seen.names
    assert torch.equal(watched, CALLS[name](X))


@pytest.mark.parametrize("name", CALLS)
def test_a_profiler_sees_the_op(name: str) -> None:
    with torch.profiler.profile() as profile:
        CALLS[name](X)
    assert f"sparsedef::{name}" in {event.key for event in profile.key_averages()}


@pytest.mark.parametrize("name", CALLS)
def test_a_tangent_is_refused_not_dropped(name: str) -> None:
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="forward-mode"):
        CALLS[name](forward_ad.make_dual(X, torch.ones_like(X)))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", CALLS)
def test_vmap_gives_what_a_batch_gives(name: str) -> None:
    # vmap hides the batch: each call sees one signal.
    codes = torch.func.vmap(lambda x: CALLS[name](x[None])[0])(X)
    torch.testing.assert_close(codes, CALLS[name](X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CALLS)
def test_a_gradient_is_recorded_only_when_it_is_wanted(name: str) -> None:
    x = X.clone().requires_grad_()
    assert CALLS[name](x).requires_grad
    with torch.no_grad():
        assert not CALLS[name](x).requires_grad
    with torch.inference_mode():
        assert CALLS[name](X).is_inference()
