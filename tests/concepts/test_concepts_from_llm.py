"""Concepts from a language model: each question asked once, over the wire as the client does it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from chat_server import completion, serve

from sparsedef.concepts import Concept, concepts_from_llm, load_prompts
from sparsedef.concepts.answer_cache import Answer, AnswerCache, Question

CLASSES = ["cat", "dog"]


def answer(body: dict[str, Any]) -> "tuple[int, Any]":
    """Features or kinds, the class's own first; the second draw says the same again."""
    prompt = body["messages"][0]["content"]
    name = next(each for each in CLASSES if each in prompt)
    if "kinds" in prompt:
        return 200, completion("mammal\nanimal")
    return 200, completion(f"- {name}-like head\n- four legs")


def fill(path: Path, text: str, n_draws: int = 1, is_cut: bool = False) -> None:
    cache = AnswerCache(path)
    for name in CLASSES:
        for prompt in load_prompts().values():
            for draw in range(n_draws):
                question = Question("m", 0.7, prompt.replace("{class}", name), name, draw)
                cache.put(question, Answer(text, is_cut))


@pytest.fixture
def _client() -> None:
    pytest.importorskip("openai", reason="the package openai is not installed")


def test_the_prompts_ask_about_the_thing_and_not_what_is_around_it() -> None:
    prompts = load_prompts()
    assert sorted(prompts) == ["superclasses", "visual_features"]
    assert all(prompt.count("{class}") == 1 for prompt in prompts.values())
    assert "Leave out where it is, what is around it" in prompts["visual_features"]


@pytest.mark.usefixtures("_client")
def test_every_class_question_and_draw_is_asked_once(tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "answers.json"
    options: dict[str, Any] = {"model": "m", "cache": cache, "n_draws": 3, "is_silent": True}
    with serve(answer) as endpoint:
        options |= {"base_url": endpoint.url, "api_key": "secret", "temperature": 0.3}
        found = concepts_from_llm(CLASSES, **options)
        assert len(endpoint.asked) == 2 * 2 * 3
        assert concepts_from_llm(CLASSES, **options) == found
        assert len(endpoint.asked) == 12
    assert {(each["model"], each["temperature"]) for each in endpoint.asked} == {("m", 0.3)}
    assert {each["authorization"] for each in endpoint.headers} == {"Bearer secret"}
    assert sum("cat" in prompt for prompt in endpoint.prompts()) == 6
    assert found.texts == ("mammal", "animal", "cat-like head", "four legs", "dog-like head")
    assert found[3] == Concept("four legs", "m: visual_features", ("cat", "dog"))
    assert "secret" not in cache.read_text()
    # the endpoint is gone
    assert concepts_from_llm(CLASSES, **options) == found


@pytest.mark.usefixtures("_client")
def test_a_run_that_broke_goes_on_where_it_was(tmp_path: Path) -> None:
    cache = tmp_path / "answers.json"
    options: dict[str, Any] = {"model": "m", "cache": cache, "n_draws": 1, "is_silent": True}
    is_broken = True

    def fails_at_the_third(body: dict[str, Any]) -> "tuple[int, Any]":
        if is_broken and len(endpoint.asked) > 2:
            return 400, {"error": {"message": "out of credit"}}
        return answer(body)

    with serve(fails_at_the_third) as endpoint:
        with pytest.raises(RuntimeError, match=r"out of credit.*2 answers are kept in .*go on\)"):
            concepts_from_llm(CLASSES, base_url=endpoint.url, **options)
        is_broken = False
        found = concepts_from_llm(CLASSES, base_url=endpoint.url, **options)
        assert len(endpoint.asked) == 3 + 2
    with serve(answer) as endpoint:
        at_once = concepts_from_llm(
            CLASSES, base_url=endpoint.url, **{**options, "cache": tmp_path / "other.json"}
        )
    assert found == at_once


@pytest.mark.usefixtures("_client")
def test_the_environment_names_endpoint_and_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"model": "m", "temperature": None, "is_silent": True}
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ValueError, match="set OPENAI_API_KEY"):
        concepts_from_llm(["cat"], cache=tmp_path / "a.json", **options)
    with serve(answer) as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        concepts_from_llm(["cat"], cache=tmp_path / "a.json", **options)
        monkeypatch.setenv("OPENAI_API_KEY", "of the environment")
        concepts_from_llm(["cat"], cache=tmp_path / "b.json", **options)
    keys = [each["authorization"] for each in endpoint.headers]
    assert keys == ["Bearer none"] * 4 + ["Bearer of the environment"] * 4
    assert not any("temperature" in each for each in endpoint.asked)


