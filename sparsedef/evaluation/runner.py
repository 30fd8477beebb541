"""Runs an evaluation: batch by batch, each job kept on disk, shared by the ranks of a torchrun."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sparsedef.attacks import AttackResult
from sparsedef.data import Split
from sparsedef.defenses import Defense
from sparsedef.evaluation.cache import Cache
from sparsedef.evaluation.contenders import Task, fingerprint
from sparsedef.evaluation.jobs import Job, is_pictured, plan_jobs
from sparsedef.evaluation.plan import FOLDER, Plan
from sparsedef.evaluation.rows import SEMANTIC, Row, join
from sparsedef.evaluation.scoring import Outcome, at_length, fell_within, score
from sparsedef.evaluation.threats import CLEAN
from sparsedef.evaluation.work_bar import work_bar
from sparsedef.streams.ranks import Processes

# (contender, threat model, strength) of the main attack -> its first attacked images
Pictured = dict[tuple[str, str, float], Tensor]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Args:
        task: What was evaluated on what.
        plan: How.
        rows: Every attack on every contender; clean images first; no worst cases.
        pictured: Attacked versions of the first test images, for pictures.
    """

    task: Task
    plan: Plan
    rows: list[Row]
    pictured: Pictured


def evaluate(
    task: Task,
    plan: Plan,
    *,
    cache: Cache | None = None,
    versions: dict[str, Any] | None = None,
    out: Path | None = None,
    ranks: Processes | None = None,
    advance: Callable[[str, float], object] | None = None,
    is_silent: bool = False,
) -> Evaluation:
    """Attacks every contender of ``task`` as ``plan`` says, and scores all of them.

    Images go in batches of ``plan.batch_size``; each job of each batch is kept in the cache as
    soon as it is done, so that a stopped run continues, and the ranks of a ``torchrun`` that share
    the folder share the batches. Everything random is drawn per batch from ``plan.seed``: the table
    is the same however often it was stopped and however many processes took part.

    Args:
        task: Images, classifiers and defenses.
        plan: Attacks and their strengths.
        cache: Where results are kept.
        versions: What results depend on besides task and plan, where ``out`` makes the cache.
        out: Folder for a cache, if there is none; ``None`` for neither: in memory only.
        ranks: Processes that share the work; they need a folder that all of them see.
        advance: Told what is being done, and how much of ``total_cost`` is done since.
        is_silent: No progress bar (``advance`` is told all the same).

    Returns:
        ``Evaluation``; on every rank the same.

    Raises:
        ValueError: Several ranks have no folder to share.
    """
    ranks = ranks or Processes()
    if cache is None and out is not None:
        cache = Cache(out / "cache", versions or {})
    if cache is None and ranks.n_ranks > 1:
        raise ValueError("evaluate: several ranks must share a folder, got out=None")
    jobs = plan_jobs(plan, task)
    batches = _batches(task.test, plan.batch_size)
    own = range(ranks.rank, len(batches), ranks.n_ranks)
    is_silent = is_silent or advance is not None
    with work_bar(total_cost(plan, task), is_silent=is_silent) as bar:
        tell = advance or bar.advance
        digests = {name: fingerprint(each.model) for name, each in task.contenders.items()}
        work = [_Batch(task, plan, i, split, cache, digests) for i, split in enumerate(batches)]
        for index in own:
            for job in (None, *jobs):
                title = f"{task.name}: {'clean images' if job is None else job.title}"
                tell(title, 0)
                work[index].result(job)
                tell(title, (1 if job is None else job.cost) * len(batches[index]))
            work[index].forget()
        ranks.wait()
        found = [[each.result(job) for job in (None, *jobs)] for each in work]
    rows = [
        join([Row.from_json(values) for values in parts])
        for results in zip(*found, strict=True)
        for parts in zip(*(result["rows"] for result in results), strict=True)
    ]
    pictured: Pictured = {}
    for job, *results in zip(jobs, *(each[1:] for each in found), strict=True):
        if is_pictured(job, plan):
            images = torch.cat([result["images"] for result in results])
            pictured[job.target, job.threat_model, job.strengths[0]] = images
    return Evaluation(task, plan, rows, pictured)


def total_cost(plan: Plan, task: Task) -> float:
    """What ``evaluate`` tells ``advance`` in all."""
    return len(task.test) * (1 + sum(job.cost for job in plan_jobs(plan, task)))


def _batches(test: Split, size: int) -> list[Split]:
    return [
        Split(test.images[i : i + size], test.labels[i : i + size], test.ids[i : i + size])
        for i in range(0, len(test), size)
    ]


