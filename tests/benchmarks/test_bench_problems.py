"""The problems are what they are said to be: correlated atoms, noisy mixtures, learned ones."""

from pathlib import Path

import pytest
import torch

import sparsedef
from benchmarks import data, photographs
from benchmarks.omp_problems import OMP, PATCHES
from benchmarks.problems import ALPHAS, LASSO, LassoSpec

FULL = {spec.name: spec for spec in LASSO["full"]}


def mean_nonzeros(spec: LassoSpec) -> float:
    problem = spec.build()
    code = sparsedef.lasso(
        problem.x,
        problem.dictionary,
        problem.alpha,
        nonnegative=problem.nonnegative,
        layout="compact",
    )
    assert code.values is not None
    return float((code.values != 0).sum(dim=1).double().mean())


def test_the_full_size_is_the_whole_matrix() -> None:
    wanted = {
        f"concepts M512 N{n} B{b}{sign}"
        for n in (512, 1024, 4096, 10_000)
        for b in (1, 64, 1024, 8192)
        for sign in ("", " z>=0")
    }
    assert set(FULL) == wanted | {"patches M64 N256 B10000", "patches M64 N256 B10000 z>=0"}


@pytest.mark.parametrize("n_atoms", [row[0] for row in ALPHAS])
def test_raw_atoms_are_correlated_like_text_embeddings_and_centring_undoes_it(n_atoms: int) -> None:
    spec = FULL[f"concepts M512 N{n_atoms} B1"]
    problem = spec.build()
    assert problem.cosines == pytest.approx((0.36, 0.45, 0.54), abs=0.02)
    low, middle, high = data.cosines(problem.dictionary)
    assert abs(middle) < 0.02
    assert high == pytest.approx(-low, abs=0.02)
    assert problem.dictionary.norm(dim=1) == pytest.approx(1.0, abs=1e-5)


def test_synonyms_are_much_closer_than_other_atoms() -> None:
    _, atoms = data.concepts(1, 512, 1024)
    cosines = (atoms @ atoms.T).reshape(128, 8, 128, 8)
    within = torch.stack([cosines[i, :, i, :] for i in range(128)])
    i, j = torch.triu_indices(8, 8, 1)
    assert 0.5 < float(within[:, i, j].median()) < 0.7


def test_signals_are_mixtures_with_a_fifth_of_noise() -> None:
    x, atoms = data.concepts(512, 512, 512)
    assert x.norm(dim=1) == pytest.approx(1.0, abs=1e-5)
    # 512 atoms could fit the noise as well: 40 leave most of it, and little else.
    code = sparsedef.omp(x, atoms, 40)
    left = code.residual.square().sum(dim=1).mean()
    assert 0.08 < float(left) < 0.2


def test_the_same_arguments_give_the_same_data() -> None:
    again = data.concepts.__wrapped__(8, 512, 512)
    for one, other in zip(data.concepts(8, 512, 512), again, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("sign", ["", " z>=0"])
@pytest.mark.parametrize(("n_atoms", "n_signals", "slack"), [
    (512, 1024, 0.5), (1024, 1024, 0.5), (4096, 64, 3), (10_000, 64, 3),
])  # fmt: skip
def test_alpha_leaves_28_nonzeros(n_atoms: int, n_signals: int, slack: float, sign: str) -> None:
    spec = FULL[f"concepts M512 N{n_atoms} B{n_signals}{sign}"]
    assert mean_nonzeros(spec) == pytest.approx(28, abs=slack)


@pytest.mark.parametrize("sign", ["", " z>=0"])
def test_patches_have_13_nonzeros(sign: str) -> None:
    pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")
    (spec,) = (s for s in LASSO["small"] if s.name == f"patches M64 N256 B1000{sign}")
    assert mean_nonzeros(spec) == pytest.approx(13, abs=1)


def test_the_pursuits_are_those_of_photographs_and_of_embeddings_down_to_one_signal() -> None:
    shapes = {
        (spec.n_features, spec.n_atoms, spec.n_nonzero, spec.n_signals) for spec in OMP["full"]
    }
    gray_and_colour = {
        (*sizes, batch)
        for sizes in ((64, 256, 5), (64, 256, 10), (192, 512, 10))
        for batch in (1, 64, 10_000, 100_000)
    }
    assert shapes == gray_and_colour | {(512, 4096, 32, batch) for batch in (1, 64, 1024)}
    for table in (OMP, PATCHES):
        rules = [spec.selection for spec in table["full"]]
        assert rules.count("omp") == rules.count("ols")


@pytest.mark.parametrize("n_channels", [1, 3])
def test_patches_have_no_mean_and_are_scaled_together(n_channels: int) -> None:
    pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")
    x = photographs.patches(500, n_channels)
    assert x.shape == (500, 64 * n_channels)
    assert float(x.mean(dim=1).abs().max()) < 1e-5
    assert float(x.std()) == pytest.approx(1.0, abs=1e-5)
    assert float(x.norm(dim=1).min()) > 0


def test_a_crop_is_cut_into_the_patches_that_are_coded() -> None:
    pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")
    problem = next(spec for spec in PATCHES["tiny"] if spec.n_channels == 3).build()
    for part in (problem, problem.first(10)):
        patches = sparsedef.extract_patches(part.images, 8)[0]
        assert torch.allclose(part.x, patches - patches.mean(dim=1, keepdim=True), atol=1e-6)
    assert problem.work == 81 * 32 * 3
    assert part.images.shape == (1, 3, 10, 10)


def test_learned_atoms_code_patches_better_than_patches_do() -> None:
    pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")
    x = photographs.patches(500)
    learned, given = (photographs.learn(32, n_rounds=rounds) for rounds in (3, 0))
    left = [float(sparsedef.omp(x, atoms, 3).residual.norm()) for atoms in (learned, given)]
    assert left[0] < 0.9 * left[1]
    assert learned.norm(dim=1) == pytest.approx(1.0, abs=1e-5)
    cosines = (learned @ learned.T).fill_diagonal_(0).abs()
    assert float(cosines.max()) < 0.99


def test_learned_atoms_do_not_depend_on_the_threads_and_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")
    threads = torch.get_num_threads()
    atoms = []
    for count in (1, 2):
        torch.set_num_threads(count)
        atoms.append(photographs.learn(16, n_rounds=1))
        assert torch.get_num_threads() == count
    torch.set_num_threads(threads)
    assert torch.equal(*atoms)

    monkeypatch.setattr(photographs.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(photographs, "learn", lambda *sizes: atoms[0])
    read = photographs.patch_dictionary.__wrapped__
    assert torch.equal(read(16), atoms[0])
    monkeypatch.setattr(photographs, "learn", None)
    assert torch.equal(read(16), atoms[0])
