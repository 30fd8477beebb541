"""Adversarial querying and FARE: episodes are what they say, losses are their formulas."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.training import LinfAscent, Step, Tensors
from sparsedef.training.anchored import train_anchored
from sparsedef.training.embedding_drift import EmbeddingDrift
from sparsedef.training.episodic import AdversarialQuerying, EpisodeSource


def net(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(12, 5))


def data() -> Tensors:
    generator = torch.Generator().manual_seed(1)
    return Tensors(torch.rand(24, 3, 2, 2, generator=generator), torch.arange(24) % 4)


def means(features: Tensor, labels: Tensor, count: int) -> Tensor:
    found = [functional.normalize(features[labels == c], dim=1).mean(0) for c in range(count)]
    return functional.normalize(torch.stack(found), dim=1)


def source(count: int = 6) -> EpisodeSource:
    samples = data()
    return EpisodeSource(samples, samples.tensors[1], count, n_way=3, n_shot=2, n_query=3)


def test_an_episode_has_supports_and_queries_of_its_classes() -> None:
    supports, queries = source().batch(torch.arange(6))
    assert supports.shape == (6, 6, 3, 2, 2)
    assert queries.shape == (6, 9, 3, 2, 2)
    images, labels = data().tensors
    for shown, asked in zip(supports, queries, strict=True):
        numbers = [
            [int((images - one).abs().sum((1, 2, 3)).argmin()) for one in part]
            for part in (shown, asked)
        ]
        assert not set(numbers[0]) & set(numbers[1])
        classes = [labels[rows].view(3, -1) for rows in numbers]
        assert all(bool((each == each[:, :1]).all()) for each in classes)
        assert torch.equal(classes[0][:, 0], classes[1][:, 0])
        assert len(set(classes[0][:, 0].tolist())) == 3


def test_episodes_are_the_same_every_time_and_few_images_are_refused() -> None:
    one, other = source().batch(torch.tensor([2, 4])), source().batch(torch.tensor([2, 4]))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    samples = data()
    with pytest.raises(ValueError, match="4 with 6 at least"):
        EpisodeSource(samples, samples.tensors[1], 1, n_way=3, n_shot=5, n_query=5)


def test_the_loss_of_an_episode_without_a_radius_is_that_of_its_prototypes() -> None:
    encoder = net()
    supports, queries = source().batch(torch.tensor([0, 1]))
    objective = AdversarialQuerying(LinfAscent(0.0, 1, 0.0), means, n_way=3, temperature=0.2)
    found = objective(encoder, supports, queries, Step.single(2, 0))
    expected = []
    for shown, asked in zip(supports, queries, strict=True):
        own = means(encoder(shown), torch.arange(3).repeat_interleave(2), 3)
        logits = functional.normalize(encoder(asked), dim=1) @ own.T / 0.2
        expected.append(functional.cross_entropy(logits, torch.arange(3).repeat_interleave(3)))
    torch.testing.assert_close(found, torch.stack(expected).mean())
    attack = AdversarialQuerying(LinfAscent(0.05, 3, 0.02), means, n_way=3, temperature=0.2)
    assert attack(encoder, supports, queries, Step.single(2, 0)) > found


def test_settings_of_an_objective_are_told_without_addresses() -> None:
    objective = AdversarialQuerying(LinfAscent(0.1, 1, 0.1), means)
    assert "0x" not in repr(objective)
    assert "0x" not in repr(EmbeddingDrift(LinfAscent(0.1, 1, 0.1), net()))


def test_episodes_train_an_encoder() -> None:
    encoder = net()
    objective = AdversarialQuerying(LinfAscent(0.01, 1, 0.01), means, n_way=3)
    trained = train_anchored(
        encoder, source(12), objective, epochs=12, batch_size=2, lr=0.05, is_silent=True
    )
    assert trained.losses[-1] < trained.losses[0]


def test_drift_is_the_squared_distance_to_the_first_embedding_of_the_clean_image() -> None:
    encoder, original = net(1), net(0)
    images, labels = data().tensors
    still = EmbeddingDrift(LinfAscent(0.0, 1, 0.0), original)
    found = still(encoder, images, labels, Step.single(24, 0))
    expected = (encoder(images) - original(images)).square().sum(1).mean()
    torch.testing.assert_close(found, expected)
    attacked = EmbeddingDrift(LinfAscent(0.05, 4, 0.02), original)
    assert attacked(encoder, images, labels, Step.single(24, 0)) > found
    (grad,) = torch.autograd.grad(found, encoder[1].weight)
    assert grad.norm() > 0
    assert all(p.grad is None for p in original.parameters())
