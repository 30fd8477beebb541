"""The command line: verbs, exit codes, and what an interrupt says."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import sparsedef
from sparsedef import cli, config
from sparsedef.version import __version__

ROOT = Path(__file__).parents[1]
needs_bench = pytest.mark.skipif(
    any(find_spec(module) is None for module in cli.NEEDED)
    or not (ROOT / "benchmarks" / "bench_omp.py").is_file(),
    reason="what the benchmarks need is not here",
)
BENCH = ("bench", "omp", "--size", "tiny", "--threads", "1", "--out")
FROM = "import sys; sys.path.insert(0, {!r}); from sparsedef.cli import main; sys.exit(main())"


def start(*arguments: str, home: Path = ROOT, cwd: Path = ROOT) -> subprocess.Popen[str]:
    """The command of the sparsedef that lies in ``home``, in a process group of its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.Popen(
        [sys.executable, "-c", FROM.format(str(home)), *arguments],
        cwd=cwd,
        env=own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_doctor_passes_here_and_says_what_is_active(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "all well" in text
    assert "ok  reference  cpu   lasso" in text
    assert "BAD" not in text


def test_doctor_fails_when_a_backend_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sparsedef.backends import BACKENDS
    from sparsedef.backends.base import Backend

    right = BACKENDS["reference"]

    def wrong_omp(*arguments: object) -> tuple[object, ...]:
        indices, values, residual, n_iter, status = right.functions["omp"](*arguments)
        return indices, values, residual + 1, n_iter, status

    functions = {**right.functions, "omp": wrong_omp}
    monkeypatch.setitem(BACKENDS, "reference", Backend("reference", functions, right.reasons))
    assert config.doctor() is False
    assert "SOMETHING IS WRONG" in capsys.readouterr().out


def test_an_interrupt_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(config, "doctor", interrupted)
    assert cli.main(["doctor"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sparsedef", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == __version__


def test_an_unknown_verb_is_refused() -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["frobnicate"])
    assert caught.value.code == 2


@needs_bench
def test_bench_prints_the_table_and_a_stopped_run_goes_on(tmp_path: Path) -> None:
    out, part = tmp_path / "r.json", tmp_path / "r.json.part"
    first = start(*BENCH, str(out))
    while not part.exists() and first.poll() is None:
        time.sleep(0.002)
    os.killpg(first.pid, signal.SIGINT)
    text, _ = first.communicate(timeout=60)
    assert first.returncode == 130, text
    assert "the same command goes on" in text
    assert not out.exists()
    kept = json.loads(part.read_text())["rows"]
    assert 1 <= len(kept) < 6

    again = start(*BENCH, str(out))
    text, _ = again.communicate(timeout=120)
    assert again.returncode == 0, text
    assert f"{len(kept)} finished rows: going on" in text
    assert f"[{len(kept) + 1}/6," in text
    assert "**Matching pursuit" in text
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == 6
    assert rows[: len(kept)] == kept
    assert not part.exists()


@needs_bench
def test_bench_times_the_sparsedef_that_was_asked_and_refuses_its_wrong_answer(
    tmp_path: Path,
) -> None:
    home, out = tmp_path / "site", tmp_path / "r.json"
    own = Path(sparsedef.__file__).parent
    shutil.copytree(own, home / "sparsedef", ignore=shutil.ignore_patterns("__pycache__"))
    with (home / "sparsedef" / "__init__.py").open("a") as file:
        file.write(
            "_right = omp\n"
            "def omp(*arguments, **options):\n"
            "    code = _right(*arguments, **options)\n"
            "    return code._replace(values=1.1 * code.values)\n"
        )
    run = start(*BENCH, str(out), home=home)
    text, _ = run.communicate(timeout=120)
    assert run.returncode == 1, text
    assert "not a least-squares fit" in text
    assert not out.exists()


def test_bench_without_a_checkout_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sparsedef, "__file__", str(tmp_path / "site" / "sparsedef" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "lasso"]) == 1
    assert "clone the repository" in capsys.readouterr().err


@pytest.mark.skipif(
    not (ROOT / "benchmarks" / "bench_omp.py").is_file(), reason="no benchmarks here"
)
def test_bench_says_what_must_be_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setitem(cli.NEEDED, "no_such_module", "its-package")
    assert cli.main(["bench", "omp", "--size", "tiny"]) == 1
    error = capsys.readouterr().err
    assert "its-package must be installed: pip install 'sparsedef[bench]'" in error


@pytest.mark.skipif(
    not (ROOT / "benchmarks" / "bench_omp.py").is_file(), reason="no benchmarks here"
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_bench_of_a_gpu_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    out = tmp_path / "gpu.json"
    assert cli.main(["bench", "gpu", "--out", str(out)]) == 1
    assert "torch sees no GPU (benchmarks/gpu.sh --dry-run" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    "wrong", [["bench"], ["bench", "lasso", "--threads", "0"], ["bench", "lasso", "--size", "x"]]
)
def test_bench_refuses_wrong_options(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(wrong)
    assert caught.value.code == 2
