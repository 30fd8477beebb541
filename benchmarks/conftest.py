"""Options, equal threads for everybody, progress, and the file of results.

``pytest benchmarks --size full --threads 1 2 --out benchmarks/results/cpu.json`` times everything;
stopped, the same command goes on. ``--benchmark-json`` writes the rows of one run as well.
Nothing that does arithmetic is imported before the thread counts are set.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from benchmarks.store import Store

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
BUDGET = {"tiny": 0.05, "small": 1.0, "full": 4.0}  # seconds of timing per problem
STORE: pytest.StashKey[Store] = pytest.StashKey()
SELECTED: pytest.StashKey[list[str]] = pytest.StashKey()


def default_threads() -> list[int]:
    """One, and as many as there are cores."""
    return sorted({1, os.cpu_count() or 1})


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sparsedef benchmarks")
    group.addoption("--size", choices=list(BUDGET), default="small", help="which problems to time")
    group.addoption(
        "--threads", type=int, nargs="+", default=default_threads(), help="for everybody, in turn"
    )
    group.addoption("--backend", default="auto", help="sparsedef's backend")
    group.addoption("--out", type=Path, help="results as JSON; a stopped run is continued")


def pytest_configure(config: pytest.Config) -> None:
    threads = config.getoption("--threads")
    if min(threads) < 1:
        raise pytest.UsageError(f"--threads must be at least 1, got {min(threads)}")
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(max(threads))
    if len(set(threads)) > 1:
        try:
            import threadpoolctl  # noqa: F401
        except ImportError as error:
            raise pytest.UsageError(
                "several --threads in one run need threadpoolctl (it comes with scikit-learn);"
                " pass one"
            ) from error
    from benchmarks.store import Store

    option = config.getoption
    config.stash[STORE] = Store(option("--out"), threads, option("--size"), option("--backend"))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    # A file named on the command line is collected by pytest itself.
    if not file_path.match("bench_*.py") or parent.session.isinitpath(file_path):
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=file_path)
    return module


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    from benchmarks.dictionary_problems import DICTIONARY
    from benchmarks.omp_problems import OMP, PATCHES
    from benchmarks.problems import LASSO, MEMORY, MEMORY_BOUNDS

    size, names = metafunc.config.getoption("--size"), metafunc.fixturenames
    tables = {
        "lasso_spec": LASSO,
        "omp_spec": OMP,
        "patch_spec": PATCHES,
        "dictionary_spec": DICTIONARY,
    }
    for fixture, table in tables.items():
        if fixture in names:
            metafunc.parametrize(fixture, table[size], ids=lambda spec: spec.name)
    if "memory_spec" in names:
        metafunc.parametrize("memory_spec", [MEMORY[size]], ids=lambda spec: spec.name)
        bounds = [f"{bound / 2**20:.0f} MiB" if bound else "unbounded" for bound in MEMORY_BOUNDS]
        metafunc.parametrize("max_memory", MEMORY_BOUNDS, ids=bounds)
    if "threads" in names:
        counts = sorted(set(metafunc.config.getoption("--threads")))
        described = [f"{count} thread{'s' if count > 1 else ''}" for count in counts]
        metafunc.parametrize("threads", counts, ids=described, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what an earlier run of the same command has finished."""
    config.stash[SELECTED] = [item.nodeid for item in items]
    done = [item for item in items if item.nodeid in config.stash[STORE].rows]
    items[:] = [item for item in items if item not in done]
    config.hook.pytest_deselected(items=done)
    if config.pluginmanager.hasplugin("timeout"):  # the tests' limit is not for these
        for item in items:
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """The thread count of this test, set for torch and every library that is loaded."""
    import torch

    import benchmarks.baselines  # noqa: F401  loads the libraries

    count: int = request.param
    torch.set_num_threads(count)
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield count
        return
    with threadpool_limits(limits=count):
        yield count


@pytest.fixture
def race_settings(request: pytest.FixtureRequest, threads: int) -> dict[str, Any]:
    """The arguments of ``race`` that the command line decides, and our backend."""
    option = request.config.getoption
    return {
        "backend": option("--backend"),
        "threads": threads,
        "budget": BUDGET[option("--size")],
    }


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], None]:
    """Puts a row into the results."""
    store = request.config.stash[STORE]
    return lambda row: store.keep(request.node.nodeid, row)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Writes the result file when every row is there."""
    store = session.config.stash[STORE]
    selected = session.config.stash.get(SELECTED, [])
    is_all_done = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and bool(store.rows)
    if is_all_done:
        session.exitstatus = pytest.ExitCode.OK
    is_whole = is_all_done or exitstatus == pytest.ExitCode.OK
    if is_whole and store.path is not None and not session.config.getoption("collectonly"):
        store.finish(selected)


class Progress:
    """One line per row: how many of how many, since when, what, and what came out."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.started = time.perf_counter()
        self.count = 0

    def write(self, text: str) -> None:
        reporter: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write(text, flush=True)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        selected, store = self.config.stash[SELECTED], self.config.stash[STORE]
        self.count = max(self.count + 1, len(store.rows) + 1)
        seconds = int(time.perf_counter() - self.started)
        name = nodeid.partition("[")[2].rstrip("]") or nodeid
        clock = f"{seconds // 60}:{seconds % 60:02d}"
        self.write(f"\n[{self.count}/{len(selected)}, {clock}] {name}: ")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            row = self.config.stash[STORE].rows.get(report.nodeid)
            self.write(summary(row) if row is not None else report.outcome.upper())

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        return ("passed", "", "") if report.when == "call" and report.passed else None


def summary(row: dict[str, Any]) -> str:
    """A row in a few words."""
    if row.get("kind") == "memory":
        return f"{row['peak_bytes'] / 2**20:.0f} MiB"
    ours, peers = row["ours"]["median_ms"], row["peers"]
    if not peers:
        return f"{ours:.3g} ms"
    best = peers[0]["median_ms"]
    return f"{ours:.3g} ms; {peers[0]['name']} {best:.3g} ms, {best / ours:.2g} times ours"


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    progress = Progress(session.config)
    session.config.pluginmanager.register(progress)
    progress.write(session.config.stash[STORE].note)


def pytest_benchmark_generate_machine_info(config: pytest.Config) -> dict[str, Any]:
    header: dict[str, Any] = config.stash[STORE].header
    about: dict[str, Any] = header["machine_info"]
    return about


def pytest_benchmark_generate_commit_info(config: pytest.Config) -> dict[str, Any]:
    from benchmarks.machine import commit

    return commit()


def pytest_benchmark_update_json(
    config: pytest.Config, benchmarks: Any, output_json: dict[str, Any]
) -> None:
    """Keeps the header and our rows; pytest-benchmark's own statistics repeat them."""
    header = {key: output_json[key] for key in ("machine_info", "commit_info", "datetime")}
    output_json.clear()
    output_json.update(header, rows=list(config.stash[STORE].rows.values()))