@pytest.mark.usefixtures("_client")
@pytest.mark.parametrize("body", [{"hello": 1}, "hello", completion(None) | {"choices": []}])
def test_an_endpoint_that_speaks_otherwise_is_named(tmp_path: Path, body: Any) -> None:
    with (
        serve(lambda _: (200, body)) as endpoint,
        pytest.raises(RuntimeError, match="must answer as OpenAI's chat completions do"),
    ):
        concepts_from_llm(
            ["cat"], model="m", cache=tmp_path / "a.json", base_url=endpoint.url, is_silent=True
        )
    assert not (tmp_path / "a.json").exists()


@pytest.mark.usefixtures("_client")
def test_an_answer_cut_by_a_limit_loses_its_last_phrase(tmp_path: Path) -> None:
    with serve(lambda _: (200, completion("long tail\nsharp cl", "length"))) as endpoint:
        found = concepts_from_llm(
            ["cat"], model="m", cache=tmp_path / "a.json", base_url=endpoint.url, is_silent=True
        )
    assert found.texts == ("long tail",)


def test_a_full_cache_needs_no_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    cache = tmp_path / "answers.json"
    fill(cache, "four legs, a tail")
    found = concepts_from_llm(CLASSES, model="m", cache=cache, n_draws=1)
    assert found.texts == ("four legs", "a tail")
    assert found[0].origin == "m: superclasses; m: visual_features"
    other_settings: list[dict[str, Any]] = [
        {"n_draws": 2}, {"temperature": 0.8}, {"model": "other"}, {"questions": {"q": "{class}?"}},
    ]  # fmt: skip
    for changed in other_settings:
        with pytest.raises(ImportError, match=r"openai is not installed \(pip install"):
            concepts_from_llm(CLASSES, **{"model": "m", "cache": cache, "n_draws": 1, **changed})


def test_answers_without_a_list_are_told(tmp_path: Path) -> None:
    cache = tmp_path / "answers.json"
    fill(cache, "I'm sorry, but no.")
    wanted = "no list could be read from any answer of 'm' about 'cat'"
    with (
        pytest.warns(UserWarning, match="holds no list") as told,
        pytest.raises(ValueError, match=wanted),
    ):
        concepts_from_llm(CLASSES, model="m", cache=cache, n_draws=1)
    assert "draw 0 about 'cat' holds no list: \"I'm sorry" in str(told[0].message)
    assert {each.filename for each in told} == {__file__}


def test_a_file_that_is_no_cache_is_left_alone(tmp_path: Path) -> None:
    for content in ("four legs\n", "[]", '{"format": "x", "revision": 1}', '{"answers": []}'):
        path = tmp_path / "mine.json"
        path.write_text(content)
        with pytest.raises(ValueError, match="must be a file of answers or not be there"):
            concepts_from_llm(CLASSES, model="m", cache=path)
        assert path.read_text() == content


def test_an_entry_that_a_person_deletes_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    fill(path, "four legs")
    found = json.loads(path.read_text())
    gone = found["answers"].pop(1)
    path.write_text(json.dumps(found))
    cache = AnswerCache(path)
    assert len(cache) == 3
    assert cache.get(Question(*(gone[name] for name in Question._fields))) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_draws": 0}, "n_draws must be an int of at least 1"),
        ({"questions": {}}, "questions must hold a prompt"),
        (
            {"questions": {"q": "What is it?"}},
            "must have {class} where the class goes, 'q' has not",
        ),
        ({"class_names": "cat"}, "class_names must be distinct names, got 'cat'"),
        ({"class_names": ["cat", "cat"]}, "class_names must be distinct names"),
        ({"class_names": []}, "class_names must be distinct names"),
    ],
)
def test_mistakes_are_found_before_anything_is_asked(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    arguments = {"class_names": CLASSES, "model": "m", "cache": tmp_path / "a.json", **options}
    with pytest.raises(ValueError, match=message):
        concepts_from_llm(**arguments)
