"""Explained variance is the ratio of its definition; pursuit earns more than an encoder."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from sparsedef.sae import encode_with_pursuit, explained_variance_curve
from sparsedef.testing import make_problem

KS = (1, 2, 3, 5, 8)


def problem() -> tuple[Tensor, Tensor, Tensor]:
    x, atoms = make_problem(60, 12, 30)
    bias = torch.linspace(-1, 1, 12).double()
    return 3 * x + bias, atoms * 2, bias


class TiedEncoder(nn.Module):
    """The ``k`` largest positive correlations as codes."""

    def __init__(self, decoder: Tensor, bias: Tensor, k: int) -> None:
        super().__init__()
        self.decoder, self.bias, self.k = decoder, bias, k

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.relu((x - self.bias) @ self.decoder.T) / self.decoder.square().sum(dim=1)
        top = scores.topk(self.k, dim=1)
        return torch.zeros_like(scores).scatter(1, top.indices, top.values)


@pytest.mark.parametrize("chunk_size", [None, 7])
@pytest.mark.parametrize("nonnegative", [True, False])
def test_it_is_what_its_definition_says(chunk_size: int | None, nonnegative: bool) -> None:
    x, decoder, bias = problem()
    options = {"bias": bias, "nonnegative": nonnegative}
    curve = explained_variance_curve(decoder, x, KS, chunk_size=chunk_size, **options)  # type: ignore[arg-type]
    variance = (x - x.mean(dim=0)).square().sum()
    for k, l0, explained in zip(KS, curve.l0, curve.explained, strict=True):
        code = encode_with_pursuit(decoder, x, k, **options)  # type: ignore[arg-type]
        rebuilt = code.to_dense(30) @ decoder + bias
        unexplained = (x - rebuilt).square().sum() / variance
        torch.testing.assert_close(explained, 1 - unexplained, rtol=0, atol=1e-12)
        torch.testing.assert_close(l0, code.n_nonzero.double().mean())
    assert curve.n_rows == 60
    assert curve.encoder_l0 is curve.encoder_explained is curve.matched_explained is None


@pytest.mark.parametrize("selection", ["omp", "ols"])
@pytest.mark.parametrize("nonnegative", [True, False])
def test_more_features_explain_more(selection: str, nonnegative: bool) -> None:
    x, decoder, bias = problem()
    curve = explained_variance_curve(
        decoder, x, range(1, 13), bias=bias, selection=selection, nonnegative=nonnegative
    )
    assert (curve.explained.diff() >= -1e-12).all()
    assert (curve.l0.diff() >= 0).all()
    if not nonnegative:
        assert curve.explained[-1] == pytest.approx(1, abs=1e-12)  # 12 atoms span everything


@pytest.mark.parametrize("k", [1, 3, 6])
def test_pursuit_explains_at_least_what_an_encoder_does_with_as_many(k: int) -> None:
    x, decoder, bias = problem()
    encoder = TiedEncoder(decoder, bias, k)
    curve = explained_variance_curve(decoder, x, [k], bias=bias, encoder=encoder, chunk_size=9)
    codes = encoder(x)
    unexplained = (x - codes @ decoder - bias).square().sum() / (x - x.mean(0)).square().sum()
    assert curve.encoder_explained == pytest.approx(float(1 - unexplained), abs=1e-12)
    assert curve.encoder_l0 == pytest.approx(float((codes != 0).double().sum(1).mean()))
    assert curve.matched_explained is not None
    assert curve.encoder_explained is not None
    # one feature: the same one with its best code; more: chosen with the others in mind
    assert curve.matched_explained >= curve.encoder_explained - 1e-12
    if k > 1:
        assert curve.matched_explained > curve.encoder_explained + 0.05


def test_bad_rows_are_left_out_of_every_number() -> None:
    x, decoder, bias = problem()
    encoder = TiedEncoder(decoder, bias, 3)
    clean = explained_variance_curve(decoder, x[2:], KS, bias=bias, encoder=encoder)
    x[0, 0], x[1, 3] = torch.nan, torch.inf
    found = explained_variance_curve(decoder, x, KS, bias=bias, encoder=encoder)
    torch.testing.assert_close(found.explained, clean.explained, rtol=0, atol=1e-12)
    assert found[2:] == pytest.approx(clean[2:])
    assert found.n_rows == 58


def test_a_decoder_that_does_worse_than_the_mean_is_said_to() -> None:
    x, decoder, _ = problem()
    curve = explained_variance_curve(decoder, x + 100, [1], bias=torch.zeros(12).double())
    assert curve.explained[0] < -1


def test_float32_sums_are_made_in_float64() -> None:
    """Activations far from 0 lose nothing: the variance is not a difference of large sums."""
    x, decoder, bias = problem()
    far = (x + 1000).float()
    found = explained_variance_curve(decoder.float(), far, [3], bias=(bias + 1000).float())
    wanted = explained_variance_curve(decoder, far.double(), [3], bias=bias + 1000)
    # float32 keeps 6e-5 of numbers near 1,000, a share of 1e-4 in residuals near 0.5
    torch.testing.assert_close(found.explained, wanted.explained, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x, d: explained_variance_curve(d, x, [0]), ValueError, "each of ks must be at"),
        (lambda x, d: explained_variance_curve(d, x[:1], [1]), ValueError, "must vary, got 1"),
        (lambda x, d: explained_variance_curve(d, x[:0], [1]), ValueError, "must vary, got 0"),
        (
            lambda x, d: explained_variance_curve(d, x, [1], encoder=lambda y: y),
            ValueError,
            r"encoder must give codes \[60, 30\] for \[60, 12\], got \[60, 12\]",
        ),
        (lambda x, d: explained_variance_curve(d.T, x, [1]), ValueError, "transposed"),
    ],
)
def test_mistakes_are_named(call, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(*problem()[:2])


def load_example(name: str) -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_example_shows_that_pursuit_beats_the_trained_encoder(capsys) -> None:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    curve = load_example("sae_pursuit").main(["--quick"])
    assert curve.encoder_l0 is not None
    assert curve.encoder_l0 == pytest.approx(8, abs=0.5)
    assert curve.matched_explained > curve.encoder_explained + 0.005
    assert (curve.explained.diff() > 0).all()
    assert f"{curve.matched_explained:.4f}" in capsys.readouterr().out
