"""Edits without a radius in an evaluation: rows without strength, worst cases of their own."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sparsedef.attacks import Appearance, Recolour
from sparsedef.data import Split
from sparsedef.defenses import Identity
from sparsedef.evaluation import (
    EDITS,
    AttackPlan,
    Cache,
    Contender,
    Plan,
    Task,
    Words,
    evaluate,
    standard_plan,
    worst_cases,
    write_pages,
)
from sparsedef.evaluation.rows import SEMANTIC, WHOLE

QUICK = {
    "recolour": {"trials": 8},
    "appearance": {"steps": 3, "samples": 2},
}


class Redness(nn.Module):
    """Class 0 where the picture is more red than blue: recolouring breaks it, light does not."""

    def forward(self, images: Tensor) -> Tensor:
        red, _, blue = images.mean((2, 3)).unbind(1)
        return 10 * torch.stack([red - blue, blue - red], 1)


@pytest.fixture
def task() -> Task:
    generator = torch.Generator().manual_seed(0)
    images = 0.35 + 0.1 * torch.rand(6, 3, 12, 12, generator=generator)
    images[:, 0] += 0.12
    split = Split(images, torch.zeros(6, dtype=torch.long), tuple(f"a/{i}" for i in range(6)))
    model = Redness().eval()
    contenders = {"none": Contender(Identity(model).eval(), None)}
    return Task("colours", split, ("red", "blue"), contenders)


def plan(*names: str, **options: dict[str, object]) -> Plan:
    attacks = [
        AttackPlan(name, (WHOLE,), SEMANTIC, options.get(name, QUICK.get(name, {})))
        for name in names
    ]
    return Plan(tuple(attacks), batch_size=4)


def test_rows_are_what_the_attacks_find(task: Task) -> None:
    found = evaluate(task, plan("recolour", "appearance"), is_silent=True)
    rows = {row.attack: row for row in found.rows if row.threat_model != "clean"}
    assert {row.norm for row in rows.values()} == {SEMANTIC}
    assert rows["recolour"].threat_model == "scores only"
    assert rows["appearance"].threat_model == "undefended"
    model, images, labels = task.contenders["none"].model, task.test.images, task.test.labels
    for name, kind in (("recolour", Recolour), ("appearance", Appearance)):
        parts = []
        for batch in range(2):
            rows_of = slice(4 * batch, 4 * batch + 4)
            attack = kind(**QUICK[name], seed=batch)
            parts.append(attack(model, images[rows_of], labels[rows_of]).success)
        expected = "".join("01"[not fell] for fell in torch.cat(parts).tolist())
        assert rows[name].correct == expected, "not stretched to any length"
    (worst,) = worst_cases(found.rows)
    pairs = zip(rows["recolour"].correct, rows["appearance"].correct, strict=True)
    assert worst.correct == "".join(min(pair) for pair in pairs)
    assert rows["recolour"].accuracy < 1


def test_edits_made_elsewhere_are_found_by_the_images_names(task: Task, tmp_path: Path) -> None:
    pictures = pytest.importorskip("PIL.Image")

    def put(name: str, red: int, blue: int) -> None:
        folder = tmp_path / "edits" / name
        folder.mkdir(parents=True, exist_ok=True)
        pictures.new("RGB", (12, 12), (red, 90, blue)).save(folder / "snow.png")

    for i, name in enumerate(task.test.ids):
        put(name, 200, 20) if i % 2 else put(name, 20, 200)
    folder_plan = plan("edited_folder", edited_folder={"edits": str(tmp_path / "edits")})
    cache = Cache(tmp_path / "cache", {})
    found = evaluate(task, folder_plan, cache=cache, is_silent=True)
    assert found.rows[-1].correct == "010101"
    put(task.test.ids[0], 200, 20)
    again = evaluate(task, folder_plan, cache=cache, is_silent=True)
    assert again.rows[-1].correct == "110101", "a picture that changed is looked at again"


def test_pages_show_edits_beside_radii(task: Task, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("PIL")
    mixed = standard_plan((4 / 255,), n_classes=2, quick=True, names=("fgsm", "recolour"))
    found = evaluate(task, mixed, is_silent=True)
    write_pages(tmp_path, [found], {}, Words("t", ["l"]))
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert {row["strength"] for row in rows if row["norm"] == SEMANTIC} == {None}
    assert {row["norm"] for row in rows if row["threat_model"] == "worst case"} == {
        "linf", SEMANTIC,
    }  # fmt: skip
    page = (tmp_path / "report.html").read_text()
    assert "semantic edits (they have no radius)" in page


def test_only_edits_need_no_strengths() -> None:
    chosen = standard_plan((), names=tuple(name for name in EDITS if name != "edited_folder"))
    assert {each.norm for each in chosen.attacks} == {SEMANTIC}
    assert not any(each.check for each in chosen.attacks)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AttackPlan("recolour", (0.5,), SEMANTIC), r"no radius, must be \(1.0,\)"),
        (lambda: AttackPlan("recolour", (1.0,), "linf"), "recolour has no norm 'linf'"),
        (lambda: AttackPlan("pgd", (1.0,), SEMANTIC), "pgd has no norm 'semantic'"),
        (lambda: standard_plan((), names=("edited_folder",)), "needs edits, a folder"),
    ],
    ids=["strength", "norm", "pgd", "folder"],
)
def test_mistakes_are_named(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make()
