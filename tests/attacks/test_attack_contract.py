"""What every attack in the table must do, whatever it is."""

import copy
import importlib.util
import inspect
import math

import pytest
import torch
from torch import Tensor, nn

from sparsedef.attacks import ATTACKS as NORM_ATTACKS
from sparsedef.attacks import SEMANTIC_ATTACKS, Attack, AttackResult
from sparsedef.attacks.ball import distance

ATTACKS = {**NORM_ATTACKS, **SEMANTIC_ATTACKS}
EPS = {"linf": 0.1, "l2": 0.6}
ONLY_NORM = {"cw_l2": "l2", "cw_linf": "linf", "recolour": "linf", "appearance": "linf"}
EDITS = tuple(SEMANTIC_ATTACKS)  # no radius in pixels: they begin at the clean image
# few steps, where the defaults take long
SMALL = {
    "apgd": {"steps": 20},
    "apgd_t": {"steps": 10},
    "cw_l2": {"steps": 30, "rounds": 3, "learning_rate": 0.05, "first_weight": 1.0},
    "cw_linf": {"steps": 10},
    "spsa": {"steps": 10, "samples": 32, "step_size": 0.03},
    "square": {"queries": 300},
    "recolour": {"trials": 100, "restarts": 2},
    "appearance": {"steps": 10, "samples": 10},
}
# its settings are fixed: that is what it is for
MARKS = {
    "autoattack": [
        pytest.mark.slow,
        pytest.mark.skipif(
            importlib.util.find_spec("pyautoattack") is None,
            reason="the extra robust is not installed",
        ),
    ]
}
NAMES = [pytest.param(name, marks=MARKS.get(name, [])) for name in ATTACKS]
CASES = [
    pytest.param(name, norm, marks=MARKS.get(name, []))
    for name in ATTACKS
    for norm in EPS
    if norm == ONLY_NORM.get(name, norm)
]


def make(name: str, norm: str = "linf", **options: object) -> Attack:
    """Builds an attack with few steps."""
    if ATTACKS[name].needs_eps:
        options |= {"eps": EPS[norm], "norm": norm}
    return ATTACKS[name](**SMALL.get(name, {}), **options)


def uses_gradient(name: str) -> bool:
    return ATTACKS[name].uses_gradient


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 4)
    ).eval()  # fmt: skip


def make_images(model: nn.Module, count: int = 12) -> tuple[Tensor, Tensor]:
    """Images, black and white pixels among them, with the labels that ``model`` gives them."""
    generator = torch.Generator().manual_seed(1)
    images = (torch.rand(count, 3, 8, 8, generator=generator) * 1.4 - 0.2).clamp(0, 1)
    with torch.no_grad():
        images = images.to(next(model.parameters()).dtype)
        return images, model(images).argmax(1)


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_fools_the_model_within_the_budget_and_says_so_truly(name: str, norm: str) -> None:
    model = make_model()
    images, labels = make_images(model)
    result = make(name, norm)(model, images, labels)
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    size = distance(images, result.images, norm)
    torch.testing.assert_close(size, result.distance)
    if ATTACKS[name].needs_eps:
        assert size.max() <= EPS[norm] * (1 + 1e-5)
    wrong = model(result.images).argmax(1) != labels
    assert torch.equal(wrong, result.success)
    # so few queries find less than gradients do
    assert wrong.float().mean() > (0.7 if uses_gradient(name) else 0.4)


