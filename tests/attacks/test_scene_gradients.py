"""Gradients of scene attacks: exact through renderer and model, transferred, and of the code."""

import pytest
import torch
from scene_models import SIZE, Waves, clear_scenes, fears_dark, zeros
from torch import Tensor, nn

from sparsedef.attacks import PGD
from sparsedef.attacks.losses import margin
from sparsedef.attacks.semantic import (
    CodeGradient,
    ConceptLoss,
    SceneAscent,
    SupportLoss,
    judge,
    worst_of,
)  # fmt: skip
from sparsedef.attacks.semantic.scene_attack import SceneSpace
from sparsedef.attacks.semantic.search import Search, as_logits
from sparsedef.attacks.target import Target
from sparsedef.worlds.feasible import FeasibleSet
from sparsedef.worlds.parameters import NAMES


class Coder(nn.Module):
    """A code model: soft threshold of an orthonormal dictionary on a coarse picture, then a head.

    For orthonormal atoms ``code = soft(D e, alpha)`` solves the LASSO exactly.
    """

    def __init__(self, alpha: float = 0.15, classes: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        basis = torch.randn(48, 12, generator=generator, dtype=torch.float64)
        self.dictionary = torch.linalg.qr(basis).Q.mT.contiguous()
        self.head_weight = torch.randn(classes, 12, generator=generator, dtype=torch.float64)
        self.alpha = alpha

    def embed(self, images: Tensor) -> Tensor:
        return 2 * nn.functional.adaptive_avg_pool2d(images, 4).flatten(1) - 0.8

    def code(self, images: Tensor) -> Tensor:
        inner = self.embed(images) @ self.dictionary.mT.to(images)
        return inner - inner.clamp(-self.alpha, self.alpha)

    def correlations(self, images: Tensor) -> Tensor:
        dictionary = self.dictionary.to(images)
        residual = self.embed(images) - self.code(images) @ dictionary
        return residual @ dictionary.mT

    def forward(self, images: Tensor) -> Tensor:
        return self.code(images) @ self.head_weight.mT.to(images)


def build_search(model: nn.Module, climbs: object = None) -> tuple[Search, SceneSpace, Tensor]:
    scenes = clear_scenes()
    space = SceneSpace(scenes, FeasibleSet(), SIZE)
    target = Target(model, None, draws=1, who="test")
    labels = model(scenes.render(size=SIZE)).argmax(1)
    return Search(target, labels, space, space.start, loss=margin, climbs=climbs), space, labels


@pytest.mark.parametrize(
    "loss", [None, ConceptLoss(), ConceptLoss(sees_inactive=True), SupportLoss(4)]
)
def test_gradient_agrees_with_finite_differences_in_every_parameter(loss: object) -> None:
    """One sign step from the middle of the set goes uphill in every parameter that matters."""
    model = Coder() if loss else Waves(1.5)
    search, space, labels = build_search(model, loss)
    rows = torch.arange(5)
    points = space.project(0.9 * space.start + 0.05, rows)
    grad = search._probe(points, rows)[1]

    def value(at: Tensor) -> Tensor:
        images = space.images(at, rows)
        return loss(model, images, labels) if loss else margin(model(images), labels)

    names = [NAMES[i] for i in space.columns.tolist()]
    for column, name in enumerate(names):
        step = torch.zeros_like(points)
        step[:, column] = 1e-6
        slope = (value(points + step) - value(points - step)) / 2e-6
        torch.testing.assert_close(grad[:, column], slope, rtol=1e-4, atol=1e-6, msg=name)
    assert (grad.abs().amax(0) > 0).sum() >= len(names) - 2


def test_values_become_logits_of_that_margin() -> None:
    values, labels = torch.tensor([0.3, -2.0, 0.0]), torch.tensor([0, 3, 1])
    torch.testing.assert_close(margin(as_logits(values, labels), labels), values)
    assert as_logits(values[:1], labels[:1]).shape == (1, 2)


class Masked(nn.Module):
    """Darkness in steps: its own gradient is zero."""

    def forward(self, images: Tensor) -> Tensor:
        logits = fears_dark(images)
        return (100 * logits).round().detach() + 0 * logits


def test_a_surrogate_finds_what_a_masked_gradient_hides() -> None:
    scenes = clear_scenes()
    attack = SceneAscent(steps=10, step_size=0.12, starts=("scene",), size=SIZE)
    own = attack(Masked(), scenes, zeros(scenes))
    assert not own.success.any()
    assert own.health.zero == own.health.asked
    through = attack(Masked(), scenes, zeros(scenes), surrogate=fears_dark)
    assert through.success.float().mean() > 0.5
    made = attack(fears_dark, scenes, zeros(scenes))
    transferred = judge(Masked(), made.scenes, zeros(scenes), size=SIZE)
    torch.testing.assert_close(transferred.images, made.images)
    worst = worst_of([own, through, transferred])
    assert torch.equal(worst.success, own.success | through.success | transferred.success)
    assert torch.equal(worst.error_rate, Masked()(worst.images).argmax(1).to(torch.float64))
    torch.testing.assert_close(worst.images, worst.scenes.render(size=SIZE))
    assert sum(worst.health.asked) == sum(own.health.asked) + sum(through.health.asked)


def test_the_surrogate_that_a_model_ships_is_used() -> None:
    class Honest(Masked):
        has_exact_gradient = False

        def surrogate(self, images: Tensor) -> Tensor:
            smooth = fears_dark(images)
            return self(images).detach() + smooth - smooth.detach()

    scenes = clear_scenes()
    attack = SceneAscent(steps=10, step_size=0.12, starts=("scene",), size=SIZE)
    assert attack(Honest(), scenes, zeros(scenes)).success.float().mean() > 0.5


def test_worst_of_refuses_other_scenes() -> None:
    scenes = clear_scenes()
    first = judge(fears_dark, scenes, zeros(scenes), size=SIZE)
    with pytest.raises(ValueError, match="of the same scenes"):
        worst_of([first, judge(fears_dark, scenes[:3], zeros(scenes)[:3], size=SIZE)])


def lasso_parts(model: Coder, images: Tensor) -> tuple[Tensor, Tensor]:
    return model.code(images), model.correlations(images)


def test_the_code_losses_are_their_formulas() -> None:
    model, scenes = Coder(), clear_scenes()
    images = scenes.render(size=SIZE)
    codes, correlations = lasso_parts(model, images)
    active = codes != 0
    # what is known of a LASSO: alpha on the support, at most alpha off it
    torch.testing.assert_close(correlations[active], model.alpha * codes[active].sign())
    assert (correlations[~active].abs() <= model.alpha + 1e-12).all()
    labels = torch.tensor([0, 1, 2, 0, 1])
    weight = model.head_weight
    for row, label in enumerate(labels.tolist()):
        gains = [(weight[t] - weight[label]) @ codes[row] for t in range(3) if t != label]
        assert ConceptLoss()(model, images, labels)[row] == pytest.approx(max(gains).item())
        speaks = weight[label] - weight.mean(0)
        atoms = speaks.abs().argsort(descending=True)[:4]
        evidence = speaks[atoms].sign() * (codes + correlations)[row, atoms]
        expected = -evidence.clamp_min(0).sum().item()
        assert SupportLoss(4)(model, images, labels)[row] == pytest.approx(expected)
    towards = ConceptLoss(wrong=2)(model, images, labels)
    torch.testing.assert_close(towards, ((weight[2] - weight[labels]) * codes).sum(1))


def test_inactive_atoms_pull_where_they_are_seen() -> None:
    model, scenes = Coder(alpha=5.0), clear_scenes()  # no atom is ever in the code
    images, labels = scenes.render(size=SIZE).requires_grad_(), zeros(scenes)
    for sees, has_gradient in ((False, False), (True, True)):
        value = ConceptLoss(sees_inactive=sees)(model, images, labels).sum()
        (grad,) = torch.autograd.grad(value, images)
        assert bool((grad != 0).any()) == has_gradient


@pytest.mark.parametrize("loss", [ConceptLoss(), SupportLoss(4)])
def test_ascending_the_code_breaks_a_model_that_reads_it(loss: object) -> None:
    model, scenes = Coder(), clear_scenes()
    labels = model(scenes.render(size=SIZE)).argmax(1)
    result = SceneAscent(steps=15, starts=("scene",), loss=loss, size=SIZE)(model, scenes, labels)
    assert result.success.float().mean() > 0.5
    raised = loss(model, result.images, labels) - loss(model, scenes.render(size=SIZE), labels)
    assert (raised > 0).float().mean() > 0.5


@pytest.mark.parametrize("loss", [ConceptLoss(sees_inactive=True), SupportLoss(4)])
def test_pgd_climbs_the_code_within_its_ball(loss: object) -> None:
    model, scenes = Coder(), clear_scenes()
    images = scenes.render(size=SIZE)
    labels = model(images).argmax(1)
    gradient = CodeGradient(model, loss, labels)
    torch.testing.assert_close(margin(gradient(images), labels), loss(model, images, labels))
    attack = PGD(0.15, steps=20, loss="margin")
    found = attack(model, images, labels, gradient_model=gradient)
    assert found.success.float().mean() > 0.6
    assert torch.equal(found.success, model(found.images).argmax(1) != labels)
    with pytest.raises(ValueError, match="the 5 that labels are of, got 2"):
        gradient(images[:2])


def test_a_model_without_a_code_is_named() -> None:
    scenes = clear_scenes()
    attack = SceneAscent(loss=ConceptLoss(), size=SIZE)
    with pytest.raises(TypeError, match="got Waves without head_weight and code and correlations"):
        attack(Waves(2.0), scenes, zeros(scenes))
    with pytest.raises(ValueError, match="wrong must be < 3"):
        ConceptLoss(wrong=7)(Coder(), scenes.render(size=SIZE), zeros(scenes))
