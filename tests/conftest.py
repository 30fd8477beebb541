"""Fixtures for all tests. One thread: many small tensors gain nothing from more."""

import importlib
import signal
from typing import Any

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--one-per-file", action="store_true",
        help="only the first chosen test of each file: with -m slow, one of each kind",
    )  # fmt: skip


@pytest.hookimpl(trylast=True)  # after -m and -k have chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--one-per-file"):
        return
    first: dict[Any, pytest.Item] = {}
    for item in items:
        first.setdefault(item.path, item)
    kept = set(first.values())
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)
    # A shell's background job ignores it, and so would the commands that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def nan_filled_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fills fresh memory with NaN (or a large negative int): an unwritten output shows at once."""
    empty, empty_like = torch.empty, torch.empty_like

    def spoil(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.fill_(torch.nan if tensor.is_floating_point() else -(2**30))

    monkeypatch.setattr(torch, "empty", lambda *a, **k: spoil(empty(*a, **k)))
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: spoil(empty_like(*a, **k)))


@pytest.fixture(scope="session")
def torchvision() -> Any:
    """The package, where it is installed and built for this torch."""
    try:
        return importlib.import_module("torchvision")
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"torchvision is optional, and here: {error}")
