"""Class-activation maps show where the evidence is, and leave the model as it was."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.defenses import Purifier
from sparsedef.evaluation.class_maps import class_maps, colours, find_layer, overlay
from sparsedef.models import SmallCNN, WideResNet


class RedOrBlue(nn.Module):
    """Class 0 is the amount of red, class 1 that of blue; one channel each, and one for green."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.act = nn.ReLU(inplace=True)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        return self.act(self.conv(images)).mean((2, 3))[:, [0, 2]]


@pytest.fixture
def images() -> Tensor:
    """Red at the top left, a little more blue at the bottom right, bright green in the middle."""
    images = torch.zeros(3, 3, 16, 16)
    images[:, 0, 1:5, 2:6] = 0.8
    images[:, 2, 10:15, 11:15] = 0.8
    images[:, 1, 6:9, 6:9] = 1.0
    return images


def is_only_in(class_map: Tensor, rows: slice, columns: slice) -> bool:
    inside = torch.zeros_like(class_map, dtype=torch.bool)
    inside[rows, columns] = True
    return bool((class_map[inside] == 1).all() and (class_map[~inside] == 0).all())


def test_the_map_lies_where_the_evidence_for_the_class_is(images: Tensor) -> None:
    red, blue = (
        class_maps(RedOrBlue(), images, torch.full((3,), label), batch_size=2) for label in (0, 1)
    )
    assert red.shape == blue.shape == (3, 16, 16)
    assert all(is_only_in(each, slice(1, 5), slice(2, 6)) for each in red)
    assert all(is_only_in(each, slice(10, 15), slice(11, 15)) for each in blue)
    assert torch.equal(class_maps(RedOrBlue(), images), blue)  # the predicted class


class Mirrored(Purifier):
    @classmethod
    def fit(cls, classifier: nn.Module, images: Tensor, labels: Tensor, *, seed: int = 0) -> None:
        raise NotImplementedError

    def purify(self, images: Tensor) -> Tensor:
        return images.flip(3)


def test_of_a_purifier_the_map_is_on_the_image_that_the_classifier_sees(images: Tensor) -> None:
    red = class_maps(Mirrored(RedOrBlue()), images, torch.zeros(3, dtype=torch.long))
    assert all(is_only_in(each, slice(1, 5), slice(10, 14)) for each in red)
    assert torch.equal(
        red, class_maps(Mirrored(Mirrored(RedOrBlue())), images, torch.zeros(3).long()).flip(2)
    )


@pytest.mark.parametrize("method", ["hires_cam", "grad_cam"])
def test_the_map_is_that_of_its_definition(method: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = SmallCNN(4, 32).eval()
        images = torch.rand(5, 3, 32, 32)
    features = model.features((images - 0.5) / 0.25).detach().requires_grad_(True)
    labels = torch.tensor([0, 1, 2, 3, 0])
    logits = model.head(features.flatten(1))
    (grad,) = torch.autograd.grad(logits[torch.arange(5), labels].sum(), features)
    if method == "grad_cam":
        grad = grad.mean((2, 3), keepdim=True).expand_as(features)
    expected = torch.einsum("bkhw,bkhw->bhw", grad, features).relu()[:, None]
    expected = functional.interpolate(expected, size=(32, 32), mode="bilinear")[:, 0]
    expected = expected / expected.amax((1, 2), keepdim=True).clamp_min(1e-30)
    maps = class_maps(model, images, labels, method=method, batch_size=2)
    assert torch.allclose(maps, expected.detach(), atol=1e-5)
    assert maps.amin() >= 0
    assert set(maps.amax((1, 2)).tolist()) <= {0.0, 1.0}
    named = class_maps(model, images, labels, layer="features.7", method=method, batch_size=2)
    assert torch.equal(maps, named)


def test_both_methods_agree_where_the_network_averages_over_space() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = WideResNet(4, depth=10, width=1)
        images = torch.rand(3, 3, 32, 32)
    maps = [class_maps(model, images, method=method) for method in ("hires_cam", "grad_cam")]
    assert maps[0].amax() == 1
    assert torch.allclose(*maps, atol=1e-4)
    with pytest.raises(ValueError, match=r"method must be one of .*, got 'cam'"):
        class_maps(model, images, method="cam")


@pytest.mark.parametrize("is_trainable", [True, False])
def test_the_model_is_left_as_it_was(is_trainable: bool) -> None:
    model = SmallCNN(4, 16).requires_grad_(is_trainable).train()
    model.features[1].eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    modes = [part.training for part in model.modules()]
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    with torch.no_grad():
        maps = class_maps(model, images)
    assert not maps.requires_grad
    assert images.grad is None
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())
    assert [part.training for part in model.modules()] == modes
    assert not any(part._forward_hooks for part in model.modules())
    with pytest.raises(ValueError, match="no layer"):
        class_maps(model, images, layer="features.77")
    with pytest.raises(ValueError, match=r"'head' must be \[B, C, h, w\], got \[2, 4\]"):
        class_maps(model, images, layer="head")
    assert not any(part._forward_hooks for part in model.modules())


