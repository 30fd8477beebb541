"""What an attack on RegionSparse's own mechanism needs, and that it is exact."""

import pytest
import torch
from torch import Tensor, nn

from sparsedef.attacks import BIM, BPDA, PGD
from sparsedef.defenses import RegionSparse
from sparsedef.defenses.filters import Localiser
from sparsedef.defenses.fixed_region import MovedRegion, two_regions

LOCALISER = Localiser.for_size(32)


def make_images(count: int = 3) -> Tensor:
    """A weakly textured object at the left, on noise."""
    generator = torch.Generator().manual_seed(0)
    images = 0.4 + 0.02 * torch.rand(count, 3, 32, 32, generator=generator, dtype=torch.float64)
    images[:, :, 4:24, 4:18] += 0.1 * ((torch.arange(14) // 2) % 2)
    return images


def make(**options: object) -> RegionSparse:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)).double().requires_grad_(False)
    atoms = torch.randn(80, 48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return RegionSparse(net, atoms, localiser=LOCALISER, **options).eval()  # type: ignore[arg-type]


LABELS = torch.tensor([0, 1, 2])


def test_two_regions_weigh_each_pixel() -> None:
    one, two = torch.rand(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).unbind()
    hard = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(1)) > 0.5
    assert torch.equal(two_regions(one, two, hard), two_regions(one, two, hard.float()))
    half = two_regions(one, two, torch.full((1, 1, 4, 4), 0.5))
    torch.testing.assert_close(half, (one + two) / 2)
    spoilt = torch.where(hard, one, torch.nan)
    assert two_regions(spoilt, two, hard).isfinite().all()


@pytest.mark.parametrize("region", ["box", "contour"])
def test_a_frozen_region_changes_nothing_on_its_own_images(region: str) -> None:
    images, defense = make_images(), make(region=region)
    frozen = defense.frozen(images)
    assert torch.equal(frozen(images), defense(images))
    assert torch.equal(frozen.purify(images), defense.purify(images))
    other = images.flip(-1)
    assert not torch.equal(defense.regions(other), frozen.region)
    wanted = torch.where(frozen.region, defense.rebuild(other), defense.smooth(other)).clamp(0, 1)
    assert torch.equal(frozen.purify(other), wanted)


def test_the_frozen_gradient_is_exact() -> None:
    """Against central differences: with the region fixed, only supports could switch."""
    images, defense = make_images(2).requires_grad_(), make()
    frozen = defense.frozen(make_images(2).flip(-1))
    (grad,) = torch.autograd.grad(frozen(images).square().sum(), images)
    with torch.no_grad():
        for seed in range(6):
            draw = torch.Generator().manual_seed(seed)
            step = 1e-7 * torch.randn(images.shape, generator=draw, dtype=torch.float64)
            up, down = (frozen(images + sign * step).square().sum() for sign in (1, -1))
            torch.testing.assert_close((up - down) / 2, (grad * step).sum(), rtol=1e-5, atol=0)


def test_an_uncoded_object_has_the_gradient_of_the_filter_alone() -> None:
    images, defense = make_images().requires_grad_(), make()
    uncoded = defense.with_region(torch.zeros(1, 1, 32, 32, dtype=torch.bool))
    weight = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(2)).double()
    (grad,) = torch.autograd.grad((weight * uncoded.purify(images)).sum(), images)
    (wanted,) = torch.autograd.grad((weight * defense.smooth(images)).sum(), images)
    torch.testing.assert_close(grad, wanted)


@pytest.mark.slow
def test_with_a_frozen_region_the_defense_is_one_graph() -> None:
    images = make_images()
    frozen = make().frozen(images)
    exported = torch.export.export(frozen, (images,)).module()
    assert torch.equal(exported(images), frozen(images))
    compiled = torch.compile(frozen, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), frozen(images))


def test_blended_regions_are_differentiable_in_both() -> None:
    images, defense = make_images(1).requires_grad_(), make()
    theta = torch.full((1, 1, 32, 32), 0.3).double()
    pure = defense.purify(images, region=theta)
    wanted = 0.3 * defense.rebuild(images) + 0.7 * defense.smooth(images)
    torch.testing.assert_close(pure, wanted.clamp(0, 1))
    assert torch.autograd.grad(pure.sum(), images)[0].isfinite().all()


