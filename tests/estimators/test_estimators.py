"""The estimators at work: pipelines, searches, names, pickles, and what they learn."""

import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch

sklearn = pytest.importorskip("sklearn", reason="needs scikit-learn")

from sklearn.base import clone  # noqa: E402
from sklearn.decomposition import MiniBatchDictionaryLearning  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.linear_model import Ridge  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402

import sparsedef  # noqa: E402
from sparsedef.estimators import DictionaryLearner, SparseCoder  # noqa: E402
from sparsedef.learning import OnlineLearner  # noqa: E402
from sparsedef.testing import make_problem  # noqa: E402

Array = np.ndarray[Any, Any]
ALGORITHMS = ("omp", "lars", "lasso_lars", "lasso_cd", "threshold")


def problem(n_signals: int = 60) -> tuple[Array, Array]:
    x, dictionary = make_problem(n_signals, 16, 24)
    return x.numpy(), dictionary.numpy()


def sparse_signals(n_signals: int = 400, seed: int = 0) -> tuple[Array, Array]:
    """Signals of two atoms each out of 12, and the atoms."""
    random = np.random.default_rng(seed)
    atoms = np.random.default_rng(9).standard_normal((12, 16))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = np.zeros((n_signals, 12))
    for row in codes:
        row[random.permutation(12)[:2]] = random.choice([-1, 1], 2) * random.uniform(1, 2, 2)
    return codes @ atoms, atoms


def objective(X: Array, dictionary: Array, alpha: float) -> float:
    code = sparsedef.lasso(torch.from_numpy(X), torch.from_numpy(dictionary), alpha)
    assert code.codes is not None
    fit = code.residual.square().sum(dim=1) / 2
    return float((fit + alpha * code.codes.abs().sum(dim=1)).mean())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_coder_gives_the_codes_of_the_function(algorithm: str) -> None:
    X, dictionary = problem()
    coder = SparseCoder(
        dictionary,
        transform_algorithm=algorithm,
        transform_alpha=0.2,
        transform_n_nonzero_coefs=3,
    )
    options = {"n_nonzero_coefs": 3} if algorithm in ("omp", "lars") else {"alpha": 0.2}
    codes = sparsedef.sparse_encode(X, dictionary, algorithm=algorithm, **options)
    assert np.array_equal(coder.transform(X), codes)
    assert np.allclose(coder.inverse_transform(codes), codes @ dictionary)


def test_split_signs_are_columns_of_their_own_with_names() -> None:
    X, dictionary = problem()
    whole = SparseCoder(dictionary, transform_algorithm="threshold", transform_alpha=0.1).fit(X)
    split = clone(whole).set_params(split_sign=True).fit(X)
    codes, parts = whole.transform(X), split.transform(X)
    assert parts.shape == (60, 48)
    assert (parts >= 0).all()
    assert np.array_equal(parts[:, :24] - parts[:, 24:], codes)
    assert np.allclose(split.inverse_transform(parts), whole.inverse_transform(codes))
    assert list(whole.get_feature_names_out()) == [f"sparsecoder{i}" for i in range(24)]
    assert list(split.get_feature_names_out()) == [f"sparsecoder{i}" for i in range(48)]


def test_frames_come_out_with_names() -> None:
    pandas = pytest.importorskip("pandas", reason="no pandas")
    X, dictionary = problem()
    frame = pandas.DataFrame(X, columns=[f"pixel{i}" for i in range(16)])
    coder = SparseCoder(dictionary, split_sign=True).set_output(transform="pandas")
    codes = coder.fit(frame).transform(frame)
    assert list(codes.columns) == list(coder.get_feature_names_out())
    assert list(coder.feature_names_in_) == list(frame.columns)


def test_a_search_over_a_pipeline_finds_the_penalty_that_predicts() -> None:
    X, atoms = sparse_signals()
    y = X @ atoms[0]
    pipeline = make_pipeline(SparseCoder(atoms, transform_algorithm="lasso_cd"), Ridge(1e-3))
    grid = {"sparsecoder__transform_alpha": np.array([0.01, 0.3, 10.0])}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_params_ == {"sparsecoder__transform_alpha": 0.01}
    assert search.best_score_ > 0.99