class _Batch:
    """Some of the images: every job on them, once."""

    def __init__(
        self, task: Task, plan: Plan, index: int, split: Split, cache: Cache | None,
        digests: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.task, self.plan, self.cache, self.digests = task, plan, cache, digests
        self.images, self.labels, self.ids = split.images, split.labels, split.ids
        self.norm = task.mean_norm
        self.seed = plan.seed * 100_003 + index
        self.n_pictures = max(0, min(len(split), plan.n_pictures - index * plan.batch_size))
        self.made: dict[tuple[str, str, tuple[float, ...]], Tensor] = {}
        self.results: dict[str, dict[str, Any]] = {}

    def result(self, job: Job | None) -> dict[str, Any]:
        """``rows`` as plain values and the first attacked ``images``, from the cache if it can."""
        settings = self._settings(job)
        key = fingerprint(settings)
        if key not in self.results:

            def compute() -> dict[str, Any]:
                return self._clean() if job is None else self._run(job)

            kind = "clean" if job is None else "attack"
            self.results[key] = (
                compute() if self.cache is None else self.cache.get(kind, settings, compute)
            )
        return self.results[key]

    @cached_property
    def images_digest(self) -> str:
        """What the images are, hashed once for all jobs."""
        return fingerprint(self.images, self.labels)

    def forget(self) -> None:
        """Lets go of attacked images that only this batch's jobs begin at."""
        self.made.clear()

    def _settings(self, job: Job | None) -> dict[str, Any]:
        """All that a result depends on, as plain values."""
        names = list(self.task.contenders)
        if job is not None:
            names = [job.target, *(name for name, _ in job.scored_on)]
            names += [job.bare] if job.bare is not None else []
        plan = asdict(self.plan)
        del plan["attacks"]
        edits = "" if job is None else self._edits_digest(job)
        return {
            "task": self.task.name,
            "job": None if job is None else asdict(job),
            "plan": plan,
            "seed": self.seed,
            "norm": self.norm,
            "images": self.images_digest,
            "edits": edits,
            "contenders": {name: self.digests[name] for name in names},
        }

    def _edits_digest(self, job: Job) -> str:
        """What the pictures are that were edited elsewhere, and may have been edited again."""
        if job.plan.attack != FOLDER:
            return ""
        folder = Path(job.plan.options["edits"])
        files = sorted(path for each in self.ids for path in (folder / each).glob("*"))
        return fingerprint([str(path) for path in files], [path.read_bytes() for path in files])

    def _clean(self) -> dict[str, Any]:
        rows = []
        for name in self.task.contenders:
            outcome = self._score(name, self.images)
            rows.append(self._row(name, "", CLEAN, "linf", 0.0, outcome))
        return {"rows": [row.to_json() for row in rows], "images": self.images[:0]}

    def _run(self, job: Job) -> dict[str, Any]:
        start = self._images_on_bare(job) if job.is_warm else None
        result = self._attack(job, job.target, start)
        if job.bare is None:
            self.made[job.target, job.plan.label, job.strengths] = result.images
        rows = []
        for strength in job.strengths:
            images, length = result.images, strength * self.norm
            is_stretched = not job.plan.has_radius and job.plan.norm != SEMANTIC
            if is_stretched:
                images = at_length(self.images, result.images, length)
            outcome = self._score(job.target, images)
            if is_stretched:
                outcome = outcome.with_fallen(fell_within(result, length))
            rows.append(self._job_row(job, job.target, job.threat_model, strength, outcome, result))
            for name, threat in job.scored_on:
                outcome = self._score(name, images)
                rows.append(self._job_row(job, name, threat, strength, outcome, None))
        kept = self.n_pictures if is_pictured(job, self.plan) else 0
        return {
            "rows": [row.to_json() for row in rows],
            "images": result.images[:kept].clone(),
        }

    def _attack(self, job: Job, target: str, start: Tensor | None) -> AttackResult:
        radius = job.strengths[0] * (self.norm if job.plan.norm == "l2" else 1.0)
        attack = job.plan.build(radius, seed=self.seed, draws=self.plan.draws, ids=self.ids)
        contender = self.task.contenders[target]
        gradient_model = None
        if job.stand_in:
            assert isinstance(contender.model, Defense)
            gradient_model = contender.model.stand_in(job.stand_in, self.images, self.labels)
        return attack(
            contender.model, self.images, self.labels, gradient_model=gradient_model, start=start
        )

    def _images_on_bare(self, job: Job) -> Tensor:
        """What the same attack finds on the bare classifier; computed again where it is unknown."""
        assert job.bare is not None
        key = (job.bare, job.plan.label, job.strengths)
        if key not in self.made:
            self.made[key] = self._attack(job, job.bare, None).images
        return self.made[key]

    def _score(self, name: str, images: Tensor) -> Outcome:
        contender = self.task.contenders[name]
        draws = self.plan.final_draws if contender.is_random else 1
        return score(contender.model, images, self.labels, draws=draws, seed=self.seed)

    def _job_row(
        self, job: Job, name: str, threat: str, strength: float, outcome: Outcome,
        result: AttackResult | None,
    ) -> Row:  # fmt: skip
        plan, health = job.plan, None if result is None else result.health
        more: dict[str, Any] = {"steps": plan.steps, "check": plan.check}
        if health is not None:
            more |= {"gradients": sum(health.asked), "zero_gradients": sum(health.zero)}
            more |= {"nonfinite_gradients": sum(health.nonfinite)}
        if threat.startswith("transfer"):
            more |= {"source": job.target}
        return self._row(name, plan.label, threat, plan.norm, strength, outcome, **more)

    def _row(
        self, name: str, attack: str, threat: str, norm: str, strength: float, outcome: Outcome,
        **more: Any,
    ) -> Row:  # fmt: skip
        return Row(
            self.task.name, name, attack, threat, norm, strength, outcome.correct,
            draws=outcome.draws, right_draws=outcome.right_draws, always=outcome.always, **more,
        )  # fmt: skip
