"""SSD chooses its alpha, explains itself, and hands its attackers a stand-in."""

import pytest
import torch
from tiny_clip import WORDS, Pixels, Planted, TinyClip, plant
from torch import nn
from torch.nn import functional

from sparsedef.defenses.semantic import (
    RIVALS,
    SSD,
    ConceptClassifier,
    DenseConcepts,
    PursuitConcepts,
    SparseConcepts,
    Words,
)

CONCEPT_RIVALS = [name for name, each in RIVALS.items() if issubclass(each.kind, ConceptClassifier)]
SPARSE_RIVALS = [name for name in CONCEPT_RIVALS if issubclass(RIVALS[name].kind, SparseConcepts)]


def fit(name: str, world: Planted, **options: object) -> ConceptClassifier:
    made = RIVALS[name].fit(
        nn.Identity(), world.embeddings, world.labels, world.words, l2=1e-3, **options
    )
    assert isinstance(made, ConceptClassifier)
    return made.eval()


@pytest.mark.parametrize("target", [2, 5, 9])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_alpha_gives_the_median_image_the_support_asked_for(target: int, nonnegative: bool) -> None:
    world = plant(300)
    ssd = fit("ssd", world, target_support=target, nonnegative=nonnegative)
    assert isinstance(ssd, SSD)
    fresh = plant(300, seed=1).embeddings
    counts = (ssd.encode(ssd.centre(fresh)) != 0).sum(dim=1)
    assert abs(int(counts.median()) - target) <= 1


def test_alpha_is_for_half_the_cap_unless_told() -> None:
    world = plant(200)
    capped, told = fit("ssd", world, n_nonzero=8), fit("ssd", world, target_support=4)
    assert isinstance(capped, SSD)
    assert isinstance(told, SSD)
    assert capped.alpha == told.alpha
    free = fit("ssd", world)
    assert isinstance(free, SSD)
    assert free.alpha == fit("ssd", world, target_support=9).alpha  # of 18 atoms


def test_a_new_alpha_needs_a_new_head() -> None:
    world = plant(100)
    ssd = fit("ssd", world)
    assert isinstance(ssd, SSD)
    ssd.choose_alpha(world.embeddings, 3)
    with pytest.raises(ValueError, match=r"SSD: there is no head yet \(call fit_head\)"):
        ssd.classify(world.embeddings)
    ssd.fit_head(world.embeddings, world.labels)
    assert ssd.classify(world.embeddings).isfinite().all()


def test_alpha_above_the_leak_keeps_an_edit_from_switching_atoms_on() -> None:
    """From an image that no atom sees, an edit that leaks less than alpha leaves the code 0."""
    world = plant(60)
    ssd = fit("ssd", world, center="none")
    assert isinstance(ssd, SSD)
    assert world.words.nuisances is not None
    blank = world.words.nuisances[:1].expand(60, -1)
    edited = blank + 0.2 * ssd.dictionary[torch.arange(60) % 18]
    leaks = ssd.leak(blank, edited)
    assert 0.1 < leaks.median() < 0.25
    alpha = ssd.choose_alpha_above_leak(blank, edited, quantile=1.0, factor=1.01)
    assert alpha == pytest.approx(1.01 * float(leaks.max()))
    assert not ssd.encode(ssd.centre(edited)).any()
    ssd.alpha = 0.9 * float(leaks.max())
    assert ssd.encode(ssd.centre(edited)).any()


@pytest.mark.parametrize("name", CONCEPT_RIVALS)
def test_contributions_and_bias_add_up_to_the_logit(name: str) -> None:
    world = plant(60)
    made = fit(name, world, standardise="each")
    logits = made.classify(world.embeddings)
    for row, each in enumerate(made.explain_embeddings(world.embeddings)):
        best = logits[row].topk(2)
        assert [each.label, each.rival] == best.indices.tolist()
        total, other = each.contributions.sum(), each.rival_contributions.sum()
        torch.testing.assert_close(total + each.bias, best.values[0])
        torch.testing.assert_close(other + each.rival_bias, best.values[1])
        # an absent concept says nothing
        assert not each.contributions[each.codes == 0].any()


