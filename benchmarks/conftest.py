"""Options, equal threads for everybody, and the header of the results.

``pytest benchmarks --size full --benchmark-json benchmarks/results/cpu.json`` times everything.
Nothing that does arithmetic is imported before the thread counts are set.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
BUDGET = {"tiny": 0.05, "small": 3.0, "full": 8.0}  # seconds of timing per problem


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sparsedef benchmarks")
    group.addoption("--size", choices=list(BUDGET), default="small", help="which problems to time")
    group.addoption("--threads", type=int, default=os.cpu_count(), help="threads for everybody")
    group.addoption("--backend", default="auto", help="sparsedef's backend")


def pytest_configure(config: pytest.Config) -> None:
    threads = config.getoption("--threads")
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    import torch

    torch.set_num_threads(threads)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    # A file named on the command line is collected by pytest itself.
    if not file_path.match("bench_*.py") or parent.session.isinitpath(file_path):
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=file_path)
    return module


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    from benchmarks.problems import LASSO, OMP

    size = metafunc.config.getoption("--size")
    for fixture, table in (("lasso_spec", LASSO), ("omp_spec", OMP)):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, table[size], ids=lambda spec: spec.name)


@pytest.fixture
def race_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The arguments of ``race`` that the command line decides, and our backend."""
    option = request.config.getoption
    return {
        "backend": option("--backend"),
        "threads": option("--threads"),
        "budget": BUDGET[option("--size")],
    }


def pytest_benchmark_generate_machine_info(config: pytest.Config) -> dict[str, Any]:
    from benchmarks.machine import machine

    return {
        **machine(),
        "device": "cpu",
        "threads": config.getoption("--threads"),
        "size": config.getoption("--size"),
    }


def pytest_benchmark_generate_commit_info(config: pytest.Config) -> dict[str, Any]:
    from benchmarks.machine import commit

    return commit()


def pytest_benchmark_update_json(
    config: pytest.Config, benchmarks: Any, output_json: dict[str, Any]
) -> None:
    """Keeps the header and our rows; pytest-benchmark's own statistics repeat them."""
    rows = [row["extra_info"] for row in output_json["benchmarks"]]
    header = {key: output_json[key] for key in ("machine_info", "commit_info", "datetime")}
    output_json.clear()
    output_json.update(header, rows=rows)