def test_a_search_over_a_learner_takes_numpys_numbers() -> None:
    X, _ = sparse_signals(200)
    learner = DictionaryLearner(transform_algorithm="lasso_cd", max_iter=3, random_state=0)
    pipeline = make_pipeline(learner, Ridge())
    grid = {
        "dictionarylearner__n_components": np.array([4, 12]),
        "dictionarylearner__alpha": np.array([0.1, 0.2], dtype=np.float32),
        "dictionarylearner__batch_size": np.array([50]),
    }
    assert GridSearchCV(pipeline, grid, cv=2).fit(X, X[:, 0]).best_score_ > 0


@pytest.mark.parametrize("fit_algorithm", ["lars", "cd", "omp"])
def test_a_learner_finds_the_atoms_of_its_signals(fit_algorithm: str) -> None:
    X, atoms = sparse_signals()
    options = {"fit_algorithm": fit_algorithm, "fit_n_nonzero_coefs": 2}
    learner = DictionaryLearner(
        14, alpha=0.1, max_iter=40, batch_size=50, random_state=0, **options
    )
    found = learner.fit(X).components_
    assert found.shape == (14, 16)
    assert learner.n_iter_ == 40
    assert learner.n_steps_ == 40 * 8
    similar = np.abs(atoms @ found.T / np.linalg.norm(found, axis=1)).max(axis=1)
    assert (similar > 0.99).mean() > 0.9


def test_the_objective_of_unseen_signals_is_at_most_scikit_learns() -> None:
    X, _ = sparse_signals(600)
    unseen, _ = sparse_signals(200, seed=1)
    noise = 0.05 * np.random.default_rng(2).standard_normal((600, 16))
    options: dict[str, Any] = {"alpha": 0.2, "batch_size": 100, "random_state": 0}
    ours = DictionaryLearner(20, max_iter=10, **options).fit(X + noise)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = MiniBatchDictionaryLearning(20, max_iter=10, **options).fit(X + noise)
    # 2%: both are local minima of a problem that is not convex.
    assert objective(unseen, ours.components_, 0.2) <= 1.02 * objective(
        unseen, theirs.components_, 0.2
    )


def test_the_same_seed_gives_the_same_bits_and_others_do_not() -> None:
    X, _ = sparse_signals(100)

    def learn(random_state: Any) -> Array:
        return DictionaryLearner(8, max_iter=2, random_state=random_state).fit(X).components_

    assert np.array_equal(learn(0), learn(0))
    assert np.array_equal(learn(np.random.RandomState(3)), learn(3))
    assert not np.array_equal(learn(0), learn(1))


def test_a_learner_codes_with_the_penalty_that_it_has_learned_with() -> None:
    X, _ = sparse_signals(100)
    learner = DictionaryLearner(8, alpha=0.3, transform_algorithm="lasso_cd", random_state=0).fit(X)
    codes = sparsedef.sparse_encode(X, learner.components_, alpha=0.3)
    assert np.array_equal(learner.transform(X), codes)
    learner.set_params(transform_alpha=0.6)
    assert np.array_equal(
        learner.transform(X), sparsedef.sparse_encode(X, learner.components_, alpha=0.6)
    )


def test_partial_fits_are_the_minibatches_of_the_learner() -> None:
    X, _ = sparse_signals(200)
    learner = DictionaryLearner(8, alpha=0.2, dict_init=X[:8], random_state=0, max_iter=1)
    below = OnlineLearner(8, alpha=0.2, init=torch.from_numpy(X[:8]))
    for batch in np.split(X, 4):
        learner.partial_fit(batch)
        below.partial_fit(torch.from_numpy(batch))
    assert np.array_equal(learner.components_, below.dictionary.numpy())
    assert learner.n_steps_ == 4


