"""Runs the demo's stages in order, each from the cache where it can."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

from sparsedef.demo.plan import full_plan, quick_plan
from sparsedef.demo.prepare import prepare
from sparsedef.demo.words import demo_words
from sparsedef.evaluation import (
    Cache,
    evaluate,
    summary,
    total_cost,
    work_bar,
    write_pages,
)
from sparsedef.evaluation.assemble import versions

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
    with work_bar(is_silent=is_silent) as bar:
        ready = [prepare(plan, name, cache, bar.say) for name in tasks]
        bar.expect(sum(total_cost(plan.attacks, task) for task in ready))
        found = [evaluate(task, plan.attacks, cache=cache, advance=bar.advance) for task in ready]
        bar.say("report")
        flags = write_pages(out, found, known, demo_words(plan, ready))
    if not is_silent:
        print(summary(found, flags))
        print(f"\n{out / 'report.html'} and {out / 'results.json'} "
              f"written in {time.monotonic() - start:.0f} s")  # fmt: skip
    return out / "report.html"
