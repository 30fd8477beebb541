"""docs/scale.md names only options that there are."""

import re
from pathlib import Path

import pytest

from sparsedef import cli

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
TORCHRUN = {"--nproc-per-node", "--nnodes", "--rdzv-backend", "--rdzv-endpoint"}


def options(verb: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit):
        cli.main([verb, "--help"])
    return set(re.findall(r"--[a-z][a-z0-9-]+", capsys.readouterr().out))


@pytest.mark.skipif(not PAGE.is_file(), reason="the page is in the repository only")
def test_every_option_on_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"--[a-z][a-z0-9-]+", PAGE.read_text())) - TORCHRUN
    known = options("encode", capsys) | options("learn", capsys)
    assert named <= known
    assert {"--max-memory", "--checkpoint-every", "--target-l0"} <= named
