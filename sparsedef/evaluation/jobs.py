"""The jobs of an evaluation: each attack on each contender, and what each is scored on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sparsedef.evaluation.contenders import NONE, Task
from sparsedef.evaluation.plan import ALL, AttackPlan, Plan
from sparsedef.evaluation.rows import LONGER, UNBOUNDED
from sparsedef.evaluation.threats import (
    BPDA,
    EOT,
    GRAY_BOX,
    SCORES,
    TRANSFER,
    UNDEFENDED,
    WARM,
    WHITE_BOX,
    threat_model,
)


@dataclass(frozen=True)
class Job:
    """One attack on one contender at one strength.

    Args:
        target: Contender that the attack is made on.
        plan: The attack.
        strengths: The one at which it runs; all that it is read at where it has no radius.
        threat_model: What the attacker knows.
        stand_in: Which of the defense's stand-ins is differentiated; empty: the defense.
        is_warm: Begin at what the same attack finds on ``bare``.
        bare: Name of the target's classifier without the defense; ``None`` if it has none.
        scored_on: Other contenders that are shown the images: name and threat model.
    """

    target: str
    plan: AttackPlan
    strengths: tuple[float, ...]
    threat_model: str
    stand_in: str = ""
    is_warm: bool = False
    bare: str | None = None
    scored_on: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """The job in a few words."""
        where = "bare classifier" if self.target == NONE else self.target
        return f"{self.plan.label} on {where} ({self.threat_model})"

    @property
    def cost(self) -> float:
        """Looks at a classifier per image, about; for progress bars."""
        share = 0.3 if self.bare is None else 1.0
        return share * self.plan.cost


def plan_jobs(plan: Plan, task: Task) -> list[Job]:
    """Lists all jobs, bare classifiers first."""
    names = [*task.bares(), *(n for n, c in task.contenders.items() if c.bare is not None)]
    return [job for name in names for each in plan.attacks for job in _jobs(plan, task, name, each)]


def _jobs(plan: Plan, task: Task, name: str, each: AttackPlan) -> Iterator[Job]:
    contender = task.contenders[name]
    kind = _kind(name, each, has_exact_gradient=contender.has_exact_gradient)
    variants = (EOT,) if contender.is_random and each.uses_gradient else ()
    shown = _scored_on(plan, task, name) if not each.check else ()
    for strengths in _runs(each):
        if contender.bare is None:
            yield Job(name, each, strengths, threat_model(kind, *variants), scored_on=shown)
            continue
        yield Job(name, each, strengths, threat_model(kind, *variants), bare=contender.bare)
        if each.check == UNBOUNDED or not each.uses_gradient:
            continue
        if each.from_gray_box:
            warm = threat_model(kind, *variants, WARM)
            yield Job(name, each, strengths, warm, is_warm=True, bare=contender.bare)
        for stand_in in contender.stand_in_names:
            if each.stand_ins not in (ALL, stand_in):
                continue
            threat = threat_model(BPDA, stand_in, *variants)
            yield Job(name, each, strengths, threat, stand_in=stand_in, bare=contender.bare)


def _runs(each: AttackPlan) -> Iterator[tuple[float, ...]]:
    if each.has_radius:
        yield from ((strength,) for strength in each.strengths)
    else:
        yield each.strengths


def _kind(name: str, each: AttackPlan, *, has_exact_gradient: bool) -> str:
    if name == NONE and each.uses_gradient:
        return UNDEFENDED
    if not each.uses_gradient:
        return SCORES
    return WHITE_BOX if has_exact_gradient else BPDA


def _scored_on(plan: Plan, task: Task, made_on: str) -> tuple[tuple[str, str], ...]:
    """Who is shown what was made on a bare classifier, and what that is to them."""
    shown = []
    for name, contender in task.contenders.items():
        if contender.bare == made_on:
            shown.append((name, GRAY_BOX))
        elif plan.with_transfer and name != made_on:
            shown.append((name, TRANSFER))
    return tuple(shown)


def is_pictured(job: Job, plan: Plan) -> bool:
    """Whether the job's images are kept for pictures: those of the main iterated attack."""
    return job.plan == main_attack(plan) and job.plan.check != LONGER


def main_attack(plan: Plan) -> AttackPlan:
    """The attack that pictures show: the first iterated one with a radius, else the first."""
    for each in plan.attacks:
        if each.has_radius and each.uses_gradient and each.steps > 1 and not each.check:
            return each
    return plan.attacks[0]