def test_an_explanation_names_the_concepts_of_the_class() -> None:
    """Each planted class owns four concepts: they carry most of what speaks for it."""
    world = plant(300)
    ssd = fit("ssd_nonnegative", world, target_support=5)
    atoms = world.words.concepts
    assert atoms is not None
    clean = plant(6, noise=0.0).embeddings
    for row, each in enumerate(ssd.explain_embeddings(clean)):
        assert each.label == row % 6
        owned = set((clean[row] @ atoms.T).topk(4).indices.tolist())
        found = {each.names.index(name) for name, value in each.top(3) if value > 0}
        assert len(found & owned) >= 2
        assert set(each.support) >= {name for name, _ in each.top(2)}
        assert 0 < each.residual_share < 1


def test_explained_images_are_explained_as_their_embeddings() -> None:
    encoder = TinyClip()
    images = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(24) % 3
    ssd = SSD.fit(encoder, images, labels, concepts=WORDS, alpha=0.05)
    assert ssd.names == WORDS
    one, other = ssd.explain(images[:3])[1], ssd.explain_embeddings(ssd.embed(images[:3]))[1]
    assert torch.equal(one.contributions, other.contributions)
    asked = ssd.explain(images[:1], pairs=[(2, 0)])[0]
    assert (asked.label, asked.rival) == (2, 0)
    with pytest.raises(ValueError, match="pairs must be 3, got 1"):
        ssd.explain(images[:3], pairs=[(0, 1)])


def test_a_comparison_says_what_appeared_and_what_vanished() -> None:
    """An edit that swaps one planted concept for another."""
    world = plant(200)
    ssd = fit("ssd", world, alpha=0.1, center="none")
    atoms = world.words.concepts
    assert atoms is not None
    # two atoms at wide angles, so that the LASSO tells them apart
    gram = (atoms @ atoms.T).abs().fill_diagonal_(1)
    first, second = divmod(int(gram.argmin()), 18)
    found = ssd.compare_embeddings(atoms[first][None], atoms[second][None])[0]
    assert found.vanished == (f"concept {first}",)
    assert found.appeared == (f"concept {second}",)
    assert found.shift["jaccard"] == 0
    assert found.shift["share_in_span"] == pytest.approx(1)
    assert (found.clean.label, found.clean.rival) == (found.attacked.label, found.attacked.rival)


def test_a_comparison_is_about_the_class_won_before_and_the_class_won_after() -> None:
    world = plant(60)
    ssd = fit("ssd", world)
    answers = ssd.classify(world.embeddings).argmax(dim=1)
    attacked = world.embeddings[torch.arange(60).roll(1)]  # the neighbour of another class
    for row, each in enumerate(ssd.compare_embeddings(world.embeddings, attacked)):
        assert each.clean.label == each.attacked.label == answers[row]
        assert each.clean.rival == answers[row - 1]
    same = ssd.compare_embeddings(world.embeddings[:1], world.embeddings[:1])[0]
    assert same.clean.rival == int(ssd.classify(world.embeddings[:1]).topk(2).indices[0, 1])
    assert same.appeared == same.vanished == ()


@pytest.mark.parametrize("name", SPARSE_RIVALS)
def test_the_dense_stand_in_mostly_agrees(name: str) -> None:
    world, fresh = plant(300), plant(200, seed=1).embeddings
    made = fit(name, world)
    assert isinstance(made, SparseConcepts)
    answers = made.answers(fresh)
    for stand_in in (
        made.dense_surrogate(),
        made.dense_surrogate(world.embeddings),
        made.dense_surrogate(world.embeddings, world.labels),
    ):
        assert isinstance(stand_in, DenseConcepts)
        agreed = (stand_in.classify(fresh).argmax(dim=1) == answers).double().mean()
        assert agreed > (0.9 if name != "ssd_random" else 0.35)


def test_the_stand_in_has_a_gradient_where_the_code_is_silent() -> None:
    world = plant(120)
    encoder = Pixels(64)
    ssd = fit("ssd", world, alpha=0.1)
    assert isinstance(ssd, SSD)
    assert world.words.nuisances is not None
    blank = world.words.nuisances + ssd.image_mean  # nothing but a nuisance
    ssd.classifier, images = encoder, encoder.image_of(blank)
    ssd.alpha = 0.99  # no atom passes
    images.requires_grad_()
    (own,) = torch.autograd.grad(ssd(images).square().sum(), images)
    assert not own.any()
    stand_in = ssd.dense_surrogate()
    (dense,) = torch.autograd.grad(stand_in(images).square().sum(), images)
    assert (dense.flatten(1).norm(dim=1) > 0).all()
    assert stand_in.encoder is encoder


