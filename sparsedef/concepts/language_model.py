"""Concepts from a language model behind any endpoint that speaks OpenAI's protocol."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsedef.concepts.answer_cache import Answer, AnswerCache, Question
from sparsedef.concepts.answers import parse_answer
from sparsedef.concepts.concept import Concept, ConceptList

PROMPTS = Path(__file__).parent / "prompts"
PLACE = "{class}"  # where the name of the class goes in a prompt


def load_prompts() -> dict[str, str]:
    """Reads the questions that are shipped: ``"superclasses"`` and ``"visual_features"``.

    There is none about what is usually seen around a thing: that is what a semantic attack changes.

    Example:
        >>> sorted(load_prompts())
        ['superclasses', 'visual_features']
    """
    paths = sorted(PROMPTS.glob("*.txt"))
    assert paths, f"{PROMPTS} was installed without its files"
    return {path.stem: path.read_text(encoding="utf-8").strip() for path in paths}


def concepts_from_llm(
    class_names: Sequence[str],
    *,
    model: str,
    cache: str | os.PathLike[str],
    base_url: str | None = None,
    api_key: str | None = None,
    questions: Mapping[str, str] | None = None,
    n_draws: int = 2,
    temperature: float | None = 0.7,
    timeout: float = 120.0,
    is_silent: bool = False,
) -> ConceptList:
    """Asks a language model for the visual features and superclasses of each class.

    Each answer is written to ``cache`` at once: a run that was stopped goes on where it was, and a
    run whose answers are all there needs neither the endpoint nor the package ``openai``.

    Args:
        class_names: The classes, as a person would call them.
        model: Name of the model at the endpoint.
        cache: JSON file of the answers, made if it is not there. An answer counts for the same
            model, temperature, prompt, class and draw.
        base_url: Of the endpoint, such as ``"http://localhost:8000/v1"``; ``None`` for the
            environment's ``OPENAI_BASE_URL`` or else OpenAI's own.
        api_key: ``None`` for the environment's ``OPENAI_API_KEY``. An endpoint that you name and
            that wants no key takes any.
        questions: Prompts by their names, each with ``{class}`` in it; ``None`` for those of
            :func:`load_prompts`.
        n_draws: Answers to each question about each class.
        temperature: Of the draws; ``None`` sends none, for models that refuse it.
        timeout: Seconds to wait for an answer; failures are tried twice more.
        is_silent: Show no progress bar.

    Returns:
        The phrases as concepts, by class, question and draw; one that came several times is there
        once, with all its classes. The origin is the model and the question. Nothing is left out:
        :func:`filter_concepts` comes next.

    Raises:
        ImportError: Something has to be asked and the package ``openai`` is not installed.
        ValueError: An option is wrong, no key is known, or no list could be read from any answer
            about a class.
        RuntimeError: The endpoint failed; what was answered before is kept.

    Source: Oikarinen, Das, Nguyen, Weng, Label-free concept bottleneck models, 2023, for the kind
    of the questions.
    """
    who = "concepts_from_llm"
    asked = load_prompts() if questions is None else dict(questions)
    _check(who, class_names, asked, n_draws)
    answers = AnswerCache(cache)
    todo = [
        (name, title, Question(model, temperature, prompt.replace(PLACE, name), name, draw))
        for name in class_names
        for title, prompt in asked.items()
        for draw in range(n_draws)
    ]
    missing = [question for _, _, question in todo if answers.get(question) is None]
    if missing:
        client = _client(who, base_url, api_key, timeout)
        _ask(who, client, missing, answers, is_silent=is_silent)
    found: list[Concept] = []
    for name, title, question in todo:
        phrases = _phrases(question, answers)
        found += [Concept(text, f"{model}: {title}", (name,)) for text in phrases]
    barren = [name for name in class_names if not any(name in each.classes for each in found)]
    if barren:
        raise ValueError(
            f"{who}: no list could be read from any answer of {model!r} about {barren[0]!r} "
            f"(look into {os.fspath(cache)}; what you delete there is asked again)"
        )
    return ConceptList.joined(found)


def _check(who: str, class_names: Sequence[str], asked: Mapping[str, str], n_draws: int) -> None:
    if isinstance(class_names, str) or not class_names or len(set(class_names)) < len(class_names):
        raise ValueError(f"{who}: class_names must be distinct names, got {class_names!r}")
    if isinstance(n_draws, bool) or not isinstance(n_draws, int) or n_draws < 1:
        raise ValueError(f"{who}: n_draws must be an int of at least 1, got {n_draws!r}")
    if not asked:
        raise ValueError(f"{who}: questions must hold a prompt, got none")
    for title, prompt in asked.items():
        if PLACE not in prompt:
            raise ValueError(
                f"{who}: each of questions must have {PLACE} where the class goes, {title!r} has "
                f"not: {prompt[:60]!r}"
            )


def _client(who: str, base_url: str | None, api_key: str | None, timeout: float) -> Any:
    try:
        import openai
    except ImportError as error:
        raise ImportError(
            f"{who}: the package openai is not installed (pip install 'sparsedef[llm]', or pass a "
            f"cache that has all the answers)"
        ) from error
    address = base_url or os.environ.get("OPENAI_BASE_URL")
    key = api_key or os.environ.get("OPENAI_API_KEY") or ("none" if address else None)
    if key is None:
        raise ValueError(
            f"{who}: api_key must be known to ask OpenAI, got none "
            f"(pass it, set OPENAI_API_KEY, or pass the base_url of another endpoint)"
        )
    return openai.OpenAI(api_key=key, base_url=address, timeout=timeout)


def _ask(
    who: str, client: Any, missing: list[Question], answers: AnswerCache, *, is_silent: bool
) -> None:
    import openai
    from tqdm import tqdm

    with tqdm(total=len(missing), unit=" answers", disable=is_silent) as bar:
        for question in missing:
            bar.set_description(question.class_name)
            options = {} if question.temperature is None else {"temperature": question.temperature}
            try:
                reply = client.chat.completions.create(
                    model=question.model,
                    messages=[{"role": "user", "content": question.prompt}],
                    **options,
                )
            except openai.OpenAIError as error:
                raise RuntimeError(
                    f"{who}: {client.base_url} failed at {question.class_name!r}: "
                    f"{type(error).__name__}: {error} "
                    f"({len(answers)} answers are kept in {answers.path}; run it again to go on)"
                ) from error
            answers.put(question, _read_reply(who, client, reply))
            bar.update()


def _read_reply(who: str, client: Any, reply: Any) -> Answer:
    choices = getattr(reply, "choices", None)
    if not choices:
        raise RuntimeError(
            f"{who}: {client.base_url} must answer as OpenAI's chat completions do, got "
            f"{str(reply)[:100]!r} (a base_url mostly ends in /v1)"
        )
    return Answer(choices[0].message.content or "", choices[0].finish_reason == "length")


def _phrases(question: Question, answers: AnswerCache) -> tuple[str, ...]:
    answer = answers.get(question)
    assert answer is not None
    found = parse_answer(answer.text, is_cut=answer.is_cut)
    if not found:
        warnings.warn(
            f"concepts_from_llm: draw {question.draw} about {question.class_name!r} holds no list: "
            f"{answer.text[:60]!r}",
            stacklevel=3,
        )
    return found
