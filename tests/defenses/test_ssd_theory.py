"""What is provable of SSD: exact identities, bounds, and the gradient of the whole chain."""

import pytest
import torch
from tiny_clip import Pixels, Planted, plant
from torch import Tensor, nn
from torch.nn import functional

from sparsedef import lasso
from sparsedef.defenses.semantic import SSD, PursuitConcepts
from sparsedef.defenses.semantic.shift import span
from sparsedef.defenses.semantic.sparse_concepts import keep_largest, refit


def make_ssd(world: Planted, **options: object) -> SSD:
    options = {"alpha": 0.05, "l2": 1e-3, **options}
    made = SSD.from_embeddings(
        nn.Identity(), world.embeddings, world.labels, world.words, **options
    )  # type: ignore[arg-type]
    return made.eval()


def beyond_span(dictionary: Tensor, count: int, seed: int = 0) -> Tensor:
    """Directions ``[count, M]`` at right angles to all atoms."""
    drawn = torch.randn(count, dictionary.shape[1], generator=torch.Generator().manual_seed(seed))
    basis = span(dictionary)
    return drawn.double() - drawn.double() @ basis.mT @ basis


@pytest.mark.parametrize("options", [{}, {"nonnegative": True}, {"n_nonzero": 3}, {"debias": True}])
def test_what_no_atom_sees_changes_no_code_and_lands_in_the_residual(
    options: dict[str, object],
) -> None:
    world = plant(40)
    ssd = make_ssd(world, **options)
    x = ssd.centre(world.embeddings)
    attack = beyond_span(ssd.dictionary, len(x))
    assert (attack.norm(dim=1) > 1).all()
    before, after = ssd.sparse_code(x), ssd.sparse_code(x + attack)
    assert before.codes is not None
    assert (before.codes != 0).any(dim=1).all()
    torch.testing.assert_close(after.codes, before.codes, rtol=0, atol=1e-10)
    torch.testing.assert_close(after.residual, before.residual + attack, rtol=0, atol=1e-10)
    scores = functional.linear(ssd.features(x + attack), ssd.weight, ssd.bias)
    torch.testing.assert_close(scores, ssd.classify(world.embeddings), rtol=0, atol=1e-8)


