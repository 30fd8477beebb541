"""CARSO's experiments, tiny: every table has its lines, and says what was measured."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sparsedef.commands import reproduce, reproduce_carso
from sparsedef.data import Split
from sparsedef.defenses import Identity
from sparsedef.defenses.carso import PRESETS, SHIPPED
from sparsedef.evaluation import Contender, Evaluation, Row, Task
from sparsedef.evaluation.rows import LONGER, UNBOUNDED
from sparsedef.reproduce.carso import Found
from sparsedef.reproduce.carso_paper import BASES
from sparsedef.reproduce.carso_sizes import FULL, QUICK, Amount
from sparsedef.reproduce.carso_tables import (
    attacks_table,
    first_sentence,
    health_table,
    paper_table,
    saturation_sentence,
    saturation_table,
    sweep_table,
)

STRENGTH = QUICK.strengths[-1]
TINY = replace(
    QUICK,
    base_epochs=(1, 1),
    purifier=replace(PRESETS["small"], condition=8, latent=4, width=8, epochs=1, attack_steps=1),
    n_images=4,
    n_samples=(1,),
    draws=2,
    sweep=(1, 2),
    steps=2,
    published_steps=2,
    queries=3,
)


def row(defense: str, threat: str, correct: str, **more: object) -> Row:
    values = {
        "task": "t", "attack": "apgd", "norm": "linf", "strength": STRENGTH, "gradients": 40,
        "steps": 10, **more,
    }  # fmt: skip
    return Row(defense=defense, threat_model=threat, correct=correct, **values)  # type: ignore


def found_of(rows: list[Row]) -> Found:
    names = ("none", "carso", "carso, fixed seed")
    model = Identity(torch.nn.Flatten())
    contenders = {n: Contender(model, None if n == "none" else "none") for n in names}
    split = Split(torch.zeros(4, 3, 8, 8), torch.zeros(4, dtype=torch.long), tuple("abcd"))
    task = Task("t", split, ("a", "b"), contenders)
    clean = [row(n, "clean", "1111", attack="", strength=0.0, gradients=0) for n in names]
    every = Evaluation(task, QUICK.plan(0, 128), [*clean, *rows], {})
    return Found(QUICK, every, every, "own", every, {1: every}, dict.fromkeys(names, 2.0))


ROWS = [
    row("none", "undefended", "1110"),
    row("carso", "white-box, EOT", "1101"),
    row("carso", "white-box, EOT", "0101", check=LONGER, attack="pgd-margin"),
    row("carso", "white-box, EOT", "0000", check=UNBOUNDED, attack="pgd-margin", strength=0.95),
    row("carso", "BPDA, features, EOT", "1110"),
    row("carso", "BPDA, literal float32 PeeL, EOT", "1111", nonfinite_gradients=30),
    row("carso", "gray-box", "1111", gradients=0),
    row("carso, fixed seed", "white-box", "1100"),
]


def test_the_papers_layout_keeps_apart_what_the_protocol_and_what_all_attacks_find() -> None:
    table = paper_table(found_of(ROWS))
    here = dict(zip(table.head, table.lines[0], strict=True))
    assert here["AT attacked"].startswith("75 [")
    assert here["CARSO, as published"].startswith("75 [")
    assert here["CARSO, all attacks"].startswith("25 [")  # the second image alone withstands
    assert here["fixed seed, all attacks"].startswith("50 [")
    assert len(table.lines) == 1 + len(BASES)
    for line in table.lines[1:]:  # what could not be checked is not shown
        assert line[3] == line[4] == "not checked"


def test_the_demonstration_says_how_much_the_protocol_would_have_reported_too_much() -> None:
    found = found_of(ROWS)
    lines = {line[0]: line for line in saturation_table(found).lines}
    assert lines["float32 PeeL, as published"][3] == "75.0%"
    assert lines["log domain"][3] == "0.0%"
    assert "3 of 4 images" in saturation_sentence(found)
    assert "75 points too much" in saturation_sentence(found)
    same = [row("carso", "BPDA, literal float32 PeeL, EOT", "0000")]
    assert "finds as much as all attacks" in saturation_sentence(found_of([ROWS[0], *same]))


def test_every_attack_is_listed_once_and_the_checks_after_the_results() -> None:
    lines = attacks_table(found_of(ROWS)).lines
    assert [line[1] for line in lines[1:5]] == [
        "white-box, EOT", "BPDA, features, EOT", "BPDA, literal float32 PeeL, EOT", "gray-box"
    ]  # fmt: skip
    assert [line[0].rpartition(", ")[2] for line in lines[5:7]] == ["longer", "must be 0"]
    assert lines[-1][:3] == ["any of them", "", "25 [5-70]"]
    assert len(lines) == 8


def test_health_does_not_hide_a_gradient_that_is_not_finite() -> None:
    verdicts = {line[0]: line[-1] for line in health_table(found_of(ROWS)).lines}
    assert verdicts["carso"] == "finite at every step"
    bad = [*ROWS, row("carso", "white-box, EOT", "1111", attack="bim", nonfinite_gradients=1)]
    verdicts = {line[0]: line[-1] for line in health_table(found_of(bad)).lines}
    assert verdicts["carso"].startswith("NOT FINITE")


def test_the_first_sentence_says_who_is_better_whoever_it_is() -> None:
    assert "2 images fewer of 4, within noise" in first_sentence(found_of(ROWS))
    better = [row("none", "undefended", "0000"), row("carso", "white-box, EOT", "1111")]
    better.append(row("carso", "BPDA, literal float32 PeeL, EOT", "1111"))
    assert "4 images more of 4" in first_sentence(found_of(better))


def test_full_runs_have_the_published_lengths() -> None:
    plan = FULL.plan(0, 128)
    bim = next(each for each in plan.attacks if each.attack == "bim")
    assert (bim.options["steps"], bim.options["step_size"], plan.draws) == (200, 0.007, 20)
    assert FULL.sweep == (1, 20, 100)
    assert {p.strengths[0] for p in plan.attacks if p.check == UNBOUNDED} == {0.95}
    assert 8 / 255 in FULL.strengths
    assert len(sweep_table(found_of(ROWS)).lines) == 1


def test_options_cut_the_protocol_and_the_page_says_so() -> None:
    parser = argparse.ArgumentParser()
    reproduce.add_arguments(parser)

    def amount(*options: str) -> Amount:
        return reproduce_carso.amount_of(parser.parse_args(["carso", *options]))

    assert amount("--images", "3") == replace(FULL, n_images=3)
    cut = amount("--steps", "20", "--draws", "5")
    assert (cut.steps, cut.published_steps, cut.queries) == (20, 40, 200)
    assert (cut.draws, cut.sweep, cut.has_autoattack) == (5, (1, 5, 25), False)
    assert amount("--strengths", "16/255", "4/255").strengths == (4 / 255, 16 / 255)
    arguments = parser.parse_args(["carso", "--steps", "20", "--draws", "5"])
    told = reproduce_carso._about(arguments, cut, "AutoAttack")
    assert "less than the paper's protocol: attacks of 20 steps and PGD of 40 with EOT 5" in told
    assert "Our own APGD stands in AutoAttack's place" in told
    assert "less than" not in reproduce_carso._about(arguments, amount("--images", "3"), "x")


def test_who_is_shipped_is_compared_with_purifiers_trained_alike() -> None:
    parser = argparse.ArgumentParser()
    reproduce.add_arguments(parser)
    for quick in ([], ["--quick"]):
        arguments = parser.parse_args(["carso", "--shipped", "--dataset", "shapeworld", *quick])
        amount = reproduce_carso.amount_of(arguments)
        assert amount.purifier == (QUICK.purifier if quick else SHIPPED["shapeworld"])
        told = reproduce_carso._about(arguments, amount, "x")
        assert ("those of the ablations trained briefly" in told) == bool(quick)


@pytest.mark.slow
def test_a_tiny_run_writes_the_page_and_goes_on_without_attacking_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setattr(reproduce_carso, "QUICK", TINY)
    parser = argparse.ArgumentParser()
    reproduce.add_arguments(parser)
    command = ["carso", "--quick", "--train-images", "48", "--size", "16", "--out", str(tmp_path)]
    for _ in range(2):
        assert reproduce.run(parser.parse_args(command)) == 0
    text = capsys.readouterr().out
    for title in ("the paper's table", "How saturation silences", "EOT sweep", "Ablations at"):
        assert title in text
    results = json.loads((tmp_path / "results.json").read_text())
    names = {each["defense"] for each in results["rows"]}
    assert {"none", "carso", "carso, fixed seed", "carso, n = 1", "carso, vote"} <= names
    assert {"no inner features", "denoiser only", "sparse code (not CARSO)"} <= names
    page = (tmp_path / "report.html").read_text()
    assert "none is here (--external FILE.py:build takes yours)" in page
    assert "drawn 2" in page


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    parser = argparse.ArgumentParser()
    reproduce.add_arguments(parser)
    for command, message in (
        (["--purifier", "p.pt"], "--purifier needs --base"),
        (["--base", "wrn-10-1-silu", "--weights", "nowhere.pt"], "nowhere.pt"),
        (["--base", "small_cnn", "--shipped"], "pass no --base beside it"),
        (["--dataset", "photographs", "--shipped"], "dataset must be one of"),
    ):
        arguments = ["carso", "--quick", "--out", str(tmp_path / "out"), *command]
        assert reproduce.run(parser.parse_args(arguments)) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("sparsedef reproduce carso:")
        assert message in error
