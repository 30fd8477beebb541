"""What SSD's tables say is what the rows say; who wins is decided by pairs."""

import json

import pytest
import torch
from torch import Tensor

from sparsedef.evaluation import Row, build_sections, find_flags, worst_cases
from sparsedef.evaluation.metrics import Difference, paired_difference
from sparsedef.reproduce.ssd_attacks import OTHERS, STAND_IN, Attacked, Findings
from sparsedef.reproduce.ssd_duel import Duel, search_table
from sparsedef.reproduce.ssd_pictures import choose, scene_words
from sparsedef.reproduce.ssd_reading import read_search
from sparsedef.reproduce.ssd_search import Condition, Outcome
from sparsedef.reproduce.ssd_tables import comparison, pixel_table
from sparsedef.reproduce.ssd_world import Association
from sparsedef.worlds import EDITS, draw_split

TASK = "shapeworld, clean heads"


def row(attack: str, threat: str, correct: str, source: str = "", defense: str = "ssd") -> Row:
    norm, strength = ("linf", 0.0) if threat == "clean" else ("semantic", 1.0)
    return Row(TASK, defense, attack, threat, norm, strength, correct, source=source)


ROWS = [
    row("", "clean", "1110"),
    row("named_edits", "scores only", "1110"),
    row("best_of_20", "scores only", "1010"),
    row("ascent", "white-box", "1010"),
    row("ascent", "BPDA", "1000"),
    row("ascent", "transfer", "0110", STAND_IN),
    row("named_edits", "transfer", "1100", STAND_IN),
    row("ascent", "transfer", "1110", OTHERS),
]


def test_the_comparison_puts_each_attack_in_its_column() -> None:
    table = comparison(TASK, "clean", ROWS, Association(0.97, 0.975, 0.97))
    line = dict(zip(table.head, table.lines[0], strict=True))
    assert line["clean"].startswith("75 [")
    assert line["named"] == "75"
    assert line["best of N"] == "50"
    assert line["ascent"] == "50"
    assert line["along"] == "25"
    assert line["stand-in"] == "25", "image by image over what was made there"
    assert line["others"] == "75"
    assert line["concept"] == "-", "not run is not shown"
    assert line["worst case"].startswith("0 [")
    assert "97.5 % achieved" in table.note


def test_semantic_rows_have_no_strength_in_json_and_come_back() -> None:
    values = json.loads(json.dumps(ROWS[3].to_json()))
    assert values["strength"] is None
    assert Row.from_json(values) == ROWS[3]
    assert ROWS[0].to_json()["strength"] == 0.0


def test_semantic_rows_are_read_in_a_section_of_their_own() -> None:
    pixels = Row(TASK, "ssd", "pgd-margin", "white-box", "linf", 1 / 255, "0000")
    rows = [*ROWS, pixels]
    sections = build_sections([*rows, *worst_cases(rows)])
    assert [section.norm for section in sections] == ["semantic", "linf"]
    assert sections[0].titles == ("clean", "edited")
    worst = next(r for r in worst_cases(rows) if r.norm == "semantic")
    assert worst.correct == "0000"
    assert worst_cases(rows)[1].correct == "0000", "pixels do not count among edits, nor back"


def test_a_search_that_beats_all_gradients_is_flagged() -> None:
    n = 40
    rows = [
        row("", "clean", "1" * n), row("ascent", "white-box", "1" * n),
        row("best_of_20", "scores only", "0" * n),
    ]  # fmt: skip
    (flag,) = find_flags(rows)
    assert (flag.code, flag.is_serious) == ("scores-beat-gradients", True)
    assert "at edited" in flag.message


def outcome(sparse: str, dense: str, gain: float = 0.0) -> Outcome:
    condition = Condition("confounded", "rich", 5)
    return Outcome(
        condition, 405, "signed, support 4", "whole", (20, 2), (0.5 + gain, 0.5), (1, 1),
        sparse, dense,
    )  # fmt: skip


