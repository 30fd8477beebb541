"""Tables in a paper's layout, findings and charts beside pictures, on the page and as text."""

import re

import pytest
import torch

from sparsedef.evaluation.pictures import png_uri
from sparsedef.evaluation.report import (
    Figure,
    Panel,
    PaperTable,
    Part,
    Report,
    Strip,
    TaskReport,
    render,
)

pytest.importorskip("jinja2")
pytest.importorskip("PIL.Image")

TABLE = PaperTable(
    "T", ["name", "about", "%"], [["a", "x <b>", "7"], ["bb", "yy", "100"]], "n", (1,)
)


def test_columns_of_words_begin_at_the_left_and_numbers_end_at_the_right() -> None:
    lines = TABLE.to_text().splitlines()
    assert lines[3:5] == ["a     x <b>    7", "bb    yy     100"]


def make_page() -> str:
    figure = Figure(png_uri(torch.rand(3, 4, 4)), "clean")
    strips = [
        Strip("with", [figure], charts=[Panel("a caption", '<svg class="chart"></svg>')]),
        Strip("without", [figure]),
    ]
    task = TaskReport("t", "somewhere", [], [], [Part("d", "", None, strips=strips)], [])
    return render(
        Report("Title", [], [task], [], 0, [], tables=[TABLE], findings=["a < b", "c wins"])
    )


def test_the_page_says_findings_before_the_tables() -> None:
    page = make_page()
    told = page.index("What the numbers say")
    assert told < page.index("a &lt; b") < page.index("c wins") < page.index("<h3>T</h3>")
    cells = re.findall(r"<td( class=\"words\")?>(.*?)</td>", page)
    assert [text for words, text in cells if words] == ["x &lt;b&gt;", "yy"]


def test_charts_stand_in_the_card_of_their_pictures() -> None:
    page = make_page()
    cards = re.findall(r'<div class="strip card( charted)?">(.*?)\n</div>', page, re.DOTALL)
    assert [bool(charted) for charted, _ in cards] == [True, False]
    assert '<svg class="chart"></svg>' in cards[0][1]
    assert "a caption" in cards[0][1]
    assert "svg" not in cards[1][1]
