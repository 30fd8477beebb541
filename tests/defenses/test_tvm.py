"""Total variation: the solver finds the minimiser, and the defense draws honestly."""

import subprocess
import sys

import pytest
import torch
from scenes import make_net, make_scenes
from torch import Tensor, nn

from sparsedef.attacks import PGD
from sparsedef.defenses import TVM, TotalVariation
from sparsedef.defenses.filters import recompute, total_variation


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def half_mask(images: Tensor) -> Tensor:
    return noise(len(images), 1, *images.shape[-2:], seed=7) < 0.5


def objective(z: Tensor, images: Tensor, weight: float, mask: Tensor | float = 1.0) -> Tensor:
    """``1/2 ||mask (z - images)||^2 + weight TV(z)`` per image, written with loops over rows."""
    total = (mask * (z - images)).square().flatten(1).sum(1) / 2
    height, width = z.shape[-2:]
    for row in range(height):
        for column in range(width):
            down = z[..., min(row + 1, height - 1), column] - z[..., row, column]
            right = z[..., row, min(column + 1, width - 1)] - z[..., row, column]
            total = total + weight * (down.square() + right.square()).sqrt().sum(1)
    return total


@pytest.mark.parametrize("weight", [0.01, 0.05])
def test_moves_two_plains_together_as_the_formula_says(weight: float) -> None:
    """A step of height 0.6 between two halves: each moves by weight * border / area."""
    images = torch.full((1, 3, 6, 8), 0.2, dtype=torch.float64)
    images[..., 4:] = 0.8
    wanted = images.clone()
    wanted[..., :4] += weight / 4
    wanted[..., 4:] -= weight / 4
    found = total_variation(images, weight=weight, steps=400)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("is_masked", [False, True])
def test_nothing_near_the_answer_is_better(is_masked: bool) -> None:
    images = noise(2, 3, 7, 6)
    mask = half_mask(images) if is_masked else None
    trust: Tensor | float = 1.0 if mask is None else mask.double()
    found = total_variation(images, weight=0.1, steps=4000, mask=mask)
    best = objective(found, images, 0.1, trust)
    for seed in range(20):
        for size in (1e-1, 1e-2, 1e-3):
            other = found + size * (noise(2, 3, 7, 6, seed=seed) - 0.5)
            # the solver's own error: 1e-6 of an objective near 1
            assert (objective(other, images, 0.1, trust) > best - 1e-6).all()


@pytest.mark.parametrize("is_masked", [False, True])
def test_the_default_steps_are_enough(is_masked: bool) -> None:
    """What more steps would change is below a quarter of a grey level on average."""
    images = make_scenes(4, 32)[0].double()
    mask = half_mask(images) if is_masked else None
    steps = TVM(nn.Identity()).steps if is_masked else TotalVariation(nn.Identity()).steps
    found = total_variation(images, steps=steps, mask=mask)
    converged = total_variation(images, steps=3000, mask=mask)
    assert (found - converged).abs().mean() < 0.25 / 255
    assert (found - converged).abs().mean() < 0.1 * (images - converged).abs().mean()


def test_more_weight_leaves_less_variation() -> None:
    images = noise(1, 3, 12, 12)
    left = [
        (found.diff(dim=-1).abs().sum() + found.diff(dim=-2).abs().sum()).item()
        for found in (total_variation(images, weight=w, steps=300) for w in (0.01, 0.05, 0.2))
    ]
    assert left == sorted(left, reverse=True)
    assert left[0] > 3 * left[2]


def test_fills_what_the_mask_hides_without_looking_at_it() -> None:
    images = torch.full((2, 3, 16, 16), 0.3)
    mask = half_mask(images)
    hidden = torch.where(mask, images, noise(2, 3, 16, 16).float())
    found = total_variation(hidden, weight=0.03, steps=200, mask=mask)
    torch.testing.assert_close(found, images, atol=1e-5, rtol=0)
    full = total_variation(images, mask=torch.zeros(2, 3, 16, 16))
    assert full.isfinite().all(), "nothing to go by at all"


@pytest.mark.parametrize("is_masked", [False, True])
def test_the_gradient_goes_through_every_iteration(is_masked: bool) -> None:
    images = noise(1, 2, 5, 4).requires_grad_()
    mask = half_mask(images) if is_masked else None
    assert torch.autograd.gradcheck(
        # a small step: the projection's kinks lie close together
        lambda x: total_variation(x, weight=0.1, steps=12, mask=mask), images, eps=1e-8, atol=1e-5
    )  # fmt: skip


