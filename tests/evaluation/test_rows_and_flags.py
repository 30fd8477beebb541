"""Worst cases and sanity flags follow from the outcomes, sample by sample."""

from dataclasses import replace

import pytest

from sparsedef.evaluation import (
    Row,
    build_sections,
    codes_of,
    find_flags,
    format_table,
    read,
    voids,
    worst_cases,
)
from sparsedef.evaluation.flags import Flag, told_once
from sparsedef.evaluation.rows import (
    LONGER,
    UNBOUNDED,
    describe_strength,
    gray_box_worst_cases,
    join,
)
from sparsedef.evaluation.threats import (
    BPDA,
    CLEAN,
    EOT,
    GRAY_BOX,
    IDENTITY,
    SCORES,
    TRANSFER,
    UNDEFENDED,
    WARM,
    WHITE_BOX,
    WORST_CASE,
    describe,
    kind_of,
    threat_model,
)

ADAPTIVE = WHITE_BOX
ADAPTIVE_WARM = threat_model(WHITE_BOX, WARM)


def row(threat: str, correct: str, strength: float = 0.1, **more: object) -> Row:
    values = {"task": "t", "defense": "d", "attack": "bim", "norm": "linf", **more}
    if threat == CLEAN:
        values |= {"attack": "", "norm": "linf"}
        strength = 0.0
    return Row(threat_model=threat, correct=correct, strength=strength, **values)  # type: ignore


CLEAN_ROW = row(CLEAN, "11110")


def codes(rows: list[Row]) -> list[str]:
    return [flag.code for flag in find_flags(rows)]


def test_accuracy_is_over_all_samples() -> None:
    one = row(ADAPTIVE, "1100000000")
    assert (one.n, one.n_right, one.accuracy) == (10, 2, 0.2)
    assert one.interval[0] < 0.2 < one.interval[1]
    assert Row.from_json(one.to_json()) == one


def test_worst_case_is_pointwise_over_all_attacks_of_no_more_strength() -> None:
    rows = [
        CLEAN_ROW,
        row(GRAY_BOX, "01111", 0.1),
        row(ADAPTIVE, "10110", 0.1),
        row(ADAPTIVE, "11111", 0.2),
        row(ADAPTIVE, "00000", 1.0, check=UNBOUNDED),
        row(ADAPTIVE, "11101", 0.1, norm="l2", attack="cw_l2"),
    ]
    found = {(r.norm, r.strength): r.correct for r in worst_cases(rows)}
    assert found == {
        ("linf", 0.1): "00110",
        ("linf", 0.2): "00110",  # what fell at 0.1 stays fallen
        ("l2", 0.1): "11100",
    }


def test_worst_case_is_never_above_any_row() -> None:
    rows = [CLEAN_ROW, row(GRAY_BOX, "01111"), row(ADAPTIVE, "10110"), row(ADAPTIVE, "11011", 0.3)]
    for worst in worst_cases(rows):
        for other in rows:
            if other.strength <= worst.strength:
                assert worst.accuracy <= other.accuracy


def test_a_healthy_table_raises_no_flag() -> None:
    rows = [
        row(CLEAN, "1" * 50),
        row(GRAY_BOX, "1" * 40 + "0" * 10),
        row(ADAPTIVE, "1" * 20 + "0" * 30, gradients=500),
        row(ADAPTIVE, "1" * 5 + "0" * 45, 0.2, gradients=500),
        row(ADAPTIVE, "0" * 50, 1.0, check=UNBOUNDED),
    ]
    assert codes(rows) == []


def test_useless_gradients_are_flagged_and_serious_when_many() -> None:
    few = row(ADAPTIVE, "10000", gradients=1000, zero_gradients=3)
    many = replace(few, zero_gradients=300)
    broken = replace(few, zero_gradients=0, nonfinite_gradients=1)
    assert [f.is_serious for f in find_flags([CLEAN_ROW, few])] == [False]
    assert [f.is_serious for f in find_flags([CLEAN_ROW, many])] == [True]
    assert codes([CLEAN_ROW, broken]) == ["nonfinite-gradient"]
    assert "30.0%" in find_flags([CLEAN_ROW, many])[0].message


def test_more_strength_with_more_accuracy_is_flagged_beyond_noise_only() -> None:
    clean = row(CLEAN, "1" * 40)
    weak, strong = "0" * 20 + "1" * 20, "1" * 20 + "0" * 3 + "1" * 17
    rows = [clean, row(ADAPTIVE, weak), row(ADAPTIVE, strong, 0.2)]
    assert codes(rows) == ["stronger-is-weaker"]
    rows[2] = row(ADAPTIVE, "1" * 2 + "0" * 19 + "1" * 19, 0.2)
    assert codes(rows) == []


