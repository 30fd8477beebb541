"""Ranks that share minibatches end with the weights of one, and all with the same bits."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks_apart import run_apart
from small_training import make_net, run

from sparsedef.streams.ranks import Processes


def on_rank(ranks: Processes, folder: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def train(name: str, **options: Any) -> None:
        options.setdefault("net", make_net(has_norm=False, dropout=0.0))
        net, trained = run(ranks=ranks, **options)
        found[name] = {
            "state": net.state_dict(), "losses": trained.losses, "scores": trained.scores,
        }  # fmt: skip

    train("plain")
    train("clipped", max_norm=0.05, kind="sgd")
    train("tiny", batch_size=2, kind="sgd")
    train("norm", net=make_net(dropout=0.0))
    options = {"checkpoint": f"{folder}/state.pt", "checkpoint_steps": 2}
    with contextlib.suppress(KeyboardInterrupt):
        run(ranks=ranks, stop=11, net=make_net(dropout=0.0), **options)
    ranks.wait()
    train("resumed", net=make_net(dropout=0.0), **options)
    try:
        run(ranks=ranks, seed=ranks.rank)
    except ValueError as error:
        found["error"] = str(error)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("n_ranks", [2, 3])
def test_ranks_end_with_the_weights_of_one(n_ranks: int, tmp_path: Path) -> None:
    found = run_apart("test_training_ranks", n_ranks, tmp_path)
    for name in ("plain", "clipped", "tiny", "norm", "resumed"):
        for other in found[1:]:
            assert other[name]["losses"] == found[0][name]["losses"]
            assert other[name]["scores"] == found[0][name]["scores"]
            for key, value in found[0][name]["state"].items():
                assert torch.equal(other[name]["state"][key], value), (name, key)
    for name, options in [
        ("plain", {}),
        ("clipped", {"max_norm": 0.05, "kind": "sgd"}),
        ("tiny", {"batch_size": 2, "kind": "sgd"}),
    ]:
        net, trained = run(net=make_net(has_norm=False, dropout=0.0), **options)
        for key, value in net.state_dict().items():
            torch.testing.assert_close(found[0][name]["state"][key], value, rtol=0, atol=1e-6)
        assert found[0][name]["losses"] == pytest.approx(trained.losses, abs=1e-6)
    for key, value in found[0]["norm"]["state"].items():
        assert torch.equal(found[0]["resumed"]["state"][key], value), key
    assert all("all ranks must train the same model" in each["error"] for each in found)
