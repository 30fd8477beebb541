"""What every defense in the table must do, whatever it is."""

import math
from collections.abc import Callable

import pytest
import torch
from tiny_clip import WORDS, TinyClip
from torch import Tensor, nn

from sparsedef.defenses import DEFENSES, SSD, Defense, Purifier


class Tiny(nn.Module):
    """A smooth classifier of any image size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
            nn.Linear(96, 5),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def make_images(count: int, seed: int = 0) -> Tensor:
    """Grey-level scenes with an object, noise, and no pixel at 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.3 + 0.1 * torch.rand(count, 3, 24, 24, generator=generator)
    images[:, :, 6:16, 8:15] += 0.3
    return images


@pytest.fixture(scope="module", params=DEFENSES)
def defense(request: pytest.FixtureRequest) -> Defense:
    images = make_images(12, seed=1)
    labels = torch.zeros(12, dtype=torch.long)
    if request.param == "ssd":  # it defends an embedding, and needs words and several classes
        options = {"concepts": WORDS, "n_classes": 5, "seed": 0}
        return SSD.fit(TinyClip(), images, torch.arange(12) % 5, **options).eval()
    return DEFENSES[request.param].fit(Tiny(), images, labels, seed=0).eval()


def ask(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Asks a defense, always with the same draw if it is random."""
    torch.manual_seed(0)
    return model(images)


def test_maps_images_to_logits(defense: Defense) -> None:
    logits = defense(make_images(3))
    assert logits.shape == (3, 5)
    assert logits.isfinite().all()
    assert defense(make_images(3)[:0]).shape == (0, 5)


def test_says_whether_it_is_random(defense: Defense) -> None:
    images = make_images(4)
    is_same = torch.equal(defense(images), defense(images))
    assert is_same != defense.is_random


def test_torchs_seed_repeats_its_draws(defense: Defense) -> None:
    images = make_images(4)
    assert torch.equal(ask(defense, images), ask(defense, images))


def test_an_answer_does_not_depend_on_the_neighbours(defense: Defense) -> None:
    if defense.is_random:
        pytest.skip("a random defense draws anew for each batch")
    images = make_images(4)
    torch.testing.assert_close(defense(images)[2:3], defense(images[2:3]))


def test_keeps_its_hands_off_the_images(defense: Defense) -> None:
    images = make_images(2)
    before = images.clone()
    defense(images)
    assert torch.equal(images, before)


def test_purified_images_are_images(defense: Defense) -> None:
    if not isinstance(defense, Purifier):
        pytest.skip("it does not purify")
    generator = torch.Generator().manual_seed(0)
    hard = (torch.rand(6, 3, 24, 24, generator=generator) * 3 - 1).clamp(0, 1)
    for images in (hard, torch.zeros(1, 3, 24, 24), torch.ones(1, 3, 24, 24), make_images(2)):
        pure = defense.purify(images)
        assert pure.shape == images.shape
        assert pure.min() >= 0
        assert pure.max() <= 1


def test_the_surrogate_gives_the_true_logits(defense: Defense) -> None:
    images = make_images(3).requires_grad_()
    logits = ask(defense.surrogate, images)
    torch.testing.assert_close(logits, ask(defense, images))
    (grad,) = torch.autograd.grad(logits.square().sum(), images)
    assert grad.abs().sum() > 0


def test_its_gradient_is_what_it_claims(defense: Defense) -> None:
    """Autograd against central differences, in float64, along random directions.

    The step is small because an iterated filter has a kink every 1e-6 or so along a line.
    """
    if not defense.has_exact_gradient:
        pytest.skip("it says that its gradient is not exact")
    exact = defense.double()
    try:
        images = make_images(2).double().requires_grad_()
        weight = torch.randn(2, 5, generator=torch.Generator().manual_seed(3)).double()
        (grad,) = torch.autograd.grad((ask(exact, images) * weight).sum(), images)
        with torch.no_grad():
            for seed in range(8):
                generator = torch.Generator().manual_seed(seed)
                step = torch.randn(images.shape, generator=generator, dtype=torch.float64) * 1e-8
                up, down = (ask(exact, images + sign * step) for sign in (1, -1))
                difference = ((up - down) * weight).sum() / 2
                torch.testing.assert_close(difference, (grad * step).sum(), rtol=1e-5, atol=1e-15)
    finally:
        defense.float()


def test_moves_with_its_state(defense: Defense) -> None:
    keys = defense.state_dict().keys()
    assert any(key.startswith("classifier.") for key in keys)
    images = make_images(2)
    before = ask(defense, images)
    with torch.no_grad():
        for parameter in defense.classifier.parameters():
            parameter.add_(1.0)
        assert not torch.equal(ask(defense, images), before)
        for parameter in defense.classifier.parameters():
            parameter.sub_(1.0)


BAD = [
    (lambda x: (255 * x).to(torch.uint8), TypeError, r"uint8.*images.float\(\) / 255"),
    (lambda x: x.numpy(), TypeError, "torch.Tensor, got ndarray"),
    (lambda x: x[0], ValueError, r"\[B, 3, H, W\], got \[3, 24, 24\].*images\[None\]"),
    (lambda x: x[:, :1], ValueError, r"grey\? pass images.expand"),
    (lambda x: x * 255, ValueError, r"\[0, 1\].*pass images / 255"),
    (lambda x: x - 0.5, ValueError, r"must lie in \[0, 1\]"),
    (lambda x: x * math.nan, ValueError, r"must lie in \[0, 1\], got \[nan"),
]


@pytest.mark.parametrize(("spoil", "error", "message"), BAD)
def test_bad_input_is_named(defense: Defense, spoil, error, message) -> None:  # type: ignore
    for ask in (defense, defense.surrogate):
        with pytest.raises(error, match=message) as caught:
            ask(spoil(make_images(2)))
        assert str(caught.value).startswith(type(defense).__name__)
