"""Wide residual networks are as published, and their layers can be named."""

import pytest
import torch
from torch import Tensor, nn

from sparsedef.models import WideResNet, load_model


def test_wrn_28_10_has_its_published_number_of_parameters() -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in WideResNet(10, depth=28, width=10).parameters())
    assert count == 36_479_194  # 36.5 million in the paper's table


def test_the_named_convolutions_are_those_that_carso_reads() -> None:
    """26 layers; three unpadded 3 x 3 steps to an eighth of the channels leave 147,040 numbers."""
    with torch.device("meta"):
        model = WideResNet(10, depth=28, width=10, activation="silu")
    names = model.block_convolutions()
    assert len(names) == len(set(names)) == 26
    shapes: dict[str, torch.Size] = {}

    def note(name: str) -> None:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            shapes[name] = output.shape

        model.get_submodule(name).register_forward_hook(hook)

    for name in names:
        note(name)
    model(torch.empty(1, 3, 32, 32, device="meta"))
    assert sum(s[1] // 8 * (s[2] - 6) * (s[3] - 6) for s in shapes.values()) == 147_040


def test_blocks_keep_their_input_where_shapes_agree() -> None:
    model = WideResNet(3, depth=16, width=1).eval()
    block = model.groups[1][1]
    with torch.no_grad():
        block.conv_1.weight.zero_()
        x = torch.randn(2, 32, 8, 8)
        assert torch.equal(block(x), x)
    assert block.shortcut is None
    assert model.groups[1][0].shortcut is not None


def test_the_activation_is_the_one_that_is_named() -> None:
    for spec, kind in (("wrn-10-2", nn.ReLU), ("wrn-10-2-silu", nn.SiLU)):
        model = load_model(spec, n_classes=4, size=32)
        assert sum(isinstance(part, kind) for part in model.modules()) == 7


def test_it_learns_and_gradients_reach_every_parameter() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WideResNet(2, depth=10, width=1)
        images = torch.rand(16, 3, 16, 16)
    labels = torch.arange(16) % 2
    images[labels == 1, 0] *= 0.5
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("options", [{"depth": 9}, {"width": 0}, {"activation": "tanh"}])
def test_settings_out_of_range_are_named(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"WideResNet: .*{next(iter(options))}"):
        WideResNet(10, **options)  # type: ignore[arg-type]
