"""Answers of language models: whatever the form, the phrases come out and the talk does not."""

import pytest

from sparsedef.concepts.answers import parse_answer

WANTED = ("long tail", "sharp claws", "whiskers")
FORMS = {
    "plain lines": "long tail\nsharp claws\nwhiskers\n",
    "dashes": "- long tail\n- sharp claws\n- whiskers",
    "bullets with blank lines": "  \u2022 long tail\n\n  \u2022 sharp claws\n\n  \u2022 whiskers",
    "numbers": "1. long tail\n2. sharp claws\n3. whiskers",
    "numbers in brackets": "(1) long tail\n(2) sharp claws\n(3) whiskers",
    "letters": "a) long tail\nb) sharp claws\nc) whiskers",
    "talk around": "Sure! Some are:\n\n* long tail\n* sharp claws\n* whiskers\n\nAsk for more!",
    "talk without bullets": "Here are some:\nlong tail\nsharp claws\nwhiskers\nAnything else?",
    "markdown": "**Features**\n\n1. **long tail**\n2. *sharp claws*\n3. `whiskers`",
    "explanations": "- long tail: with bands\n- **sharp claws** \u2013 hidden\n- whiskers - thin",
    "asides": "- long tail (striped, often)\n- sharp claws (hidden): yes\n- whiskers",
    "one line": "long tail, sharp claws, and whiskers.",
    "one line after talk": "Here you are:\nlong tail; sharp claws; whiskers",
    "json": '["long tail", "sharp claws", "whiskers"]',
    "json in a fence": '```json\n[\n  "long tail",\n  "sharp claws",\n  "whiskers"\n]\n```',
    "json object": '{"class": "cat", "features": ["long tail", "sharp claws", "whiskers"]}',
    "json of objects": (
        '[{"name": "long tail", "why": "x"}, {"name": "sharp claws", "why": "y"},'
        ' {"name": "whiskers", "why": "z"}]'
    ),
    "json after talk": 'As you asked: ["long tail", "sharp claws", "whiskers"] Fine?',
    "broken json": '["long tail", "sharp claws", "whiskers",',
    "thoughts first": "<think>\n- legs?\n- fur?\n</think>\nlong tail\nsharp claws\nwhiskers",
    "the same again": "- long tail\n- sharp claws\n- Long tail\n- whiskers\n- sharp claws",
    "quotes": '- "long tail"\n- \u201csharp claws\u201d\n- whiskers,',
    "with a refusal": "- long tail\n- sharp claws\n- whiskers\n- I cannot name more",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_list_is_read(form: str) -> None:
    assert parse_answer(FORMS[form]) == WANTED


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "\n \n",
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, but I can\u2019t help with that, or with that.",
        "As an AI, I do not see pictures.",
        "None",
        "[]",
        "<think>\n- long tail\n- and so on, without an end",
        "The animal has a great many things that one could tell it by when one looks.",
    ],
)
def test_an_answer_without_a_list_gives_nothing(answer: str) -> None:
    assert parse_answer(answer) == ()


def test_a_cut_answer_loses_its_last_phrase() -> None:
    assert parse_answer("- long tail\n- sharp cl", is_cut=True) == ("long tail",)
    assert parse_answer("long tail, sharp cl", is_cut=True) == ("long tail",)


def test_hyphens_inside_a_phrase_stay() -> None:
    answer = "- wedge-shaped head\n- black-and-white coat"
    assert parse_answer(answer) == ("wedge-shaped head", "black-and-white coat")