def test_from_the_pixels_on_an_edit_that_no_atom_sees_acts_as_another_alpha() -> None:
    """The embedding has norm 1 before and after, so what the edit adds is taken from the rest."""
    world = plant(30)
    encoder = Pixels(64)
    ssd = make_ssd(world, center="none")
    ssd.classifier = encoder
    attack = beyond_span(ssd.dictionary, 30)
    images = encoder.image_of(torch.cat([world.embeddings, world.embeddings + attack]))
    x, moved = ssd.embed(images).split(30)
    scale = (world.embeddings + attack).norm(dim=1)
    assert (scale > 1.5).all()
    wanted = lasso(x, ssd.dictionary, 0.05 * scale).codes
    assert wanted is not None
    torch.testing.assert_close(ssd.encode(moved), wanted / scale[:, None], rtol=0, atol=1e-9)


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("size", [0.01, 0.3, 3.0])
def test_no_attack_moves_code_or_fit_beyond_its_bound(size: float, nonnegative: bool) -> None:
    world = plant(60)
    ssd = make_ssd(world, nonnegative=nonnegative)
    noise = torch.randn(60, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    attacked = world.embeddings + size * noise / 8
    shift = ssd.shift(world.embeddings, attacked)
    slack = 1e-7  # codes are certified, not exact
    assert (shift.fit_change <= shift.fit_bound + slack).all()
    assert (shift.fit_bound <= shift.size + slack).all()
    assert (shift.code_change <= shift.code_bound + slack).all()
    assert (shift.leak <= shift.size + slack).all()
    assert (shift.code_change > 0.01 * shift.code_bound).double().mean() > 0.5  # not idle


def test_the_shift_is_zero_for_no_attack_and_knows_what_lies_in_the_span() -> None:
    world = plant(20)
    ssd = make_ssd(world, center="none")
    rest = ssd.shift(world.embeddings, world.embeddings)
    assert rest.size.abs().max() == rest.code_change.abs().max() == rest.leak.abs().max() == 0
    assert (rest.jaccard == 1).all()
    assert (rest.share_in_span == 0).all()
    # both ends of norm 1, or the classifier would make them so
    out = functional.normalize(beyond_span(ssd.dictionary, 20), dim=1)
    inner = ssd.dictionary[:1]
    from_inside = ssd.shift(inner.expand(20, -1), ssd.dictionary[1:2].expand(20, -1))
    torch.testing.assert_close(from_inside.share_in_span, torch.ones(20).double())
    across = ssd.shift(inner.expand(20, -1), inner * 0.6 + 0.8 * out)
    lost = torch.full((20,), 0.4**2 / (0.4**2 + 0.8**2)).double()
    torch.testing.assert_close(across.share_in_span, lost)
    torch.testing.assert_close(across.size, torch.full((20,), 0.8**0.5).double())


@pytest.mark.parametrize(
    "options", [{}, {"nonnegative": True}, {"n_nonzero": 3}, {"debias": True, "n_nonzero": 4}]
)
@pytest.mark.parametrize("center", ["none", "both"])
def test_the_gradient_of_the_whole_chain_is_exact(options: dict[str, object], center: str) -> None:
    """Image to encoder to centring to code to head, against central differences by pixel."""
    world = plant(48)
    encoder = nn.Sequential(Pixels(64), nn.Tanh())
    ssd = make_ssd(world, center=center, **options)
    ssd.classifier = encoder
    images = Pixels(64).image_of(world.embeddings[:2]).clone().requires_grad_()
    weight = torch.randn(2, 6, generator=torch.Generator().manual_seed(1)).double()
    (grad,) = torch.autograd.grad((ssd(images) * weight).sum(), images)
    assert (grad.flatten(1).abs().sum(dim=1) > 0).all()
    with torch.no_grad():
        for pixel in range(0, 192, 7):
            step = torch.zeros(192, dtype=torch.float64)
            step[pixel] = 1e-7
            step = step.view(3, 8, 8)
            difference = ((ssd(images + step) - ssd(images - step)) * weight).sum(dim=1) / 2e-7
            torch.testing.assert_close(difference, grad.flatten(1)[:, pixel], rtol=1e-4, atol=2e-6)


def test_the_cap_keeps_the_largest_codes() -> None:
    world = plant(40)
    free, capped = make_ssd(world), make_ssd(world, n_nonzero=3)
    x = free.centre(world.embeddings)
    codes, kept = free.encode(x), capped.encode(x)
    assert (codes != 0).sum(dim=1).max() > 3
    assert ((kept != 0).sum(dim=1) == (codes != 0).sum(dim=1).clamp_max(3)).all()
    torch.testing.assert_close(kept, codes.where(kept != 0, 0))
    smallest = kept.abs().where(kept != 0, torch.inf).amin(dim=1)
    assert (codes.where(kept == 0, 0).abs().amax(dim=1) <= smallest).all()
    torch.testing.assert_close(make_ssd(world, n_nonzero=18).encode(x), codes)


def test_what_the_cap_drops_gets_no_gradient() -> None:
    indices = torch.tensor([[4, 0, 2, -1]])
    values = torch.tensor([[0.1, -3.0, 2.0, 0.0]], requires_grad=True)
    kept, few = keep_largest(indices, values, 2)
    assert kept.tolist() == [[0, 2]]
    few.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[0.0, 1.0, 1.0, 0.0]]


def test_debiased_codes_are_least_squares_on_the_support() -> None:
    world = plant(30)
    ssd = make_ssd(world, debias=True)
    x = ssd.centre(world.embeddings)
    code = ssd.sparse_code(x)
    assert code.codes is not None
    support = code.codes != 0
    assert torch.equal(support, make_ssd(world).encode(x) != 0)
    seen = (code.residual @ ssd.dictionary.mT).where(support, 0)
    assert seen.abs().max() < 1e-12
    torch.testing.assert_close(code.residual, x - code.codes @ ssd.dictionary)


