"""Runs the demo's stages in order, each from the cache where it can."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

from tqdm import tqdm

from sparsedef.demo.plan import full_plan, quick_plan
from sparsedef.demo.prepare import prepare, versions
from sparsedef.demo.words import demo_words
from sparsedef.evaluation import (
    Cache,
    evaluate,
    format_table,
    total_cost,
    worst_cases,
    write_pages,
)

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
    with tqdm(
        disable=is_silent, bar_format="{l_bar}{bar}| {elapsed}<{remaining}", dynamic_ncols=True
    ) as bar:
        done = 0.0

        def advance(title: str, cost: float) -> None:
            nonlocal done
            done += cost
            bar.set_description(title, refresh=False)
            bar.update(round(done) - bar.n)

        ready = [prepare(plan, name, cache, bar.set_description) for name in tasks]
        bar.reset(round(sum(total_cost(plan.attacks, task) for task in ready)))
        found = [evaluate(task, plan.attacks, cache=cache, advance=advance) for task in ready]
        bar.set_description("report")
        flags = write_pages(out, found, known, demo_words(plan, ready))
    if not is_silent:
        rows = [row for each in found for row in each.rows]
        print(format_table([*rows, *worst_cases(rows)]))
        for flag in flags:
            print(f"\n{'SERIOUS' if flag.is_serious else 'note'}: {flag.code}, {flag.task}, "
                  f"{flag.defense}: {flag.message}.")  # fmt: skip
        print(f"\n{out / 'report.html'} and {out / 'results.json'} "
              f"written in {time.monotonic() - start:.0f} s")  # fmt: skip
    return out / "report.html"
