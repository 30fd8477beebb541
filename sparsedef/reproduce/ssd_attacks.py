"""Every semantic attack on every classifier: searches, ascents, and what a dense stand-in finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sparsedef.attacks.losses import margin
from sparsedef.attacks.semantic import ConceptLoss, SceneAscent, SupportLoss
from sparsedef.clip import unit
from sparsedef.defenses.semantic import ConceptClassifier, EmbeddingClassifier, SparseConcepts
from sparsedef.evaluation import Row, fingerprint
from sparsedef.evaluation.rows import SEMANTIC, WHOLE, pointwise
from sparsedef.evaluation.threats import BPDA, CLEAN, SCORES, TRANSFER, WHITE_BOX
from sparsedef.reproduce.ssd_heads import right
from sparsedef.reproduce.ssd_world import PIXELS, Versions, World
from sparsedef.worlds.parameters import Group

NAMED, ASCENT, CONCEPT, SUPPORT = "named_edits", "ascent", "concept_ascent", "support_ascent"
STAND_IN, OTHERS = "dense stand-in", "all others"
ASCENTS = (ASCENT, CONCEPT, SUPPORT)
BATCH = 64  # scenes of one ascent; small batches stay in the processor's cache
Advance = Callable[[str, float], object]


def best_of(world: World) -> str:
    """Name of the random search."""
    return f"best_of_{world.sizes.n_random}"


@dataclass(frozen=True, eq=False)
class Attacked:
    """What an attack made of the test scenes.

    Args:
        parameters: ``[n, P]``.
        embeddings: ``[n, M]``, of norm 1.
        right: Which the attacked classifier still has right, ``[n]`` bool.
        asked: Gradients taken.
        zero: Of these, how many were 0 everywhere.
        nonfinite: How many held NaN or infinity.
    """

    parameters: Tensor
    embeddings: Tensor
    right: Tensor
    asked: int = 0
    zero: int = 0
    nonfinite: int = 0


@dataclass(frozen=True, eq=False)
class Findings:
    """All attacks on one classifier.

    Args:
        clean: Which unedited scenes it has right, ``[n]`` bool.
        own: Made on it, by the attack's name.
        by_stand_in: Judged by it on the way, along the gradient of its dense stand-in; ``None``
            where it has none.
        from_stand_in: Made on its dense stand-in and then shown to it, by the attack's name.
    """

    clean: Tensor
    own: Mapping[str, Attacked]
    by_stand_in: Attacked | None
    from_stand_in: Mapping[str, Attacked]


def strongest(model: EmbeddingClassifier, versions: Versions, labels: Tensor) -> Tensor:
    """Finds each scene's strongest version: misclassified, or else of the largest margin loss.

    Returns:
        Numbers of versions, ``[n]``.
    """
    with torch.no_grad():
        ranks = []
        for embeddings in versions.embeddings:
            logits = model.classify(embeddings)
            value = margin(logits, labels).nan_to_num(nan=torch.inf)
            wrong = ~((logits.argmax(1) == labels) & logits.isfinite().all(1))
            ranks.append(torch.where(wrong, torch.inf, value))
    return torch.stack(ranks).argmax(0)


def search(world: World, model: EmbeddingClassifier, *kinds: str) -> Attacked:
    """The strongest of the versions of some ``KINDS``, or of all."""
    versions, labels = world.test_versions, world.test.labels
    if kinds:
        rows = versions.rows(*kinds)
        versions = Versions(
            tuple(versions.names[i] for i in rows), versions.parameters[rows],
            versions.embeddings[rows],
        )  # fmt: skip
    chosen = strongest(model, versions, labels)
    scenes = torch.arange(len(chosen))
    embeddings = versions.embeddings[chosen, scenes]
    parameters = versions.parameters[chosen, scenes]
    return Attacked(parameters, embeddings, right(model, embeddings, labels))


def ascend(
    world: World,
    model: EmbeddingClassifier,
    name: str,
    surrogate: EmbeddingClassifier | None = None,
    only: Group | None = None,
) -> Attacked:
    """Climbs by the gradient of all nuisances, from the strongest version and from random ones.

    With ``only`` one group of nuisances moves, and the climb begins at the scenes as they are.
    """
    sizes, test = world.sizes, world.test
    feasible = world.feasible if only is None else replace(world.feasible, moves=(only,))
    settings = {
        "attack": name, "model": fingerprint(model), "seed": world.seed, "steps": sizes.steps,
        "surrogate": "" if surrogate is None else fingerprint(surrogate),
        "restarts": sizes.restarts, "n_random": sizes.n_random,
        "scenes": fingerprint(test.scenes.parameters, test.scenes.classes, test.scenes.seeds),
        "moves": list(feasible.moves),
    }  # fmt: skip

    def compute() -> dict[str, Any]:
        loss = losses_of(model)[name]
        attack = SceneAscent(
            steps=sizes.steps, starts=("scene",), restarts=sizes.restarts, loss=loss, size=PIXELS,
            batch_size=BATCH,
            seed=world.seed, feasible=feasible,
        )  # fmt: skip
        begin = test.scenes
        if only is None:
            begin = begin.with_parameters(search(world, model).parameters)
        found = attack(model, begin, surrogate=surrogate)
        with torch.no_grad():
            parts = [unit(world.encoder(some)) for some in found.images.split(256)]
        health = found.health
        return {
            "parameters": found.scenes.parameters, "embeddings": torch.cat(parts),
            "right": ~found.success, "asked": sum(health.asked), "zero": sum(health.zero),
            "nonfinite": sum(health.nonfinite),
        }  # fmt: skip

    return Attacked(**world.cache.get("ascent", settings, compute))


class _Silent:
    """A code model whose residual says nothing: a dense code has its gradient everywhere."""

    def __init__(self, model: ConceptClassifier) -> None:
        self.model = model

    @property
    def head_weight(self) -> Tensor:
        return self.model.head_weight

    def code(self, images: Tensor) -> Tensor:
        return self.model.code(images)

    def correlations(self, images: Tensor) -> Tensor:
        return torch.zeros_like(self.model.code(images))


def losses_of(model: EmbeddingClassifier) -> dict[str, Any]:
    """What ascents climb on a model: its margin, and if it has a code, two losses of that."""
    if not isinstance(model, ConceptClassifier):
        return {ASCENT: "margin"}
    if isinstance(model, SparseConcepts):
        return {
            ASCENT: "margin", CONCEPT: ConceptLoss(sees_inactive=True), SUPPORT: SupportLoss(),
        }  # fmt: skip
    return {
        ASCENT: "margin",
        CONCEPT: ConceptLoss(),
        SUPPORT: lambda model, images, labels: SupportLoss()(_Silent(model), images, labels),
    }


def n_ascents(model: EmbeddingClassifier) -> int:
    """How many ascents ``attack_contender`` runs, for progress bars."""
    return (1 + 2 * isinstance(model, ConceptClassifier)) + 4 * isinstance(model, SparseConcepts)


def attack_contender(
    world: World, model: EmbeddingClassifier, title: str, advance: Advance
) -> Findings:
    """Runs every attack that a classifier has the parts for."""

    def climb(name: str, target: EmbeddingClassifier, surrogate: Any = None) -> Attacked:
        advance(f"{title}: {name}", 0)
        found = ascend(world, target, name, surrogate)
        advance(f"{title}: {name}", 1)
        return found

    def everything(target: EmbeddingClassifier) -> dict[str, Attacked]:
        found = {NAMED: search(world, target, "named")}
        found[best_of(world)] = search(world, target, "random")
        return found | {name: climb(name, target) for name in losses_of(target)}

    clean = right(model, world.test.embeddings, world.test.labels)
    own = everything(model)
    if not isinstance(model, SparseConcepts):
        return Findings(clean, own, None, {})
    stand_in = model.dense_surrogate().eval()
    along = climb(ASCENT, model, stand_in)
    made = everything(stand_in)
    shown = {
        name: Attacked(
            each.parameters, each.embeddings, right(model, each.embeddings, world.test.labels)
        )
        for name, each in made.items()
    }
    return Findings(clean, own, along, shown)


def as_outcome(is_right: Tensor) -> str:
    """Writes ``[n]`` bool as rows do."""
    return "".join("1" if each else "0" for each in is_right.tolist())


def rows_of(world: World, task: str, found: Mapping[str, Findings], models: Any) -> list[Row]:
    """The rows of one head's contenders, the clean ones first."""
    rows = [
        Row(task, name, "", CLEAN, "linf", 0.0, as_outcome(each.clean))
        for name, each in found.items()
    ]
    for name, each in found.items():
        own = [_own(world, task, name, attack, made) for attack, made in each.own.items()]
        rows += own
        if each.by_stand_in is not None:
            rows.append(_row(world, task, name, ASCENT, BPDA, each.by_stand_in))
        rows += [
            _row(world, task, name, attack, TRANSFER, made, STAND_IN)
            for attack, made in each.from_stand_in.items()
        ]
        labels = world.test.labels
        shown = [
            as_outcome(right(models[name], other.own[ASCENT].embeddings, labels))
            for title, other in found.items() if title != name
        ]  # fmt: skip
        rows.append(
            Row(task, name, ASCENT, TRANSFER, SEMANTIC, WHOLE, pointwise(shown), source=OTHERS)
        )
    return rows


def _own(world: World, task: str, name: str, attack: str, made: Attacked) -> Row:
    threat = WHITE_BOX if attack in ASCENTS else SCORES
    return _row(world, task, name, attack, threat, made)


def _row(
    world: World, task: str, name: str, attack: str, threat: str, made: Attacked, source: str = ""
) -> Row:
    sizes = world.sizes
    steps = sizes.steps * (1 + sizes.restarts) if attack in ASCENTS else 0
    return Row(
        task, name, attack, threat, SEMANTIC, WHOLE, as_outcome(made.right), steps=steps,
        source=source, gradients=made.asked, zero_gradients=made.zero,
        nonfinite_gradients=made.nonfinite,
    )  # fmt: skip
