"""ComDefend: the published networks, bits between them, and how an attacker gets through."""

from functools import cache
from itertools import pairwise

import pytest
import torch
from scenes import make_net, make_scenes
from torch import Tensor, nn

from sparsedef.defenses import ComDefend, NoisyComDefend
from sparsedef.models.comdefend import ComDefendCodec
from sparsedef.training import Step, Tensors
from sparsedef.training.comdefend import comdefend_loss, reconstruction_error, train_comdefend


@cache
def trained_codec() -> ComDefendCodec:
    """A narrow codec that rebuilds the scenes."""
    images, _ = make_scenes(160, seed=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        codec = ComDefendCodec(width=2)
    train_comdefend(codec, images, epochs=16, seed=0, lr=5e-3, is_silent=True)
    return codec.requires_grad_(False)


def small_codec(width: int = 1) -> ComDefendCodec:
    torch.manual_seed(0)
    return ComDefendCodec(width)


def test_the_networks_are_the_published_ones() -> None:
    codec = ComDefendCodec()
    widths = [
        [(part.in_channels, part.out_channels) for part in net if isinstance(part, nn.Conv2d)]
        for net in (codec.compress, codec.rebuild)
    ]
    chain = [3, 16, 32, 64, 128, 256, 128, 64, 32, 12]
    assert widths[0] == list(pairwise(chain))
    chain = [12, 32, 64, 128, 256, 128, 64, 32, 16, 3]
    assert widths[1] == list(pairwise(chain))
    assert sum(isinstance(part, nn.ELU) for part in [*codec.compress, *codec.rebuild]) == 16


def test_the_loss_is_its_formula() -> None:
    codec, images = small_codec(), torch.rand(4, 3, 8, 8)
    value = comdefend_loss(codec, images, Step.single(4, seed=0), penalty=0.5)
    u = codec.encode(images)
    noise = Step.single(4, seed=0).randn_like(u)
    code = 1 / (1 + (20 * noise - u).exp())
    expected = ((codec.decode(code) - images) ** 2).mean() + 0.5 * (code**2).mean()
    torch.testing.assert_close(value, expected)


def test_training_makes_a_code_that_rebuilds_images_from_bits() -> None:
    images, _ = make_scenes(40, seed=2)
    data = Tensors(images)
    assert reconstruction_error(trained_codec(), data) < 0.35 * images.var().item()
    u = trained_codec().encode(images)
    assert (u.abs() > 20).float().mean() > 0.4  # it outgrows the noise
    torch.testing.assert_close(
        reconstruction_error(trained_codec(), data, batch_size=7),
        ((trained_codec().decode((u > 0).float()) - images) ** 2).mean().item(),
    )


def test_the_classifier_sees_what_is_decoded_from_bits_alone() -> None:
    defense = ComDefend(make_net(), trained_codec())
    images, _ = make_scenes(4)
    bits = trained_codec().encode(images) > 0
    assert torch.equal(defense.purify(images), trained_codec().decode(bits.float()))
    assert torch.equal(defense.purify(images), trained_codec()(images))


def test_an_error_below_the_noise_is_gone() -> None:
    """What it is for: images that differ by less than turns a bit are rebuilt alike."""
    defense = ComDefend(make_net(), trained_codec())
    images, _ = make_scenes(20)
    noise = 0.01 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    before = (noise**2).mean()
    after = ((defense.purify((images + noise).clamp(0, 1)) - defense.purify(images)) ** 2).mean()
    assert after < 0.5 * before


@pytest.mark.parametrize("size", [(8, 8), (9, 14), (5, 3), (16, 7)])
def test_tiles_are_coded_each_for_itself(size: tuple[int, int]) -> None:
    codec, images = small_codec(), torch.rand(2, 3, *size)
    tiled = ComDefend(nn.Identity(), codec, tile=8).purify(images)
    assert tiled.shape == images.shape
    if size == (8, 8):
        assert torch.equal(tiled, codec(images))
    corner = images[:, :, :8, :8]
    if corner.shape[-2:] == (8, 8):
        assert torch.equal(tiled[:, :, :8, :8], codec(corner))
    first = tiled.clone()
    changed = images.clone()
    changed[:, :, :, -1] = 1 - changed[:, :, :, -1]
    tiled = ComDefend(nn.Identity(), codec, tile=8).purify(changed)
    begin = (size[1] - 1) // 8 * 8  # of the tiles that have changed
    assert torch.equal(tiled[..., :begin], first[..., :begin])


def test_the_gradient_is_that_of_smooth_bits_at_the_true_code() -> None:
    codec = small_codec().double()
    with torch.no_grad():
        for part in codec.parameters():
            part.mul_(2.0)
    images = torch.rand(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(2, 3, 6, 6, dtype=torch.float64)
    out = ComDefend(nn.Identity(), codec).purify(images)
    (grad,) = torch.autograd.grad((out * weight).sum(), images)
    u = codec.encode(images)
    bits = (u > 0).double().requires_grad_()
    (of_bits,) = torch.autograd.grad((codec.decode(bits) * weight).sum(), bits)
    s = (u / 20).sigmoid()
    (expected,) = torch.autograd.grad(u, images, of_bits * (s * (1 - s) / 20).detach())
    torch.testing.assert_close(grad, expected)


def test_the_noisy_one_draws_and_its_bits_follow_the_noise() -> None:
    defense = NoisyComDefend(make_net(), trained_codec()).eval()
    images, _ = make_scenes(4)
    assert not torch.equal(defense(images), defense(images))
    torch.manual_seed(3)
    out = defense.purify(images)
    torch.manual_seed(3)
    u = trained_codec().encode(images)
    noise = torch.randn(u.shape)
    torch.testing.assert_close(out, trained_codec().decode((u - 20 * noise > 0).float()))


def test_fit_takes_a_codec_and_otherwise_trains_one_by_its_seed() -> None:
    images, labels = make_scenes(8, side=12)
    given = ComDefend.fit(make_net(12), images, labels, codec=trained_codec())
    assert given.codec is trained_codec()
    one, two, other = (
        ComDefend.fit(nn.Identity(), images, labels, seed=seed).codec for seed in (0, 0, 1)
    )
    same, different = ([torch.equal(*pair) for pair in zip(one.parameters(), net.parameters(),
        strict=True)] for net in (two, other))  # fmt: skip
    assert all(same)
    assert not all(different)
    assert not any(each.requires_grad for each in one.parameters())


def test_fit_leaves_the_callers_random_state_alone() -> None:
    images, labels = make_scenes(4, side=8)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    ComDefend.fit(nn.Identity(), images, labels)
    assert torch.equal(torch.rand(1), expected)


def with_sigma(sigma: float) -> Tensor:
    return ComDefendCodec(1, sigma).encode(torch.rand(1, 3, 4, 4))


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match="tile must be at least 1, got 0"):
        ComDefend(nn.Identity(), small_codec(), tile=0)
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        ComDefendCodec(0)
    for sigma in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="sigma must be finite and positive"):
            with_sigma(sigma)
    with pytest.raises(ValueError, match="train_comdefend: crop must be at least 1, got 0"):
        train_comdefend(small_codec(), torch.rand(2, 3, 4, 4), crop=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_training_does_not_hang_on_a_lucky_seed(seed: int) -> None:
    """A code that says nothing of the image leaves an error of the variance."""
    images, _ = make_scenes(160, seed=1)
    torch.manual_seed(seed)
    codec = ComDefendCodec(width=2)
    train_comdefend(codec, images, epochs=16, seed=seed, lr=5e-3, is_silent=True)
    others, _ = make_scenes(40, seed=2)
    assert reconstruction_error(codec, Tensors(others)) < 0.5 * others.var().item()
