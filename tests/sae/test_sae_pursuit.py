"""Pursuit over a decoder is ``sparsedef.omp``, whatever form, dtype or chunk it comes in."""

import pytest
import torch
from torch import Tensor, nn

import sparsedef
from sparsedef.sae import encode_with_pursuit
from sparsedef.testing import make_problem


def problem(n_signals: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """Activations, a decoder of rows with norms from 0.1 to 10, and a bias."""
    x, atoms = make_problem(n_signals, 12, 30)
    bias = torch.linspace(-1, 1, 12).double()
    return x + bias, atoms * torch.logspace(-1, 1, 30).double()[:, None], bias


def linear(decoder: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(*decoder.shape, bias=bias is not None, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(decoder.T)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def same(found: sparsedef.SparseCode, wanted: sparsedef.SparseCode) -> None:
    for ours, theirs in zip(found[1:4], wanted[1:4], strict=True):
        assert torch.equal(ours, theirs)  # type: ignore[arg-type]
    assert torch.equal(found.n_iter, wanted.n_iter)
    assert torch.equal(found.status, wanted.status)


@pytest.mark.parametrize("selection", ["omp", "ols"])
@pytest.mark.parametrize("nonnegative", [True, False])
def test_it_is_omp_with_normalized_atoms(selection: str, nonnegative: bool) -> None:
    x, decoder, bias = problem()
    options = {"selection": selection, "nonnegative": nonnegative}
    found = encode_with_pursuit(decoder, x, 4, bias=bias, **options)  # type: ignore[arg-type]
    wanted = sparsedef.omp(x - bias, decoder, 4, normalize=True, layout="compact", **options)  # type: ignore[arg-type]
    same(found, wanted)
    rebuilt = found.to_dense(30) @ decoder + bias
    torch.testing.assert_close(rebuilt + found.residual, x, rtol=0, atol=1e-12)
    if nonnegative:
        assert (found.values >= 0).all()  # type: ignore[operator]


@pytest.mark.parametrize("has_bias", [True, False])
def test_a_linear_decoder_is_read_as_its_transpose_with_its_bias(has_bias: bool) -> None:
    x, decoder, bias = problem()
    layer = linear(decoder, bias if has_bias else None)
    found = encode_with_pursuit(layer, x, 3)
    same(found, encode_with_pursuit(decoder, x, 3, bias=bias if has_bias else None))
    with torch.no_grad():
        rebuilt = layer(found.to_dense(30))
    torch.testing.assert_close(rebuilt + found.residual, x, rtol=0, atol=1e-12)
    other = torch.ones(12).double()
    same(encode_with_pursuit(layer, x, 3, bias=other), encode_with_pursuit(decoder, x - 1, 3))


@pytest.mark.parametrize("chunk_size", [1, 7, 40, 1000])
def test_chunks_change_nothing(chunk_size: int) -> None:
    x, decoder, bias = problem()
    k = torch.arange(40) % 5
    for each in (3, k):
        whole = encode_with_pursuit(decoder, x, each, bias=bias)
        same(encode_with_pursuit(decoder, x, each, bias=bias, chunk_size=chunk_size), whole)


def test_chunks_bound_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    op = sparsedef.sae.pursuit.omp
    monkeypatch.setattr(
        sparsedef.sae.pursuit, "omp", lambda x, *a, **k: seen.append(len(x)) or op(x, *a, **k)
    )
    x, decoder, _ = problem()
    encode_with_pursuit(decoder, x, 3, chunk_size=16)
    assert seen == [16, 16, 8]


def test_each_activation_may_have_its_own_number() -> None:
    x, decoder, bias = problem()
    k = torch.arange(40) % 5
    found = encode_with_pursuit(decoder, x.view(5, 8, 12), k.view(5, 8), bias=bias)
    assert found.indices.shape == (40, 4)  # type: ignore[union-attr]
    assert (found.n_nonzero <= k).all()
    assert (found.n_nonzero == k).double().mean() > 0.9
    few = encode_with_pursuit(decoder, x[k == 2], 2, bias=bias)
    assert torch.equal(found.indices[k == 2, :2], few.indices)  # type: ignore[index, arg-type]


def test_leading_dimensions_are_rows_in_their_order() -> None:
    x, decoder, _ = problem()
    same(encode_with_pursuit(decoder, x.view(2, 4, 5, 12), 3), encode_with_pursuit(decoder, x, 3))
    assert encode_with_pursuit(decoder, x[0], 3).residual.shape == (1, 12)
    empty = encode_with_pursuit(decoder, x[:0], 3)
    assert empty.indices.shape == (0, 3)  # type: ignore[union-attr]
    assert empty.backend


@pytest.mark.parametrize("k", [3, "each"])
def test_a_bad_row_spoils_no_other(k: int | str) -> None:
    x, decoder, bias = problem()
    many = torch.full((40,), 3).scatter(0, torch.tensor([9]), 1) if k == "each" else 3
    good = encode_with_pursuit(decoder, x, many, bias=bias, chunk_size=9)
    x[9, 2], x[10, 0] = torch.nan, torch.inf
    found = encode_with_pursuit(decoder, x, many, bias=bias, chunk_size=9)
    keep = torch.tensor([i for i in range(40) if i not in (9, 10)])
    assert torch.equal(found.values[keep], good.values[keep])  # type: ignore[index]
    assert found.values[[9, 10]].isnan().all()  # type: ignore[index]
    assert (found.status[[9, 10]] == sparsedef.Status.NONFINITE).all()


@pytest.mark.parametrize("decoders", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("activations", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_work_is_done_in_the_wider_dtype(decoders: torch.dtype, activations: torch.dtype) -> None:
    x, decoder, bias = problem()
    x, decoder = x.to(activations), decoder.to(decoders)
    found = encode_with_pursuit(decoder, x, 3, bias=bias)
    wide = torch.float64 if activations == torch.float64 else torch.float32
    assert found.values.dtype == wide  # type: ignore[union-attr]
    same(found, encode_with_pursuit(decoder.to(wide), x.to(wide), 3, bias=bias.to(wide)))


def test_zero_rows_are_never_chosen_and_nothing_is_recorded() -> None:
    x, decoder, _ = problem()
    decoder[::2] = 0
    found = encode_with_pursuit(decoder.requires_grad_(), x.requires_grad_(), 4)
    assert (found.indices[found.indices >= 0] % 2 == 1).all()  # type: ignore[index, operator]
    assert not found.values.requires_grad  # type: ignore[union-attr]
    assert found.gradient == "none"


def test_autocast_does_not_reach_it() -> None:
    x, decoder, bias = (t.float() for t in problem())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = encode_with_pursuit(decoder, x, 3, bias=bias)
    same(found, encode_with_pursuit(decoder, x, 3, bias=bias))


MISTAKES = {
    r"transposed\? pass decoder.T": lambda x, d, b: encode_with_pursuit(d.T, x, 3),
    "is it the encoder": lambda x, d, b: encode_with_pursuit(linear(d.T, None), x, 3),
    r"bias must be \[12\]": lambda x, d, b: encode_with_pursuit(d, x, 3, bias=b[:3]),
    "bias must be finite": lambda x, d, b: encode_with_pursuit(d, x, 3, bias=b / 0),
    "decoder must be finite": lambda x, d, b: encode_with_pursuit(d / 0, x, 3),
    r"decoder must be \[N, M\]": lambda x, d, b: encode_with_pursuit(d[0], x, 3),
    "decoder must be a torch.Tensor": lambda x, d, b: encode_with_pursuit("d", x, 3),
    "activations must be float32": lambda x, d, b: encode_with_pursuit(d, x.long(), 3),
    "k must be at least 1, got 0": lambda x, d, b: encode_with_pursuit(d, x, 0),
    "k must be an int, got float": lambda x, d, b: encode_with_pursuit(d, x, 2.5),
    r"k must be an int or \[40\]": lambda x, d, b: encode_with_pursuit(d, x, b.long()),
    "chunk_size must be at least 1": lambda x, d, b: encode_with_pursuit(d, x, 3, chunk_size=0),
    "selection must be one of": lambda x, d, b: encode_with_pursuit(d, x, 3, selection="x"),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_named(text: str) -> None:
    with pytest.raises((ValueError, TypeError), match=text):
        MISTAKES[text](*problem())


def test_too_many_features_are_lowered_with_one_warning() -> None:
    x, decoder, _ = problem()
    with pytest.warns(UserWarning, match="encode_with_pursuit: n_nonzero=99") as caught:
        found = encode_with_pursuit(decoder, x, 99, chunk_size=4)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert found.indices.shape == (40, 12)  # type: ignore[union-attr]
