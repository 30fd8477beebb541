"""Non-local means: scikit-image finds the same, and memory does not change the answer."""

import pytest
import torch
from scenes import make_net, make_scenes
from torch import Tensor, nn

from sparsedef.attacks import PGD
from sparsedef.defenses import NLMSettings, NonLocalMeans
from sparsedef.defenses.filters import non_local_means, recompute


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_noisy(side: int = 28) -> Tensor:
    """A bright square and noise of standard deviation 0.05: ``[1, 3, H, W]`` float64."""
    generator = torch.Generator().manual_seed(0)
    image = torch.full((1, 3, side, side), 0.4, dtype=torch.float64)
    image[..., 8:18, 10:22] = 0.6
    return image + 0.05 * torch.randn(image.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("template", "reach"), [(3, 3), (5, 4)])
def test_agrees_with_scikit_image(template: int, reach: int) -> None:
    """Away from the edges, where its windows are cut off and ours are mirrored.

    Its exponential is a fast one, some per cent off, which moves an average of noisy pixels by
    as much of their spread: 0.05 times 3%.
    """
    restoration = pytest.importorskip(
        "skimage.restoration", reason="scikit-image is the oracle and is not installed"
    )
    image, strength = make_noisy(), 0.2
    wanted = restoration.denoise_nl_means(
        image[0].permute(1, 2, 0).numpy(), patch_size=template, patch_distance=reach, h=strength,
        fast_mode=False, channel_axis=-1,
    )  # fmt: skip
    wanted = torch.from_numpy(wanted.copy()).permute(2, 0, 1)[None].double()
    found = non_local_means(
        image, strength=strength, template=template, search=2 * reach + 1, is_gaussian=True
    )
    edge = reach + template // 2
    inner = (..., slice(edge, -edge), slice(edge, -edge))
    gap = (found - wanted)[inner].abs()
    assert gap.max() < 2e-3
    assert gap.mean() < 0.02 * (image - wanted)[inner].abs().mean()


def test_gaussian_weights_are_their_definition() -> None:
    image = noise(1, 2, 9, 9)
    found = non_local_means(image, strength=0.5, template=3, search=3, is_gaussian=True)[0]
    offsets = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    bell = {o: torch.exp(torch.tensor(-(o[0] ** 2 + o[1] ** 2) / (2 * 0.5**2))) for o in offsets}
    total, norm = torch.zeros(2, dtype=torch.float64), 0.0
    for down, right in offsets:
        squared = sum(
            bell[i, j].item()
            * (image[0, :, 4 + i, 4 + j] - image[0, :, 4 + i + down, 4 + j + right]).square().mean()
            for i, j in offsets
        ) / sum(bell.values())
        weight = torch.exp(-squared / 0.5**2).item()
        total, norm = total + weight * image[0, :, 4 + down, 4 + right], norm + weight
    torch.testing.assert_close(found[:, 4, 4], total / norm, rtol=1e-6, atol=0)


@pytest.mark.parametrize("is_gaussian", [False, True])
def test_has_an_exact_gradient(is_gaussian: bool) -> None:
    image = noise(1, 2, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: non_local_means(x, strength=0.3, template=3, search=5, is_gaussian=is_gaussian),
        image,
    )


def test_forgetting_between_rows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(2, 3, 12, 9).requires_grad_()
    answers = []
    for kept in (recompute.KEPT, 0):
        monkeypatch.setattr(recompute, "KEPT", kept)
        found = non_local_means(images, template=3, search=7, strength=0.2)
        answers.append((found, *torch.autograd.grad(found.square().sum(), images)))
    (value, grad), (value_again, grad_again) = answers
    assert torch.equal(value, value_again)
    # sums in another order: some units in the last place
    torch.testing.assert_close(grad, grad_again, rtol=1e-12, atol=1e-14)


def test_an_image_does_not_depend_on_its_batch() -> None:
    images = noise(4, 3, 14, 15).float()
    alone = non_local_means(images[2:3], template=3, search=5)
    assert torch.equal(non_local_means(images, template=3, search=5)[2:3], alone)


def test_denoises_and_takes_the_published_windows() -> None:
    defense = NonLocalMeans.fit(nn.Flatten(), make_scenes(2, 32)[0], torch.zeros(2).long())
    assert defense.settings == NLMSettings(13, 3, 2 / 255)
    images = make_scenes(4)[0]
    assert torch.equal(
        defense.purify(images),
        non_local_means(images, search=13, template=3, strength=2 / 255),
    )
    noisy = make_noisy()
    clean = torch.full_like(noisy, 0.4)
    clean[..., 8:18, 10:22] = 0.6
    strong = NonLocalMeans(nn.Flatten(), settings=NLMSettings(11, 3, 0.1))
    assert (strong.purify(noisy) - clean).norm() < 0.5 * (noisy - clean).norm()


def test_the_true_gradient_defeats_it() -> None:
    images, labels = make_scenes(8)
    defense = NonLocalMeans(make_net(), settings=NLMSettings.for_size(24))
    assert (defense(images).argmax(1) == labels).all()
    result = PGD(0.3, steps=10)(defense, images, labels)
    assert result.success.all()
    assert sum(result.health.zero) == 0
