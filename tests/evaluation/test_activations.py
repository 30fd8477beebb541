"""Activation ratios are those of the definition, and their chart shows them."""

import math
import re
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.evaluation.activations import LayerRatio, activation_ratios
from sparsedef.evaluation.ratio_chart import RatioLine, draw_ratios
from sparsedef.models import SmallCNN, WideResNet


@pytest.fixture
def images() -> Tensor:
    return torch.rand(7, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> SmallCNN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return SmallCNN(4, 16)


def test_equal_images_have_ratio_one_everywhere(model: SmallCNN, images: Tensor) -> None:
    ratios = activation_ratios(model, images, images.clone(), batch_size=3)
    assert [r.name for r in ratios] == [f"features.{i}" for i in (1, 3, 5, 7)]
    assert all((r.ratio_mean, r.low, r.high, r.n) == (1, 1, 1, 7) for r in ratios)


def test_ratios_grow_with_the_activations() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.ReLU())
    with torch.no_grad():
        net[0].weight.abs_()
        net[2].weight.abs_()
        net[2].bias.fill_(1.0)
    images = torch.rand(5, 3, 8, 8) / 2
    first, second = activation_ratios(net, images, 2 * images)
    assert first.ratio_mean == pytest.approx(2, rel=1e-5)  # without a bias it doubles exactly
    assert 1 < second.low <= second.ratio_mean <= second.high < 2


def test_the_ratio_is_that_of_the_definition(model: SmallCNN, images: Tensor) -> None:
    attacked = (images + 0.1 * torch.sign(images - 0.5)).clamp(0, 1)
    gamma = 0.4
    expected = []
    for batch in (images, attacked):
        activation = model.features[:4]((batch - 0.5) / 0.25)
        peaks = activation.flatten(2).max(2).values
        expected.append(torch.where(peaks > gamma, peaks, 0.0).sum(1).double())
    ratios = expected[1] / expected[0]
    found = activation_ratios(model, images, attacked, gamma)[1]
    assert found.ratio_mean == pytest.approx(ratios.mean().item(), rel=1e-5)
    assert found.low == pytest.approx(ratios.quantile(0.1).item(), rel=1e-5)
    assert found.high == pytest.approx(ratios.quantile(0.9).item(), rel=1e-5)


def test_images_without_clean_activation_do_not_count(model: SmallCNN, images: Tensor) -> None:
    ratios = activation_ratios(model, images, images, gamma=1e6)
    assert all(r.n == 0 and math.isnan(r.ratio_mean) for r in ratios)


class InPlace(nn.Module):
    """One activation module called twice, which overwrites what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        x = self.act(self.conv(images))
        return self.act(self.conv(x).sub_(0.1)).mean((2, 3))


def test_each_call_of_a_shared_activation_is_a_layer(images: Tensor) -> None:
    assert [r.name for r in activation_ratios(InPlace(), images, images)] == ["act", "act#2"]


class Block(nn.Module):
    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, 4, 3)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)


def test_without_activation_modules_blocks_of_one_convolution_count(images: Tensor) -> None:
    net = nn.Sequential(Block(3), nn.Sequential(Block(4), nn.Conv2d(4, 2, 1)), nn.Flatten())
    assert [r.name for r in activation_ratios(net, images, images)] == ["0", "1.0", "1.1"]
    single = nn.Sequential(nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten()))  # its whole is flat
    assert [r.name for r in activation_ratios(single, images, images)] == ["0.0"]


def test_of_inception_every_convolution_counts_after_its_activation(torchvision: Any) -> None:
    models = torchvision.models
    with torch.random.fork_rng(devices=[]):
        net = models.inception_v3(weights=None, num_classes=4, init_weights=False)
    images = torch.rand(2, 3, 96, 96)
    ratios = activation_ratios(net, images, images)
    assert len(ratios) == 94
    assert ratios[0].name == "Conv2d_1a_3x3"
    assert all(not r.name.endswith(".conv") and r.ratio_mean == 1 for r in ratios)


def test_after_linear_layers_channels_come_last() -> None:
    class Last(nn.Sequential):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.permute(0, 2, 3, 1)).mean((1, 2))

    net = Last(nn.Linear(3, 3, bias=False), nn.GELU())
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(3))
    images = torch.full((1, 3, 5, 5), 0.25)
    more = images.clone()
    more[:, 0, 2, 2] = 1.0  # one channel of three, at one place
    gelu = functional.gelu(torch.tensor([0.25, 1.0])).tolist()
    (ratio,) = activation_ratios(net, images, more)
    assert ratio.ratio_mean == pytest.approx((gelu[1] + 2 * gelu[0]) / (3 * gelu[0]), rel=1e-5)


def test_the_model_is_left_in_its_mode_without_hooks(images: Tensor) -> None:
    net = WideResNet(3, depth=10, width=1).train()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    activation_ratios(net, images, images)
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert all(part.training and not part._forward_hooks for part in net.modules())
    assert all(p.grad is None for p in net.parameters())


def test_what_cannot_be_measured_is_named(model: SmallCNN, images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"the same images, .* got \[7, .*\] and \[6, "):
        activation_ratios(model, images, images[:6])
    with pytest.raises(ValueError, match="at least one"):
        activation_ratios(model, images[:0], images[:0])
    for gamma in (-0.1, math.nan):
        with pytest.raises(ValueError, match="gamma must be >= 0"):
            activation_ratios(model, images, images, gamma)
    with pytest.raises(ValueError, match="must have activation modules or convolutions"):
        activation_ratios(nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), images, images)
    with torch.no_grad():
        model.features[0].weight.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"output of 'features\.0' must be finite"):
        activation_ratios(model, images, images)
    assert not any(part._forward_hooks for part in model.modules())


def test_the_chart_places_layers_and_ratios() -> None:
    ratios = [LayerRatio(f"conv{i}", 1 + i / 100, 1.0, 1 + i / 50, 9) for i in range(11)]
    ratios[4] = LayerRatio("conv4", math.nan, math.nan, math.nan, 0)
    svg = draw_ratios([RatioLine("BIM <8>", "gray", ratios)], label='a "chart"')
    root = ElementTree.fromstring(svg)
    circles = root.findall(".//circle")
    assert len(circles) == 10  # the layer without a ratio leaves a gap
    heights = [float(c.get("cy", "")) for c in circles]
    assert heights == sorted(heights, reverse=True)
    assert len(root.findall(".//polyline")) == 2
    assert "BIM &lt;8&gt;, 1 conv0: 1 (1 to 1)" in svg
    assert 'class="curve curve-gray"' in svg
    for number in re.findall(r'c[xy]="([^"]+)"', svg):
        assert 0 <= float(number) <= 420
    assert "nan" not in svg


def test_the_chart_of_equal_ratios_is_drawn_around_one() -> None:
    svg = draw_ratios([RatioLine("none", "bare", [LayerRatio("a", 1, 1, 1, 3)])], label="x")
    assert ElementTree.fromstring(svg) is not None
    with pytest.raises(ValueError, match="lines must have one ratio per layer"):
        draw_ratios([], label="x")
    with pytest.raises(ValueError, match=r"of the same network, got \[0, 1\]"):
        draw_ratios(
            [RatioLine("a", "bare", []), RatioLine("b", "bare", [LayerRatio("a", 1, 1, 1, 3)])],
            label="x",
        )
