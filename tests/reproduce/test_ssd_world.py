"""Scenes are embedded once, and what was embedded is what the attacks of the library would see."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_world import SIZES, TinyEncoder, tiny_world
from torch import Tensor

from sparsedef.attacks.semantic import BestOfN, NamedEdits, judge
from sparsedef.defenses.semantic import LinearProbe
from sparsedef.reproduce.ssd_attacks import (
    ASCENT,
    ascend,
    attack_contender,
    best_of,
    rows_of,
    search,
)
from sparsedef.reproduce.ssd_heads import CONTENDERS, choose_support, fit_one, right
from sparsedef.reproduce.ssd_world import HEADS, PIXELS, World, association


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return tiny_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def probe(world: World) -> LinearProbe:
    part = world.train["clean"]
    made = LinearProbe.from_embeddings(
        world.encoder, part.embeddings, part.labels, n_classes=24, l2=1e-3
    )
    assert isinstance(made, LinearProbe)
    return made.eval()


def test_the_searches_are_those_of_the_library(world: World, probe: LinearProbe) -> None:
    scenes = world.test.scenes
    named = NamedEdits(size=PIXELS)(probe, scenes)
    random = BestOfN(SIZES.n_random, size=PIXELS, seed=world.seed)(probe, scenes)
    for kind, found in (("named", named), ("random", random)):
        assert torch.equal(search(world, probe, kind).right, ~found.success)
    versions = world.test_versions
    for name, rate in named.by_edit.items():
        embeddings = versions.embeddings[versions.names.index(name)]
        assert torch.equal(right(probe, embeddings, scenes.classes), rate < 0.5), name


def test_a_single_version_moves_one_group_of_nuisances(world: World) -> None:
    versions, start = world.test_versions, world.test.scenes.parameters
    groups = {
        group: replace(world.feasible, moves=(group,)).moving for group in world.feasible.moves
    }
    seen = set()
    for place in versions.rows("named", "single")[1:]:
        for scene in range(len(start)):
            moved = versions.parameters[place, scene] != start[scene]
            inside = [group for group, columns in groups.items() if not (moved & ~columns).any()]
            assert inside, versions.names[place]
            seen |= set(inside) if len(inside) == 1 else set()
    assert seen == set(groups)
    assert len(versions.rows("single")) == 1 + SIZES.n_random
    part = world.test  # of scenes that it was fitted to it has some right: there is what to climb
    right_there = LinearProbe.from_embeddings(
        world.encoder, part.embeddings, part.labels, n_classes=24, l2=1e-4
    ).eval()
    climbed = False
    for group, columns in groups.items():
        found = ascend(world, right_there, ASCENT, only=group)
        moved = found.parameters != start
        climbed |= bool(moved[:, columns].any())
        assert not moved[:, ~columns].any()
    assert climbed, "at least one group gave the ascent something"


def test_an_ascent_is_never_weaker_than_the_searches(world: World, probe: LinearProbe) -> None:
    both = search(world, probe, "named").right & search(world, probe, "random").right
    found = ascend(world, probe, ASCENT)
    assert not (found.right & ~both).any()
    scenes = world.test.scenes.with_parameters(found.parameters)
    assert world.feasible.contains(found.parameters, world.test.scenes.parameters).all()
    assert torch.equal(judge(probe, scenes).success, ~found.right)
    torch.testing.assert_close(world.embed(scenes), found.embeddings, rtol=1e-4, atol=1e-5)


def test_what_is_in_the_cache_is_not_drawn_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.test_versions
    again = tiny_world(world.cache.folder.parent)

    def forbidden(self: TinyEncoder, images: Tensor) -> Tensor:
        raise AssertionError("embedded twice")

    monkeypatch.setattr(TinyEncoder, "forward", forbidden)
    assert torch.equal(again.test_versions.embeddings, first.embeddings)
    assert again.test_versions.names == first.names
    with pytest.raises(AssertionError, match="embedded twice"):
        _ = tiny_world(world.cache.folder.parent, seed=1).test


def test_the_shortcut_is_measured_as_it_is(tmp_path: Path) -> None:
    world = tiny_world(tmp_path)
    clean, confounded = (association(world, head) for head in HEADS)
    assert abs(clean.share - 1 / 6) < 0.08
    assert confounded.share > 0.93
    assert confounded.cramers_v > 0.9
    assert clean.cramers_v < 0.45  # of 240 scenes of 24 classes, chance alone makes some


def test_parts_do_not_share_scenes(world: World) -> None:
    parts = [*world.train.values(), world.validation, world.test]
    drawn = torch.cat([part.scenes.parameters for part in parts[1:]])
    assert len(drawn.unique(dim=0)) == len(drawn)
    assert world.test.ids[0] == "test-0/0"


def test_the_support_is_the_sparsest_within_a_standard_error(world: World) -> None:
    part = world.train["confounded"]
    support, tried = choose_support(
        CONTENDERS["ssd"], world, world.words, part.embeddings, part.labels
    )
    assert [each for each, _ in tried] == list(SIZES.supports)
    best = max(accuracy for _, accuracy in tried)
    held = round(0.2 * len(part.labels))
    error = max(best * (1 - best), 1 / held) ** 0.5 / held**0.5
    good = [each for each, accuracy in tried if accuracy >= best - 1.2 * error]
    assert support in good
    assert all(accuracy < best for each, accuracy in tried if each < support)


@pytest.mark.parametrize("name", ["zero_shot", "nuisance_removed", "ssd_random", "ssd_half"])
def test_a_fitted_head_comes_back_from_the_cache_bit_by_bit(world: World, name: str) -> None:
    first, again = fit_one(world, "confounded", name), fit_one(world, "confounded", name)
    embeddings = world.test.embeddings
    assert torch.equal(first.model.classify(embeddings), again.model.classify(embeddings))
    assert (again.support, again.tried) == (first.support, first.tried)
    assert (first.support > 0) == (name == "ssd_random")


def test_rows_hold_every_attack_and_what_the_stand_in_finds(
    world: World, probe: LinearProbe
) -> None:
    models = {"linear_probe": probe, "ssd": fit_one(world, "confounded", "ssd").model}
    told: list[float] = []
    found = {
        name: attack_contender(world, model, name, lambda title, cost: told.append(cost))
        for name, model in models.items()
    }
    rows = rows_of(world, "t", found, models)
    ssd = {(row.attack, row.threat_model, row.source) for row in rows if row.defense == "ssd"}
    searches, climbs = (
        ("named_edits", best_of(world)),
        ("ascent", "concept_ascent", "support_ascent"),
    )
    assert ssd == {
        ("", "clean", ""), *((name, "scores only", "") for name in searches),
        *((name, "white-box", "") for name in climbs), ("ascent", "BPDA", ""),
        *((name, "transfer", "dense stand-in") for name in (*searches, *climbs)),
        ("ascent", "transfer", "all others"),
    }  # fmt: skip
    assert sum(told) == 1 + 7, "what the progress bar was promised"
    others = next(r for r in rows if r.defense == "ssd" and r.source == "all others")
    shown = right(models["ssd"], found["linear_probe"].own[ASCENT].embeddings, world.test.labels)
    assert others.correct == "".join("01"[int(each)] for each in shown)