def test_an_attack_runs_on_the_frozen_region_and_is_judged_on_the_defense() -> None:
    images, defense, eps = make_images(), make(), 16 / 255
    found = images
    for _ in range(3):
        frozen = defense.frozen(found)
        attack = BIM(eps, steps=5)
        result = attack(defense, images, LABELS, gradient_model=frozen, start=found)
        assert sum(result.health.zero) == sum(result.health.nonfinite) == 0
        found = result.images
    loss = [nn.functional.cross_entropy(defense(x), LABELS) for x in (images, found)]
    assert loss[1] > loss[0] + 0.1
    assert torch.equal(result.success, defense(found).argmax(1) != LABELS)


def test_an_identity_gradient_takes_the_frozen_region_too() -> None:
    images, defense = make_images(), make()
    model = BPDA(defense.frozen(images), "identity")
    assert torch.equal(model(images), defense(images))
    result = PGD(8 / 255, steps=3)(defense, images, LABELS, gradient_model=model)
    assert sum(result.health.nonfinite) == 0


def test_a_texture_of_16_255_steals_the_region() -> None:
    images, defense, eps = make_images(), make(), 16 / 255
    ours = defense.regions(images)
    target = torch.zeros(1, 1, 32, 32)
    target[..., 8:24, 22:31] = 1
    assert not (ours & target.bool()).any()
    found, is_stolen = images, torch.zeros(3, dtype=torch.bool)
    for _ in range(60):
        found = found.detach().requires_grad_()
        margin = defense.region_margin(found, target) - defense.region_margin(found, ours)
        (grad,) = torch.autograd.grad(margin.sum(), found)
        found = (found.detach() + eps / 8 * grad.sign()).clamp(images - eps, images + eps)
        now = defense.regions(found)
        is_stolen |= ~(now & ours).flatten(1).any(1) & (now | (target == 0)).flatten(1).all(1)
    assert is_stolen.all(), "at some step it lies on all of the target and on none of the object"


def test_the_margin_tells_the_object_from_the_rest() -> None:
    images, defense = make_images(), make()
    ours = defense.regions(images)
    assert (defense.region_margin(images, ours) > 0).all()
    assert (defense.region_margin(images, ~ours) < 0).all()
    nothing = defense.region_margin(images, torch.zeros(1, 1, 32, 32))
    assert torch.equal(nothing, torch.zeros_like(nothing))


@pytest.mark.parametrize(
    ("region", "error", "message"),
    [
        (torch.zeros(2, 1, 32, 32), ValueError, r"\[3 or 1, 1, 32, 32\].*got \[2, 1, 32, 32\]"),
        (torch.zeros(3, 32, 32), ValueError, r"got \[3, 32, 32\]"),
        (torch.full((1, 1, 32, 32), 1.5), ValueError, r"lie in \[0, 1\], got \[1.5, 1.5\]"),
        (torch.full((1, 1, 32, 32), torch.nan), ValueError, r"lie in \[0, 1\], got \[nan, nan\]"),
        (torch.zeros(1, 1, 32, 32).long(), TypeError, "bool or floating-point.*torch.int64"),
        ([[0]], TypeError, "bool or floating-point tensor, got list"),
    ],
)
def test_bad_regions_are_named(region: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make().purify(make_images(), region=region)  # type: ignore[arg-type]


def test_the_stand_ins_aim_at_the_region() -> None:
    images, defense = make_images(), make()
    assert defense.stand_in_names == ("identity", "region held fixed", "region moved")
    held = defense.stand_in("region held fixed", images, LABELS)
    other = images.flip(-1)
    assert torch.equal(held(other), defense.frozen(images)(other))
    moved = defense.stand_in("region moved", images, LABELS)
    weaker = defense.with_region(torch.zeros(1, 1, 32, 32, dtype=torch.bool))(images)
    others = torch.ones(3, 4, dtype=torch.bool).scatter(1, LABELS[:, None], False)
    torch.testing.assert_close(moved(images)[others], weaker[others])
    lift = (weaker - moved(images))[~others] / 10
    decoy = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    decoy[..., :10, -10:] = True  # the object is at the left
    ours = defense.regions(images) & ~decoy
    torch.testing.assert_close(
        lift, defense.region_margin(images, decoy) - defense.region_margin(images, ours)
    )
    assert (lift < 0).all()


def test_climbing_the_stand_in_moves_the_region() -> None:
    images, defense = make_images(), make()
    moved = MovedRegion(defense, defense.regions(images), LABELS, weight=1e6)
    attack = BIM(0.1, steps=20, step_size=0.01, loss="margin", keep_best=False)
    found = attack(defense, images, LABELS, gradient_model=moved).images
    before, after = (defense.regions(x) & moved.decoy for x in (images, found))
    assert not before.any()
    assert after.sum() == moved.decoy.sum(), "the decoy now passes for an object"