def test_a_refit_on_dependent_atoms_is_finite_and_fits() -> None:
    atoms = torch.eye(4, dtype=torch.float64)[[0, 0, 1]]
    x = torch.tensor([[2.0, 3.0, 1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    values = refit(x, atoms, torch.tensor([[0, 1, 2, -1]]), torch.ones(1, 4).double())
    torch.testing.assert_close(
        values, torch.tensor([[1.0, 1.0, 3.0, 0.0]]).double(), atol=1e-6, rtol=0
    )
    (grad,) = torch.autograd.grad(values[0, 2], x)
    torch.testing.assert_close(
        grad, torch.tensor([[0.0, 1.0, 0.0, 0.0]]).double(), atol=1e-6, rtol=0
    )


def test_an_embedding_that_is_not_finite_gets_no_answer_and_harms_no_other() -> None:
    world = plant(20)
    for options in ({}, {"n_nonzero": 2}, {"debias": True}, {"n_nonzero": 2, "debias": True}):
        ssd = make_ssd(world, **options)
        spoilt = world.embeddings[:4].clone()
        spoilt[1, 5] = torch.nan
        logits = ssd.classify(spoilt)
        assert logits[1].isnan().all()
        torch.testing.assert_close(logits[[0, 2, 3]], ssd.classify(world.embeddings[[0, 2, 3]]))


def test_the_code_is_the_lasso_of_the_centred_embedding() -> None:
    """Written out by hand for each centring."""
    world = plant(24)
    texts, images = world.words.concepts, functional.normalize(world.embeddings, dim=1)
    assert texts is not None
    unit = functional.normalize
    for center in ("none", "text", "image", "both"):
        ssd = make_ssd(world, center=center)
        atoms = unit(texts - texts.mean(0)) if center in ("text", "both") else texts
        x = unit(images - images.mean(0)) if center in ("image", "both") else images
        torch.testing.assert_close(ssd.dictionary, atoms)
        torch.testing.assert_close(ssd.centre(3 * world.embeddings), x)
        torch.testing.assert_close(ssd.encode(x), lasso(x, atoms, 0.05).codes)


def test_an_attacker_of_the_code_sees_head_code_and_correlations() -> None:
    """On images: logits from code and head; correlations at alpha on the support, below it off."""
    world = plant(24)
    encoder = Pixels(64)
    images = encoder.image_of(world.embeddings).clone().requires_grad_()
    every = torch.arange(18) % 3 > 0
    ssd = SSD(encoder, world.words.concepts, 6, alpha=0.05, center="none", visible=every)
    ssd.fit_head(world.embeddings, world.labels)
    codes, seen = ssd.code(images), ssd.correlations(images)
    torch.testing.assert_close(codes @ ssd.head_weight.T + ssd.bias, ssd(images))
    assert not ssd.head_weight[:, ~every].any()
    torch.testing.assert_close(seen[codes != 0], 0.05 * codes[codes != 0].sign(), atol=1e-8, rtol=0)
    assert (seen[codes == 0].abs() < 0.05).all()
    # the soft threshold of code and correlation together is the code
    both = codes + seen
    torch.testing.assert_close(both.sign() * (both.abs() - 0.05).clamp_min(0), codes)
    (grad,) = torch.autograd.grad(seen[codes == 0].sum(), images)
    assert grad.any()


def test_pursuit_uses_the_number_of_atoms_it_was_given() -> None:
    world = plant(40)
    made = PursuitConcepts.from_embeddings(
        nn.Identity(), world.embeddings, world.labels, world.words, n_nonzero=4
    )
    assert ((made.encode(made.centre(world.embeddings)) != 0).sum(dim=1) == 4).all()
    assert (
        PursuitConcepts(nn.Identity(), torch.eye(5), 2, n_nonzero=99, center="none").n_nonzero == 5
    )
