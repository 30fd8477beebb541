"""CARSO's experiments: the published evaluation, and attacks that it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from sparsedef.data import Dataset
from sparsedef.defenses.carso.stand_ins import LITERAL
from sparsedef.evaluation import (
    Cache,
    Contender,
    Evaluation,
    Plan,
    Row,
    Task,
    WorkBar,
    evaluate,
    total_cost,
)
from sparsedef.evaluation.contenders import NONE
from sparsedef.evaluation.threats import variants_of
from sparsedef.reproduce.carso_parts import CARSO_NAME, FIXED_NAME, Choice, build_parts
from sparsedef.reproduce.carso_sizes import Amount


@dataclass(frozen=True)
class Found:
    """All that was measured.

    Args:
        amount: How much was run.
        main: Base, CARSO and CARSO of a fixed seed under all attacks.
        fixed: CARSO of a fixed seed under standard AutoAttack, or what stands for it.
        fixed_name: Which.
        ablations: Aggregations, sample counts and other purifiers under one attack.
        sweep: By EOT draws: CARSO under the same attack.
        cost: Floating-point operations per image, by contender of the ablations.
    """

    amount: Amount
    main: Evaluation
    fixed: Evaluation
    fixed_name: str
    ablations: Evaluation
    sweep: Mapping[int, Evaluation]
    cost: Mapping[str, float]

    @property
    def evaluations(self) -> list[Evaluation]:
        """All of them, the main one first."""
        return [self.main, self.fixed, self.ablations, *self.sweep.values()]


def run_all(
    dataset: Dataset, cache: Cache, amount: Amount, choice: Choice, *, seed: int, batch_size: int,
    bar: WorkBar,
) -> Found:  # fmt: skip
    """Trains what is not there yet, and attacks everybody; ``cache`` keeps what is finished."""
    parts = build_parts(dataset, cache, amount, choice, seed, bar.say)
    test = dataset.test.take(amount.n_images)

    def task(title: str, contenders: dict[str, Contender]) -> Task:
        return Task(
            dataset.name + title, test, dataset.classes, contenders, dataset.source, parts.facts
        )

    base = parts.main[NONE]
    fixed_name, fixed_plan = amount.fixed_plan(seed, batch_size)
    small_plan = amount.small_plan(seed, batch_size)
    pairs: dict[str, tuple[Task, Plan]] = {
        "main": (task("", parts.main), amount.plan(seed, batch_size)),
        "fixed": (
            task(f", fixed seed, {fixed_name}", {NONE: base, FIXED_NAME: parts.main[FIXED_NAME]}),
            fixed_plan,
        ),
        "ablations": (task(", ablations", parts.ablations), small_plan),
    }
    for draws in amount.sweep:
        pairs[str(draws)] = (
            task(f", EOT {draws}", {NONE: base, CARSO_NAME: parts.main[CARSO_NAME]}),
            amount.small_plan(seed, batch_size, draws),
        )
    bar.expect(sum(total_cost(plan, each) for each, plan in pairs.values()))
    found = {
        name: evaluate(each, plan, cache=cache, advance=bar.advance)
        for name, (each, plan) in pairs.items()
    }
    sweep = {draws: found[str(draws)] for draws in amount.sweep}
    cost = {name: operations(each, dataset) for name, each in parts.ablations.items()}
    return Found(amount, found["main"], found["fixed"], fixed_name, found["ablations"], sweep, cost)


@torch.no_grad()
def operations(contender: Contender, dataset: Dataset) -> float:
    """Floating-point operations of one answer about one image."""
    with FlopCounterMode(display=False) as counter, torch.random.fork_rng(devices=[]):
        contender.model(dataset.test.images[:1])
    return float(counter.get_total_flops())


def is_demonstration(row: Row) -> bool:
    """Whether a row's attack went through the published aggregation as it is."""
    return LITERAL in variants_of(row.threat_model)
