"""What else than the defense an attack differentiates: named by the defense, run, counted."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sparsedef.data import Split
from sparsedef.defenses import Identity, Purifier
from sparsedef.evaluation import AttackPlan, Contender, Plan, Task, evaluate, worst_cases
from sparsedef.evaluation.jobs import plan_jobs


class Masked(Purifier):
    """Its own gradient is tiny noise; the stand-in that it names has the true one."""

    @classmethod
    def fit(cls, classifier, images, labels, *, seed=0):  # type: ignore[no-untyped-def]
        return cls(classifier)

    def purify(self, images: Tensor) -> Tensor:
        return images.detach() + 0 * images

    @property
    def stand_in_names(self) -> tuple[str, ...]:
        return (*super().stand_in_names, "what it hides")

    def stand_in(self, name: str, images: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        if name == "what it hides":
            assert len(images) == len(labels)
            return self.classifier
        return super().stand_in(name, images, labels)


def make_task() -> Task:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 3)).requires_grad_(False)
    images = torch.rand(6, 3, 8, 8)
    split = Split(images, net(images).argmax(1), tuple("abcdef"))
    contenders = {"none": Contender(Identity(net), None), "masked": Contender(Masked(net))}
    return Task("t", split, ("a", "b", "c"), contenders)


def threats(stand_ins: str) -> list[str]:
    plan = Plan((AttackPlan("bim", (0.1,), stand_ins=stand_ins),))
    return [job.threat_model for job in plan_jobs(plan, make_task()) if job.target == "masked"]


def test_a_plan_says_which_are_run() -> None:
    assert threats("") == ["white-box"]
    assert threats("identity") == ["white-box", "BPDA, identity"]
    assert threats("all") == ["white-box", "BPDA, identity", "BPDA, what it hides"]
    with pytest.raises(ValueError, match="stand_ins must be one of"):
        AttackPlan("bim", (0.1,), stand_ins="some")


def test_what_a_stand_in_finds_counts() -> None:
    plan = Plan((AttackPlan("bim", (0.3,), options={"steps": 20}, stand_ins="all"),))
    rows = evaluate(make_task(), plan, is_silent=True).rows
    found = {row.threat_model: row for row in rows if row.defense == "masked"}
    assert found["white-box"].n_right == 6, "its own gradient is 0"
    assert found["BPDA, what it hides"].n_right == 0
    assert found["BPDA, what it hides"].zero_gradients == 0
    (worst,) = [row for row in worst_cases(rows) if row.defense == "masked"]
    assert worst.n_right == 0


def test_an_unknown_stand_in_is_named() -> None:
    defense = Masked(nn.Flatten())
    with pytest.raises(
        ValueError, match=r"must be one of \['identity', 'what it hides'\], got 'x'"
    ):
        defense.stand_in("x", torch.rand(1, 3, 8, 8), torch.zeros(1, dtype=torch.long))
