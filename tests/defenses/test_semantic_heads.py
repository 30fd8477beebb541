"""The linear head is the minimiser it claims to be, and its penalty never saw a test example."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.defenses.semantic import AdversarialProbe, LinearProbe
from sparsedef.defenses.semantic.logistic import GRID, fit_head, fit_logistic, hold_out


def make_blobs(
    count: int = 240, width: int = 7, n_classes: int = 4, *, noise: float = 0.8, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Overlapping clouds, their features of very different sizes."""
    means = torch.randn(n_classes, width, generator=torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % n_classes
    features = means[labels] + noise * torch.randn(count, width, generator=generator)
    return (features * torch.logspace(-1, 1, width) + 2).double(), labels


def loss_of(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, l2: float) -> Tensor:
    scores = features @ weight.T + bias
    return functional.cross_entropy(scores, labels) + l2 / 2 * weight.square().sum()


@pytest.mark.parametrize("l2", [1e-3, 0.05])
def test_the_head_is_scikit_learns(l2: float) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, labels = make_blobs()
    features = (features - features.mean(0)) / features.std(0)
    fit = fit_logistic(features, labels, 4, l2, tol=1e-9)
    peer = linear_model.LogisticRegression(C=1 / (len(labels) * l2), tol=1e-10, max_iter=10000)
    peer.fit(features.numpy(), labels.numpy())
    theirs = torch.from_numpy(peer.coef_), torch.from_numpy(peer.intercept_)
    ours = loss_of(features, labels, fit.weight, fit.bias, l2)
    assert ours <= loss_of(features, labels, *theirs, l2) + 1e-12
    torch.testing.assert_close(fit.weight, theirs[0], rtol=1e-4, atol=1e-5)
    # only differences of biases count
    bias, intercept = fit.bias - fit.bias.mean(), theirs[1] - theirs[1].mean()
    torch.testing.assert_close(bias, intercept, rtol=1e-4, atol=1e-5)


def test_the_head_is_at_a_minimum() -> None:
    features, labels = make_blobs()
    fit = fit_logistic(features, labels, 4, 0.01, tol=1e-8)
    weight, bias = fit.weight.clone().requires_grad_(), fit.bias.clone().requires_grad_()
    loss_of(features, labels, weight, bias, 0.01).backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert max(weight.grad.abs().max(), bias.grad.abs().max()) < 1e-7


def test_a_head_short_of_its_minimum_warns() -> None:
    features, labels = make_blobs()
    with pytest.warns(UserWarning, match="gradient is still"):
        fit_logistic(features, labels, 4, 1e-4, max_iter=2)


@pytest.mark.parametrize("how", ["none", "whole", "each"])
def test_the_returned_head_is_for_the_features_as_given(how: str) -> None:
    """The penalty sees scaled features; what comes back must minimise the same loss unscaled."""
    features, labels = make_blobs()
    fit = fit_head(features, labels, 4, standardise=how, l2=0.01)
    center = torch.zeros(7) if how == "none" else features.mean(0)
    divisor = torch.ones(7).double()
    if how == "each":
        divisor = features.std(0, correction=0)
    elif how == "whole":
        divisor = divisor * (features - center).square().sum(1).mean().sqrt()
    scaled = (features - center) / divisor
    wanted = fit_logistic(scaled, labels, 4, 0.01, tol=1e-8)
    scores = scaled @ wanted.weight.T + wanted.bias
    torch.testing.assert_close(features @ fit.weight.T + fit.bias, scores, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(fit.spread, divisor)


def test_whole_makes_the_penalty_blind_to_the_unit_of_the_features() -> None:
    features, labels = make_blobs()
    one = fit_head(features, labels, 4, l2=0.01)
    other = fit_head(1000 * features, labels, 4, l2=0.01)
    torch.testing.assert_close(other.weight * 1000, one.weight, rtol=1e-6, atol=1e-8)


def test_a_feature_that_never_varies_gets_no_weight() -> None:
    features, labels = make_blobs()
    features = torch.cat([features, torch.full((240, 1), 0.1).double()], dim=1)
    for how in ("whole", "each"):
        fit = fit_head(features, labels, 4, standardise=how, l2=0.01)
        assert fit.weight[:, -1].abs().max() < 1e-8
    with pytest.raises(ValueError, match=r"must vary over the training examples.*smaller alpha"):
        fit_head(torch.zeros(240, 3), labels, 4)


def test_the_penalty_is_the_best_on_held_out_examples() -> None:
    features, labels = make_blobs(80)
    fit = fit_head(features, labels, 4, seed=3)
    assert [penalty for penalty, _ in fit.held_out] == sorted(GRID, reverse=True)
    assert fit.l2 == min(fit.held_out, key=lambda pair: pair[1])[0]
    is_held = hold_out(labels, 0.2, seed=3)
    spread = (features - features.mean(0)).square().sum(1).mean().sqrt()
    scaled = (features - features.mean(0)) / spread
    for penalty, loss in fit.held_out[:2]:
        again = fit_logistic(scaled[~is_held], labels[~is_held], 4, penalty)
        scores = scaled[is_held] @ again.weight.T + again.bias
        assert float(functional.cross_entropy(scores, labels[is_held])) == pytest.approx(
            loss, abs=1e-4
        )


def test_few_noisy_examples_get_a_larger_penalty_than_many() -> None:
    few = fit_head(*make_blobs(40, width=20, noise=3), 4, standardise="each")
    many = fit_head(*make_blobs(4000, width=20, noise=3), 4, standardise="each")
    assert few.l2 > many.l2


def test_a_validation_set_of_its_own_is_only_looked_at() -> None:
    features, labels = make_blobs()
    more, more_labels = make_blobs(100, seed=1)
    fit = fit_head(features, labels, 4, validation=(more, more_labels))
    again = fit_head(features, labels, 4, l2=fit.l2)
    ours, theirs = (
        functional.cross_entropy(features @ each.weight.T + each.bias, labels)
        + each.l2 / 2 * (each.weight * each.spread).square().sum()
        for each in (fit, again)
    )
    assert abs(ours - theirs) < 1e-7


def test_held_out_examples_come_from_every_class() -> None:
    labels = torch.tensor([0] * 50 + [1] * 10 + [2])
    is_held = hold_out(labels, 0.2, seed=0)
    assert labels[is_held].bincount(minlength=3).tolist() == [10, 2, 0]
    assert torch.equal(is_held, hold_out(labels, 0.2, seed=0))
    assert not torch.equal(is_held, hold_out(labels, 0.2, seed=1))
    with pytest.raises(ValueError, match=r"at most 1 examples.*pass validation="):
        hold_out(torch.arange(3), 0.2, seed=0)


def test_the_caller_keeps_its_random_state() -> None:
    features, labels = make_blobs()
    torch.manual_seed(4)
    before = torch.get_rng_state()
    fit_head(features, labels, 4)
    assert torch.equal(torch.get_rng_state(), before)


def attacked_accuracy(probe: LinearProbe, embeddings: Tensor, labels: Tensor, eps: float) -> float:
    x = probe.centre(embeddings).detach().requires_grad_()
    loss = functional.cross_entropy(functional.linear(x, probe.weight, probe.bias), labels)
    (grad,) = torch.autograd.grad(loss, x)
    scores = functional.linear(x + eps * grad.sign(), probe.weight, probe.bias)
    return float((scores.argmax(1) == labels).double().mean())


def test_the_adversarial_probe_resists_what_it_was_trained_on() -> None:
    """Two broad features tell the classes well, thirty thin ones tell them perfectly."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 2
    sign = (2.0 * labels - 1)[:, None]
    broad = 0.5 * sign + 0.35 * torch.randn(400, 2, generator=generator)
    thin = 0.04 * sign + 0.02 * torch.randn(400, 30, generator=generator)
    embeddings = torch.cat([broad, thin], dim=1)
    plain = LinearProbe.from_embeddings(nn.Identity(), embeddings, labels, center="none")
    probe = AdversarialProbe.from_embeddings(
        nn.Identity(), embeddings, labels, center="none", eps=0.1
    )
    assert attacked_accuracy(plain, embeddings, labels, 0.1) < 0.6
    assert attacked_accuracy(probe, embeddings, labels, 0.1) > 0.75
    assert (probe.classify(embeddings).argmax(1) == labels).double().mean() > 0.85


def test_the_adversarial_probe_learns_from_given_attacks() -> None:
    """A feature that attacks turn round is not trusted any more."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 2
    sign = (2.0 * labels - 1)[:, None]
    honest = 0.3 * sign + 0.3 * torch.randn(400, 4, generator=generator)
    clean, attacked = torch.cat([honest, sign], 1), torch.cat([honest, -sign], 1)
    probe = AdversarialProbe.from_embeddings(nn.Identity(), clean, labels, center="none")
    assert (probe.classify(attacked).argmax(1) == labels).double().mean() < 0.4
    probe.fit_head(clean, labels, attacked=(attacked, labels))
    for embeddings in (clean, attacked):
        assert (probe.classify(embeddings).argmax(1) == labels).double().mean() > 0.9
