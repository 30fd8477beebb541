"""A caller's mistake is found before any work, and the message says the way out."""

from pathlib import Path

import pytest
import torch

from sparsedef.learning import KSVD, OnlineLearner
from tests.learning.planted import planted

X, ATOMS = planted(60, dtype=torch.float32)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"alpha": None}, ValueError, "alpha must be given"),
        ({"alpha": -1.0}, ValueError, "finite and > 0, got -1.0"),
        ({"alpha": "much"}, TypeError, "alpha must be a number, got str"),
        ({"alpha": 0.1, "n_nonzero": 3}, ValueError, "coder='omp' takes it"),
        ({"coder": "omp"}, ValueError, "n_nonzero must be given"),
        ({"coder": "omp", "n_nonzero": 3, "alpha": 0.1}, ValueError, "alpha must be None"),
        ({"coder": "lars", "alpha": 0.1}, ValueError, "one of"),
        ({"alpha": 0.1, "batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"alpha": 0.1, "forgetting": -1}, ValueError, "forgetting must be finite and >= 0"),
        ({"alpha": 0.1, "nonnegative_atoms": 1}, TypeError, "nonnegative_atoms must be a bool"),
    ],
)
def test_settings_are_checked(arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        OnlineLearner(30, **arguments)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (X.numpy(), TypeError, "from_numpy"),
        (X[0], ValueError, r"x\[None\]"),
        (X.long(), TypeError, r"x\.float\(\) converts"),
        (X[:0], ValueError, "at least one row"),
    ],
)
def test_signals_are_checked(x: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        OnlineLearner(30, alpha=0.1).fit(x)  # type: ignore[arg-type]


def test_signals_must_go_with_the_dictionary() -> None:
    learner = OnlineLearner(30, alpha=0.1).partial_fit(X)
    with pytest.raises(ValueError, match="to match the dictionary"):
        learner.partial_fit(X[:, :5])
    with pytest.raises(ValueError, match=r"x\.to\(learner\.dictionary\)"):
        learner.encode(X.double())


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (ATOMS[:4], r"init must be \[30, 20\]"),
        (ATOMS.clone().index_fill_(0, torch.tensor([3]), torch.nan), "atoms \\[3\\]"),
        (ATOMS, "init must be >= 0"),
    ],
)
def test_first_atoms_are_checked(init: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OnlineLearner(30, alpha=0.1, init=init, nonnegative_atoms=True).fit(X)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_rows_that_are_not_finite_are_an_error_and_leave_the_learner_as_it_was(bad: float) -> None:
    x = X.clone()
    x[7, 3] = bad
    learner = OnlineLearner(30, alpha=0.1).partial_fit(X)
    before = learner.dictionary
    with pytest.raises(ValueError, match="1 rows with NaN or infinity"):
        learner.partial_fit(x)
    assert torch.equal(learner.dictionary, before)
    assert learner.n_seen == 60
    with pytest.raises(ValueError, match="all finite"):
        KSVD(30, 3).fit(x)


@pytest.mark.parametrize("learner", [OnlineLearner(30, alpha=0.1), KSVD(30, 3)])
def test_there_is_no_dictionary_before_fit(learner: OnlineLearner | KSVD) -> None:
    with pytest.raises(AttributeError, match="before fit"):
        learner.dictionary  # noqa: B018
    with pytest.raises(AttributeError, match="before fit"):
        learner.encode(X)


def test_a_state_of_other_settings_or_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "learner.pt"
    OnlineLearner(30, alpha=0.1, n_epochs=1).fit(X, checkpoint=path)
    with pytest.raises(ValueError, match=r"alpha=0\.1, not 0\.2"):
        OnlineLearner(30, alpha=0.2, n_epochs=1).fit(X, checkpoint=path)
    with pytest.raises(ValueError, match="of the same data"):
        OnlineLearner(30, alpha=0.1, n_epochs=1).fit(X + 1, checkpoint=path)
    with pytest.raises(ValueError, match="'OnlineLearner'"):
        KSVD.load(path)
