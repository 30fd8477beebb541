"""Runs another library's own test functions with our names in place of its own."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

import pytest


class LaxPytest:
    """pytest whose ``raises`` and ``warns`` do not compare messages: their words are not ours."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pytest, name)

    def raises(self, kind: Any, *args: Any, match: str | None = None, **rest: Any) -> Any:
        return pytest.raises(kind, *args, **rest)

    def warns(self, kind: Any, *args: Any, match: str | None = None, **rest: Any) -> Any:
        return pytest.warns(kind, *args, **rest)


def borrow(
    module: types.ModuleType,
    names: Mapping[str, Any],
    not_shared: Mapping[str, str],
    of_parameter: Callable[[Any], Any] = lambda value: value,
) -> dict[str, Any]:
    """Gives copies of the test functions of ``module`` that see ``names`` instead of its own.

    Args:
        module: Their test module.
        names: Global name to what it is to stand for.
        not_shared: Tests to leave out, each with its reason.
        of_parameter: What becomes of a value that a test is parametrised with.
    """
    scope = {**vars(module), "pytest": LaxPytest(), **names}
    missing = [name for name in names if name not in vars(module)]
    assert not missing, f"{module.__name__} does not use {missing}"
    helpers = [
        name
        for name, value in vars(module).items()
        if isinstance(value, types.FunctionType) and value.__module__ == module.__name__
    ]
    assert set(helpers) == set(their_tests(module)), "a helper of theirs would see their names"
    tests = {}
    for name in their_tests(module):
        theirs = getattr(module, name)
        ours = types.FunctionType(
            theirs.__code__, scope, name, theirs.__defaults__, theirs.__closure__
        )
        ours.__doc__ = theirs.__doc__
        marks = [_with(mark, of_parameter) for mark in getattr(theirs, "pytestmark", [])]
        if name in not_shared:
            marks = [*marks, pytest.mark.skip(reason=f"not shared: {not_shared[name]}").mark]
        ours.pytestmark = marks  # type: ignore[attr-defined]
        tests[name] = ours
    return tests


def their_tests(module: types.ModuleType) -> list[str]:
    return [name for name in vars(module) if name.startswith("test_")]


def _with(mark: pytest.Mark, of_parameter: Callable[[Any], Any]) -> pytest.Mark:
    if mark.name != "parametrize":
        return mark
    names, values, *rest = mark.args
    values = [of_parameter(value) for value in values]
    return pytest.mark.parametrize(names, values, *rest, **mark.kwargs).mark
