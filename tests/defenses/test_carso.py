"""CARSO: its aggregation, its gradients and memory, its deterministic form, its stand-ins."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.attacks import APGD, PGD
from sparsedef.attacks.base import misclassified
from sparsedef.defenses.carso import (
    CARSO,
    ConditionalDenoiser,
    ExternalPurifier,
    FixedCARSO,
    VotingCARSO,
    literal_peel,
    log_domain,
    make_purifier,
    mean_probability,
    purifier_settings,
    vote,
)
from sparsedef.defenses.carso.aggregation import per_sample_log_odds
from sparsedef.defenses.carso.fitting import Sizes
from sparsedef.defenses.carso.stand_ins import LITERAL
from sparsedef.models import SmallCNN, WideResNet
from sparsedef.models.carso import CARSOPurifier
from sparsedef.models.taps import read_layers, tapped_layers

SIZES = Sizes(condition=12, latent=6, width=8)


def make_classifier() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SmallCNN(4, 16, width=4).eval()


def make(kind: type[CARSO] = CARSO, **options: object) -> CARSO:
    classifier = make_classifier()
    purifier = make_purifier(purifier_settings(classifier, make_images(8), SIZES), seed=0)
    return kind(classifier, purifier, **options)  # type: ignore[arg-type]


def make_images(count: int) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def random_logits(scale: float, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(8, 500, 10, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("scale", [0.1, 0.5, 1.0])
def test_the_log_domain_predicts_as_the_literal_product_does(scale: float) -> None:
    logits = random_logits(scale)
    probability = logits.exp().sum(0).softmax(1)
    top = probability.topk(2, dim=1).values
    is_told_apart = top[:, 0] > top[:, 1]  # rounding may tie them, even in float64
    assert is_told_apart.float().mean() > 0.99
    same = log_domain(logits).argmax(1) == probability.argmax(1)
    assert same[is_told_apart].all()


def test_the_log_domain_has_a_gradient_where_the_literal_product_has_nan() -> None:
    logits = torch.zeros(8, 1, 10)
    logits[:, 0, 3] = 3.0
    grads = {}
    for aggregate in (literal_peel, log_domain):
        asked = logits.clone().requires_grad_()
        loss = functional.cross_entropy(aggregate(asked), torch.tensor([3]))
        (grads[aggregate],) = torch.autograd.grad(loss, asked)
    assert grads[literal_peel].isnan().any()
    assert grads[log_domain].isfinite().all()
    assert grads[log_domain].abs().sum() > 0


def test_the_log_domain_does_not_overflow() -> None:
    logits = torch.zeros(8, 1, 3)
    logits[:, 0, 1] = 500.0
    assert log_domain(logits).isfinite().all()
    assert mean_probability(logits).isfinite().all()
    assert log_domain(logits).argmax() == mean_probability(logits).argmax() == 1


def test_mean_probability_is_the_log_odds_of_the_mean_sigmoid() -> None:
    logits = random_logits(2.0)
    mean = logits.sigmoid().mean(0)
    torch.testing.assert_close(mean_probability(logits), torch.log(mean / (1 - mean)))


def test_votes_count_samples_even_where_all_logits_are_negative() -> None:
    logits = torch.tensor([[[-3.0, -1.0]], [[-5.0, -9.0]], [[-4.0, -2.0]]])
    assert vote(logits).tolist() == [[1.0, 2.0]]


def test_per_sample_log_odds_have_the_mean_loss_of_the_samples() -> None:
    logits, labels = random_logits(2.0), torch.arange(500) % 10
    each = [functional.cross_entropy(one, labels, reduction="none") for one in logits]
    found = functional.cross_entropy(per_sample_log_odds(logits, labels), labels, reduction="none")
    torch.testing.assert_close(found, torch.stack(each).mean(0), rtol=1e-4, atol=1e-6)
    saturated = (1000 * functional.one_hot(labels, 10).double()).expand(8, -1, -1).clone()
    asked = saturated.requires_grad_()
    loss = functional.cross_entropy(per_sample_log_odds(asked, labels), labels)
    assert torch.autograd.grad(loss, asked)[0].isfinite().all()


def test_the_published_network_reads_as_many_numbers_as_published() -> None:
    wide = WideResNet(10, depth=28, width=10)
    names = tapped_layers(wide)
    assert len(names) == 26
    with torch.device("meta"):
        shapes = [
            [m.out_channels, s, s]
            for m, s in ((wide.get_submodule(n), 32 >> int(n.split(".")[1])) for n in names)
        ]
        assert CARSOPurifier(shapes, 32).n_joined == 147_040
        double = [[c, 2 * h, 2 * w] for c, h, w in shapes]
        tiny = CARSOPurifier(double, 64, n_convolutions=4, condition=768, latent=192)
        assert tiny.n_joined == 377_600


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (24, 40), (16, 16)], ids=str)
def test_the_decoder_draws_images_of_the_size_asked_for(size: tuple[int, int]) -> None:
    net = CARSOPurifier([[8, 4, 4]], size, condition=6, latent=3, width=8).eval()
    drawn = net.decode(torch.zeros(2, 3), torch.zeros(2, 6))
    assert drawn.shape == (2, 3, *size)
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_layers_are_read_without_leaving_hooks_behind() -> None:
    classifier, images = make_classifier(), make_images(2)
    first, last = read_layers(classifier, ["features.0", "features.6"], images)
    assert torch.equal(first, classifier.features[0]((images - 0.5) / 0.25))
    assert last.shape == (2, 16, 2, 2)
    assert not any(module._forward_hooks for module in classifier.modules())
    with pytest.raises(ValueError, match="must have a layer 'nowhere'"):
        read_layers(classifier, ["nowhere"], images)


def test_a_fixed_seed_gives_the_same_answer_whatever_else_is_drawn() -> None:
    defense, images = make(FixedCARSO, seed=3), make_images(4)
    first = defense(images)
    torch.randn(7)
    assert torch.equal(defense(images), first)
    torch.testing.assert_close(defense(images[2:3]), first[2:3])
    assert torch.equal(make(FixedCARSO, seed=3)(images), first)
    assert not torch.equal(make(FixedCARSO, seed=4)(images), first)
    assert make(FixedCARSO, n_samples=0).latents(images).abs().sum() == 0


def test_training_mode_does_not_leak_between_images() -> None:
    defense, images = make(FixedCARSO), make_images(4)
    alone = defense(images)
    torch.testing.assert_close(defense.train()(images), alone)


def kept_by_autograd(defense: CARSO, images: Tensor) -> int:
    """Numbers in distinct tensors that the graph of one forward pass holds."""
    kept: dict[tuple[int, int], Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.data_ptr(), tensor.numel()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = defense(images.requires_grad_())
    assert logits.requires_grad
    return sum(tensor.numel() for tensor in kept.values())


def test_memory_of_a_gradient_is_flat_in_the_number_of_samples() -> None:
    images = make_images(4)
    counts = {
        (n, is_checkpointed): kept_by_autograd(
            make(n_samples=n, is_checkpointed=is_checkpointed), images.clone()
        )
        for n, is_checkpointed in itertools.product((1, 16), (True, False))
    }
    per_sample = (counts[16, True] - counts[1, True]) / 15
    # a latent of 6, logits of 4, and c, for each of 4 images, and not one feature map of 256 pixels
    assert per_sample <= 4 * (6 + 2 * 4 + 12)
    assert counts[16, False] > 3 * counts[16, True]


def test_checkpointing_changes_no_gradient() -> None:
    grads = []
    for is_checkpointed in (True, False):
        images = make_images(3).requires_grad_()
        torch.manual_seed(0)
        logits = make(is_checkpointed=is_checkpointed)(images)
        grads.append(torch.autograd.grad(logits.square().sum(), images)[0])
    torch.testing.assert_close(grads[0], grads[1])


def test_autocast_gives_single_precision_logits_near_those_without() -> None:
    images = make_images(3)
    plain = make(FixedCARSO)(images)
    cast = make(FixedCARSO, autocast=torch.bfloat16)
    images.requires_grad_()
    logits = cast(images)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, plain, rtol=0.1, atol=0.1)
    assert torch.autograd.grad(logits.sum(), images)[0].isfinite().all()


def test_every_stand_in_moves_the_image_from_the_very_first_step() -> None:
    defense, images, labels = make(), make_images(3), torch.tensor([0, 1, 2])
    for name in defense.stand_in_names:
        stand_in = defense.stand_in(name, images, labels)
        asked = images.clone().requires_grad_()
        logits = stand_in(asked)
        assert logits.shape == (3, 4)
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        (grad,) = torch.autograd.grad(loss, asked)
        if name != LITERAL:
            assert grad.isfinite().all(), name
            assert (grad.flatten(1).abs().sum(1) > 0).all(), name
    with pytest.raises(ValueError, match="stand-in must be one of"):
        defense.stand_in("other", images, labels)
    with pytest.raises(ValueError, match="batch of 3"):
        stand_in(images[:2])


def test_the_feature_attack_moves_the_condition_away() -> None:
    defense, images, labels = make(), make_images(3), torch.tensor([0, 1, 2])
    stand_in = defense.stand_in("features", images, labels)
    found = APGD(8 / 255, steps=5)(stand_in, images, labels).images
    moved = (defense.condition(found) - defense.condition(images)).norm(dim=1)
    noise = 8 / 255 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).sign()
    shaken = defense.condition((images + noise).clamp(0, 1)) - defense.condition(images)
    assert (moved > shaken.norm(dim=1)).all()


def test_attacks_average_over_the_draws_of_a_stand_in() -> None:
    defense, images, labels = make(n_samples=1), make_images(2), torch.tensor([0, 1])
    stand_in = defense.stand_in("mean logit", images, labels)
    assert stand_in.is_random
    calls = []
    stand_in.register_forward_hook(lambda *_: calls.append(1))
    PGD(8 / 255, steps=2, draws=5)(defense, images, labels, gradient_model=stand_in)
    assert len(calls) == 10


def test_voting_counts_and_its_surrogate_has_a_gradient() -> None:
    defense, images = make(VotingCARSO), make_images(3)
    assert torch.equal(defense(images).sum(1), torch.full((3,), 8.0))
    asked = images.requires_grad_()
    grad = torch.autograd.grad(defense.surrogate(asked).square().sum(), asked)[0]
    assert (grad.flatten(1).abs().sum(1) > 0).all()


def test_what_it_is_compared_with_purifies() -> None:
    classifier, images = make_classifier(), make_images(2)
    settings = purifier_settings(classifier, images, Sizes(latent=0, width=8), taps=("input",))
    denoiser = ConditionalDenoiser(classifier, make_purifier(settings, seed=0))
    assert denoiser.purify(images).shape == images.shape
    assert torch.equal(denoiser(images), denoiser(images))
    with pytest.raises(ValueError, match="must have a latent"):
        CARSO(classifier, make_purifier(settings, seed=0), taps=("input",))
    outside = ExternalPurifier(classifier, nn.Identity())
    assert torch.equal(outside(images), classifier(images))


class Broken(nn.Module):
    """A purifier that gives up on the first image."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([images[:1] * torch.nan, images[1:]])


def test_an_image_that_a_purifier_from_outside_cannot_clean_is_no_answer() -> None:
    classifier, images = make_classifier(), make_images(3)
    logits = ExternalPurifier(classifier, Broken())(images)
    assert logits[0].isnan().all()
    torch.testing.assert_close(logits[1:], classifier(images)[1:])
    assert misclassified(logits, logits.argmax(1))[0], "NaN never counts as right"


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="aggregation must be one of"):
        make(aggregation="vote")
    with pytest.raises(ValueError, match="n_samples"):
        make(n_samples=0)
    with pytest.raises(ValueError, match="reads 4 layers, got 1"):
        make(taps=("features.0",))
