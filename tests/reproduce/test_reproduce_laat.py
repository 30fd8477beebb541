"""``sparsedef reproduce laat``: each figure in its place, and the whole run in small."""

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sparsedef.commands import reproduce, reproduce_laat
from sparsedef.data import Split
from sparsedef.data.compositions import load_compositions
from sparsedef.defenses.laat import blend, shapeworld_texts
from sparsedef.defenses.laat.schedules import SCHEDULES
from sparsedef.evaluation import Cache, Contender, Evaluation, Row, Task
from sparsedef.evaluation.episodes import Episode, EpisodeEvaluation
from sparsedef.reproduce import laat
from sparsedef.reproduce.laat import Found, auto_plan, contenders_of, train_all, zero_shot_plan
from sparsedef.reproduce.laat_methods import METHODS, Network, Setting, train_method
from sparsedef.reproduce.laat_pictures import cosine_picture
from sparsedef.reproduce.laat_shots import Shots, _few_shot, divide
from sparsedef.reproduce.laat_sizes import QUICK, Sizes
from sparsedef.reproduce.laat_tables import (
    anchors_table,
    claim_table,
    first_sentence,
    general_table,
    shots_table,
    zero_shot_table,
)
from sparsedef.training import Trained

EPS = SCHEDULES["shapeworld"].eps


@pytest.fixture(scope="module")
def setting() -> Setting:
    data = load_compositions(size=16, n_train=40, n_validation=30, n_test=60)
    return Setting(data, *shapeworld_texts(), SCHEDULES["shapeworld"], is_silent=True)


def network(name: str, setting: Setting, *, has_anchors: bool = True) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(768, 128)).requires_grad_(False)
    anchors = setting.anchors("expanded") if has_anchors else None
    return Network(name, encoder, anchors, Trained([1.0], [0.5], 0), 10)


def row(defense: str, attack: str, correct: str, strength: float, **more: Any) -> Row:
    threat = "clean" if not attack else "white-box"
    return Row("t", defense, attack, threat, "linf", strength, correct, **more)


def evaluation(outcomes: dict[str, dict[str, str]], labels: torch.Tensor) -> Evaluation:
    contenders = {name: Contender(nn.Flatten(), None) for name in outcomes}
    ids = tuple(map(str, range(len(labels))))
    split = Split(torch.zeros(len(labels), 3, 2, 2), labels, ids)
    task = Task("t", split, ("a", "b"), contenders)
    rows = [
        row(name, attack, correct, {"": 0.0, "pgd8": 2 * EPS}.get(attack, EPS))
        if attack != "pgd8" else row(name, "pgd", correct, 2 * EPS)
        for name, own in outcomes.items()
        for attack, correct in own.items()
    ]  # fmt: skip
    return Evaluation(task, zero_shot_plan(EPS, QUICK, 0), rows, {})


@pytest.fixture
def found(setting: Setting) -> Found:
    labels = torch.tensor([0, 0, 1, 1])
    episodes = [Episode((0, 1), (0, 2)), Episode((0, 1), (1, 3))]
    place = {((0, 1), i): i for i in range(4)}
    attacked = {"": "1111", "fgsm": "1110", "pgd": "1100", "cw_linf": "0101", "pgd8": "0000"}
    zero_shot = evaluation({"none": attacked, "laat": attacked, "raw anchors": attacked}, labels)
    auto = evaluation(
        {"none": {"": "1111", "autoattack": "0000"}, "laat": {"": "1110", "autoattack": "1101"},
         "raw anchors": {"": "1111", "autoattack": "1000"}}, labels,
    )  # fmt: skip
    general = evaluation({"none": {"": "1101", "pgd": "1000"}}, torch.tensor([0, 1, 14, 15]))
    networks = {name: network(name, setting) for name in ("none", "laat", "raw anchors")}
    shots = [
        Shots("laat", "blended", 0, (0.6, 0.8), (0.4, 0.6)),
        Shots("laat", "images", 5, (0.9, 0.9), (0.5, 0.5)),
    ]
    return Found(
        setting, QUICK, networks, {"fare": "no clip"},
        EpisodeEvaluation(zero_shot, episodes, place), EpisodeEvaluation(auto, episodes, place),
        "AutoAttack", general, shots,
    )  # fmt: skip


