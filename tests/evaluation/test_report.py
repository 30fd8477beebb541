"""The page holds its numbers, refers to nothing outside, and trusts no text."""

import base64
import io
import re
from html.parser import HTMLParser

import pytest
import torch

from sparsedef.evaluation import Flag, Row, build_sections, find_flags, read, worst_cases
from sparsedef.evaluation.pictures import difference, mosaic, png_uri
from sparsedef.evaluation.report import (
    Figure,
    Part,
    Report,
    Strip,
    TaskReport,
    chart,
    overview,
    render,
)
from sparsedef.evaluation.threats import CLEAN, GRAY_BOX, UNDEFENDED, WHITE_BOX

pytest.importorskip("jinja2")
Image = pytest.importorskip("PIL.Image")

ROWS = [
    Row("t", "none", "", CLEAN, "linf", 0.0, "1" * 20),
    Row("t", "d", "", CLEAN, "linf", 0.0, "1" * 19 + "0"),
    Row("t", "none", "bim", UNDEFENDED, "linf", 8 / 255, "1" * 3 + "0" * 17),
    Row("t", "d", "bim", GRAY_BOX, "linf", 8 / 255, "1" * 15 + "0" * 5),
    Row("t", "d", "bim", WHITE_BOX, "linf", 8 / 255, "1" * 7 + "0" * 13),
]


def make_page(note: str = "", voids: tuple[str, ...] = ()) -> str:
    every = [*ROWS, *worst_cases(ROWS)]
    panel, worst = chart(every, "BIM", "d", "bim", "linf"), overview(every, "Worst", "linf")
    assert panel is not None
    assert worst is not None
    figure = Figure(png_uri(torch.rand(3, 4, 4)), "clean", "7", True, (0, 0, 9, 9))
    part = Part(
        "d", "an example", read(every, "t", "d", "linf", 8 / 255), voids, [panel],
        [Strip("a sample", [figure])],
    )  # fmt: skip
    task = TaskReport(
        "t", "somewhere", [("images", "20")], [worst], [part], build_sections(every)
    )  # fmt: skip
    flags = [*find_flags(ROWS), Flag("code", "t", "d", note or "nothing", True)]
    return render(Report("Title", ["lead"], [task], flags, len(ROWS), [("Seeds", [("seed", "0")])]))


class Collector(HTMLParser):
    """Collects tags and attributes, and checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:  # type: ignore[type-arg]
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:  # type: ignore[type-arg]
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_stands_alone() -> None:
    page = make_page()
    collector = Collector()
    collector.feed(page)
    assert collector.open == []
    assert not {tag for tag, _, _ in collector.attributes} & {"script", "link", "iframe"}
    for _, name, value in collector.attributes:
        if name in ("src", "href"):
            assert value.startswith("data:")
    assert not re.search(r"https?://|@import|url\(", page)


def test_the_page_holds_the_numbers() -> None:
    page = make_page()
    for number in ("15.0", "75.0", "35.0", "8/255"):
        assert number in page
    low, high = ROWS[4].interval
    assert re.search(f"{100 * low:.1f}.{100 * high:.1f}", page)


def test_a_void_headline_says_why() -> None:
    assert "Not to be quoted" not in make_page()
    page = make_page(voids=("zero-gradient",))
    assert "void: zero-gradient" in page
    assert "Not to be quoted: zero-gradient" in page


def test_every_classifier_has_a_colour_in_the_overview() -> None:
    panel = overview([*ROWS, *worst_cases(ROWS)], "Worst", "linf")
    assert panel is not None
    assert sorted(panel.curves) == ["d", "none"]
    assert panel.svg.count("<polyline") == 2
    assert overview(ROWS, "Worst", "l2") is None


def test_text_is_escaped() -> None:
    assert "<script>" not in make_page("<script>alert(1)</script>")


def test_a_chart_has_a_point_for_each_row_and_names_it() -> None:
    panel = chart(ROWS, "a < b", "d", "bim", "linf")
    assert panel is not None
    assert panel.svg.count("<circle") == 6  # three curves, clean and attacked
    assert "d, white-box: 35.0%" in panel.svg
    assert "a &lt; b" in panel.svg
    assert chart(ROWS, "none", "d", "square", "linf") is None


def test_a_picture_keeps_its_pixels() -> None:
    image = torch.tensor([[[0.0, 1.0]], [[0.5, 0.25]], [[2.0, -1.0]]])
    uri = png_uri(image)
    decoded = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert decoded.size == (2, 1)
    assert [decoded.getpixel((i, 0)) for i in range(2)] == [(0, 128, 255), (255, 64, 0)]


def test_differences_are_amplified_around_grey() -> None:
    first = torch.full((3, 2, 2), 0.3)
    assert difference(first, first, 4).unique().tolist() == [0.5]
    torch.testing.assert_close(difference(first, first + 0.05, 4), torch.full((3, 2, 2), 0.7))


def test_a_mosaic_shows_every_atom_apart() -> None:
    atoms = torch.arange(5 * 12.0).view(5, 3, 2, 2)
    picture = mosaic(atoms, columns=3)
    assert picture.shape == (3, 5, 8)
    assert picture[:, 2].unique().tolist() == [0.5]
