"""A task ready to be attacked: data, trained classifier, fitted defenses."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import sparsedef
from sparsedef.data import DATASETS, Dataset, Split
from sparsedef.defenses import DEFENSES, Defense, RegionSparse
from sparsedef.demo.classifier import SmallCNN, train
from sparsedef.demo.plan import Plan
from sparsedef.evaluation import Cache, source_digest


@dataclass(frozen=True)
class Bench:
    """What the jobs of one task need.

    Args:
        dataset: The task's images.
        test: Those test images that are attacked.
        defenses: By their names in ``DEFENSES``; ``"none"`` is the bare classifier.
        settings: All that the classifier and the defenses depend on, for the cache.
    """

    dataset: Dataset
    test: Split
    defenses: dict[str, Defense]
    settings: dict[str, Any]

    @property
    def regionsparse(self) -> RegionSparse:
        """The defense that the demo is about."""
        defense = self.defenses["regionsparse"]
        assert isinstance(defense, RegionSparse)
        return defense


def versions() -> dict[str, str]:
    """Versions of what the results depend on, the library's own sources included."""
    import sklearn

    backend = sparsedef.omp(torch.ones(1, 4), torch.eye(4), 1).backend
    return {
        "sparsedef": sparsedef.__version__,
        "sources": source_digest(Path(sparsedef.__file__).parent),
        "omp backend": backend,
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "scikit-learn": sklearn.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def prepare(plan: Plan, task: str, cache: Cache, say: Callable[[str], object]) -> Bench:
    """Loads, trains and fits what ``task`` needs, or takes it from ``cache``.

    Args:
        plan: What to run.
        task: Name in ``DATASETS``.
        cache: Where trained parts are kept.
        say: Told in a few words what is being done now.
    """
    dataset = DATASETS[task](seed=plan.seed)
    classes, part = len(dataset.classes), dataset.train
    settings = {"task": task, "seed": plan.seed, "epochs": plan.epochs[task]}

    def learn_classifier() -> dict[str, Any]:
        say(f"{task}: training")
        return train(part, classes, epochs=plan.epochs[task], seed=plan.seed).state_dict()

    def learn_dictionary() -> dict[str, Any]:
        say(f"{task}: dictionary")
        fitted = RegionSparse.fit(torch.nn.Identity(), part.images, part.labels, seed=plan.seed)
        return {"dictionary": fitted.dictionary}

    with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
        classifier = SmallCNN(classes, part.images.shape[-1])
    classifier.load_state_dict(cache.get("classifier", settings, learn_classifier))
    classifier.eval().requires_grad_(False)
    atoms = cache.get("dictionary", {"task": task, "seed": plan.seed}, learn_dictionary)
    defenses: dict[str, Defense] = {
        name: DEFENSES[name].fit(classifier, part.images, part.labels, seed=plan.seed)
        for name in ("none", "bilateral")
    }
    defenses["regionsparse"] = RegionSparse.fit(
        classifier, part.images, part.labels, seed=plan.seed, dictionary=atoms["dictionary"]
    )
    for defense in defenses.values():
        defense.eval()
    return Bench(dataset, dataset.test.take(plan.n_samples), defenses, settings)
