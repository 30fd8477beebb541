"""Networks of torchvision get their weights from a file on this machine, or one clear line."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sparsedef.models import load_model

Save = Callable[..., nn.Module]


@pytest.fixture
def saved(torchvision: Any) -> Save:
    return partial(save_random, torchvision.models)


def save_random(models: Any, name: str, path: Path, **options: object) -> nn.Module:
    """A network with a random start, and its state dict in a file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = models.get_model(name, weights=None, **options)
        for part in network.modules():  # statistics that evaluation would miss if not loaded
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.uniform_(-0.1, 0.1)
    torch.save(network.state_dict(), path)
    return network.eval()


def normalised(images: torch.Tensor) -> torch.Tensor:
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    return (images - mean) / std


def test_a_network_takes_its_weights_and_images_in_0_1(saved: Save, tmp_path: Path) -> None:
    network = saved("resnet18", tmp_path / "w.pt", num_classes=7)
    model = load_model("torchvision:resnet18", n_classes=7, size=64, weights=tmp_path / "w.pt")
    images = torch.rand(2, 3, 64, 64)
    assert torch.allclose(model(images), network(normalised(images)), atol=1e-5)
    assert not any(part.training for part in model.modules())
    with pytest.raises(ValueError, match=r"fc\.weight is \[7, 512\] there and \[10, 512\] here"):
        load_model("torchvision:resnet18", n_classes=10, size=64, weights=tmp_path / "w.pt")


@pytest.mark.parametrize("has_helpers", [True, False])
def test_inception_takes_weights_with_and_without_its_helper(
    saved: Save, tmp_path: Path, has_helpers: bool
) -> None:
    network = saved(
        "inception_v3", tmp_path / "w.pt", num_classes=4, aux_logits=has_helpers,
        init_weights=False, transform_input=True,
    )  # fmt: skip
    model = load_model("torchvision:inception_v3", n_classes=4, size=96, weights=tmp_path / "w.pt")
    images = torch.rand(2, 3, 96, 96)
    assert torch.allclose(model(images), network(normalised(images)), atol=1e-4)
    # its published weights want [-1, 1], which is what the network then makes of normalised ones
    inner = network._transform_input(normalised(images))
    assert torch.allclose(inner, images * 2 - 1, atol=1e-5)
    model.train()
    with torch.no_grad():  # in training mode the helper's output is dropped
        assert model(torch.rand(2, 3, 299, 299)).shape == (2, 4)


def test_images_too_small_for_a_network_are_named(saved: Save, tmp_path: Path) -> None:
    saved("inception_v3", tmp_path / "w.pt", num_classes=4, init_weights=False)
    with pytest.raises(ValueError, match=r"inception_v3 cannot classify images of 32 x 32"):
        load_model("torchvision:inception_v3", n_classes=4, size=32, weights=tmp_path / "w.pt")


def test_weights_come_from_the_cache_only_if_they_are_there(
    saved: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    with pytest.raises(
        FileNotFoundError, match=rf"resnet18-f37072fd\.pth is not in {folder}, and nothing is down"
    ):
        load_model("torchvision:resnet18", n_classes=1000, size=64)
    folder.mkdir(parents=True)
    network = saved("resnet18", folder / "resnet18-f37072fd.pth")
    model = load_model("torchvision:resnet18", n_classes=1000, size=64)
    images = torch.rand(1, 3, 64, 64)
    assert torch.allclose(model(images), network(normalised(images)), atol=1e-5)


def test_the_old_names_of_densenet_are_understood(saved: Save, tmp_path: Path) -> None:
    network = saved("densenet121", tmp_path / "w.pt", num_classes=4)
    state = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): tensor
        for name, tensor in network.state_dict().items()
    }
    assert state.keys() != network.state_dict().keys()
    torch.save(state, tmp_path / "old.pt")
    model = load_model("torchvision:densenet121", n_classes=4, size=64, weights=tmp_path / "old.pt")
    images = torch.rand(1, 3, 64, 64)
    assert torch.allclose(model(images), network(normalised(images)), atol=1e-5)


@pytest.mark.slow
def test_a_transformer_is_built_for_the_size(saved: Save, tmp_path: Path) -> None:
    saved("vit_b_32", tmp_path / "w.pt", num_classes=4, image_size=64)
    model = load_model("torchvision:vit_b_32", n_classes=4, size=64, weights=tmp_path / "w.pt")
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 4)
    with pytest.raises(ValueError, match=r"encoder\.pos_embedding is \[1, 5, 768\] there"):
        load_model("torchvision:vit_b_32", n_classes=4, size=96, weights=tmp_path / "w.pt")


@pytest.mark.usefixtures("torchvision")
def test_a_name_that_torchvision_lacks_gets_a_close_one() -> None:
    with pytest.raises(ValueError, match=r"has no such network \(resnet18"):
        load_model("torchvision:resnet_18", n_classes=10, size=64)
