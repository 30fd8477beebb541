"""AutoAttack is the package's own run, seen through our target, and judged as every attack."""

import sys

import pytest
import torch
from torch import Tensor, nn

from sparsedef.attacks import EOT, PGD, AutoAttack
from sparsedef.attacks.ball import distance


def make_data(n_classes: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """One faint pattern per class, in noise."""
    patterns = torch.rand(n_classes, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % n_classes
    noise = torch.randn(count, 3, 8, 8, generator=generator)
    return (0.5 + 0.3 * (patterns[labels] - 0.5) + 0.1 * noise).clamp(0, 1), labels


def train(n_classes: int) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, n_classes)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    images, labels = make_data(n_classes, 600, seed=1)
    for step in range(200):
        rows = torch.arange(step * 60, step * 60 + 60) % 600
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return model.eval()


@pytest.fixture(scope="module")
def six() -> nn.Module:
    pytest.importorskip("pyautoattack", reason="the extra robust is not installed")
    return train(6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "norm", "eps", "n_classes", "n_targets"),
    [
        ("standard", "linf", 0.055, 6, 9),
        ("standard", "linf", 0.05, 12, None),
        ("standard", "l2", 0.6, 6, 2),
        ("plus", "linf", 0.055, 6, 9),
        ("rand", "linf", 0.055, 6, 9),
    ],
)
def test_it_is_the_packages_own_run(version, norm, eps, n_classes, n_targets) -> None:  # type: ignore
    package = pytest.importorskip("pyautoattack", reason="the extra robust is not installed")
    model = train(n_classes)
    images, labels = make_data(n_classes, 24, seed=2)
    attack = AutoAttack(eps, version=version, norm=norm, n_targets=n_targets, seed=5)
    found = attack(model, images, labels)
    names = {"linf": "Linf", "l2": "L2"}
    direct = package.AutoAttack(
        model, norm=names[norm], eps=eps, seed=5, version=version, device="cpu"
    )
    direct.apgd.eot_iter = 1  # twenty draws of a model that is not random are one
    count = min(n_targets or n_classes, n_classes - 1)
    direct.apgd_targeted.n_target_classes = direct.fab.n_target_classes = count
    wanted, _ = direct.run_standard_evaluation(images, labels)
    # rounding: the base class projects once more
    torch.testing.assert_close(found.images, wanted, atol=1e-6, rtol=0)
    assert torch.equal(found.success, model(wanted).argmax(1) != labels)
    assert 0 < found.success.float().mean() < 1, "an easy or a hopeless task proves little"


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.055), ("l2", 0.6)])
def test_it_leaves_no_more_than_pgd(six: nn.Module, norm, eps) -> None:  # type: ignore
    images, labels = make_data(6, 40, seed=3)
    pgd = PGD(eps, norm=norm, steps=50, restarts=2, loss="margin")(six, images, labels)
    found = AutoAttack(eps, norm=norm)(six, images, labels)
    assert found.success.sum() >= pgd.success.sum()
    assert pgd.success.any()
    assert distance(images, found.images, norm).max() <= eps * (1 + 1e-5)
    assert len(found.health.asked) > 100
    assert sum(found.health.zero) == 0


class Masked(nn.Module):
    """A dishonest defense: it rounds the image, so that every gradient is zero."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model((images * 50).round() / 50)


@pytest.mark.slow
def test_square_inside_catches_a_masked_gradient(six: nn.Module) -> None:
    images, labels = make_data(6, 30, seed=4)
    eps, masked = 0.1, Masked(six)
    bare = PGD(eps, steps=50)(six, images, labels).success
    fooled_by_pgd = PGD(eps, steps=50)(masked, images, labels).success
    found = AutoAttack(eps)(masked, images, labels)
    assert found.health.zero == found.health.asked
    assert bare.float().mean() > 0.8
    assert fooled_by_pgd.float().mean() < 0.3, "the mask works on gradients"
    assert found.success.float().mean() > 0.7, "and not on queries"


class Noisy(nn.Module):
    is_random = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.model(images + 0.05 * torch.randn_like(images))


@pytest.mark.slow
def test_rand_averages_its_gradients_over_draws(six: nn.Module) -> None:
    images, labels = make_data(6, 12, seed=5)
    noisy = Noisy(six)
    attack = AutoAttack(0.08, version="rand", draws=8)
    found = attack(noisy, images, labels)
    assert noisy.calls % 8 == 0
    assert len(found.health.asked) % 8 == 0, "one gradient per draw"
    assert ((found.error_rate * 8) % 1).max() < 1e-6
    assert found.success.float().mean() > 0.5
    assert torch.equal(attack(noisy, images, labels).images, found.images)
    outside = EOT(AutoAttack(0.08, version="rand"), 8)(noisy, images, labels)
    assert torch.equal(outside.images, found.images)


@pytest.mark.slow
def test_float64_images_and_models_work(six: nn.Module) -> None:
    images, labels = make_data(6, 6, seed=6)
    single = AutoAttack(0.06)(six, images, labels)
    double = AutoAttack(0.06)(train(6).double(), images.double(), labels)
    assert double.images.dtype == torch.float64
    assert double.distance.max() <= 0.06 * (1 + 1e-5)
    assert torch.equal(single.success, double.success)


@pytest.mark.slow
def test_a_start_that_fools_is_kept_and_the_rest_attacked(six: nn.Module) -> None:
    images, labels = make_data(6, 8, seed=7)
    attack = AutoAttack(0.06)
    found = attack(six, images, labels)
    start = torch.where(torch.arange(8)[:, None, None, None] < 4, found.images, images)
    again = attack(six, images, labels, start=start)
    kept = found.success & (torch.arange(8) < 4)
    assert kept.any()
    assert torch.equal(again.images[kept], found.images[kept])
    assert (again.success | ~found.success).all()


@pytest.mark.slow
def test_parameters_get_no_gradient_and_a_debugger_keeps_its_trace(six: nn.Module) -> None:
    images, labels = make_data(6, 4, seed=8)

    def trace(*_: object) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        AutoAttack(0.06, version="plus")(six, images, labels)
        kept = sys.gettrace()
    finally:
        sys.settrace(before)
    assert kept is trace
    assert all(parameter.grad is None for parameter in six.parameters())


def test_too_few_classes_or_rows_are_named() -> None:
    pytest.importorskip("pyautoattack", reason="the extra robust is not installed")
    images, labels = torch.full((2, 3, 8, 8), 0.5), torch.zeros(2, dtype=torch.long)
    for version, count in (("standard", 3), ("plus", 3), ("rand", 2)):
        model = nn.Sequential(nn.Flatten(), nn.Linear(192, count))
        with pytest.raises(ValueError, match=f"'{version}' needs at least {count + 1} classes.*"):
            AutoAttack(0.1, version=version)(model, images, labels)
    model = nn.Sequential(nn.Flatten(), nn.Linear(96, 4))
    with pytest.raises(ValueError, match=r"images must be at least 5 pixels high for l2.*got 4"):
        AutoAttack(0.1, norm="l2")(model, images[:, :, :4], labels)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"AutoAttack: version must be one of.*got 'custom'"):
        AutoAttack(0.1, version="custom")
    with pytest.raises(ValueError, match="AutoAttack: n_targets must be at least 1, got 0"):
        AutoAttack(0.1, n_targets=0)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyautoattack", None)  # what an absent package looks like
    with pytest.raises(ImportError, match=r"AutoAttack needs pyautoattack.*sparsedef\[robust\]"):
        AutoAttack(0.1)
