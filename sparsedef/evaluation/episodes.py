"""Few-way episodes: some classes, some images of each, and the accuracy that they end with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sparsedef.data import Split
from sparsedef.data.class_split import places
from sparsedef.evaluation.cache import Cache
from sparsedef.evaluation.contenders import Contender, Task
from sparsedef.evaluation.metrics import QUANTILE_95, Interval
from sparsedef.evaluation.plan import Plan
from sparsedef.evaluation.rows import Row, join
from sparsedef.evaluation.runner import Evaluation, evaluate, total_cost
from sparsedef.solvers.checks import check_count


@dataclass(frozen=True)
class Episode:
    """One episode.

    Args:
        classes: Labels, ascending.
        queries: Rows of the images that are classified.
        supports: Rows of the images that prototypes are made of; empty for zero-shot.
    """

    classes: tuple[int, ...]
    queries: tuple[int, ...]
    supports: tuple[int, ...] = ()


def draw_episodes(
    labels: Tensor, count: int, *, n_way: int = 5, n_query: int = 20, n_shot: int = 0, seed: int = 0
) -> list[Episode]:
    """Draws episodes: ``n_way`` classes, ``n_query`` images of each, and ``n_shot`` others.

    Args:
        labels: Of all images, ``[n]`` int64.
        count: How many episodes; more of them begin with the same ones.
        n_way: Classes of an episode.
        n_query: Images of each class that are classified.
        n_shot: Images of each class behind its prototype.
        seed: Of the draws.

    Raises:
        ValueError: There are too few classes, or too few images of one.

    Example:
        >>> (episode,) = draw_episodes(torch.arange(12) % 3, 1, n_way=2, n_query=3)
        >>> len(episode.classes), len(episode.queries)
        (2, 6)
    """
    check_count("draw_episodes", "count", count)
    rows = {label: torch.nonzero(labels == label)[:, 0] for label in labels.unique().tolist()}
    needed = n_query + n_shot
    fewest = min((len(own) for own in rows.values()), default=0)
    if len(rows) < n_way or fewest < needed:
        raise ValueError(
            f"draw_episodes: there must be {n_way} classes with {needed} images each, got "
            f"{len(rows)} with {fewest} at least"
        )
    generator = torch.Generator().manual_seed(seed)
    names, found = sorted(rows), []
    for _ in range(count):
        chosen = torch.randperm(len(names), generator=generator)[:n_way]
        classes = tuple(sorted(names[i] for i in chosen.tolist()))
        queries: list[int] = []
        supports: list[int] = []
        for label in classes:
            order = torch.randperm(len(rows[label]), generator=generator)[:needed]
            own = rows[label][order].tolist()
            queries += own[:n_query]
            supports += own[n_query:]
        found.append(Episode(classes, tuple(queries), tuple(supports)))
    return found


@dataclass(frozen=True)
class EpisodeEvaluation:
    """Episodes whose images were attacked, each once for each set of classes it was met with.

    Args:
        evaluation: Rows over all pairs of image and class set.
        episodes: What was asked.
        place: Of an image in the rows' outcomes, by class set and row of the image.
    """

    evaluation: Evaluation
    episodes: Sequence[Episode]
    place: Mapping[tuple[tuple[int, ...], int], int]

    def accuracies(self, correct: str) -> list[float]:
        """Accuracy of each episode, of a row's outcomes."""
        return [
            sum(correct[self.place[each.classes, row]] == "1" for row in each.queries)
            / len(each.queries)
            for each in self.episodes
        ]

    def interval(self, correct: str) -> tuple[float, Interval]:
        """Mean accuracy over episodes, and its 95% interval over them."""
        return over_episodes(self.accuracies(correct))


