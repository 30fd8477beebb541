"""``sparsedef reproduce ssd`` with the CLIP that is shipped, at its very smallest."""

import argparse
import json
from pathlib import Path

import pytest

pytest.importorskip("open_clip")
pytest.importorskip("safetensors")
pytest.importorskip("jinja2")

from sparsedef.commands import reproduce, reproduce_ssd
from sparsedef.commands.reproduce_ssd import sizes_of
from sparsedef.reproduce.ssd_heads import CONTENDERS, HALF
from sparsedef.reproduce.ssd_search import Condition
from sparsedef.reproduce.ssd_world import FULL, QUICK

# those that the sentences speak of: two runs take a minute and not ten
KEPT = {"zero_shot", "linear_probe", "dense_concepts", "ssd", HALF}


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    reproduce.add_arguments(parser)
    return parser.parse_args(["ssd", *words])


def test_options_change_the_sizes_that_they_name() -> None:
    assert sizes_of(parse()) == FULL
    assert sizes_of(parse("--quick")) == QUICK
    small = sizes_of(parse("--quick", "--images", "7", "--train-images", "300"))
    assert (small.n_test, small.n_validation, small.n_train) == (7, 7, 300)
    assert small.steps == QUICK.steps


def test_a_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--clip", "ViT-B-16", "--pretrained", "nobody", "--out", str(tmp_path))
    assert reproduce.run(parse(*words)) == 1
    error = capsys.readouterr().err
    assert error.startswith("sparsedef reproduce ssd: load_clip: pretrained of ViT-B-16 must be")
    assert error.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_smallest_run_prints_its_tables_and_repeats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("PIL")
    for name in set(CONTENDERS) - KEPT:
        monkeypatch.delitem(CONTENDERS, name)  # type: ignore[arg-type]
    one = [Condition("confounded", "text, distinct", 5)]
    monkeypatch.setattr(reproduce_ssd, "conditions", lambda world, which: one)
    found = []
    for name in ("one", "two"):
        words = ("--quick", "--images", "4", "--train-images", "240", "--out", str(tmp_path / name))
        assert reproduce.run(parse(*words)) == 0
        printed = capsys.readouterr().out
        assert "Confounded heads: accuracy in % of 4 test scenes" in printed
        assert "Where does sparsity itself win?" in printed
        found.append(json.loads((tmp_path / name / "results.json").read_text()))
    assert found[0] == found[1]
    assert found[0]["encoder"]["name"] == "small CLIP of ShapeWorld"
    rows = [row for row in found[0]["rows"] if row["defense"] == "ssd"]
    assert {"white-box", "scores only", "BPDA", "transfer"} <= {row["threat_model"] for row in rows}