def test_a_stand_in_with_the_own_head_is_the_formula() -> None:
    world = plant(120)
    ssd = fit("ssd_concepts_seen", world)
    assert isinstance(ssd, SSD)
    x = ssd.centre(world.embeddings)
    similar = (x @ ssd.dictionary.T)[:, ssd.visible]
    codes = ssd.features(x)
    scale = torch.linalg.lstsq(
        (similar - similar.mean(0)).reshape(-1, 1), (codes - codes.mean(0)).reshape(-1, 1)
    ).solution.item()
    dense = scale * (similar - similar.mean(0)) + codes.mean(0)
    wanted = functional.linear(dense, ssd.weight, ssd.bias)
    torch.testing.assert_close(ssd.dense_surrogate().classify(world.embeddings), wanted)


def test_fitting_twice_gives_the_same_and_leaves_random_state_alone() -> None:
    world = plant(100)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = (fit("ssd_random", world, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.weight, two.weight)
    assert not torch.equal(one.dictionary, other.dictionary)


EYE = torch.eye(6)
BAD = [
    (lambda: SSD(nn.Identity(), EYE, 2, alpha=0.0), "SSD: alpha must be above 0, got 0.0"),
    (lambda: SSD(nn.Identity(), EYE, 2, target_support=7), "at most 6.*got 7"),
    (lambda: SSD(nn.Identity(), EYE, 2, n_nonzero=0), "n_nonzero must be at least 1, got 0"),
    (lambda: SSD(nn.Identity(), EYE, 2, names=["a"]), "names must be 6, one per atom, got 1"),
    (lambda: SSD(nn.Identity(), EYE, 2, center="all"), "center must be one of"),
    (lambda: SSD(nn.Identity(), 0 * EYE, 2), "must have atoms that differ from their mean"),
    (lambda: SSD(nn.Identity(), 0 * EYE, 2, center="none"), "must have atoms other than 0"),
    (lambda: SSD(nn.Identity(), EYE[:1], 2), r"differ from their mean.*got atoms \[0\]"),
    (lambda: SSD(nn.Identity(), EYE, 2, visible=EYE[0] > 2), "at least one true"),
    (lambda: SSD(nn.Identity(), EYE, 2, center="none").encode(EYE), "alpha must be known"),
    (lambda: SSD(nn.Identity(), EYE, 2, alpha=0.1).fit_head(EYE, torch.arange(6) % 2),
     r"mean embedding of clean training images must be known \(call fit_features\)"),
    (lambda: SSD(nn.Identity(), EYE, 2).dense_surrogate(), "there is no head yet"),
    (lambda: PursuitConcepts(nn.Identity(), EYE, 2, n_nonzero=0), "n_nonzero must be at least 1"),
    (lambda: SSD.from_embeddings(nn.Identity(), EYE, torch.arange(6)),
     r"words must have concepts, got none \(Words.embed"),
    (lambda: SSD.from_embeddings(nn.Identity(), EYE, torch.arange(5), Words(EYE)),
     r"labels must be \[6\] to match embeddings, got \[5\]"),
    (lambda: SSD.from_embeddings(nn.Identity(), EYE / 0, torch.arange(6), Words(EYE)),
     "embeddings must be finite, got NaN or infinity in rows"),
    (lambda: SSD.from_embeddings(nn.Identity(), EYE, torch.arange(6), Words(EYE), n_classes=3),
     "labels must be at least 0 and below 3, got 0 to 5"),
    (lambda: Words(EYE, prompts=torch.eye(3)), r"one length M, got \{'concepts': \[6, 6\]"),
    (lambda: Words(EYE, ("one",)), "names must be 6, got 1"),
    (lambda: Words.embed(TinyClip(), "stripes"), "must be a list of texts, got 'stripes'"),
    (lambda: Words.embed(TinyClip(), WORDS, template="a photo"), "template must have one {}"),
]  # fmt: skip


@pytest.mark.parametrize(("ask", "message"), BAD)
def test_mistakes_are_named(ask, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        ask()


def test_labels_of_the_wrong_kind_are_named() -> None:
    with pytest.raises(TypeError, match=r"labels must be an int64 tensor.*labels.long\(\)"):
        SSD.from_embeddings(nn.Identity(), EYE, torch.arange(6).float(), Words(EYE))
