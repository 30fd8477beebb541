"""The layers compute what the functions compute, and live as modules do."""

import copy
import inspect
import io
import pickle
import re

import pytest
import torch
from small_layers import LAYERS, N_ATOMS, N_FEATURES, atoms, is_for_images, make_input
from torch import Tensor, nn

import sparsedef
from sparsedef.nn import OMP, PatchOMP, SparseCode, SparseDenoise

EVERY = pytest.mark.parametrize("name", LAYERS)


def lasso_denoised(images: Tensor, dictionary: Tensor) -> Tensor:
    patches = sparsedef.extract_patches(images, 4, 3)
    mean = patches.mean(dim=2, keepdim=True)
    signals = (patches - mean).flatten(0, 1)
    codes = sparsedef.lasso(signals, dictionary, 0.1).codes
    clean = (codes @ dictionary).view_as(patches) + mean
    return sparsedef.merge_patches(clean, (9, 10), 4, 3)


FUNCTIONS = {
    "SparseCode": lambda x, d: sparsedef.lasso(x, d, 0.1).codes,
    "SparseCode-relative": lambda x, d: (
        sparsedef.lasso(x, d, 0.2, relative=True, nonnegative=True).codes
    ),
    "OMP": lambda x, d: sparsedef.omp(x, d, 3).codes,
    "PatchOMP": lambda x, d: sparsedef.patch_omp(x, d, 3, stride=2, standardize="mean").images,
    "SparseDenoise-lasso": lasso_denoised,
    "SparseDenoise-omp": lambda x, d: (
        sparsedef.patch_omp(x, d, 3, tol=1e-3, standardize="zscore").images
    ),
}


@EVERY
def test_a_layer_gives_what_its_function_gives(name: str) -> None:
    x, layer = make_input(name, 5), LAYERS[name]()
    # float64: weights of norm 1 are divided by their norms once more
    torch.testing.assert_close(layer(x), FUNCTIONS[name](x, atoms()), rtol=1e-9, atol=1e-9)


@EVERY
@pytest.mark.parametrize("leading", [(), (1,), (3, 2), (2, 0, 3), (0,)], ids=str)
def test_any_leading_dimensions_do(name: str, leading: tuple[int, ...]) -> None:
    x, layer = make_input(name, *leading), LAYERS[name]()
    found = layer(x)
    tail = x.shape[-3:] if is_for_images(name) else (N_ATOMS,)
    assert found.shape == (*leading, *tail)
    if x.numel():
        flat = layer(x.reshape(-1, *x.shape[len(leading) :]))
        assert torch.equal(found.flatten(), flat.flatten())


@EVERY
def test_norms_of_the_weight_do_not_matter(name: str) -> None:
    lengths = torch.logspace(-3, 3, N_ATOMS, dtype=torch.float64)[:, None]
    scaled, x = LAYERS[name](atoms() * lengths), make_input(name, 4)
    torch.testing.assert_close(scaled(x), LAYERS[name]()(x), rtol=1e-9, atol=1e-9)
    norms = scaled.dictionary.norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms), rtol=0, atol=1e-14)


@EVERY
def test_gradient_is_tangent_to_the_sphere(name: str) -> None:
    layer = LAYERS[name](atoms() * 3)
    layer(make_input(name, 6)).sin().sum().backward()
    grad = layer.weight.grad
    assert grad is not None
    assert grad.abs().max() > 1e-4
    along = (grad * layer.weight).sum(dim=1)
    # of rounding in float64, for gradients of size 1 and weights of norm 3
    torch.testing.assert_close(along, torch.zeros_like(along), rtol=0, atol=1e-12)


@EVERY
def test_a_zero_atom_is_never_used_and_stays(name: str) -> None:
    dictionary = torch.cat([atoms(), torch.zeros(1, N_FEATURES).double(), 1e-170 * atoms()[:1]])
    layer, x = LAYERS[name](dictionary), make_input(name, 6)
    found = layer(x)
    without = LAYERS[name]()(x)
    if not is_for_images(name):
        assert torch.equal(found[:, N_ATOMS:], torch.zeros(6, 2).double())
        found = found[:, :N_ATOMS]
    torch.testing.assert_close(found, without, rtol=1e-9, atol=1e-9)
    found.sin().sum().backward()
    assert torch.equal(layer.weight.grad[N_ATOMS:], torch.zeros(2, N_FEATURES).double())  # type: ignore[index]


