"""The paper's layout holds the paper's figures and ours, each in its place."""

import argparse
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sparsedef.commands import reproduce
from sparsedef.data import Split
from sparsedef.defenses import Bilateral, Identity
from sparsedef.evaluation import Contender, Evaluation, Row, Task
from sparsedef.evaluation.rows import LONGER
from sparsedef.reproduce.layout import ADAPTIVE, cells
from sparsedef.reproduce.regionsparse import EXPERIMENTS, purified
from sparsedef.reproduce.regionsparse_paper import COLUMNS, TABLE_2


def row(defense: str, threat: str, correct: str, **more: object) -> Row:
    values = {"task": "t", "attack": "bim-margin", "norm": "linf", "strength": 14 / 255, **more}
    return Row(defense=defense, threat_model=threat, correct=correct, **values)  # type: ignore


def clean(defense: str, correct: str = "1111") -> Row:
    return row(defense, "clean", correct, attack="", strength=0.0)


@pytest.fixture
def found() -> Evaluation:
    classifier = nn.Flatten()
    contenders = {
        "none": Contender(Identity(classifier), None),
        "fgsm_at": Contender(Identity(classifier), None),
        "regionsparse": Contender(Bilateral(classifier)),
        "regionsparse + fgsm_at": Contender(Bilateral(classifier), "fgsm_at"),
    }
    split = Split(torch.zeros(4, 3, 8, 8), torch.zeros(4, dtype=torch.long), tuple("abcd"))
    task = Task("t", split, ("a", "b"), contenders)
    rows = [
        *(clean(name) for name in contenders),
        row("none", "undefended", "1000"),
        row("fgsm_at", "white-box", "1100"),
        row("fgsm_at", "transfer", "1110", source="none"),
        row("fgsm_at", "transfer", "0000", source="other"),
        row("regionsparse", "gray-box", "1110"),
        row("regionsparse", "white-box", "1101"),
        row("regionsparse", "white-box, from gray-box images", "1010"),
        row("regionsparse", "white-box", "0000", steps=50, check=LONGER),
        row("regionsparse", "white-box", "0000", attack="bim_other"),
        row("regionsparse + fgsm_at", "gray-box", "1111"),
    ]
    plan = EXPERIMENTS["table 2"].plan(seed=0, quick=True)
    return Evaluation(task, plan, rows, {})


def test_table_2_puts_each_figure_in_its_place(found: Evaluation) -> None:
    table, known = EXPERIMENTS["table 2"].lay_out(found)
    assert len(table.head) == 3 + sum(len(strengths) for _, _, strengths in COLUMNS)
    assert table.head[7] == "BIM 14"
    lines = {(line[0], line[1]): line for line in _named(table.lines)}
    for name, paper in TABLE_2.items():
        assert lines[name, "paper"][2:] == [str(number) for number in paper]
    column = table.head.index("BIM 14")
    assert lines["none", "here"][column] == "25 [5-70]"
    assert lines["fgsm_at", "here, from none"][column] == "75 [30-95]"
    assert lines["fgsm_at", "here, adaptive"][column] == "50 [15-85]"
    assert lines["regionsparse", "here, gray-box"][column] == "75 [30-95]"
    assert lines["regionsparse", "here, adaptive"][column] == "25 [5-70]", "variants count together"
    assert lines["regionsparse", "here, gray-box"][column + 1] == "-", "not run is not shown"
    assert "BIM 14" in table.to_text()
    assert [list(line) for line in known.lines] == [
        ["bim-margin", "white-box", "75 [30-95]"],
        ["bim-margin", "white-box, from gray-box images", "50 [15-85]"],
        ["bim_other", "white-box", "0 [0-49]"],
        ["any of them", "", "0 [0-49]"],
    ]


def _named(lines):  # type: ignore
    """Lines with the name that stands in the first line of each group."""
    name = ""
    for line in lines:
        name = line[0] or name
        yield [name, *line[1:]]


def test_figures_show_the_adaptive_attack_beside_the_papers(found: Evaluation) -> None:
    tables = EXPERIMENTS["figure 5"].lay_out(found)
    bim = next(table for table in tables if ": BIM" in table.title)
    assert bim.head == ["method", "attack", "clean", "14/255"]
    lines = {(line[0], line[1]): line[-1] for line in _named(bim.lines)}
    assert lines["regionsparse", "gray-box"] == "75 [30-95]"
    assert lines["regionsparse", "adaptive"] == "25 [5-70]"
    assert "none differentiates through the defense" in bim.note


def test_cells_count_only_what_was_asked(found: Evaluation) -> None:
    assert cells(found, "fgsm_at", "bim", "linf", (14 / 255,), ("transfer",), source="other") == [
        "0 [0-49]"
    ]
    assert cells(found, "regionsparse", "bim", "l2", (14 / 255,), ADAPTIVE) == ["-"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs_the_papers_attacks_and_the_checks(name: str) -> None:
    for quick in (True, False):
        plan = EXPERIMENTS[name].plan(seed=0, quick=quick)
        names = {(each.attack, each.norm) for each in plan.attacks if not each.check}
        assert {(attack, norm) for attack, norm, _ in COLUMNS} <= names
        assert {each.check for each in plan.attacks} == {"", "longer", "unbounded"}


def test_images_are_cleaned_some_at_a_time() -> None:
    images = torch.rand(5, 3, 8, 8)

    class Half(Bilateral):
        def purify(self, images: Tensor) -> Tensor:
            assert len(images) <= 2
            return images / 2

    torch.testing.assert_close(purified(Half(nn.Flatten()), images, batch_size=2), images / 2)


@pytest.mark.slow
def test_the_command_writes_the_papers_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    parser = argparse.ArgumentParser()
    reproduce.add_arguments(parser)
    words = ["regionsparse", "--table", "2", "--quick", "--images", "6", "--dataset", "digits"]
    assert reproduce.run(parser.parse_args([*words, "--out", str(tmp_path)])) == 0
    assert "Table II of the paper" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["tables"][0]["head"][:3] == ["method", "attacker", "clean"]
    assert {row["defense"] for row in results["rows"]} == set(TABLE_2)
    assert "Table II of the paper" in (tmp_path / "report.html").read_text()