def test_the_claim_counts_what_is_right_clean_and_attacked_and_its_difference(found: Found) -> None:
    lines = {line[0]: line[1:] for line in claim_table(found).lines}
    assert lines["laat"][1].startswith("50.0 [")  # 1110 and 1101
    assert lines["raw anchors"][1].startswith("25.0 [")
    assert lines["laat"][2] == "50.0 ±0.0"  # each episode has one of its two images right
    assert lines["expanded minus raw"][1].startswith("+25.0 [")
    told = first_sentence(found)
    assert "2 of 4" in told
    assert told.endswith("no difference beyond noise.")


def test_zero_shot_figures_are_means_over_episodes_and_the_last_is_the_worst(found: Found) -> None:
    table = zero_shot_table(found, ["laat"], "Zero-shot")
    assert [head.split()[0] for head in table.head[1:6]] == [
        "clean", "FGSM", "PGD-20", "CW-LINF-30", "PGD-20",
    ]  # fmt: skip
    means = [cell.split()[0] for cell in table.lines[0][1:]]
    assert means == ["100.0", "75.0", "50.0", "50.0", "0.0", "25.0"]
    assert "fare: not run, no clip" in table.note


def test_generalised_figures_hold_seen_and_unseen_apart(found: Found) -> None:
    (line,) = general_table(found).lines
    assert line[1:] == ["100.0", "50.0", "66.7", "50.0", "0.0", "0.0"]


def test_few_shot_figures_stand_under_their_number_of_images(found: Found) -> None:
    table = shots_table(found)
    assert table.head == ["method", "zero-shot", "5-shot"]
    by = {line[0]: line[1:] for line in table.lines}
    assert by["laat, blended"][0].startswith("70 / 50.0 ±")
    assert by["laat, images"] == ["-", "90 / 50.0 ±0.0"]


def test_the_expansion_lowers_the_mean_cosine_on_seen_and_unseen_classes(setting: Setting) -> None:
    by = {line[0]: [float(cell.split()[0]) for cell in line[1:]] for line in
          anchors_table(setting).lines}  # fmt: skip
    for before, after in zip(by["raw"], by["expanded"], strict=True):
        assert after < before - 0.1
    picture = cosine_picture(setting, "raw")
    assert torch.equal(picture[:, 0, 0], torch.tensor([1.0, 0.0, 0.0]))  # an anchor with itself


def test_prototypes_come_from_images_that_are_not_classified(setting: Setting) -> None:
    supports, queries = divide(setting.data.test, 5)
    assert not set(supports.ids) & set(queries.ids)
    assert supports.labels.bincount()[list(setting.data.unseen)].tolist() == [5] * 5
    networks = {"at": network("at", setting, has_anchors=False), "laat": network("laat", setting)}
    build = contenders_of(networks, supports)(setting.data.unseen)
    assert list(build) == ["at, 5-shot", "laat", "laat, attacked at T=0.01"]
    images = queries.images[:4]
    sharp, plain = build["laat, attacked at T=0.01"].model, build["laat"].model
    torch.testing.assert_close(sharp(images), 100 * plain(images))
    moved = contenders_of(networks, queries)(setting.data.unseen)
    assert not torch.equal(moved["at, 5-shot"].model.anchors, build["at, 5-shot"].model.anchors)