def test_a_pickled_learner_codes_alike_and_goes_on_learning_alike() -> None:
    X, _ = sparse_signals(200)
    learner = DictionaryLearner(8, alpha=0.2, random_state=0, max_iter=2).fit(X[:100])
    copy = pickle.loads(pickle.dumps(learner))
    assert np.array_equal(copy.transform(X), learner.transform(X))
    for each in (learner, copy):
        each.partial_fit(X[100:])
    assert np.array_equal(copy.components_, learner.components_)
    fresh = clone(learner)
    with pytest.raises(NotFittedError):
        fresh.transform(X)
    coder = SparseCoder(learner.components_)
    assert np.array_equal(pickle.loads(pickle.dumps(coder)).transform(X), coder.transform(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_are_kept(dtype: Any) -> None:
    X, _ = sparse_signals(100)
    for algorithm in ALGORITHMS:
        learner = DictionaryLearner(
            8, transform_algorithm=algorithm, split_sign=True, max_iter=1, random_state=0
        ).fit(X.astype(dtype))
        assert learner.components_.dtype == dtype
        codes = learner.transform(X.astype(dtype))
        assert codes.dtype == dtype
        assert learner.inverse_transform(codes).dtype == dtype


def test_positive_codes_and_atoms_are_positive() -> None:
    X = np.abs(sparse_signals(200)[0])
    learner = DictionaryLearner(
        8, alpha=0.1, positive_code=True, positive_dict=True, transform_algorithm="lasso_cd"
    ).fit(X)
    assert (learner.components_ >= 0).all()
    assert (learner.transform(X) >= 0).all()


def test_a_bar_is_shown_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    X, _ = sparse_signals(100)
    DictionaryLearner(8, max_iter=2, random_state=0).fit(X)
    assert not capsys.readouterr().err
    DictionaryLearner(8, max_iter=2, random_state=0, verbose=True).fit(X)
    assert "batch" in capsys.readouterr().err


def test_too_few_rounds_are_a_convergence_warning() -> None:
    x, dictionary = make_problem(20, 64, 128, correlation=0.9)
    coder = SparseCoder(
        dictionary.numpy(),
        transform_algorithm="lasso_cd",
        transform_alpha=1e-3,
        transform_max_iter=1,
    )
    with pytest.warns(ConvergenceWarning, match="SparseCoder: "):
        coder.transform(x.numpy())


BAD: list[tuple[type, dict[str, Any], str]] = [
    (SparseCoder, {"transform_algorithm": "lasso"}, "SparseCoder: algorithm must be one of"),
    (SparseCoder, {"positive_code": True}, "SparseCoder: positive codes need"),
    (SparseCoder, {"dictionary": np.ones((16, 5))}, r"got \[16, 5\] \(transposed\?"),
    (SparseCoder, {"transform_n_nonzero_coefs": 0}, "must be at least 1, got 0"),
    (DictionaryLearner, {"transform_algorithm": "lasso"}, "DictionaryLearner: algorithm must be"),
    (DictionaryLearner, {"fit_algorithm": "lasso"}, "fit_algorithm must be one of"),
    (DictionaryLearner, {"max_iter": 0}, "DictionaryLearner: max_iter must be at least 1"),
    (DictionaryLearner, {"n_components": 0}, "DictionaryLearner: n_components must be at least 1"),
    (DictionaryLearner, {"alpha": -1.0}, "alpha must be"),
    (DictionaryLearner, {"dict_init": np.ones((3, 5))}, "init must be"),
]


@pytest.mark.parametrize(("kind", "wrong", "words"), BAD)
def test_fit_names_mistakes(kind: type, wrong: dict[str, Any], words: str) -> None:
    given = {"dictionary": np.eye(16), **wrong} if kind is SparseCoder else wrong
    with pytest.raises(ValueError, match=words):
        kind(**given).fit(problem()[0])


def test_codes_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"codes must be \[B, 48\] for 24 atoms, got \[60, 24\]"):
        SparseCoder(problem()[1], split_sign=True).inverse_transform(np.ones((60, 24)))


def test_without_scikit_learn_the_way_out_is_named() -> None:
    code = "import sys; sys.modules['sklearn'] = None; import sparsedef.estimators"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'sparsedef[sklearn]'" in done.stderr.splitlines()[-1]