@pytest.mark.parametrize("name", NAMES)
def test_leaves_no_trace(name: str) -> None:
    model = make_model().train()
    model[1].eval()  # a frozen batch norm inside a model in training
    images, labels = make_images(model)
    before = copy.deepcopy(model.state_dict())
    untouched, state = images.clone(), torch.get_rng_state()
    make(name)(model, images, labels)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [part.training for part in model] == [True, False, True, True, True]
    assert model.training
    assert torch.equal(images, untouched)
    assert torch.equal(state, torch.get_rng_state())
    assert not images.requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_restores_the_mode_when_the_model_fails(name: str) -> None:
    class Failing(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError("out of order")

    model = Failing().train()
    with pytest.raises(RuntimeError, match="out of order"):
        make(name)(model, torch.rand(2, 3, 8, 8), torch.zeros(2, dtype=torch.long))
    assert model.training


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_images_whatever_the_global_seed(name: str) -> None:
    model = make_model()
    images, labels = make_images(model)
    torch.manual_seed(5)
    first = make(name, seed=3)(model, images, labels)
    torch.manual_seed(6)
    assert torch.equal(first.images, make(name, seed=3)(model, images, labels).images)


@pytest.mark.parametrize("name", NAMES)
def test_takes_any_callable_and_an_empty_batch(name: str) -> None:
    model = make_model()
    images, labels = make_images(model)
    result = make(name)(lambda x: model(x), images[:0], labels[:0])
    assert result.images.shape == (0, 3, 8, 8)
    assert result.success.shape == (0,)
    assert make(name)(lambda x: model(x), images[:1], labels[:1]).images.shape == (1, 3, 8, 8)


class Noisy(nn.Module):
    """A model whose logits are noise around a linear map."""

    is_random = True

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(192, 4)
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        noisy = images.flatten(1) + 0.5 * torch.randn(len(images), 192)
        return self.linear(noisy)


@pytest.mark.parametrize("name", NAMES)
def test_asks_a_random_model_several_times_without_being_told(name: str) -> None:
    model, images = Noisy(), torch.rand(4, 3, 8, 8)
    labels = model(images).argmax(1)
    attack = make(name, draws=7)
    model.calls = 0
    result = attack(model, images, labels)
    assert model.calls % 7 == 0
    assert ((result.error_rate * 7) % 1).max() < 1e-6
    assert torch.equal(result.images, attack(model, images, labels).images)


class Masked(nn.Module):
    """Hides its gradient: rounds the image; its surrogate does not."""

    has_exact_gradient = False

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model((images.detach() * 255).round() / 255)

    def surrogate(self, images: Tensor) -> Tensor:
        return self.model(images + ((images * 255).round() / 255 - images).detach())


@pytest.mark.parametrize("name", NAMES)
def test_uses_the_surrogate_of_a_model_without_a_gradient(name: str) -> None:
    inner = make_model()
    images, labels = make_images(inner)
    result = make(name)(Masked(inner), images, labels)
    assert result.success.float().mean() > 0.7


@pytest.mark.parametrize("name", NAMES)
def test_counts_zero_and_nan_gradients(name: str) -> None:
    model = make_model()
    images, labels = make_images(model)

    def half_dead(x: Tensor) -> Tensor:
        logits = model(x)
        return torch.where(torch.arange(len(x))[:, None] < 3, 0 * logits + 1.0, logits)

    health = make(name)(half_dead, images, torch.zeros_like(labels)).health
    if uses_gradient(name):
        assert health.zero[0] == 3
        assert health.asked[0] in (len(images), int((labels[3:] == 0).sum()) + 3)
    else:
        assert health.asked == []

    def poisoned(x: Tensor) -> Tensor:
        return model(x) + (0 * x.flatten(1).sum(1) / (x - x).flatten(1).sum(1))[:, None]

    result = make(name)(poisoned, images, labels)
    assert result.health.nonfinite == result.health.asked
    assert result.success.all(), "a model that answers NaN has not withstood"


@pytest.mark.parametrize("name", [n for n in ATTACKS if n not in ("autoattack", *EDITS)])
def test_begins_where_it_is_told(name: str) -> None:
    """But for AutoAttack, whose parts begin where they were published to; it keeps a good start."""
    model = make_model()
    images, labels = make_images(model)
    start = (images + 0.05).clamp(0, 1)
    seen: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        if x.requires_grad or not uses_gradient(name):
            seen.append(x.detach().clone())
        return model(x)

    make(name)(watched, images, labels, start=start)
    torch.testing.assert_close(seen[0], start, atol=1e-5, rtol=0)


def ok() -> tuple[Tensor, Tensor]:
    return torch.full((2, 3, 8, 8), 0.5), torch.tensor([0, 1])


BAD = [
    (lambda x, y: ((255 * x).to(torch.uint8), y), TypeError, r"uint8.*images.float\(\) / 255"),
    (lambda x, y: (x.half(), y), TypeError, "float32 or float64, got torch.float16"),
    (lambda x, y: (x[0], y), ValueError, r"\[B, C, H, W\], got \[3, 8, 8\].*images\[None\]"),
    (lambda x, y: (x * 255, y), ValueError, r"\[0, 1\].*pass images / 255"),
    (lambda x, y: (x - 1, y), ValueError, "normalise inside the model"),
    (lambda x, y: (x * math.nan, y), ValueError, "finite, got NaN"),
    (lambda x, y: (x.numpy(), y), TypeError, "torch.Tensor, got ndarray"),
    (lambda x, y: (x, y.int()), TypeError, r"int64, got torch.int32.*labels.long"),
    (lambda x, y: (x, y[:1]), ValueError, r"labels must be \[2\].*got \[1\]"),
    (lambda x, y: (x, y - 1), ValueError, "labels must be >= 0, got -1"),
    (lambda x, y: (x, y + 3), ValueError, "labels must be < 4.*got 4"),
]


@pytest.mark.parametrize("name", EDITS)
def test_edits_begin_at_the_clean_image_only(name: str) -> None:
    model = make_model()
    images, labels = make_images(model)
    with pytest.raises(ValueError, match="start must be None"):
        make(name)(model, images, labels, start=images)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("spoil", "error", "message"), BAD)