def test_a_blend_of_an_episode_is_of_its_own_texts_and_images(setting: Setting) -> None:
    test, net = setting.data.test, network("laat", setting)
    classes = setting.data.unseen[:2]
    rows = [torch.nonzero(test.labels == label)[:2, 0].tolist() for label in classes]
    episode = Episode(tuple(classes), (), tuple(rows[0] + rows[1]))
    found = _few_shot(net, "blended", 2, test, episode)
    labels = torch.tensor([0, 0, 1, 1])
    means = net.means(test.images[rows[0] + rows[1]], labels, 2)
    expected = blend(net.zero_shot(tuple(classes)).anchors, means, 2)
    torch.testing.assert_close(found.anchors, expected)


def test_autoattack_has_a_named_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    name, plan = auto_plan(EPS, 0)
    assert name == "APGD and APGD-T (own)"
    assert [each.attack for each in plan.attacks] == ["apgd", "apgd_t"]


def test_methods_that_cannot_run_are_told_with_the_reason(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    networks, missing = train_all(Cache(tmp_path, {}), setting, ["tecoa"], lambda title: None)
    assert not networks
    assert "open_clip" in missing["tecoa"]


def test_every_method_trains_and_a_second_call_takes_it_from_the_cache(
    setting: Setting, tmp_path: Path
) -> None:
    from dataclasses import replace

    data = load_compositions(size=16, n_train=240, n_validation=60, n_test=10)
    schedule = replace(setting.schedule, epochs=1, steps=1)
    small = replace(setting, data=data, schedule=schedule)
    told: list[str] = []
    for name in METHODS:
        if METHODS[name].head == "clip":
            continue
        first = train_method(Cache(tmp_path, {}), name, small, told.append)
        again = train_method(Cache(tmp_path, {}), name, small, told.append)
        assert told == [f"training {name}"]
        told.clear()
        for key, value in first.encoder.state_dict().items():
            assert torch.equal(again.encoder.state_dict()[key], value)
        assert first.looks == 240 * {"none": 1}.get(
            name, 2 if "smoothness" in name or name in ("at", "aq") else 3
        )
    assert not list(tmp_path.glob("*.checkpoint"))


@pytest.mark.slow
def test_the_smallest_run_writes_tables_and_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("PIL")
    tiny = Sizes(
        episodes=4, queries=2, auto_episodes=1, auto_methods=("laat", "raw anchors"),
        shots=(1,), shot_episodes=2, shot_queries=2, supports=5, held_out=20, longer=25,
    )  # fmt: skip
    monkeypatch.setattr(reproduce_laat, "QUICK", tiny)
    monkeypatch.setattr(reproduce_laat, "QUICK_TESTS", 100)
    monkeypatch.setattr(laat, "auto_plan", lambda eps, seed: ("FGSM", laat.Plan(
        (laat.AttackPlan("fgsm", (eps,)),), seed=seed, n_pictures=0)))  # fmt: skip
    parser = argparse.ArgumentParser()
    reproduce.add_arguments(parser)
    command = [
        "laat", "--quick", "--epochs", "1", "--train-images", "200", "--out", str(tmp_path),
        "--methods", "laat", "raw anchors", "aq",
    ]  # fmt: skip
    texts = []
    for _ in range(2):  # the second takes all from the cache
        assert reproduce.run(parser.parse_args(command)) == 0
        texts.append((tmp_path / "results.json").read_text())
    assert texts[0] == texts[1]
    results = json.loads(texts[0])
    assert results["tables"][0]["title"].startswith("Expanded against raw anchors")
    assert len(results["tables"]) == 7
    assert {"rows", "flags", "tasks", "settings", "versions"} <= set(results)
    rows = [r for r in results["rows"] if r["defense"] == "laat" and r["attack"] == "pgd"]
    assert {"accuracy", "ci_low", "ci_high", "correct", "threat_model"} <= set(rows[0])
    assert results["settings"]["seed"] == 0
    page = (tmp_path / "report.html").read_text()
    for words in ("This is a quick run", "Generalised zero-shot", "Cosines of all pairs"):
        assert words in page
    assert page.count('<section class="card">') == 6  # of laat and raw anchors, in three tasks
    assert "expanded minus raw" in capsys.readouterr().out
