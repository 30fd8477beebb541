"""Small classifiers and defenses of two-colour images, for tests of evaluations."""

import torch
from torch import Tensor, nn

from sparsedef.data import Split
from sparsedef.defenses import Bilateral, Identity, Purifier
from sparsedef.evaluation import AttackPlan, Contender, Plan, Task
from sparsedef.evaluation.rows import UNBOUNDED


class Linear(nn.Module):
    """Four classes by which quarter of the image is brightest."""

    def forward(self, images: Tensor) -> Tensor:
        return 8 * nn.functional.adaptive_avg_pool2d(images.mean(1), 2).flatten(1)


class Masked(nn.Module):
    """The same answers with gradients that point nowhere: rounding, and saturated logits."""

    def forward(self, images: Tensor) -> Tensor:
        logits = Linear()(images)
        return logits.round().detach() * 50 + 0 * logits


class Noisy(Purifier):
    """Adds noise, and says that it does."""

    is_random = True
    notes = "Adds noise."

    @classmethod
    def fit(cls, classifier, images, labels, *, seed=0):  # type: ignore
        return cls(classifier)

    def purify(self, images: Tensor) -> Tensor:
        return (images + 0.02 * torch.randn_like(images)).clamp(0, 1)


class Stepped(Purifier):
    """Rounds to 32 levels, and says that its gradient is none."""

    has_exact_gradient = False
    notes = "Rounds."

    @classmethod
    def fit(cls, classifier, images, labels, *, seed=0):  # type: ignore
        return cls(classifier)

    def purify(self, images: Tensor) -> Tensor:
        return (images * 32).round() / 32


def make_split(count: int = 20, seed: int = 0) -> Split:
    """Images whose brightest quarter is their class, by a margin that differs."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (count,), generator=generator)
    images = 0.4 + 0.02 * torch.rand(count, 3, 8, 8, generator=generator)
    lift = 0.02 + 0.2 * torch.rand(count, generator=generator)
    for i, label in enumerate(labels.tolist()):
        row, column = divmod(label, 2)
        images[i, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += lift[i]
    return Split(images, labels, tuple(f"made/{i}" for i in range(count)))


def make_task(count: int = 20, **more: nn.Module) -> Task:
    """The bare classifier, a bilateral filter, and ``more`` defenses by name."""
    contenders = {
        "none": Contender(Identity(Linear()), None),
        "bilateral": Contender(Bilateral(Linear(), size=3)),
        **{name: Contender(model) for name, model in more.items()},
    }
    return Task("made", make_split(count), ("a", "b", "c", "d"), contenders, "made up")


PLAN = Plan(
    (
        AttackPlan("fgsm", (0.02, 0.06)),
        AttackPlan(
            "pgd", (0.02, 0.06), options={"steps": 4}, from_gray_box=True, stand_ins="identity"
        ),
        AttackPlan("square", (0.06,), options={"queries": 20}),
        AttackPlan(
            "cw_l2", (0.02, 0.1), "l2",
            {"steps": 10, "rounds": 2, "learning_rate": 0.05, "first_weight": 10.0},
        ),
        AttackPlan("pgd", (1.0,), options={"steps": 6}, check=UNBOUNDED),
    ),
    draws=3, final_draws=5, batch_size=8, n_pictures=4,
)  # fmt: skip
