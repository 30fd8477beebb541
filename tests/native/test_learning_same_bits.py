"""The native steps of learning give the same bits on all instruction sets and threads."""

import pytest
import torch
from torch.nn.functional import normalize

_C = pytest.importorskip("sparsedef._C", reason="the native module is not built")
from sparsedef.backends import BACKENDS  # noqa: E402


@pytest.fixture(autouse=True)
def _restore():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    _C.set_isa("auto")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("isa", _C.capabilities()["supported_isas"])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_learning_has_the_same_bits_on_every_instruction_set(isa, n_threads, dtype):
    # The larger one is worth threads
    for n_signals, n_features, n_atoms, k in ((70, 37, 90, 5), (900, 600, 1000, 9)):
        draw = torch.Generator().manual_seed(0)
        x = torch.randn(n_signals, n_features, generator=draw, dtype=dtype)
        indices = torch.rand(n_signals, n_atoms, generator=draw).topk(k, dim=1).indices
        values = torch.randn(n_signals, k, generator=draw, dtype=dtype)
        atoms = normalize(torch.randn(n_atoms, n_features, generator=draw, dtype=dtype), dim=1)
        functions, found = BACKENDS["cpp"].functions, []
        for own_isa, own_threads in (("baseline", 1), (isa, n_threads)):
            _C.set_isa(own_isa)
            torch.set_num_threads(own_threads)
            kept = functions["code_statistics"](x, indices, values, n_atoms)
            moved = functions["update_atoms"](atoms, kept[0], kept[1], False, False, 1)
            found.append((*kept, moved))
        for ours, baseline in zip(found[1], found[0], strict=True):
            assert torch.equal(ours, baseline)