def test_forgetting_between_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images, mask = noise(2, 3, 9, 8).requires_grad_(), half_mask(noise(2, 3, 9, 8))
    answers = []
    for kept in (recompute.KEPT, 0):
        monkeypatch.setattr(recompute, "KEPT", kept)
        found = total_variation(images, steps=30, mask=mask)
        answers.append((found, *torch.autograd.grad(found.square().sum(), images)))
    (value, grad), (value_again, grad_again) = answers
    assert torch.equal(value, value_again)
    # sums in another order: some units in the last place
    torch.testing.assert_close(grad, grad_again, rtol=1e-12, atol=1e-14)


PEAK = """
import resource, torch
from sparsedef.defenses.filters import non_local_means, total_variation
torch.set_num_threads(1)
images = torch.rand(2, 3, 299, 299, requires_grad=True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{call}.sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
@pytest.mark.parametrize(
    ("call", "most"),
    [
        # without forgetting: 10 images and more per iteration, 3 per shift, of 2 MiB each
        ("total_variation(images, steps=100)", 800),
        ("non_local_means(images, template=3, search=21)", 800),
    ],
)
def test_photographs_fit_in_memory(call: str, most: int) -> None:
    code = PEAK.format(call=call)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < most


def test_an_image_does_not_depend_on_its_batch() -> None:
    images, mask = noise(3, 3, 9, 8), half_mask(noise(3, 3, 9, 8))
    for given in (None, mask):
        alone = total_variation(images[1:2], mask=None if given is None else given[1:2])
        assert torch.equal(total_variation(images, mask=given)[1:2], alone)


@pytest.mark.parametrize("is_per_channel", [False, True])
def test_the_draw_is_seeded_fresh_and_of_the_right_share(is_per_channel: bool) -> None:
    images = make_scenes(8)[0]
    defense = TVM(nn.Flatten(), drop=0.3, is_per_channel=is_per_channel)
    torch.manual_seed(5)
    first, second = defense.purify(images), defense.purify(images)
    torch.manual_seed(5)
    assert torch.equal(defense.purify(images), first)
    assert not torch.equal(second, first)
    mask = defense.draw_mask(images)
    assert mask.shape[1] == (3 if is_per_channel else 1)
    # 4608 draws or more: a standard deviation of 0.007 at the most
    assert abs(mask.float().mean().item() - 0.7) < 0.03
    torch.manual_seed(6)
    single = defense.draw_mask(images)
    torch.manual_seed(6)
    assert torch.equal(defense.draw_mask(images.double()), single)


def test_dropping_nothing_is_plain_denoising() -> None:
    """Two ways to the same minimiser, with and without acceleration; within a tenth of a level."""
    images = make_scenes(2, 12)[0].double()
    torch.testing.assert_close(
        TVM(nn.Flatten(), drop=0.0, steps=2000).purify(images),
        TotalVariation(nn.Flatten(), steps=2000).purify(images),
        atol=0.1 / 255,
        rtol=0,
    )


def test_denoises() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.full((2, 3, 32, 32), 0.3)
    clean[..., 10:20, 8:24] = 0.7
    noisy = (clean + 0.05 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    error = (noisy - clean).norm()
    assert (TotalVariation(nn.Flatten(), weight=0.06).purify(noisy) - clean).norm() < 0.5 * error
    torch.manual_seed(0)
    assert (TVM(nn.Flatten(), weight=0.06).purify(noisy) - clean).norm() < error


def test_an_attack_through_the_draws_defeats_it() -> None:
    """The undefended net, and this defense, fall to 0 at large eps; the true gradient leads."""
    images, labels = make_scenes(8)
    defense = TVM(make_net(), steps=30)
    torch.manual_seed(0)
    assert (defense(images).argmax(1) == labels).all()
    result = PGD(0.3, steps=8, draws=4)(defense, images, labels)
    assert result.success.all()
    assert sum(result.health.zero) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: total_variation(x, weight=0), "total_variation: weight must be > 0, got 0"),
        (lambda x: total_variation(x, steps=0), "steps must be at least 1, got 0"),
        (lambda x: total_variation(x, mask=x[:1, :2]), r"match \[2, 3, 8, 8\], got \[1, 2, 8, 8\]"),
        (lambda x: TotalVariation(nn.Flatten(), weight=-1), "TotalVariation: weight must be > 0"),
        (lambda x: TVM(nn.Flatten(), drop=1), "TVM: drop must be at least 0 and below 1, got 1"),
    ],
)
def test_bad_settings_are_named(call, message: str) -> None:  # type: ignore
    with pytest.raises(ValueError, match=message):
        call(torch.rand(2, 3, 8, 8))
