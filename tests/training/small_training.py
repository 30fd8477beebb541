"""A small problem with everything in it that a resumed training could get wrong."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.training import Batch, Step, Tensors, Trained, train


def make_data(count: int = 50) -> Tensors:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 6, generator=generator)
    return Tensors(x, (x[:, :3].sum(1) > 0).long())


def make_net(*, has_norm: bool = True, dropout: float = 0.3) -> nn.Sequential:
    """A net with dropout (torch's own randomness) and running statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        middle = [nn.BatchNorm1d(8)] if has_norm else []
        return nn.Sequential(
            nn.Linear(6, 8), *middle, nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 2)
        )


class Lookahead:
    """Slow weights that follow the fast ones of another optimiser, every few steps."""

    def __init__(self, inner: torch.optim.Optimizer, every: int = 3) -> None:
        self.inner, self.every, self.count = inner, every, 0
        self.fast = [each for group in inner.param_groups for each in group["params"]]
        self.slow = [each.detach().clone() for each in self.fast]

    @torch.no_grad()
    def step(self) -> None:
        self.inner.step()
        self.count += 1
        if self.count % self.every == 0:
            for slow, fast in zip(self.slow, self.fast, strict=True):
                slow += 0.5 * (fast - slow)
                fast.copy_(slow)

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self.inner.state_dict(), "slow": self.slow, "count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.inner.load_state_dict(state_dict["inner"])
        self.slow, self.count = state_dict["slow"], state_dict["count"]


def noisy_loss(net: nn.Module) -> Callable[[Batch, Step], Tensor]:
    """Cross-entropy of inputs with noise from the step's generator."""

    def loss(batch: Batch, step: Step) -> Tensor:
        x, labels = batch
        return functional.cross_entropy(net(x + 0.1 * step.randn_like(x)), labels)

    return loss


def run(
    kind: str = "adamw",
    *,
    stop: int | None = None,
    net: nn.Module | None = None,
    score: Callable[[], float] | None = None,
    **options: Any,
) -> tuple[nn.Module, Trained]:
    """Trains; interrupted while step ``stop`` is computed, if that is given."""
    net = make_net() if net is None else net
    if kind == "sgd":
        optimizer: Any = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
        schedule: Any = torch.optim.lr_scheduler.MultiStepLR(optimizer, [12, 20], gamma=0.1)
    elif kind == "adamw":
        optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=28)
    else:
        inner = torch.optim.RAdam(net.parameters(), 1e-2)
        optimizer = Lookahead(inner)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(inner, 28)
    plain = noisy_loss(net)

    def loss(batch: Batch, step: Step) -> Tensor:
        if step.number == stop:
            raise KeyboardInterrupt
        return plain(batch, step)

    x, labels = make_data().tensors

    def validate() -> float:
        return -functional.cross_entropy(net(x), labels).item()

    given = {"epochs": 4, "batch_size": 8, "seed": 3, "is_silent": True, **options}
    source = given.pop("source", make_data())
    trained = train(
        net, source, loss, optimizer=optimizer, schedule=schedule,
        validate=validate if score is None else score, **given,
    )  # fmt: skip
    return net, trained


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether all weights and statistics are equal to the bit."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
