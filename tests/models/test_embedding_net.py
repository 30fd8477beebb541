"""Encoders of few-shot learning: shapes, sizes, and the same weights from the same seed."""

from pathlib import Path

import pytest
import torch

from sparsedef.models.checkpoint import load_network, save_network
from sparsedef.models.embedding_net import BACKBONES, EmbeddingNet, build_embedding_net


@pytest.mark.parametrize("backbone", list(BACKBONES), ids=list(BACKBONES))
def test_images_of_any_size_become_features(backbone: str) -> None:
    net = EmbeddingNet(7, backbone).eval()
    with torch.no_grad():
        assert net(torch.rand(1, 3, 16, 16)).shape == (1, 7)
        assert net(torch.rand(1, 3, 34, 20)).shape == (1, 7)


def test_published_sizes_of_the_backbones() -> None:
    def count(backbone: str) -> int:
        return sum(p.numel() for p in EmbeddingNet(1, backbone).backbone.parameters())

    conv = 9 * (3 * 512 + 3 * 512 * 512) + 4 * 2 * 512
    assert count("conv4") == conv
    pairs = [(3, 64), (64, 160), (160, 320), (320, 640)]
    residual = sum(9 * (a * b + 2 * b * b) + a * b + 4 * 2 * b for a, b in pairs)
    assert count("resnet12") == residual


def test_the_seed_decides_the_weights_and_torchs_state_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (
        build_embedding_net(seed=seed, width=4, backbone="tiny").project.weight
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_saved_encoder_comes_back(tmp_path: Path) -> None:
    settings = {"width": 4, "backbone": "tiny"}
    net = build_embedding_net(seed=0, **settings).eval()
    save_network(tmp_path / "net.pt", "embedding_net", settings, net)
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(load_network(tmp_path / "net.pt").model(images), net(images))


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(ValueError, match="conv4"):
        EmbeddingNet(4, "vgg")