@EVERY
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    layer, x = LAYERS[name](), make_input(name, 2).requires_grad_()
    names = [key for key, _ in layer.named_parameters()]

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    leaves = [p.detach().clone().requires_grad_() for p in layer.parameters()]
    assert torch.autograd.gradcheck(call, (x, *leaves), eps=1e-7, atol=1e-5, fast_mode=True)


@EVERY
def test_state_dict_holds_one_clear_tensor_and_the_penalty(name: str) -> None:
    layer = LAYERS[name]()
    has_penalty = name.startswith("SparseCode") or name.endswith("lasso")
    assert list(layer.state_dict()) == (["weight", "log_alpha"] if has_penalty else ["weight"])
    other = LAYERS[name](torch.randn(N_ATOMS, N_FEATURES).double())
    other.load_state_dict(layer.state_dict())
    x = make_input(name, 3)
    assert torch.equal(other(x), layer(x))


@EVERY
def test_copies_and_pickles_are_independent_and_equal(name: str) -> None:
    layer, x = LAYERS[name](learn_dictionary=False), make_input(name, 3)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    copies = [
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(file, weights_only=False),
    ]
    expected = layer(x)
    with torch.no_grad():
        layer.weight.zero_()
    for each in copies:
        assert torch.equal(each(x), expected)
        assert repr(each) == repr(layer)
        assert not each.learn_dictionary


@EVERY
def test_parameters_move_with_the_module(name: str) -> None:
    layer = LAYERS[name]().float()
    assert {p.dtype for p in layer.parameters()} == {torch.float32}
    assert layer(make_input(name, 2, dtype=torch.float32)).dtype == torch.float32
    with pytest.raises(TypeError, match=r"must be torch.float32 as the layer's weight is"):
        layer(make_input(name, 2))
    meta = LAYERS[name](device="meta")
    assert {p.device.type for p in meta.parameters()} == {"meta"}
    assert {p.device.type for p in meta.to_empty(device="cpu").parameters()} == {"cpu"}


@EVERY
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_half_precision_layer_codes_in_float32(name: str, dtype: torch.dtype) -> None:
    layer, x = LAYERS[name]().to(dtype), make_input(name, 4, dtype=dtype)
    found = layer(x)
    wide = copy.deepcopy(layer).float()
    assert found.dtype == dtype
    assert torch.equal(found, wide(x.float()).to(dtype))
    found.float().sin().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == dtype
    assert layer.weight.grad.isfinite().all()


