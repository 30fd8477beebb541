"""Conditions, dictionaries and choices of the search for where sparsity wins."""

from dataclasses import replace

import pytest
import torch
from tiny_world import SIZES, tiny_world

from sparsedef.reproduce.ssd_duel import DRAWS, repetitions
from sparsedef.reproduce.ssd_heads import right
from sparsedef.reproduce.ssd_search import (
    Condition,
    atoms_of,
    candidates,
    conditions,
    labelled,
    run_condition,
)
from sparsedef.reproduce.ssd_world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return tiny_world(tmp_path_factory.mktemp("world"))


def test_few_conditions_are_among_all_of_them(world: World) -> None:
    few, every = conditions(world, "few"), conditions(world, "all")
    assert set(few) < set(every)
    assert {each.head for each in few} == {"confounded"}
    assert {each.per_class for each in every} == {0, SIZES.few}
    assert "open, distinct" in {each.concepts for each in every}, "its words are free"


def test_few_labels_are_the_first_of_each_class(world: World) -> None:
    part = world.train["clean"]
    embeddings, labels = labelled(part, 3)
    assert labels.bincount(minlength=24).max() == 3
    for label in labels.unique().tolist():
        first = (part.labels == label).nonzero()[0, 0]
        assert torch.equal(embeddings[labels == label][0], part.embeddings[first])
    assert labelled(part, 0)[0] is part.embeddings


def test_other_draws_of_few_labels_share_no_scene(world: World) -> None:
    part = world.train["clean"]
    first, second = (labelled(part, 2, draw)[0] for draw in (0, 1))
    assert len(first) == len(second) == 48
    assert not (first[:, None] == second).all(-1).any()
    enough = int(part.labels.bincount(minlength=24).min()) // 2
    repeated = repetitions(world, Condition("clean", "text", 2))
    assert [each.draw for each in repeated] == list(range(1, min(DRAWS + 1, enough)))
    assert repetitions(world, Condition("clean", "text", 0)) == []


def test_dictionaries_are_unit_and_without_near_copies_where_they_say_so(world: World) -> None:
    part = world.train["confounded"]
    for name in ("text, distinct", "image means, distinct"):
        atoms, texts = atoms_of(world, name, part)
        assert len(atoms) == len(texts) == len(set(texts))
        torch.testing.assert_close(atoms.norm(dim=1), torch.ones(len(atoms)))
        cosines = (atoms @ atoms.T).fill_diagonal_(0)
        assert cosines.abs().max() < 0.9
    whole = atoms_of(world, "text", part)[1]
    assert set(atoms_of(world, "text, distinct", part)[1]) <= set(whole)


@pytest.mark.slow
def test_what_validation_calls_best_is_what_the_test_scenes_see(world: World) -> None:
    """The chosen models are the first best on validation; test outcomes are theirs, unseen."""
    condition = Condition("confounded", "text, distinct", SIZES.few)
    found = run_condition(world, condition)
    atoms, texts = atoms_of(world, condition.concepts, world.train["confounded"])
    scores = {
        name: float(
            right(model, world.validation_versions.embeddings, world.validation.labels)
            .all(0)
            .double()
            .mean()
        )
        for name, model in candidates(world, condition, atoms, texts)
    }
    sparse = {name: value for name, value in scores.items() if not name.startswith("dense")}
    assert found.validation[0] == max(sparse.values()) == sparse[found.sparse]
    assert found.tried == (len(sparse), 2)
    assert len(found.sparse_right) == SIZES.n_test
    fewer = run_condition(world, replace(condition, surface="one group"))
    assert fewer.validation[0] >= found.validation[0], "an edit that may do less is no stronger"
    assert fewer.n_atoms == found.n_atoms == len(atoms)