def test_adaptive_attacks_that_lose_to_gray_box_are_flagged() -> None:
    clean = row(CLEAN, "1" * 40)
    gray = row(GRAY_BOX, "0" * 20 + "1" * 20)
    weak = row(ADAPTIVE, "1" * 40)
    assert [(f.code, f.is_serious) for f in find_flags([clean, gray, weak])] == [
        ("adaptive-loses", True)
    ]
    noise = row(ADAPTIVE, "1" + "0" * 18 + "1" * 21)
    assert [f.is_serious for f in find_flags([clean, gray, noise])] == [False]
    second = row(threat_model(BPDA, IDENTITY), "0" * 30 + "1" * 10)
    assert codes([clean, gray, weak, second]) == [], "adaptive attacks count together"
    warm = row(ADAPTIVE_WARM, "0" * 40)
    (flag,) = find_flags([clean, gray, weak, warm])
    assert flag.code == "adaptive-loses", "that gradients mislead is told"
    assert not flag.is_serious, "but begun at the gray-box images the attack is whole"
    assert "leave 20 fewer" in flag.message


def test_a_huge_radius_that_does_not_fool_everything_is_flagged() -> None:
    rows = [CLEAN_ROW, row(ADAPTIVE, "00001", 1.0, check=UNBOUNDED)]
    assert [(f.code, f.is_serious) for f in find_flags(rows)] == [("unbounded-survives", True)]


def full_table(bare: str, gray: str, adaptive: str) -> list[Row]:
    rows = [
        row(CLEAN, "1" * len(bare), defense="none"),
        row(CLEAN, "1" * len(bare)),
        row(UNDEFENDED, bare, defense="none"),
        row(GRAY_BOX, gray),
        row(ADAPTIVE, adaptive),
    ]
    return [*rows, *worst_cases(rows)]


def test_the_table_puts_what_counts_first() -> None:
    (section,) = build_sections(full_table("0" * 10, "1" * 8 + "00", "1" * 3 + "0" * 7))
    assert [line.threat_model for line in section.lines] == [
        WORST_CASE, WORST_CASE, WHITE_BOX, UNDEFENDED, GRAY_BOX
    ]  # fmt: skip
    assert [line.defense for line in section.lines][:2] == ["d", "none"]
    text = format_table(full_table("0" * 10, "1" * 8 + "00", "1" * 3 + "0" * 7))
    assert "accuracy in % of all 10 images" in text
    assert text.index("white-box") < text.index("gray-box")
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("gray", "adaptive", "says"),
    [
        (60, 20, ["gain of 40.0 points", "takes away all of the gray-box gain", "does not help"]),
        (60, 40, ["gain of 40.0 points", "takes away 50% of the gray-box gain", "beyond noise"]),
        (60, 60, ["no fewer than the gray-box attack", "may be missing"]),
        (20, 20, ["no gain to begin with"]),
        (22, 21, ["2.0 points more, within noise", "within noise"]),
    ],
)
def test_the_reading_follows_from_the_numbers(gray: int, adaptive: int, says: list[str]) -> None:
    outcomes = ["1" * n + "0" * (100 - n) for n in (20, gray, adaptive)]
    reading = read(full_table(*outcomes), "t", "d", "linf", 0.1)
    text = " ".join(reading.sentences)
    for part in says:
        assert part in text


def test_the_reading_refuses_a_table_without_adaptive_rows() -> None:
    rows = [r for r in full_table("01", "11", "01") if r.threat_model != ADAPTIVE]
    with pytest.raises(ValueError, match=r"must have rows of .*for d"):
        read(rows, "t", "d", "linf", 0.1)


def test_strengths_read_as_in_papers() -> None:
    assert describe_strength("linf", 8 / 255) == "8/255"
    assert describe_strength("linf", 0.05) == "0.05"
    assert describe_strength("l2", 0.05) == "0.05"


def test_gray_box_attacks_alone_are_no_worst_case() -> None:
    rows = [
        Row("t", "d", "", "clean", "linf", 0.0, "1111"),
        Row("t", "d", "bim", "gray-box", "linf", 0.1, "1101"),
        Row("t", "d", "fgsm", "gray-box", "linf", 0.2, "0111"),
    ]
    assert worst_cases(rows) == []
    assert [row.correct for row in gray_box_worst_cases(rows)] == ["1101", "0101"]
    rows.append(Row("t", "d", "bim", "white-box", "linf", 0.1, "1011"))
    assert [row.correct for row in worst_cases(rows)] == ["1001", "0001"]
    assert [row.correct for row in gray_box_worst_cases(rows)] == ["1101", "0101"]


