"""The demo's attacks, one job each: what is attacked, with which gradient, and scored on what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sparsedef.attacks import ATTACKS, AttackResult, rescale
from sparsedef.demo.bench import Bench
from sparsedef.demo.plan import Plan
from sparsedef.evaluation.rows import (
    ADAPTIVE,
    ADAPTIVE_IDENTITY,
    ADAPTIVE_WARM,
    CLEAN,
    GRAY_BOX,
    WHITE_BOX,
    Row,
)

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Job:
    """One attack on one classifier.

    Args:
        task: Data set.
        target: The defense that the attack is made on; ``"none"`` for the bare classifier.
        attack: Name in ``ATTACKS``; empty to score clean images.
        strengths: The radius; for an attack without one (CW-L2), all budgets it is read at.
        uses_identity: Take the defense's gradient to be the identity (BPDA).
        is_warm: Begin at what the same attack finds on the bare classifier.
        is_sanity: A check that a huge radius fools everything.
        cost: Gradients it takes, about, in units of one through RegionSparse; for progress bars.
    """

    task: str
    target: str
    attack: str
    strengths: tuple[float, ...]
    uses_identity: bool = False
    is_warm: bool = False
    is_sanity: bool = False
    cost: float = 1.0

    @property
    def title(self) -> str:
        """The job in a few words."""
        how = " (identity gradient)" if self.uses_identity else " (warm)" if self.is_warm else ""
        where = "bare classifier" if self.target == "none" else self.target
        return f"{self.task}: {self.attack or 'clean'} on {where}{how}"

    @property
    def threat_model(self) -> str:
        """What the attacker knows, where the attack is scored on its own target."""
        if self.target == "none":
            return WHITE_BOX
        if self.uses_identity:
            return ADAPTIVE_IDENTITY
        return ADAPTIVE_WARM if self.is_warm else ADAPTIVE

    @property
    def is_pictured(self) -> bool:
        """Whether its images are shown: the gray-box ones, and the strongest adaptive ones."""
        return self.attack == "bim" and (self.target == "none" or self.is_warm)


def plan_jobs(plan: Plan, task: str) -> list[Job]:
    """Lists the jobs of one task, in the order in which they are run."""
    jobs = [Job(task, "none", "", (0.0,))]

    def steps(attack: str) -> int:
        options = plan.options.get(attack, {})
        return int(options.get("steps", 1)) * int(options.get("rounds", 1)) + 1

    def add(target: str, attack: str, **more: bool) -> None:
        share = {"none": 0.2, "bilateral": 0.5, "regionsparse": 1.0}[target]
        cost = share * steps(attack)
        if attack == "cw_l2":
            jobs.append(Job(task, target, attack, plan.budgets, cost=cost, **more))
            return
        strengths = (1.0,) if more.get("is_sanity") else plan.strengths
        jobs.extend(Job(task, target, attack, (s,), cost=cost, **more) for s in strengths)

    for attack in ("fgsm", "bim", "mi_fgsm", "cw_l2"):
        add("none", attack)
    add("bilateral", "bim")
    add("bilateral", "bim", is_warm=True)
    for attack in ("fgsm", "bim", "mi_fgsm"):
        add("regionsparse", attack)
    add("regionsparse", "bim", uses_identity=True)
    for attack in ("bim", "cw_l2"):
        add("regionsparse", attack, is_warm=True)
    for target in ("none", "regionsparse"):
        add(target, "pgd", is_sanity=True)
    return jobs


def job_settings(job: Job, plan: Plan, bench: Bench) -> dict[str, Any]:
    """All that a job's result depends on, as plain values."""
    return {
        "job": asdict(job),
        "bench": bench.settings,
        "n_samples": len(bench.test),
        "n_pictures": plan.n_pictures,
        "options": dict(plan.options.get(job.attack, {})),
    }


def run_job(job: Job, plan: Plan, bench: Bench) -> dict[str, Any]:
    """Runs one job: ``rows`` as plain values, and the first attacked ``images``."""
    test = bench.test
    if not job.attack:
        rows = [
            Row(job.task, name, "", CLEAN, "linf", 0.0, _outcome(defense, test.images, test.labels))
            for name, defense in bench.defenses.items()
        ]
        return {"rows": [row.to_json() for row in rows], "images": test.images[:0]}
    options: dict[str, Any] = {**plan.options.get(job.attack, {}), "seed": plan.seed}
    is_linf = job.attack != "cw_l2"
    if is_linf:
        options["eps"] = job.strengths[0]
    attack = ATTACKS[job.attack](**options)
    bare, defense = bench.defenses["none"], bench.defenses[job.target]
    start = attack(bare, test.images, test.labels).images if job.is_warm else None
    gradient_model = defense.surrogate if job.uses_identity else None
    result = attack(defense, test.images, test.labels, gradient_model=gradient_model, start=start)
    rows = []
    for strength in job.strengths:
        images = result.images if is_linf else _at_budget(test.images, result, strength)
        correct = _outcome(defense, images, test.labels)
        if not is_linf:
            correct = _also_wrong(correct, result, test.images, strength)
        rows.append(_row(job, job.target, job.threat_model, strength, correct, result))
        if job.target == "none" and not job.is_sanity:
            rows += [
                _row(job, name, GRAY_BOX, strength, _outcome(other, images, test.labels), None)
                for name, other in bench.defenses.items()
                if name != "none"
            ]
    return {
        "rows": [row.to_json() for row in rows],
        "images": result.images[: plan.n_pictures if job.is_pictured else 0].clone(),
    }


def _row(
    job: Job, defense: str, threat: str, strength: float, correct: str, result: AttackResult | None
) -> Row:
    health = None if result is None else result.health
    return Row(
        task=job.task,
        defense=defense,
        attack=job.attack,
        threat_model=threat,
        norm="l2" if job.attack == "cw_l2" else "linf",
        strength=strength,
        correct=correct,
        gradients=0 if health is None else sum(health.asked),
        zero_gradients=0 if health is None else sum(health.zero),
        nonfinite_gradients=0 if health is None else sum(health.nonfinite),
        is_sanity=job.is_sanity,
    )


def _outcome(model: Model, images: Tensor, labels: Tensor) -> str:
    """``"1"`` or ``"0"`` per image."""
    with torch.no_grad():
        logits = model(images)
    right = (logits.argmax(1) == labels) & torch.isfinite(logits).all(1)
    return "".join("1" if is_right else "0" for is_right in right.tolist())


def _at_budget(images: Tensor, result: AttackResult, budget: float) -> Tensor:
    """Stretches or shrinks each perturbation to ``budget`` times its image's L2 norm."""
    return rescale(images, result.images, budget * images.flatten(1).norm(dim=1))


def _also_wrong(correct: str, result: AttackResult, images: Tensor, budget: float) -> str:
    """Counts an image as wrong too where its smallest perturbation is within the budget."""
    reach = budget * images.flatten(1).norm(dim=1)
    fell = (result.success & (result.distance <= reach)).tolist()
    return "".join("0" if is_down else bit for bit, is_down in zip(correct, fell, strict=True))
