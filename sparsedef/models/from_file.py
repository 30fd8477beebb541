"""A classifier, or any module, from a function in a Python file of yours."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

from torch import nn


def from_file(path: str, function: str, *, n_classes: int, size: int) -> nn.Module:
    """Runs a Python file and calls a function of it that makes a classifier.

    The function is called with ``n_classes`` and ``size``, those of them that it takes.

    Args:
        path: Of the file.
        function: Its name.
        n_classes: Number of classes.
        size: Height and width of the images.

    Raises:
        FileNotFoundError, ValueError, TypeError: As ``module_from_file``.
    """
    offered = {"n_classes": n_classes, "size": size}
    return module_from_file(
        f"load_model: {path}:{function}", path, function,
        lambda build: build(**_taken(build, offered)),
    )  # fmt: skip


def module_from_file(
    who: str, path: str, function: str, call: Callable[[Callable[..., object]], object]
) -> nn.Module:
    """Runs a Python file and calls a function of it that makes a module.

    The file runs as any program of yours does; modules beside it can be imported.

    Args:
        who: What the mistakes are told of.
        path: Of the file.
        function: Its name.
        call: Calls the function.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No such function, or running it failed; the cause is chained.
        TypeError: It gave something else than a module.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{who}: there is no file {path!r}")
    name = f"sparsedef_file_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{who}: {path!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickles of the file look for their names
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
        build = getattr(module, function, None)
        made = call(build) if callable(build) else None
    except Exception as error:  # whatever the user's code may raise, under its address
        raise ValueError(f"{who}: failed: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(file.resolve().parent))
    if not callable(build):
        raise ValueError(f"{who}: the file defines no function {function!r}")
    if not isinstance(made, nn.Module):
        raise TypeError(f"{who}: must return a torch.nn.Module, got {type(made).__name__}")
    return made


def _taken(function: Callable[..., object], offered: dict[str, int]) -> dict[str, int]:
    """Those of the offered arguments that a function takes by name."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return offered
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return {name: value for name, value in offered.items() if name in names}
