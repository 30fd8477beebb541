"""Where does sparsity itself win? A sparse code against the dense head on the same dictionary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sparsedef.clip import unit
from sparsedef.clip.small import CONCEPT_TEMPLATE
from sparsedef.concepts import class_membership, distinct_atoms, image_atoms, load_concepts
from sparsedef.defenses.semantic import SSD, ConceptClassifier, DenseConcepts, Words
from sparsedef.evaluation import fingerprint, paired_excess
from sparsedef.evaluation.metrics import Difference, paired_difference
from sparsedef.reproduce.ssd_attacks import as_outcome
from sparsedef.reproduce.ssd_heads import right
from sparsedef.reproduce.ssd_world import ALIKE, KINDS, Part, World
from sparsedef.worlds import CLASSES

LEAKS = (0.5, 0.95)  # quantiles of what edits of training scenes show to any one atom
LEAK_KIND = "colour"  # the kind of edits that this is measured on
LEAK_SCENES = 200
MILD = "text + distractors, distinct"
SCALINGS = ("whole", "each")  # of the head's penalty, for both
# what an edit may move, and the versions of a scene that do: all nuisances, or one group of them
SURFACES = {"all": KINDS, "one group": ("named", "single")}


@dataclass(frozen=True)
class Condition:
    """One setting in which sparse and dense are compared.

    Args:
        head: Training split.
        concepts: Name of the dictionary.
        per_class: Labels per class; 0 for all.
        surface: What an edit may move, in ``SURFACES``: all nuisances, or one group of them
            (weather, light or appearance), which is the sparse attack surface.
        draw: Which labels, where they are few; draws share none.
    """

    head: str
    concepts: str
    per_class: int
    surface: str = "all"
    draw: int = 0

    @property
    def title(self) -> str:
        """In words."""
        labels = f"{self.per_class} labels a class" if self.per_class else "all labels"
        moved = "" if self.surface == "all" else f"; edits of {self.surface}"
        return f"{self.concepts}; {labels}; {self.head} head{moved}"


@dataclass(frozen=True)
class Outcome:
    """What came out under one condition; accuracies are under the worst of all searched edits.

    Args:
        condition: Which.
        n_atoms: Of the dictionary.
        sparse: The sparse code chosen on validation scenes, in words.
        dense: The dense head chosen there, in words.
        tried: Sparse codes, and dense heads, among which was chosen.
        validation: Accuracies of both there.
        clean: Accuracies of both on unedited test scenes.
        sparse_right: Test scenes that the sparse code has right in every version, as in rows.
        dense_right: The same of the dense head.
    """

    condition: Condition
    n_atoms: int
    sparse: str
    dense: str
    tried: tuple[int, int]
    validation: tuple[float, float]
    clean: tuple[float, float]
    sparse_right: str
    dense_right: str

    @property
    def difference(self) -> Difference:
        """Sparse minus dense, with its 95 % interval."""
        return paired_difference(self.sparse_right, self.dense_right)

    @property
    def verdict(self) -> str:
        """Who wins, if it is beyond noise."""
        excess, is_beyond_noise = paired_excess(self.sparse_right, self.dense_right)
        if not is_beyond_noise:
            return "tie"
        return "sparse" if excess > 0 else "dense"

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        value, low, high = self.difference
        return asdict(self) | {
            "difference": value, "ci_low": low, "ci_high": high, "verdict": self.verdict,
        }  # fmt: skip


def conditions(world: World, which: str) -> list[Condition]:
    """The conditions that are looked at, ``"few"`` or ``"all"``, fixed before any is run."""
    names = ["text, distinct", "text", "image means, distinct"]
    if world.is_small:
        names += ["rich", "rich, distinct"]
        names += [MILD, "rich + distractors, distinct"]
    else:  # the small CLIP does not know these words
        names += ["open", "open, distinct"]
    if which == "few":
        names = [each for each in names if each.endswith("distinct") and each != MILD]
    heads = ("confounded",) if which == "few" else ("confounded", "clean")
    return [
        Condition(head, name, count, surface)
        for surface in SURFACES
        for head in heads for name in names for count in (0, world.sizes.few)
    ]  # fmt: skip


def atoms_of(world: World, name: str, part: Part) -> tuple[Tensor, tuple[str, ...]]:
    """The centred unit atoms of a dictionary, with their names."""
    kind, _, more = name.partition(", ")
    if kind == "image means":
        x = unit(part.embeddings - part.embeddings.mean(0))
        members = class_membership(world.concepts, CLASSES)[part.labels]
        is_seen = members.any(0)
        atoms = image_atoms(x, members[:, is_seen])
        seen = zip(world.concepts.texts, is_seen.tolist(), strict=True)
        texts = tuple(text for text, there in seen if there)
    else:
        kind, _, others = kind.partition(" + ")
        chosen = world.concepts if kind == "text" else load_concepts(f"shapeworld-{kind}")
        prompts = [CONCEPT_TEMPLATE.replace("{}", text) for text in chosen.texts]
        texts = chosen.texts
        if others:
            context = load_concepts("shapeworld-context").texts
            prompts, texts = [*prompts, *context], (*texts, *context)
        found = world.atoms_of(prompts, "{}")
        atoms = found.atoms
    if more == "distinct":
        rows = distinct_atoms(atoms, ALIKE)
        atoms, texts = atoms[rows], tuple(texts[i] for i in rows.tolist())
    return atoms, texts


def labelled(part: Part, per_class: int, draw: int = 0) -> tuple[Tensor, Tensor]:
    """The embeddings and labels that a head is fitted to: all, or the ``draw``-th few per class."""
    if not per_class:
        return part.embeddings, part.labels
    few = slice(draw * per_class, (draw + 1) * per_class)
    rows = [(part.labels == c).nonzero()[few, 0] for c in range(len(CLASSES))]
    chosen = torch.cat(rows)
    return part.embeddings[chosen], part.labels[chosen]


def candidates(
    world: World, condition: Condition, atoms: Tensor, texts: tuple[str, ...]
) -> Iterator[tuple[str, ConceptClassifier]]:
    """Fits every sparse code and every dense head that may be chosen."""
    part = world.train[condition.head]
    embeddings, labels = labelled(part, condition.per_class, condition.draw)
    options: dict[str, Any] = {"center": "image", "n_classes": len(CLASSES), "seed": world.seed}
    words = Words(atoms, texts)

    def fit(kind: type[ConceptClassifier], **more: Any) -> ConceptClassifier:
        return kind.from_embeddings(world.encoder, embeddings, labels, words, **options, **more)

    for scaling in SCALINGS:
        yield f"dense, {scaling}", fit(DenseConcepts, standardise=scaling)
    most = min(atoms.shape)
    aims: list[tuple[str, dict[str, Any]]] = [
        (f"support {support}", {"target_support": support})
        for support in world.sizes.supports if support <= most
    ]  # fmt: skip
    clean, edited = world.edited(part, LEAK_KIND, LEAK_SCENES)
    for quantile in LEAKS:
        probe = SSD(world.encoder, atoms, len(CLASSES), center="image", alpha=1.0)
        probe.fit_features(part.embeddings)
        alpha = probe.choose_alpha_above_leak(clean, edited, quantile=quantile)
        aims.append((f"alpha at leak quantile {quantile:g}", {"alpha": alpha}))
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("signed", {}), ("nonnegative", {"nonnegative": True}), ("debiased", {"debias": True}),
    )  # fmt: skip
    for aim, setting in aims:
        for kind, option in kinds:
            yield f"{kind}, {aim}", fit(SSD, **setting, **option)


def judge_all(world: World, condition: Condition) -> dict[str, Any]:
    """Asks every candidate about every version: ``[candidates, V, n]`` bool, and their names.

    The surface is none of its business: all surfaces share the answers.
    """
    part = world.train[condition.head]
    atoms, texts = atoms_of(world, condition.concepts, part)
    settings = asdict(replace(condition, surface="all")) | {
        "atoms": fingerprint(atoms), "train": fingerprint(part.embeddings, part.labels),
        "test": fingerprint(world.test_versions.embeddings),
        "validation": fingerprint(world.validation_versions.embeddings),
        "supports": list(world.sizes.supports), "seed": world.seed,
    }  # fmt: skip

    def compute() -> dict[str, Any]:
        names, validation, test = [], [], []
        for name, model in candidates(world, condition, atoms, texts):
            names.append(name)
            embeddings = world.validation_versions.embeddings
            validation.append(right(model, embeddings, world.validation.labels))
            test.append(right(model, world.test_versions.embeddings, world.test.labels))
        stacked = {"validation": torch.stack(validation), "test": torch.stack(test)}
        return {"names": names, "n_atoms": len(atoms)} | stacked

    return world.cache.get("judged", settings, compute)


def run_condition(world: World, condition: Condition) -> Outcome:
    """Chooses sparse code and dense head on validation scenes, and compares them on test scenes."""
    judged = judge_all(world, condition)
    names: list[str] = judged["names"]
    rows = world.test_versions.rows(*SURFACES[condition.surface])
    validation = judged["validation"][:, rows].all(1).double().mean(1)
    test, clean = judged["test"][:, rows].all(1), judged["test"][:, 0].double().mean(1)
    dense = [i for i, name in enumerate(names) if name.startswith("dense")]
    sparse = [i for i in range(len(names)) if i not in dense]
    best = [max(family, key=lambda i: float(validation[i])) for family in (sparse, dense)]
    return Outcome(
        condition, judged["n_atoms"], names[best[0]], names[best[1]].removeprefix("dense, "),
        (len(sparse), len(dense)),
        (float(validation[best[0]]), float(validation[best[1]])),
        (float(clean[best[0]]), float(clean[best[1]])),
        as_outcome(test[best[0]]), as_outcome(test[best[1]]),
    )  # fmt: skip
