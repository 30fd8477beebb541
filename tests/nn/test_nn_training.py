"""Layers learn: the loss falls, atoms keep their norms, and training resumes to the bit."""

import copy

import pytest
import torch
from small_layers import LAYERS, N_ATOMS, atoms, make_input
from torch import Tensor, nn

import sparsedef
from sparsedef.nn import OMP, SparseCode, SparseDenoise
from sparsedef.testing import make_problem


def planted(n_signals: int = 256) -> Tensor:
    """Signals of three atoms each, of a dictionary that nobody is told."""
    generator = torch.Generator().manual_seed(5)
    _, hidden = make_problem(1, 16, N_ATOMS, seed=7)
    order = torch.rand(n_signals, N_ATOMS, generator=generator).argsort(dim=1)[:, :3]
    codes = torch.rand(n_signals, 3, generator=generator, dtype=torch.float64) + 0.5
    return torch.zeros(n_signals, N_ATOMS).double().scatter(1, order, codes) @ hidden


def step(layer: OMP | SparseCode, x: Tensor, optimizer: torch.optim.Optimizer) -> float:
    loss = (layer.decode(layer(x)) - x).square().sum(dim=1).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@pytest.mark.parametrize("make", [lambda: OMP(atoms(), 3), lambda: SparseCode(atoms(), 0.1)])
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    ],
    ids=["sgd", "adamw"],
)
def test_the_loss_falls_and_the_atoms_stay_on_the_sphere(make, optimizer) -> None:
    layer, x = make(), planted()
    optimizer = optimizer(layer.parameters())
    losses = []
    for _ in range(40):
        losses.append(step(layer, x, optimizer))
        norms = layer.dictionary.norm(dim=1)
        torch.testing.assert_close(norms, torch.ones_like(norms), rtol=0, atol=1e-12)
    assert losses[-1] < 0.6 * losses[0]
    assert not torch.allclose(layer.weight.norm(dim=1), torch.ones(N_ATOMS).double(), atol=1e-6)


def test_training_resumes_to_the_bit_from_a_state_dict() -> None:
    def start() -> tuple[OMP, torch.optim.Optimizer]:
        layer = OMP(atoms(), 3)
        return layer, torch.optim.Adam(layer.parameters(), lr=0.02)

    x, (layer, optimizer) = planted(), start()
    for _ in range(3):
        step(layer, x, optimizer)
    saved = copy.deepcopy((layer.state_dict(), optimizer.state_dict()))
    again, other = start()
    again.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    for each, its in ((layer, optimizer), (again, other)):
        for _ in range(3):
            step(each, x, its)
    assert torch.equal(layer.weight, again.weight)


def test_alpha_is_learned_from_the_loss() -> None:
    """A penalty far too large for little noise must fall, and the image get better."""
    torch.manual_seed(0)
    clean = torch.nn.functional.interpolate(torch.rand(1, 1, 6, 6), size=(24, 24), mode="bilinear")
    noisy = clean + 0.02 * torch.randn_like(clean)
    layer = SparseDenoise((64, 16), alpha=0.15, learn_dictionary=False)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(15):
        loss = (layer(noisy) - clean).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert layer.alpha is not None
    assert layer.alpha < 0.075
    assert losses[-1] < 0.5 * losses[0]


def test_a_network_with_a_sparse_layer_learns_under_autocast() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 16), SparseCode((24, 16), 0.02), nn.Linear(24, 1))
    x = torch.randn(64, 16)
    target = x[:, :1].abs()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = net(x)
        loss = (found.float() - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_a_bad_row_spoils_neither_its_neighbours_nor_the_gradient_of_the_atoms() -> None:
    for name in ("SparseCode", "OMP"):
        layer, x = LAYERS[name](), make_input(name, 5)
        good = layer(x)
        x[2, 3] = torch.nan
        found = layer(x)
        keep = [0, 1, 3, 4]
        assert torch.equal(found[keep], good[keep])
        assert found[2].isnan().all()
        found[keep].sin().sum().backward()
        assert layer.weight.grad is not None
        assert layer.weight.grad.isfinite().all()


def test_layer_and_function_have_one_gradient_for_unit_atoms() -> None:
    x, layer = make_input("SparseCode", 6), SparseCode(atoms(), 0.1)
    layer(x).sin().sum().backward()
    dictionary = atoms().requires_grad_()
    sparsedef.lasso(x, dictionary, 0.1).codes.sin().sum().backward()  # type: ignore[union-attr]
    grad = dictionary.grad
    assert grad is not None
    tangent = grad - (grad * atoms()).sum(dim=1, keepdim=True) * atoms()
    torch.testing.assert_close(layer.weight.grad, tangent, rtol=1e-9, atol=1e-9)