@EVERY
def test_autocast_leaves_the_layer_exact(name: str) -> None:
    layer = LAYERS[name]().float()
    x = make_input(name, 4, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, from_half = layer(x), layer(x.bfloat16())
    assert torch.equal(found, layer(x))
    assert torch.equal(from_half, layer(x.bfloat16().float()))
    assert found.dtype == from_half.dtype == torch.float32


def test_decode_is_exact_under_autocast_and_inverts_full_codes() -> None:
    layer = OMP(torch.linalg.qr(torch.randn(8, 8))[0] * 5, 8)
    x = torch.randn(2, 3, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = layer.decode(layer(x))
    torch.testing.assert_close(again, x, rtol=1e-5, atol=1e-5)


def test_encode_gives_the_functions_result() -> None:
    x = make_input("OMP", 2, 3)
    code = SparseCode(atoms(), 0.1).encode(x)
    assert code.is_converged.all()
    assert code.residual.shape == (6, N_FEATURES)
    assert OMP(atoms(), 3).encode(x).indices.shape == (6, 3)  # type: ignore[union-attr]
    assert OMP(atoms(), 3).encode(x, "dense").codes.shape == (6, N_ATOMS)  # type: ignore[union-attr]
    patches = PatchOMP(atoms(), 3).encode(make_input("PatchOMP", 2))
    assert patches.indices.shape == (2, 6 * 7, 3)


def test_layers_stand_in_a_sequential_and_train_what_is_before_them() -> None:
    net = nn.Sequential(nn.Linear(10, 16), SparseCode((24, 16), 0.05), nn.Linear(24, 2))
    net(torch.randn(3, 4, 10)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_what_is_not_learned_gets_no_gradient() -> None:
    layer = SparseDenoise(atoms(), 0.1, learn_dictionary=False, learn_alpha=False)
    assert not any(p.requires_grad for p in layer.parameters())
    assert not layer(make_input("SparseDenoise", 1)).requires_grad


def test_random_atoms_follow_torchs_seed() -> None:
    def draw() -> Tensor:
        torch.manual_seed(3)
        return OMP((5, 7), 2, dtype=torch.float64).weight

    assert torch.equal(draw(), draw())
    torch.testing.assert_close(draw().norm(dim=1), torch.ones(5).double())


def test_alpha_is_what_was_given_and_stays_positive() -> None:
    layer = SparseCode(atoms(), 0.3)
    assert layer.alpha.item() == pytest.approx(0.3, rel=1e-12)
    optimizer = torch.optim.SGD(layer.parameters(), lr=100.0)
    for sign in (1, -1):
        (sign * layer.alpha).backward()
        optimizer.step()
        assert layer.alpha > 0


@pytest.mark.parametrize("kind", [SparseCode, OMP, PatchOMP, SparseDenoise])
def test_docstrings_describe_every_argument_and_show_an_example(kind: type) -> None:
    text = inspect.getdoc(kind) or ""
    for parameter in inspect.signature(kind).parameters:
        assert re.search(rf"^\s+{parameter}: ", text, re.MULTILINE), f"{kind.__name__}: {parameter}"
    for part in ("Raises:", "Gradients:", "Source:", ">>> "):
        assert part in text


def test_repr_says_sizes_and_settings() -> None:
    said = repr(SparseDenoise((12, 16), n_nonzero=2, stride=3))
    assert said.startswith("SparseDenoise(n_atoms=12, n_features=16, n_nonzero=2, tol=0.0")
    assert "stride=3" in said


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: SparseCode(atoms(), 0.0), ValueError, "alpha must be finite and > 0, got 0.0"),
        (lambda: SparseCode(atoms(), "1"), TypeError, "alpha must be a number, got str"),
        (lambda: SparseCode(atoms(), 1, algorithm="x"), ValueError, "algorithm must be one of"),
        (lambda: OMP(atoms()[0], 1), ValueError, r"OMP: dictionary must be \[N, M\]"),
        (lambda: OMP((3,), 1), TypeError, r"or its shape \(N, M\), got \(3,\)"),
        (lambda: OMP((3, 0), 1), ValueError, "M must be at least 1, got 0"),
        (lambda: OMP(atoms() / 0, 1), ValueError, "must be finite"),
        (lambda: OMP(atoms().long(), 1), TypeError, "must be float32"),
        (lambda: OMP(atoms(), 0), ValueError, "n_nonzero must be at least 1"),
        (lambda: SparseDenoise(atoms()), ValueError, "must be given, got neither"),
        (lambda: SparseDenoise(atoms(), 1, n_nonzero=1), ValueError, "must be given, got both"),
        (lambda: SparseDenoise(atoms(), 1, tol=0.1), ValueError, "tol and selection are OMP's"),
        (lambda: PatchOMP(atoms(), 1, standardize="x"), ValueError, "standardize must be one of"),
        (lambda: OMP(atoms(), 1)(torch.zeros(3, 5).double()), ValueError, r"x must be \[..., 16\]"),
        (lambda: OMP(atoms(), 1)([1.0]), TypeError, "x must be a torch.Tensor, got list"),
        (
            lambda: SparseDenoise(atoms(), 1)(torch.zeros(2, 9, 9).double()),
            ValueError,
            r"C \* size \* size = 16",
        ),
        (
            lambda: PatchOMP(atoms(), 1)(torch.zeros(9, 9).double()),
            ValueError,
            r"images must be \[..., C, H, W\]",
        ),
    ],
)
def test_mistakes_are_named(make, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()
