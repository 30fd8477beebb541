"""The bars are as long as what they stand for, and add up to what is written above them."""

from xml.etree import ElementTree

import pytest
import torch

from sparsedef.defenses.semantic import Comparison, Explanation
from sparsedef.evaluation.concept_bars import draw_comparison, draw_explanation

NAMES = (
    "stripes",
    "five <pointed> tips",
    "a hole & a ring",
    "a very long concept of many words",
    "x",
)
WEIGHT = torch.tensor([[2.0, -1.0, 0.5, 1.0, 3.0], [-1.0, 2.0, 0.5, 0.0, 1.0]])


def make(codes: list[float]) -> Explanation:
    amounts = torch.tensor(codes)
    one, other = amounts * WEIGHT[0], amounts * WEIGHT[1]
    logits = torch.stack([one.sum() + 0.25, other.sum() - 0.25])
    return Explanation(NAMES, amounts, logits, 0, 1, one, other, 0.25, -0.25, 0.5)


CLEAN, ATTACKED = make([1.0, 0.2, 0.4, 0.0, 0.0]), make([0.1, 0.9, 0.4, 0.3, 0.0])


class Picture:
    """An SVG, read back: its texts, and its bars by concept and colour."""

    def __init__(self, svg: str) -> None:
        self.root = ElementTree.fromstring(svg)
        self.texts = [each.text or "" for each in self.root.iter("text")]
        line = next(self.root.iter("line"))
        self.zero = float(line.attrib["x1"])
        self.bars: dict[tuple[str, str], float] = {}
        for group in self.root.iter("g"):
            title = group.find("title")
            assert title is not None
            assert title.text is not None
            for bar in group.iter("rect"):
                start, width = float(bar.attrib["x"]), float(bar.attrib["width"])
                name = title.text.rsplit(":", 1)[0]
                style = bar.attrib["class"].removeprefix("bar bar-")
                is_right = abs(start - self.zero) < 0.11
                assert is_right or abs(start + width - self.zero) < 0.11
                self.bars[name, style] = width if is_right else -width


def test_bars_are_as_long_as_the_contributions() -> None:
    picture = Picture(draw_explanation(CLEAN))
    scale = picture.bars["stripes", "label"] / 2.0
    for i, name in enumerate(NAMES):
        for style, values in (
            ("label", CLEAN.contributions),
            ("rival", CLEAN.rival_contributions),
        ):
            drawn = picture.bars.get((name, style), 0.0)
            assert drawn == pytest.approx(scale * float(values[i]), abs=0.11)
    assert picture.bars["bias", "rival"] == pytest.approx(-0.25 * scale, abs=0.11)


def test_the_keys_tell_the_logits() -> None:
    for top in (1, 2, 8):
        picture = Picture(draw_explanation(CLEAN, top=top, classes=["star", "disc & ring"]))
        assert f"for star: {float(CLEAN.logits[0]):.2f}" in picture.texts
        assert f"for disc & ring: {float(CLEAN.logits[1]):.2f}" in picture.texts


def test_what_has_no_bar_of_its_own_is_summed() -> None:
    picture = Picture(draw_explanation(CLEAN, top=1))
    assert {name for name, _ in picture.bars} == {"stripes", "2 more concepts", "bias"}
    scale = picture.bars["stripes", "label"] / 2.0
    rest = float(CLEAN.contributions[1:].sum())
    assert abs(picture.bars.get(("2 more concepts", "label"), 0.0) - scale * rest) < 0.11


def test_a_comparison_shows_margins_before_and_after() -> None:
    picture = Picture(draw_comparison(Comparison(CLEAN, ATTACKED, {}), classes=["star", "ring"]))
    assert picture.texts[0] == "What each concept says for star against ring"
    for style, each in (("clean", CLEAN), ("attacked", ATTACKED)):
        assert f"{style}: {float(each.logits[0] - each.logits[1]):.2f}" in picture.texts
    scale = picture.bars["stripes", "clean"] / 3.0
    assert picture.bars["stripes", "attacked"] == pytest.approx(0.3 * scale, abs=0.11)
    assert picture.bars["five <pointed> tips", "attacked"] == pytest.approx(-2.7 * scale, abs=0.11)
    assert (NAMES[3], "clean") not in picture.bars
    assert not any(name == "x" for name, _ in picture.bars)


def test_what_changed_most_comes_first() -> None:
    svg = draw_comparison(Comparison(CLEAN, ATTACKED, {}), top=2)
    order = [svg.index(word) for word in ("stripes:", "five", "1 more concept:", "bias:")]
    assert order == sorted(order)


def test_long_names_are_cut_but_told_in_full_on_hovering() -> None:
    picture = Picture(draw_comparison(Comparison(CLEAN, ATTACKED, {})))
    assert "a very long concept of many\u2026" in picture.texts
    assert (NAMES[3], "attacked") in picture.bars


def test_bars_and_numbers_stay_inside_the_picture() -> None:
    huge = make([1000.0, 0.0, 0.0, 0.0, -900.0])
    picture = Picture(draw_explanation(huge))
    width = float(picture.root.attrib["viewBox"].split()[2])
    for bar in picture.root.iter("rect"):
        assert float(bar.attrib["x"]) >= 0
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= width
    nothing = Picture(draw_explanation(make([0.0] * 5)))
    assert {name for name, _ in nothing.bars} == {"bias"}


def test_nothing_is_taken_from_outside() -> None:
    svg = draw_explanation(CLEAN)
    for word in ("http", "href", "script", "style=", "url("):
        assert word not in svg
