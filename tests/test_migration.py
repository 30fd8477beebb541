"""Every snippet of ``docs/migration.md`` runs and prints what the page says."""

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "migration.md"
SECTIONS = {part.split("\n", 1)[0]: part for part in PAGE.read_text().split("\n## ")[1:]}
PEERS = ("sklearn", "spams")


def snippets(section: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("title", SECTIONS)
def test_the_snippets_print_what_the_page_says(title: str) -> None:
    section = SECTIONS[title]
    for peer in PEERS:
        if re.search(rf">>> (import|from) {peer}\b", section):
            pytest.importorskip(peer, reason=f"the section compares with {peer}")
    # A snippet may use the names of those above it in its section.
    names: dict[str, object] = {}
    for number, snippet in enumerate(snippets(section)):
        parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
        test = parser.get_doctest(snippet, names, f"{title}, snippet {number}", str(PAGE), 0)
        assert test.examples
        lines: list[str] = []
        runner.run(test, out=lines.append, clear_globs=False)
        assert not runner.failures, "".join(lines)
        names = test.globs


def test_no_snippet_is_left_out() -> None:
    text = PAGE.read_text()
    assert set(re.findall(r"^```(\w*)$", text, re.MULTILINE)) == {"python", ""}
    n_run = sum(len(snippets(section)) for section in SECTIONS.values())
    assert n_run == text.count("```python") > 8
    assert all(">>> " in each for section in SECTIONS.values() for each in snippets(section))
