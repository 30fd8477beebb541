"""A task of the demo, ready to be attacked: data, trained classifier, fitted defenses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sparsedef.data import DATASETS
from sparsedef.defenses import DEFENSES, Defense, RegionSparse
from sparsedef.demo.classifier import train
from sparsedef.demo.plan import DemoPlan
from sparsedef.evaluation import Cache, Contender, Task
from sparsedef.models import SmallCNN


def prepare(plan: DemoPlan, name: str, cache: Cache, say: Callable[[str], object]) -> Task:
    """Loads, trains and fits what the task ``name`` needs, or takes it from ``cache``.

    Args:
        plan: What to run.
        name: Data set, in ``DATASETS``.
        cache: Where trained parts are kept.
        say: Told in a few words what is being done now.
    """
    dataset = DATASETS[name](seed=plan.seed)
    classes, part = len(dataset.classes), dataset.train
    settings = {"task": name, "seed": plan.seed, "epochs": plan.epochs[name]}

    def learn_classifier() -> dict[str, Any]:
        say(f"{name}: training")
        return train(part, classes, epochs=plan.epochs[name], seed=plan.seed).state_dict()

    def learn_dictionary() -> dict[str, Any]:
        say(f"{name}: dictionary")
        fitted = RegionSparse.fit(torch.nn.Identity(), part.images, part.labels, seed=plan.seed)
        return {"dictionary": fitted.dictionary}

    with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
        classifier = SmallCNN(classes, part.images.shape[-1])
    classifier.load_state_dict(cache.get("classifier", settings, learn_classifier))
    classifier.eval().requires_grad_(False)
    atoms = cache.get("dictionary", {"task": name, "seed": plan.seed}, learn_dictionary)
    defenses: dict[str, Defense] = {
        each: DEFENSES[each].fit(classifier, part.images, part.labels, seed=plan.seed)
        for each in ("none", "bilateral")
    }
    defenses["regionsparse"] = RegionSparse.fit(
        classifier, part.images, part.labels, seed=plan.seed, dictionary=atoms["dictionary"]
    )
    contenders = {
        each: Contender(defense.eval(), None if each == "none" else "none")
        for each, defense in defenses.items()
    }
    test = dataset.test.take(plan.n_samples)
    sizes = f"{len(dataset.train)} train, {len(dataset.validation)} validation, "
    facts = [("images", f"{sizes}{len(dataset.test)} test")]
    facts += _facts(defenses["regionsparse"], test.images)
    return Task(name, test, dataset.classes, contenders, dataset.source, tuple(facts))


def _facts(defense: Defense, images: torch.Tensor) -> list[tuple[str, str]]:
    assert isinstance(defense, RegionSparse)
    boxes = defense.boxes(images)
    height, width = images.shape[-2:]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
    side = defense.patch_size
    return [
        ("dictionary", f"{len(defense.dictionary)} atoms of {side} x {side} RGB, "
                       f"{defense.n_nonzero} per patch"),
        ("box", f"{area.float().median():.0%} of the image (median), "
                f"over 95% on {(area > 0.95).float().mean():.0%} of them"),
    ]  # fmt: skip