def over_episodes(accuracies: Sequence[float]) -> tuple[float, Interval]:
    """Mean and 95% normal interval over episodes, as few-shot papers give it.

    Episodes share images, so it is narrower than what other images would give; the Wilson
    interval over distinct images stands beside it in reports.

    Example:
        >>> mean, (low, high) = over_episodes([0.5, 0.7])
        >>> round(mean, 2), round(low, 3), round(high, 3)
        (0.6, 0.404, 0.796)
    """
    count = len(accuracies)
    mean = sum(accuracies) / count
    spread = sum((each - mean) ** 2 for each in accuracies) / max(1, count - 1)
    half = QUANTILE_95 * math.sqrt(spread / count)
    return mean, Interval(mean - half, mean + half)


def class_sets(episodes: Sequence[Episode]) -> dict[tuple[int, ...], list[int]]:
    """The images that each set of classes meets, ascending."""
    found: dict[tuple[int, ...], set[int]] = {}
    for each in episodes:
        found.setdefault(each.classes, set()).update(each.queries)
    return {classes: sorted(rows) for classes, rows in found.items()}


Build = Callable[[tuple[int, ...]], Mapping[str, Contender]]


def evaluate_episodes(
    name: str,
    test: Split,
    names: Sequence[str],
    episodes: Sequence[Episode],
    build: Build,
    plan: Plan,
    *,
    cache: Cache | None = None,
    source: str = "",
    advance: Callable[[str, float], object] | None = None,
) -> EpisodeEvaluation:
    """Attacks the images of episodes, each once for each set of classes, and scores them.

    An attack sees the classes of its episode only, so that an image has to be attacked anew for
    other classes, but not for another episode of the same ones.

    Args:
        name: Of the task.
        test: Images with global labels.
        names: Of all classes.
        episodes: What is asked.
        build: Classes to contenders whose logits are in their order.
        plan: Attacks.
        cache: Where results are kept.
        source: Where the images come from.
        advance: Told what is being done; see ``evaluate``.
    """
    sets = class_sets(episodes)
    found, parts = [], []
    place: dict[tuple[tuple[int, ...], int], int] = {}
    for classes, rows in sets.items():
        task = _task(name, test, names, classes, rows, build(classes), source)
        for row in rows:
            place[classes, row] = len(place)
        found.append(evaluate(task, plan, cache=cache, advance=advance, is_silent=advance is None))
        parts.append(task.test)
    first = found[0]
    if len(found) == 1:
        return EpisodeEvaluation(first, episodes, place)
    rows_of = [join(list(same)) for same in zip(*(each.rows for each in found), strict=True)]
    whole = Split(
        torch.cat([part.images for part in parts]),
        torch.cat([part.labels for part in parts]),
        tuple(f"{each} in set {i}" for i, part in enumerate(parts) for each in part.ids),
    )
    # the sets' own contenders differ: the first stand for all, and there are no pictures
    task = replace(first.task, test=whole)
    return EpisodeEvaluation(Evaluation(task, plan, rows_of, {}), episodes, place)


def episodes_cost(test: Split, episodes: Sequence[Episode], build: Build, plan: Plan) -> float:
    """What ``evaluate_episodes`` tells ``advance`` in all."""
    sets = class_sets(episodes)
    classes = next(iter(sets))
    task = _task("", test, [""] * (max(classes) + 1), classes, sets[classes], build(classes), "")
    one = total_cost(plan, task) / len(task.test)
    return one * sum(len(rows) for rows in sets.values())


def _task(
    name: str, test: Split, names: Sequence[str], classes: tuple[int, ...], rows: Sequence[int],
    contenders: Mapping[str, Contender], source: str,
) -> Task:  # fmt: skip
    chosen = torch.tensor(rows)
    part = Split(
        test.images[chosen], places(test.labels[chosen], classes),
        tuple(test.ids[row] for row in rows),
    )  # fmt: skip
    return Task(name, part, tuple(names[label] for label in classes), contenders, source)


def find_row(
    evaluation: Evaluation, defense: str, attack: str, strength: float, check: str = ""
) -> Row | None:
    """Finds the row of an attack, by the beginning of its name."""
    for row in evaluation.rows:
        if (row.defense, row.strength, row.check) != (defense, strength, check):
            continue
        if row.attack == attack or row.attack.startswith(f"{attack}-"):
            return row
    return None