def test_the_layer_is_what_follows_the_last_convolution_that_sees_places() -> None:
    image = torch.rand(1, 3, 32, 32)
    assert find_layer(SmallCNN(4, 32), image) == "features"
    assert find_layer(WideResNet(4, depth=10, width=1).eval(), image) == "act"
    squeezed = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 2, 1), nn.Flatten(),
    )  # fmt: skip
    assert find_layer(squeezed, image) == "4"


def test_known_networks_are_mapped_at_their_last_block(torchvision: Any) -> None:
    models = torchvision.models
    with torch.random.fork_rng(devices=[]):
        networks = {
            "layer4": models.resnet18(weights=None, num_classes=4),
            "Mixed_7c": models.inception_v3(weights=None, num_classes=4, init_weights=False),
        }
    images = torch.rand(2, 3, 112, 112)
    for layer, network in networks.items():
        assert find_layer(network.eval(), images[:1]) == layer
        assert class_maps(network, images).shape == (2, 112, 112)


def test_nothing_for_the_class_gives_zero_and_no_images_no_maps(images: Tensor) -> None:
    images[:, 0] = 0
    assert class_maps(RedOrBlue(), images, torch.zeros(3).long()).abs().max() == 0
    assert class_maps(RedOrBlue(), images[:0]).shape == (0, 16, 16)


class Blocked(RedOrBlue):
    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(images)


class Broken(RedOrBlue):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * torch.nan


def test_what_has_no_map_is_told_why(images: Tensor) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    with pytest.raises(ValueError, match="Sequential must have a convolution"):
        class_maps(flat, images)
    with pytest.raises(ValueError, match="depend on the output of 'act' differentiably"):
        class_maps(Blocked(), images)
    with pytest.raises(ValueError, match="gradient at 'act' must be finite"):
        class_maps(Broken(), images, torch.zeros(3).long())
    with pytest.raises(ValueError, match=r"labels must be int64 \[3\], got torch.int64 \[2\]"):
        class_maps(RedOrBlue(), images, torch.zeros(2).long())
    with pytest.raises(ValueError, match="labels must be < 2, the number of classes"):
        class_maps(RedOrBlue(), images, torch.full((3,), 2))
    with pytest.raises(ValueError, match="labels must be >= 0, got -1"):
        class_maps(RedOrBlue(), images, torch.full((3,), -1))
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        class_maps(RedOrBlue(), images * 255)


def lightness(colour: Tensor) -> Tensor:
    """CIE L* of sRGB colours ``[3, ...]``."""
    linear = torch.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    luminance = (torch.tensor([0.2126, 0.7152, 0.0722])[:, None] * linear).sum(0)
    return torch.where(luminance > 0.008856, 116 * luminance ** (1 / 3) - 16, 903.3 * luminance)


def test_colours_grow_evenly_in_lightness() -> None:
    steps = lightness(colours(torch.linspace(0, 1, 61)[None])[:, 0]).diff()
    assert steps.min() > 0.5 * steps.mean()
    assert steps.max() < 1.6 * steps.mean()


def test_an_overlay_changes_nothing_where_the_map_is_zero() -> None:
    image = torch.rand(3, 6, 6)
    class_map = torch.zeros(6, 6)
    class_map[2, 3] = 1
    drawn = overlay(image, class_map, opacity=1.0)
    assert torch.allclose(drawn[:, 2, 3], torch.tensor([1.0, 0.93, 0.71]))
    changed = (drawn != image).any(0)
    assert changed.nonzero().tolist() == [[2, 3]]
    assert torch.equal(overlay(image, class_map, opacity=0.0), image)
    with pytest.raises(ValueError, match=r"image must be \[3, H, W\]"):
        overlay(image, class_map[:5])
    with pytest.raises(ValueError, match=r"opacity must be in \[0, 1\], got 2"):
        overlay(image, class_map, opacity=2)
