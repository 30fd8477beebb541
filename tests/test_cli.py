"""The command line: verbs, exit codes, and what an interrupt says."""

import subprocess
import sys

import pytest

from sparsedef import cli, config
from sparsedef.version import __version__


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