def test_the_winner_is_decided_by_the_images_on_which_they_differ() -> None:
    both = "1" * 30
    assert outcome(both + "1" * 10, both + "0" * 10).verdict == "sparse"
    assert outcome(both + "0" * 10, both + "1" * 10).verdict == "dense"
    assert outcome(both + "1100", both + "0011").verdict == "tie"
    value, low, high = outcome(both + "1" * 10, both + "0" * 10).difference
    assert value == 0.25
    assert 0 < low < value < high
    table = search_table(
        [outcome("1111", "1100"), outcome(both, both)],
        [
            Duel(Condition("clean", "text", 0), "1100", "1000"),
            Duel(
                Condition("clean", "text", 5, "one group"), "1111", "1000",
                (Difference(0.25, -0.1, 0.5),),
            ),
        ],
    )  # fmt: skip
    assert table.lines[0][-2].startswith("+50 [")
    assert "(text; all labels; clean head): sparse 50, dense 25; difference +25" in table.note
    assert "(text; 5 labels a class; clean head; edits of one group): sparse 100" in table.note
    assert "Searched edits again, with other labels: +25 [-10 to +50]." in table.note


def test_a_sentence_names_a_few_conditions_and_counts_many() -> None:
    both = "1" * 30
    lost, won = outcome(both + "0" * 10, both + "1" * 10), outcome(both + "1" * 10, both + "0" * 10)
    duels = [Duel(Condition("clean", "text", 0), "1100", "1000")]
    few = read_search([lost, won], duels)[0]
    assert "sparse code wins beyond noise: rich; 5 labels a class; confounded head." in few
    assert "dense head wins: rich; 5 labels a class; confounded head." in few
    many = read_search([lost] * 7, duels)[0]
    assert "7 conditions. The sparse code wins beyond noise: nowhere." in many
    assert "dense head wins: in 7, see the table." in many


def test_the_paired_interval_covers_the_true_difference() -> None:
    """Of 400 draws of 60 pairs with a true difference of 0.2, about 95 % of intervals hold it."""
    generator = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(400):
        drawn = torch.rand(60, generator=generator)
        first = "".join("1" if u < 0.7 else "0" for u in drawn.tolist())
        second = "".join("1" if 0.1 < u < 0.6 else "0" for u in drawn.tolist())
        _, low, high = paired_difference(first, second)
        held += low <= 0.2 <= high
    assert 0.92 <= held / 400 <= 0.99
    with pytest.raises(ValueError, match="on the same samples, got 2 and 1"):
        paired_difference("11", "1")


def test_pixel_accuracies_stand_under_their_radius() -> None:
    rows = [
        Row(TASK, "ssd", "pgd-margin", "white-box", "linf", eps / 255, correct)
        for eps, correct in ((1, "1110"), (2, "1000"))
    ]
    table = pixel_table(rows)
    assert list(table.head) == ["classifier", "L∞ 1/255", "L∞ 2/255"]
    assert [cell.split()[0] for cell in table.lines[0][1:]] == ["75", "25"]


def attacked(*right: int) -> Attacked:
    nothing = torch.zeros(len(right), 1)
    return Attacked(nothing, nothing, torch.tensor(right, dtype=torch.bool))


def test_pictures_show_what_fell_and_what_stood() -> None:
    clean: Tensor = torch.tensor([True, True, True, True, False])
    findings = Findings(
        clean,
        {
            "ascent": attacked(1, 0, 1, 1, 0),
            "named_edits": attacked(1, 0, 1, 0, 0),
            "concept_ascent": attacked(1, 0, 1, 1, 0),
        },
        None,
        {},
    )
    chosen = choose(findings, 5)
    assert chosen[0] == ("ascent", 1), "first what fell, of what was right before"
    assert ("named_edits", 3) in chosen
    assert ("ascent", 0) in chosen, "and what withstood"
    assert all(scene != 4 for _, scene in chosen), "it was wrong before any edit"
    assert len({scene for _, scene in chosen}) == len(chosen)


def test_scenes_are_told_in_words() -> None:
    scenes = draw_split("test", 1)
    snowy = EDITS["wood"](EDITS["red"](EDITS["snow"](scenes.parameters)))
    assert scene_words(snowy) == "snow, red on wood"
