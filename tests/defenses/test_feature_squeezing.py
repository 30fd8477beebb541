"""Feature squeezing: each squeezer is its definition, and the detector keeps its promise."""

import pytest
import torch
from scenes import make_net, make_scenes
from torch import Tensor, nn

from sparsedef.attacks import FGSM, PGD
from sparsedef.defenses import FeatureSqueezing, NLMSettings
from sparsedef.defenses.filters import median_filter, non_local_means, reduce_bit_depth


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("bits", [1, 3, 5, 8])
def test_bit_depth_gives_the_nearest_level(bits: int) -> None:
    images = noise(2, 3, 20, 20)
    levels = torch.linspace(0, 1, 2**bits, dtype=torch.float64)
    nearest = levels[(images[..., None] - levels).abs().argmin(-1)]
    found = reduce_bit_depth(images, bits)
    torch.testing.assert_close(found, nearest, rtol=0, atol=1e-12)
    torch.testing.assert_close(reduce_bit_depth(found, bits), found, rtol=0, atol=0)


def test_bit_depth_is_differentiated_as_the_identity() -> None:
    images, weight = noise(2, 3, 4, 4).requires_grad_(), noise(2, 3, 4, 4, seed=1)
    (grad,) = torch.autograd.grad((reduce_bit_depth(images, 3) * weight).sum(), images)
    assert torch.equal(grad, weight)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_median_agrees_with_scipy(size: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    images = noise(2, 3, 9, 7)
    wanted = ndimage.median_filter(images.numpy(), size=(1, 1, size, size), mode="nearest")
    assert torch.equal(median_filter(images, size=size), torch.from_numpy(wanted))


@pytest.mark.parametrize("size", [2, 3])
def test_median_has_an_exact_gradient(size: int) -> None:
    images = noise(1, 2, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: median_filter(x, size=size), images)


def test_median_sends_its_gradient_to_one_pixel_each() -> None:
    images = torch.full((1, 1, 6, 6), 0.5, requires_grad=True)
    (grad,) = torch.autograd.grad(median_filter(images, size=3).sum(), images)
    assert grad.sum().item() == 36, "all equal: still one for each output"


def test_purifies_by_the_squeezers_in_turn() -> None:
    images, nlm = noise(2, 3, 16, 16), NLMSettings(search=5, template=3, strength=0.1)
    defense = FeatureSqueezing(nn.Flatten(), bits=4, median=3, nlm=nlm)
    one = reduce_bit_depth(images, 4)
    two = median_filter(one, size=3)
    three = non_local_means(two, search=5, template=3, strength=0.1)
    assert torch.equal(defense.purify(images), three)
    only = FeatureSqueezing(nn.Flatten(), bits=None, median=3)
    assert torch.equal(only.purify(images), median_filter(images, size=3))


def test_the_score_is_the_largest_change_of_the_answer() -> None:
    net, (images, _) = make_net(), make_scenes(6)
    nlm = NLMSettings.for_size(24)
    defense = FeatureSqueezing(net, bits=2, median=3, nlm=nlm)
    answer = net(images).softmax(1)
    squeezed = [
        reduce_bit_depth(images, 2),
        median_filter(images, size=3),
        non_local_means(images, search=13, template=3, strength=2 / 255),
    ]
    changes = [(net(s).softmax(1) - answer).abs().sum(1) for s in squeezed]
    wanted = torch.stack(changes).max(0).values
    torch.testing.assert_close(defense.score(images), wanted)
    assert (defense.score(images) >= 0).all()
    assert (defense.score(images) <= 2).all()
    leaf = images.clone().requires_grad_()
    (grad,) = torch.autograd.grad(defense.score(leaf).sum(), leaf)
    assert grad.abs().sum() > 0, "an adaptive attack can climb down the score"


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("count", [1, 20, 137])
def test_the_threshold_keeps_the_false_positive_rate(rate: float, count: int) -> None:
    images = make_scenes(count, seed=3)[0]
    defense = FeatureSqueezing(make_net(), bits=3).fit_threshold(images, false_positive_rate=rate)
    flagged = int(defense.is_flagged(images).sum())
    assert flagged <= rate * count
    assert flagged >= rate * count - 2, "and does not waste it"


def test_the_detector_sees_attacks_that_do_not_know_it() -> None:
    net, (images, labels) = make_net(), make_scenes(40, seed=4)
    defense = FeatureSqueezing(net, bits=3, median=3).fit_threshold(make_scenes(100, seed=5)[0])
    attacked = FGSM(0.08)(net, images, labels).images
    assert defense.is_flagged(images).float().mean() < 0.2
    assert defense.score(attacked).mean() > 2 * defense.score(images).mean()


def test_fitting_leaves_modes_as_they_were_and_asks_in_evaluation_mode() -> None:
    class Asked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 2)
            self.modes: list[bool] = []

        def forward(self, images: Tensor) -> Tensor:
            self.modes.append(self.training)
            return self.inner(images.mean((2, 3)))

    asked = Asked()
    asked.inner.eval()
    FeatureSqueezing(asked).fit_threshold(make_scenes(3)[0])
    assert set(asked.modes) == {False}
    assert (asked.training, asked.inner.training) == (True, False)


def test_the_threshold_travels_with_the_state() -> None:
    images = make_scenes(10)[0]
    fitted = FeatureSqueezing.fit(make_net(), images, torch.zeros(10, dtype=torch.long))
    fresh = FeatureSqueezing(make_net(), nlm=fitted.nlm)
    with pytest.raises(ValueError, match="threshold must be fitted first"):
        fresh.is_flagged(images)
    fresh.load_state_dict(fitted.state_dict())
    assert torch.equal(fresh.is_flagged(images), fitted.is_flagged(images))


def test_the_published_sizes_are_taken() -> None:
    labels = torch.zeros(2, dtype=torch.long)
    small = FeatureSqueezing.fit(make_net(), make_scenes(2, 32)[0], labels)
    assert (small.bits, small.median, small.nlm) == (5, 2, (13, 3, 2 / 255))
    assert NLMSettings.for_size(299) == (11, 3, 4 / 255)
    assert NLMSettings.for_size(5).search == 9, "no wider than the image allows"


def test_the_surrogate_defeats_it() -> None:
    images, labels = make_scenes(8)
    defense = FeatureSqueezing(make_net(), nlm=NLMSettings.for_size(24))
    assert (defense(images).argmax(1) == labels).all()
    result = PGD(0.3, steps=10)(defense, images, labels)
    assert result.success.all()
    assert sum(result.health.zero) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FeatureSqueezing(nn.Flatten(), bits=None, median=None), "are all None"),
        (lambda: FeatureSqueezing(nn.Flatten(), bits=17), "bits must be at most 16, got 17"),
        (lambda: FeatureSqueezing(nn.Flatten(), median=0), "median must be at least 1, got 0"),
        (lambda: reduce_bit_depth(noise(1, 1, 2, 2), 0), "bits must be at least 1, got 0"),
        (lambda: median_filter(noise(1, 1, 2, 2), size=0), "size must be at least 1, got 0"),
        (
            lambda: FeatureSqueezing(nn.Flatten()).fit_threshold(noise(0, 3, 8, 8)),
            "at least one image.*got 0 images",
        ),
    ],
)
def test_bad_settings_are_named(call, message: str) -> None:  # type: ignore
    with pytest.raises(ValueError, match=message):
        call()
