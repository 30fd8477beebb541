"""An evaluation attacks everybody as told, says what each attacker knew, and never twice."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from networks import PLAN, Linear, Masked, Noisy, Stepped, make_split, make_task

from sparsedef.attacks import PGD
from sparsedef.data import Split
from sparsedef.defenses import Identity
from sparsedef.evaluation import (
    AttackPlan,
    Cache,
    Contender,
    Row,
    Task,
    evaluate,
    find_flags,
    fingerprint,
    runner,
    standard_plan,
    voids,
    worst_cases,
)
from sparsedef.evaluation.rows import UNBOUNDED


def run(task: Task, plan=PLAN, **more: object) -> list[Row]:  # type: ignore
    return evaluate(task, plan, is_silent=True, **more).rows  # type: ignore


def threats(rows: list[Row], defense: str, attack: str) -> set[str]:
    return {r.threat_model for r in rows if (r.defense, r.attack, r.check) == (defense, attack, "")}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    task = make_task(noisy=Noisy(Linear()), stepped=Stepped(Linear()))
    state = torch.get_rng_state()
    found = run(task)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random state was changed"
    return found


def test_every_row_names_what_the_attacker_knows(rows: list[Row]) -> None:
    assert threats(rows, "none", "pgd") == {"undefended"}
    assert threats(rows, "none", "square") == {"scores only"}
    assert threats(rows, "bilateral", "fgsm") == {"white-box", "gray-box"}
    assert threats(rows, "bilateral", "pgd") == {
        "white-box", "white-box, from gray-box images", "BPDA, identity", "gray-box"
    }  # fmt: skip
    assert threats(rows, "noisy", "pgd") == {
        "white-box, EOT", "white-box, EOT, from gray-box images", "BPDA, identity, EOT", "gray-box"
    }  # fmt: skip
    assert threats(rows, "noisy", "square") == {"scores only", "gray-box"}
    assert threats(rows, "stepped", "pgd") == {"BPDA", "BPDA, from gray-box images", "gray-box"}
    assert len({row.key for row in rows}) == len(rows)


def test_every_image_is_scored_once_in_every_row(rows: list[Row]) -> None:
    assert {row.n for row in rows} == {20}
    assert {row.draws for row in rows if row.defense == "noisy"} == {5}
    assert {row.draws for row in rows if row.defense != "noisy"} == {1}
    noisy = [row for row in rows if row.defense == "noisy"]
    assert all(row.always <= row.right_draws / 5 for row in noisy)
    assert any(row.always < row.n_right for row in noisy), "some answers differ between draws"


def test_attacks_win_where_they_must(rows: list[Row]) -> None:
    strongest = {"linf": 0.06, "l2": 0.1}
    for worst in worst_cases(rows):
        if worst.strength == strongest[worst.norm]:
            assert worst.accuracy < 1
    for row in rows:
        if row.check == UNBOUNDED:
            assert row.n_right == 0, row.defense
    bare = {r.strength: r.n_right for r in rows if (r.defense, r.attack) == ("none", "pgd")}
    assert bare[0.06] < bare[0.02] < 20


def test_the_row_is_what_the_attack_alone_finds() -> None:
    task = make_task(8)
    rows = run(task)
    attack = PGD(0.06, steps=4, seed=0, draws=3)
    found = attack(Identity(Linear()), task.test.images, task.test.labels)
    (row,) = [
        r for r in rows if (r.defense, r.attack, r.strength, r.check) == ("none", "pgd", 0.06, "")
    ]
    assert row.correct == "".join("0" if fell else "1" for fell in found.success)
    assert row.gradients == sum(found.health.asked)


def test_l2_strengths_are_one_radius_for_all_images() -> None:
    task = make_task(12)
    plan = replace(PLAN, attacks=(AttackPlan("pgd", (0.05,), "l2", {"steps": 5}),))
    radius = 0.05 * float(task.test.images.flatten(1).norm(dim=1).mean())
    found = evaluate(task, plan, is_silent=True).pictured["none", "undefended", 0.05]
    length = (found - task.test.images[: len(found)]).flatten(1).norm(dim=1)
    assert length.max() <= radius * (1 + 1e-4)
    assert length.max() > 0.9 * radius


def test_transfer_scores_what_was_made_on_each_bare_classifier() -> None:
    task = make_task(8)
    other = Contender(Identity(Linear()), None)
    task = replace(task, contenders={**task.contenders, "other": other})
    rows = run(task, replace(PLAN, with_transfer=True))
    made = {(r.defense, r.source) for r in rows if r.threat_model == "transfer"}
    assert made == {("none", "other"), ("bilateral", "other"), ("other", "none")}
    assert "white-box" in threats(rows, "other", "pgd")


def test_a_stopped_run_goes_on_to_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, whole = make_task(), run(make_task())
    real, ran = runner._Batch._run, []

    def stopping(self, job):  # type: ignore
        ran.append((self.seed, job.title, job.strengths, job.plan.check))
        if len(ran) == 30:
            raise KeyboardInterrupt
        return real(self, job)

    monkeypatch.setattr(runner._Batch, "_run", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(task, out=tmp_path)
    first = ran[:29]
    assert run(task, out=tmp_path) == whole
    assert not set(first) & set(ran[30:]), "a finished job was run again"
    del ran[30:]
    assert run(task, out=tmp_path) == whole
    assert len(ran) == 30, "nothing is computed again"


def test_another_classifier_setting_or_image_is_another_result(tmp_path: Path) -> None:
    cache = Cache(tmp_path, {})
    digests = {"none": "a", "bilateral": "c"}
    batch = runner._Batch(make_task(8), PLAN, 0, make_split(8), cache, digests)
    jobs = runner.plan_jobs(PLAN, make_task(8))
    paths = {cache.path("attack", batch._settings(jobs[0]))}
    batch.digests = {"none": "b", "bilateral": "c"}
    paths.add(cache.path("attack", batch._settings(jobs[0])))
    other = make_split(8)
    other = Split(other.images + 1e-3, other.labels, other.ids)
    batch = runner._Batch(make_task(8), PLAN, 0, other, cache, batch.digests)
    paths.add(cache.path("attack", batch._settings(jobs[0])))
    assert len(paths) == 3


def test_a_fingerprint_sees_weights_and_settings() -> None:
    from sparsedef.defenses import Bilateral

    one = Bilateral(torch.nn.Linear(2, 2))
    same = fingerprint(one)
    assert fingerprint(one.eval()) == same, "modes are no settings"
    with torch.no_grad():
        one.classifier.weight[0, 0] += 1e-6
    changed = fingerprint(one)
    one.sigma_color = 0.5
    assert len({same, changed, fingerprint(one)}) == 3


def test_a_defense_that_masks_gradients_is_caught_and_its_headline_void() -> None:
    task = make_task(40, masked=Masked())
    plan = standard_plan((0.02, 0.06), n_classes=4, quick=True, names=("pgd", "square"))
    rows = run(task, plan)
    flags = find_flags(rows)
    assert voids(rows, flags, "made", "masked") >= {
        "zero-gradient", "unbounded-survives", "scores-beat-gradients"
    }  # fmt: skip
    assert not voids(rows, flags, "made", "none")
    assert not voids(rows, flags, "made", "bilateral")


@pytest.mark.parametrize(
    ("attack", "more", "message"),
    [
        ("pgdd", {}, "attack must be one of"),
        ("cw_l2", {}, "cw_l2 has no norm 'linf'"),
        ("fgsm", {"options": {"stepz": 3}}, "fgsm has no option 'stepz'"),
        ("pgd", {"strengths": ()}, "strengths must be some numbers > 0"),
    ],
)
def test_a_wrong_plan_is_named(attack: str, more: dict, message: str) -> None:  # type: ignore
    with pytest.raises(ValueError, match=message):
        AttackPlan(attack, **{"strengths": (0.1,), **more})


def test_a_task_must_have_a_bare_classifier() -> None:
    bare = Contender(Linear(), None)
    with pytest.raises(ValueError, match="must have images and a contender 'none'"):
        Task("t", make_split(2), ("a",), {"only": bare})
    with pytest.raises(ValueError, match="bare of d must name another contender"):
        Task("t", make_split(2), ("a",), {"none": bare, "d": Contender(Linear(), "gone")})