def test_bad_input_is_named(name: str, spoil: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        make(name)(make_model(), *spoil(*ok()))
    assert str(caught.value).startswith(ATTACKS[name].__name__)


@pytest.mark.parametrize("name", [name for name in ATTACKS if ATTACKS[name].needs_eps])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"eps": -0.1}, ValueError, "eps must be finite and >= 0, got -0.1"),
        ({"eps": math.nan}, ValueError, "eps must be finite"),
        ({"eps": 8}, ValueError, "pass 8 / 255"),
        ({"eps": "0.1"}, TypeError, "eps must be a number, got str"),
        ({"eps": None}, TypeError, "eps must be a number, got None"),
        ({"eps": 0.1, "norm": "l1"}, ValueError, "norm must be one of"),
        ({"eps": 0.1, "loss": "hinge"}, ValueError, "loss must be one of"),
        ({"eps": 0.1, "draws": 0}, ValueError, "draws must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_named(name: str, options: dict, error: type, message: str) -> None:
    if not options.keys() <= inspect.signature(ATTACKS[name]).parameters.keys():
        pytest.skip("it has no such setting")
    with pytest.raises(error, match=message):
        ATTACKS[name](**options)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_attacked_alike_whatever_its_neighbours(name: str) -> None:
    if name == "autoattack":
        pytest.skip("the package draws its random numbers for the images that still stand")
    model = make_model().double()
    images, labels = make_images(model)
    others = images.flip(2)
    others[4] = images[4]
    first = make(name)(model, images, labels)
    second = make(name)(model, others, model(others).argmax(1))
    torch.testing.assert_close(first.images[4], second.images[4])
    assert not torch.equal(first.images[3], second.images[3])


@pytest.mark.parametrize("name", NAMES)
def test_a_model_without_gradient_is_a_mistake_not_a_robust_model(name: str) -> None:
    model = make_model()
    images, labels = make_images(model)

    @torch.no_grad()
    def hidden(x: Tensor) -> Tensor:
        return model(x)

    if uses_gradient(name):
        with pytest.raises(ValueError, match=r"no_grad inside\? pass gradient_model"):
            make(name)(hidden, images, labels)
    else:
        assert make(name)(hidden, images, labels).success.float().mean() > 0.7


def test_a_cheating_attack_is_brought_back_into_its_budget() -> None:
    class Cheat(Attack):
        def perturb(self, target, images, labels, start, generator):  # type: ignore[no-untyped-def]
            return images + 3

    model = make_model()
    images, labels = make_images(model)
    for norm, eps in EPS.items():
        result: AttackResult = Cheat(eps, norm=norm)(model, images, labels)
        assert result.distance.max() <= eps * (1 + 1e-5)
        assert result.images.max() <= 1