def test_more_steps_that_leave_more_right_are_flagged_beyond_noise_only() -> None:
    clean = row(CLEAN, "1" * 40)
    short = row(ADAPTIVE, "0" * 20 + "1" * 20, steps=20)
    long = row(ADAPTIVE, "1" * 20 + "0" * 3 + "1" * 17, steps=80, check=LONGER)
    (flag,) = find_flags([clean, short, long])
    assert (flag.code, flag.is_serious) == ("longer-is-weaker", True)
    assert "of 20 steps" in flag.message
    assert codes([clean, short, replace(long, correct=short.correct)]) == []
    assert [r.correct for r in worst_cases([clean, short, long])] == ["0" * 23 + "1" * 17]


def test_scores_that_beat_gradients_are_flagged() -> None:
    clean = row(CLEAN, "1" * 40)
    masked = row(ADAPTIVE, "1" * 40, gradients=40)
    square = row(SCORES, "0" * 20 + "1" * 20, attack="square", steps=500)
    found = find_flags([clean, masked, square])
    assert [(f.code, f.is_serious) for f in found] == [("scores-beat-gradients", True)]
    assert codes_of(masked, [clean, masked, square], found) == ["scores-beat-gradients"]
    noise = replace(square, correct="0" * 2 + "1" * 38)
    assert [f.is_serious for f in find_flags([clean, masked, noise])] == [False]
    assert codes([clean, replace(masked, correct="0" * 20 + "1" * 20), square]) == []


def test_the_headline_is_void_only_where_no_gradient_was_healthy() -> None:
    clean = row(CLEAN, "11111")
    dead = row(ADAPTIVE, "11111", gradients=100, zero_gradients=90)
    rows = [clean, dead]
    assert voids(rows, find_flags(rows), "t", "d") == {"zero-gradient"}
    (worst,) = worst_cases(rows)
    assert codes_of(worst, rows, find_flags(rows)) == ["zero-gradient"]
    rows.append(row(ADAPTIVE, "10000", attack="pgd-margin", gradients=100))
    assert voids(rows, find_flags(rows), "t", "d") == set()


def test_an_unbounded_attack_that_fails_voids_unless_another_succeeds() -> None:
    rows = [CLEAN_ROW, row(ADAPTIVE, "00001", 1.0, check=UNBOUNDED)]
    assert voids(rows, find_flags(rows), "t", "d") == {"unbounded-survives"}
    rows.append(row(SCORES, "00000", 1.0, check=UNBOUNDED, attack="square"))
    assert voids(rows, find_flags(rows), "t", "d") == set()


def test_rows_of_groups_join_to_the_row_of_all() -> None:
    parts = [
        row(ADAPTIVE, "10", gradients=4, draws=3, right_draws=3, always=1),
        row(ADAPTIVE, "110", gradients=6, draws=3, right_draws=7, always=2),
    ]
    whole = join(parts)
    assert (whole.correct, whole.gradients, whole.right_draws, whole.always) == ("10110", 10, 10, 3)
    values = whole.to_json()
    assert values["accuracy_over_draws"] == pytest.approx(10 / 15)
    assert values["accuracy_in_every_draw"] == pytest.approx(3 / 5)


def test_a_threat_model_names_its_kind_and_variants() -> None:
    name = threat_model(WHITE_BOX, WARM, EOT)
    assert name == "white-box, EOT, from gray-box images"
    assert kind_of(name) == WHITE_BOX
    assert "random defense" in describe(name)
    with pytest.raises(AssertionError):
        row("guess-box", "1")


def test_a_transferred_attack_says_where_it_was_made() -> None:
    one = row(TRANSFER, "10", source="other", attack="pgd", steps=20)
    assert one.attack_title == "PGD-20 on other"
    assert one.key != replace(one, source="third").key


def test_what_many_attacks_share_is_told_once() -> None:
    zero = [Flag("zero-gradient", "t", "d", f"attack {i}", True) for i in range(3)]
    other = Flag("zero-gradient", "t", "e", "attack 0", True)
    note = Flag("zero-gradient", "t", "d", "hardly", False)
    told = told_once([zero[0], other, *zero[1:], note])
    assert [each.message for each in told] == [
        "attack 0 (and 2 more attacks alike)", "attack 0", "hardly"
    ]  # fmt: skip
    assert [each.defense for each in told] == ["d", "e", "d"]
