"""Two ranks that train towards anchors end with the weights of one."""

from pathlib import Path

import pytest
import torch
from anchored_head import Head
from ranks_apart import run_apart
from torch import Tensor

from sparsedef.learning.ranks import ALONE, Ranks
from sparsedef.training import LinfAscent, Tensors
from sparsedef.training.anchored import AnchorObjective, train_anchored
from sparsedef.training.augment import Augment


def trained(ranks: Ranks) -> Head:
    """Trains against attacked and augmented images; minibatches do not divide evenly."""
    generator = torch.Generator().manual_seed(2)
    source = Tensors(torch.rand(21, 3, 2, 2, generator=generator), torch.arange(21) % 3)
    head = Head()
    objective = AnchorObjective(LinfAscent(0.05, 2, 0.02))
    train_anchored(
        head, source, objective, epochs=3, batch_size=7, lr=0.05, augment=Augment(flip=True),
        ranks=ranks, is_silent=True,
    )  # fmt: skip
    return head


def on_rank(ranks: Ranks, folder: str) -> dict[str, Tensor]:
    return trained(ranks).state_dict()


@pytest.mark.slow
def test_two_ranks_end_with_the_weights_of_one(tmp_path: Path) -> None:
    first, second = run_apart("test_anchored_ranks", 2, tmp_path)
    for name, value in trained(ALONE).state_dict().items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-5)
