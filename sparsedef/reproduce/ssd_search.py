"""Where does sparsity itself win? A sparse code against the dense head on the same dictionary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sparsedef.clip import unit
from sparsedef.clip.small import CONCEPT_TEMPLATE
from sparsedef.concepts import class_membership, distinct_atoms, image_atoms, load_concepts
from sparsedef.defenses.semantic import SSD, ConceptClassifier, DenseConcepts, Words
from sparsedef.evaluation import fingerprint, paired_excess
from sparsedef.evaluation.metrics import Difference, paired_difference
from sparsedef.evaluation.report import PaperTable
from sparsedef.reproduce.ssd_attacks import ASCENT, Advance, as_outcome, ascend
from sparsedef.reproduce.ssd_heads import right
from sparsedef.reproduce.ssd_world import ALIKE, Part, Versions, World
from sparsedef.worlds import CLASSES

LEAKS = (0.5, 0.95)  # quantiles of what edits of training scenes show to any one atom
LEAK_KIND = "colour"  # the kind of edits that this is measured on
LEAK_SCENES = 200
MILD = "text + distractors, distinct"
SCALINGS = ("whole", "each")  # of the head's penalty, for both


@dataclass(frozen=True)
class Condition:
    """One setting in which sparse and dense are compared.

    Args:
        head: Training split.
        concepts: Name of the dictionary.
        per_class: Labels per class; 0 for all.
    """

    head: str
    concepts: str
    per_class: int

    @property
    def title(self) -> str:
        """In words."""
        labels = f"{self.per_class} labels a class" if self.per_class else "all labels"
        return f"{self.concepts}; {labels}; {self.head} head"


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
        Condition(head, name, count)
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


def labelled(part: Part, per_class: int) -> tuple[Tensor, Tensor]:
    """The embeddings and labels that a head is fitted to: all, or the first of each class."""
    if not per_class:
        return part.embeddings, part.labels
    rows = [(part.labels == c).nonzero()[:per_class, 0] for c in range(len(CLASSES))]
    chosen = torch.cat(rows)
    return part.embeddings[chosen], part.labels[chosen]


def candidates(
    world: World, condition: Condition, atoms: Tensor, texts: tuple[str, ...]
) -> Iterator[tuple[str, ConceptClassifier]]:
    """Fits every sparse code and every dense head that may be chosen."""
    part = world.train[condition.head]
    embeddings, labels = labelled(part, condition.per_class)
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


def robust(model: ConceptClassifier, versions: Versions, labels: Tensor) -> Tensor:
    """Which scenes are right in every version, ``[n]`` bool."""
    return right(model, versions.embeddings, labels).all(0)


def run_condition(world: World, condition: Condition) -> Outcome:
    """Chooses sparse code and dense head on validation scenes, and compares them on test scenes."""
    part = world.train[condition.head]
    atoms, texts = atoms_of(world, condition.concepts, part)
    settings = asdict(condition) | {
        "atoms": fingerprint(atoms), "train": fingerprint(part.embeddings, part.labels),
        "test": fingerprint(world.test_versions.embeddings),
        "validation": fingerprint(world.validation_versions.embeddings),
        "supports": list(world.sizes.supports), "seed": world.seed,
    }  # fmt: skip

    def compute() -> dict[str, Any]:
        best: dict[str, tuple[float, str, ConceptClassifier]] = {}
        tried = {"dense": 0, "sparse": 0}
        for name, model in candidates(world, condition, atoms, texts):
            family = "dense" if name.startswith("dense") else "sparse"
            tried[family] += 1
            is_right = robust(model, world.validation_versions, world.validation.labels)
            accuracy = float(is_right.double().mean())
            if family not in best or accuracy > best[family][0]:
                best[family] = accuracy, name, model
        kept: dict[str, Any] = {"tried": tried}
        for family, (accuracy, name, model) in best.items():
            is_right = robust(model, world.test_versions, world.test.labels)
            clean = right(model, world.test.embeddings, world.test.labels)
            kept[family] = {
                "name": name, "validation": accuracy, "clean": float(clean.double().mean()),
                "right": as_outcome(is_right),
            }  # fmt: skip
        return kept

    kept = world.cache.get("condition", settings, compute)
    sparse, dense = kept["sparse"], kept["dense"]
    return Outcome(
        condition, len(atoms), sparse["name"], dense["name"].removeprefix("dense, "),
        (kept["tried"]["sparse"], kept["tried"]["dense"]),
        (sparse["validation"], dense["validation"]), (sparse["clean"], dense["clean"]),
        sparse["right"], dense["right"],
    )  # fmt: skip


@dataclass(frozen=True)
class Duel:
    """The most promising condition, attacked by gradient as well.

    Args:
        condition: Where validation scenes favour the sparse code most.
        sparse_right: Right under all searched edits, its own ascent, that of the dense head, and
            the one along its dense stand-in.
        dense_right: Right under all searched edits, its own ascent and that of the sparse code.
    """

    condition: Condition
    sparse_right: str
    dense_right: str

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        _, low, high = paired_difference(self.sparse_right, self.dense_right)
        return asdict(self) | {"ci_low": low, "ci_high": high}


def duel(world: World, outcomes: list[Outcome]) -> Duel:
    """Attacks both classifiers of the condition that validation scenes call the most promising."""
    chosen = max(outcomes, key=lambda each: each.validation[0] - each.validation[1])
    condition, labels = chosen.condition, world.test.labels
    atoms, texts = atoms_of(world, condition.concepts, world.train[condition.head])
    models = dict(candidates(world, condition, atoms, texts))
    sparse, dense = models[chosen.sparse].eval(), models[f"dense, {chosen.dense}"].eval()
    assert isinstance(sparse, SSD)
    made = [
        ascend(world, sparse, ASCENT), ascend(world, dense, ASCENT),
        ascend(world, sparse, ASCENT, sparse.dense_surrogate().eval()),
    ]  # fmt: skip

    def left(model: ConceptClassifier) -> str:
        is_right = robust(model, world.test_versions, labels)
        for each in made:
            is_right = is_right & right(model, each.embeddings, labels)
        return as_outcome(is_right)

    return Duel(condition, left(sparse), left(dense))


def search_table(outcomes: list[Outcome], last: Duel) -> PaperTable:
    """Lays the conditions out, each with its winner."""
    lines = [_line(each) for each in outcomes]
    wins = {name: sum(each.verdict == name for each in outcomes) for name in ("sparse", "dense")}
    _, low, high = paired_difference(last.sparse_right, last.dense_right)
    n = len(last.sparse_right)
    return PaperTable(
        words=(0, 2),
        title="Where does sparsity itself win? Sparse code against dense head, same dictionary",
        head=["condition", "atoms", "sparse code", "clean", "edited", "dense: clean", "edited",
         "difference", "winner"],
        lines=lines,
        note=f"Edited: share of test scenes that are right in every one of the searched versions "
        f"(named edits and random draws), in %. Of {len(outcomes)} conditions the sparse code wins "
        f"{wins['sparse']} and the dense head {wins['dense']} beyond noise (McNemar, two standard "
        f"deviations; by chance one in twenty would); differences in points with 95 % intervals "
        f"for pairs. Both were chosen on validation scenes under edits of the same kinds, which "
        f"flatters both; the sparse code is the best of {outcomes[0].tried[0]} or so, the dense "
        f"head of {outcomes[0].tried[1]}. Where validation scenes favour the sparse code most "
        f"({last.condition.title}), gradient attacks on both, each shown to the other, leave "
        f"{100 * last.sparse_right.count('1') / n:.0f} % (sparse) and "
        f"{100 * last.dense_right.count('1') / n:.0f} % (dense) right; difference "
        f"{100 * low:+.0f} to {100 * high:+.0f} points.",
    )  # fmt: skip


def _line(each: Outcome) -> list[str]:
    value, low, high = each.difference
    edited = [100 * r.count("1") / len(r) for r in (each.sparse_right, each.dense_right)]
    return [
        each.condition.title, str(each.n_atoms), each.sparse, f"{100 * each.clean[0]:.0f}",
        f"{edited[0]:.0f}", f"{100 * each.clean[1]:.0f}", f"{edited[1]:.0f}",
        f"{100 * value:+.0f} [{100 * low:+.0f} to {100 * high:+.0f}]", each.verdict,
    ]  # fmt: skip


def run_search(
    world: World, found: Sequence[Condition], advance: Advance
) -> tuple[list[Outcome], Duel, Mapping[str, Any]]:
    """Runs all conditions and the duel; also as plain values."""
    outcomes = []
    for condition in found:
        advance(f"sparse against dense: {condition.title}", 0)
        outcomes.append(run_condition(world, condition))
        advance(f"sparse against dense: {condition.title}", 3)
    advance("sparse against dense: by gradient", 0)
    last = duel(world, outcomes)
    advance("sparse against dense: by gradient", 3)
    values = {"conditions": [each.to_json() for each in outcomes], "duel": last.to_json()}
    return outcomes, last, values
