"""BPDA answers exactly as the defense does, with exactly the surrogate's gradient."""

import pytest
import torch
from torch import Tensor, nn

from sparsedef.attacks import BPDA, PGD
from sparsedef.attacks.losses import cross_entropy
from sparsedef.defenses import DEFENSES, Purifier


class Rounded(nn.Module):
    """Rounds the image to nine grey levels, then classifies: a gradient of zero everywhere."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.classifier = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(512, 4)
        )

    def purify(self, images: Tensor) -> Tensor:
        return (images * 8).round() / 8

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.purify(images))


class Drawn(Rounded):
    """Dithers before it rounds."""

    is_random = True
    calls = 0

    def purify(self, images: Tensor) -> Tensor:
        self.calls += 1
        return super().purify((images + 0.05 * torch.randn_like(images)).clamp(0, 1))


def blurred(images: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(images, 3, stride=1, padding=1)


@pytest.fixture
def defense() -> Rounded:
    return Rounded().double().eval()


@pytest.fixture
def batch(defense: Rounded) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(6, 3, 8, 8, generator=generator, dtype=torch.float64)
    return images, defense(images).argmax(1)


def gradient(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    images = images.clone().requires_grad_()
    logits = model(images)
    (grad,) = torch.autograd.grad(cross_entropy(logits, labels).sum(), images)
    return logits.detach(), grad


def through_classifier(defense: Rounded, images: Tensor, labels: Tensor) -> Tensor:
    """The loss's gradient at the purified image, ``[B, C, H, W]``."""
    return gradient(defense.classifier, defense.purify(images), labels)[1]


def test_identity_moves_the_gradient_at_the_purified_image_to_the_image(defense, batch) -> None:  # type: ignore
    images, labels = batch
    logits, grad = gradient(BPDA(defense, "identity"), images, labels)
    assert torch.equal(logits, defense(images))
    torch.testing.assert_close(grad, through_classifier(defense, images, labels))


def test_a_surrogate_of_images_pulls_that_gradient_back(defense, batch) -> None:  # type: ignore
    images, labels = batch
    logits, grad = gradient(BPDA(defense, blurred), images, labels)
    assert torch.equal(logits, defense(images))
    slope = through_classifier(defense, images, labels)
    wanted = torch.autograd.functional.vjp(blurred, images, slope)[1]
    torch.testing.assert_close(grad, wanted)


@pytest.mark.parametrize("plain", [False, True])
def test_a_surrogate_of_logits_gets_the_slope_at_the_true_logits(defense, batch, plain) -> None:  # type: ignore
    images, labels = batch
    torch.manual_seed(7)
    surrogate = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).double()
    model = (lambda x: defense(x)) if plain else defense
    logits, grad = gradient(BPDA(model, surrogate), images, labels)
    assert torch.equal(logits, defense(images))
    slope = logits.softmax(1) - nn.functional.one_hot(labels, 4)  # of cross-entropy, by hand
    wanted = (slope @ surrogate[1].weight).view_as(images)
    torch.testing.assert_close(grad, wanted)


def test_an_attack_finds_through_it_what_rounding_hides(defense, batch) -> None:  # type: ignore
    images, labels = batch
    attack = PGD(0.15, steps=10)
    hidden = attack(defense, images, labels)
    found = attack(BPDA(defense, "identity"), images, labels)
    assert hidden.health.zero == hidden.health.asked
    assert sum(found.health.zero) == 0
    assert found.success.all()
    assert torch.equal(found.success, defense(found.images).argmax(1) != labels)
    assert hidden.success.sum() < found.success.sum()


@pytest.mark.parametrize("surrogate", ["identity", blurred, lambda x: x.flatten(1)[:, :4]])
def test_it_serves_as_gradient_model_alike(defense, batch, surrogate) -> None:  # type: ignore
    images, labels = batch
    attack, bpda = PGD(0.1, steps=5), BPDA(defense, surrogate)
    one = attack(bpda, images, labels)
    other = attack(defense, images, labels, gradient_model=bpda)
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.error_rate, other.error_rate)


def test_a_random_defense_is_averaged_over(batch) -> None:  # type: ignore
    images, labels = batch
    defense = Drawn().double()
    bpda = BPDA(defense, "identity")
    assert bpda.is_random
    assert not BPDA(Rounded(), "identity").is_random
    found = PGD(0.1, steps=2, keep_best=False, draws=9)(bpda, images, labels)
    assert defense.calls == 9 * (2 + 2), "two gradients, the start's rank, the final judgement"
    assert ((found.error_rate * 9) % 1).max() < 1e-6


def test_a_surrogate_that_fails_does_not_pass_for_a_fooled_defense(defense, batch) -> None:  # type: ignore
    images, labels = batch
    found = PGD(0.0, steps=2)(BPDA(defense, lambda x: x / 0), images, labels)
    assert not found.success.any()
    assert found.health.nonfinite == found.health.asked


def test_its_parts_are_put_in_evaluation_mode_and_back(defense, batch) -> None:  # type: ignore
    images, labels = batch
    surrogate = nn.Sequential(nn.Dropout(0.5))
    defense.train()
    modes: list[bool] = []
    surrogate[0].register_forward_hook(lambda part, *_: modes.append(part.training))
    PGD(0.1, steps=2)(BPDA(defense.forward, lambda x: defense.classifier(x)), images, labels)
    assert defense.training
    PGD(0.1, steps=2)(BPDA(defense, surrogate), images, labels)
    assert modes
    assert not any(modes)
    assert surrogate.training
    assert defense.training


def test_a_method_stands_for_its_module() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 4))
    bpda = BPDA(module.forward, lambda x: x.flatten(1)[:, :4]).eval()
    assert not module.training
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(bpda(images), bpda(images))


@pytest.mark.parametrize("name", [n for n in DEFENSES if issubclass(DEFENSES[n], Purifier)])
def test_identity_works_on_every_purifier(name: str) -> None:
    torch.manual_seed(0)
    classifier = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        nn.Linear(96, 5),
    )  # fmt: skip
    images = torch.rand(12, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    labels = torch.zeros(12, dtype=torch.long)
    defense = DEFENSES[name].fit(classifier, images, labels, seed=0).eval()
    if defense.is_random:
        pytest.skip("two draws differ")
    logits, grad = gradient(BPDA(defense, "identity"), images[:3], labels[:3])
    torch.testing.assert_close(logits, defense(images[:3]))
    slope = gradient(classifier, defense.purify(images[:3]).detach(), labels[:3])[1]
    torch.testing.assert_close(grad, slope)


def test_bad_surrogates_are_named(defense, batch) -> None:  # type: ignore
    images, _ = batch
    with pytest.raises(TypeError, match="surrogate must be 'identity' or a callable, got int"):
        BPDA(defense, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be 'identity' or a callable, got 'jpeg'"):
        BPDA(defense, "jpeg")
    with pytest.raises(ValueError, match=r"got Sequential without purify and classifier.*logits"):
        BPDA(nn.Sequential(), "identity")
    with pytest.raises(ValueError, match=r"got Sequential without purify and classifier.*logits"):
        BPDA(nn.Sequential(), blurred)(images)
    with pytest.raises(ValueError, match=r"must return logits \[6, 4\].*got \[6, 3\]"):
        BPDA(defense, lambda x: x.flatten(1)[:, :3])(images)
    with pytest.raises(ValueError, match=r"must return images \[6, 3, 8, 8\].*got \[6, 3, 7, 8\]"):
        BPDA(defense, lambda x: x[:, :, 1:])(images)
