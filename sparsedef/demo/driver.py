"""Runs the demo's stages in order, each from the cache where it can."""

from __future__ import annotations

import importlib.util
import time
from functools import partial
from pathlib import Path

from tqdm import tqdm

from sparsedef.demo.bench import prepare, versions
from sparsedef.demo.jobs import job_settings, plan_jobs, run_job
from sparsedef.demo.pages import Images, write_pages
from sparsedef.demo.plan import full_plan, quick_plan
from sparsedef.evaluation import Cache, Row, format_table, worst_cases

NEEDED = {"sklearn": "scikit-learn", "PIL": "pillow", "jinja2": "jinja2"}


def drive(out: Path, *, quick: bool, seed: int, tasks: tuple[str, ...], is_silent: bool) -> Path:
    """Trains, attacks, prints and writes; see ``sparsedef.demo.run``."""
    missing = [package for name, package in NEEDED.items() if not importlib.util.find_spec(name)]
    if missing:
        raise ImportError(
            f"the demo needs {', '.join(missing)}, which is not installed "
            f"(pip install {' '.join(missing)})"
        )
    start = time.monotonic()
    plan = (quick_plan if quick else full_plan)(seed, tasks)
    known = versions()
    cache = Cache(out / "cache", known)
    jobs = {task: plan_jobs(plan, task) for task in tasks}
    work = sum(job.cost for each in jobs.values() for job in each) + 20 * len(tasks)
    rows: list[Row] = []
    images: Images = {}
    benches = {}
    with tqdm(
        total=round(work), disable=is_silent, bar_format="{l_bar}{bar}| {elapsed}<{remaining}",
        dynamic_ncols=True,
    ) as bar:  # fmt: skip
        done = 0.0

        def advance(cost: float) -> None:
            nonlocal done
            done += cost
            bar.update(round(done) - bar.n)

        for task in tasks:
            bench = benches[task] = prepare(plan, task, cache, bar.set_description)
            advance(20)
            for job in jobs[task]:
                bar.set_description(job.title)
                found = cache.get(
                    "attack", job_settings(job, plan, bench), partial(run_job, job, plan, bench)
                )
                rows += [Row.from_json(values) for values in found["rows"]]
                if job.is_pictured:
                    images[task, job.target, job.strengths[0]] = found["images"]
                advance(job.cost)
        bar.set_description("report")
        flags = write_pages(out, plan, known, benches, rows, images)
    if not is_silent:
        print(format_table([*rows, *worst_cases(rows)]))
        for flag in flags:
            print(f"\n{'SERIOUS' if flag.is_serious else 'note'}: {flag.code}, {flag.task}, "
                  f"{flag.defense}: {flag.message}.")  # fmt: skip
        print(f"\n{out / 'report.html'} and {out / 'results.json'} "
              f"written in {time.monotonic() - start:.0f} s")  # fmt: skip
    return out / "report.html"
