"""The attacker's set: projection lands in it, is the nearest, and holds what may not move."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsedef.worlds import CONDITIONS, FeasibleSet, column, columns, group_columns, sample_scenes
from sparsedef.worlds.parameters import GROUPS, OFF

EVERYTHING = FeasibleSet(moves=GROUPS)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.sampled_from([0.1, 1.0, 5.0]))
def test_projection_is_feasible_idempotent_and_nearest(seed: int, spread: float) -> None:
    wanted = 0.5 + spread * torch.randn(20, 23, generator=generator(seed), dtype=torch.float64)
    found = EVERYTHING.project(wanted)
    assert EVERYTHING.contains(found).all()
    torch.testing.assert_close(EVERYTHING.project(found), found)
    others = EVERYTHING.sample(generator(seed), 200).double()
    distance = (wanted - found).norm(dim=1)
    assert (torch.cdist(wanted, others).amin(1) >= distance - 1e-9).all()


def test_projection_of_two_weathers_is_the_nearest_of_all_choices() -> None:
    wanted = torch.rand(200, 23, generator=generator()) * 1.4 - 0.2
    found = EVERYTHING.project(wanted)
    weather = columns(CONDITIONS)
    candidates = []
    for kept in CONDITIONS:
        on = wanted.clamp(0, 1)
        for name in CONDITIONS:
            top = (0.8 if name == "fog" else 1.0) if name == kept else OFF
            on[:, column(name)] = wanted[:, column(name)].clamp(0, top)
        candidates.append((on - wanted)[:, weather].norm(dim=1))
    best = torch.stack(candidates).amin(0)
    torch.testing.assert_close((found - wanted)[:, weather].norm(dim=1), best)


def test_at_most_one_weather_and_fog_is_limited() -> None:
    drawn = FeasibleSet(moves=GROUPS, bounds={"fog": (0, 0.5)}).sample(generator(), 600)
    on = drawn[:, columns(CONDITIONS)] > OFF
    assert on.sum(1).max() == 1
    shares = [(on.sum(1) == 0).double().mean(), *on.double().mean(0)]
    assert min(shares) > 0.1
    assert 0.4 < drawn[:, column("fog")].max() <= 0.5


def test_all_data_is_feasible_and_two_weathers_are_not() -> None:
    drawn = sample_scenes(generator(), 500).parameters
    assert EVERYTHING.contains(drawn).all()
    both = drawn[:1].clone()
    both[:, columns(["night", "fog"])] = 0.5
    assert not EVERYTHING.contains(both).any()
    assert not EVERYTHING.contains(drawn[:1] * torch.nan).any()


@pytest.mark.parametrize("moves", [("weather",), ("appearance", "light"), ()])
def test_groups_that_may_not_move_stay_at_the_start(moves: tuple[str, ...]) -> None:
    attacker = FeasibleSet(moves=moves)  # type: ignore[arg-type]
    start = sample_scenes(generator(), 40).parameters
    for found in (
        attacker.project(torch.rand(40, 23, generator=generator(1)), start),
        attacker.sample(generator(2), 40, start),
    ):
        assert attacker.contains(found, start).all()
        for group in GROUPS:
            rows = group_columns(group)
            assert torch.equal(found[:, rows], start[:, rows]) == (group not in moves)


def test_a_projection_has_a_gradient_where_it_does_not_clip() -> None:
    parameters = torch.full((1, 23), 0.5, requires_grad=True)
    EVERYTHING.project(parameters).sum().backward()
    assert parameters.grad is not None
    kept = parameters.grad[0].bool()
    assert kept[columns(["x", "red", "blur"])].all()
    assert kept[columns(CONDITIONS)].sum() == 1


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"moves must be one of .*, got 'mood'"):
        FeasibleSet(moves=("mood",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"bounds must be one of .*, got 'hail'"):
        FeasibleSet(bounds={"hail": (0, 1)})
    with pytest.raises(ValueError, match="0 <= low <= high <= 1"):
        FeasibleSet(bounds={"red": (0.6, 0.4)})
    with pytest.raises(ValueError, match="so that it can be absent"):
        FeasibleSet(bounds={"fog": (0.2, 0.4)})
    with pytest.raises(ValueError, match=r"start must be given, as \['geometry'\] may not move"):
        FeasibleSet().project(torch.rand(2, 23))
    with pytest.raises(ValueError, match=r"start must be \[2, 23\]"):
        FeasibleSet().project(torch.rand(2, 23), torch.rand(3, 23))
    with pytest.raises(ValueError, match="n_scenes must be at least 1, got 0"):
        EVERYTHING.sample(generator(), 0)
