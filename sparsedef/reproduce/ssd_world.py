"""Where SSD is tried: ShapeWorld's scenes, every version of them embedded once for all heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from sparsedef.attacks.semantic.best_of_n import random_points
from sparsedef.attacks.semantic.named_edits import UNEDITED, apply, possible_edits
from sparsedef.attacks.semantic.scene_attack import SceneSpace
from sparsedef.clip import ClipEncoder, SmallTokenizer, unit
from sparsedef.clip.small import CONCEPT_TEMPLATE
from sparsedef.clip.train import class_prompts
from sparsedef.concepts import ConceptList, Dictionary, concept_dictionary, load_concepts
from sparsedef.defenses.semantic import Words
from sparsedef.evaluation import Cache, fingerprint
from sparsedef.worlds import (
    CLASSES,
    COLOURS,
    WEATHERS,
    Confounding,
    Edit,
    FeasibleSet,
    Scenes,
    attributes,
    draw_split,
    irrelevant_phrases,
)

PIXELS = 48
ALIKE = 0.9  # cosine from which an atom is left out as a copy; set before any run
HEADS = {"clean": 0.0, "confounded": 0.97}
AT_ONCE = 256
KINDS = ("named", "random", "single")  # of versions of a scene
Say = Callable[[str], object]


@dataclass(frozen=True)
class Sizes:
    """How much of everything; none of it was chosen by looking at results on test scenes.

    Args:
        n_train: Training scenes of each split.
        n_validation: Scenes on which choices are made.
        n_test: Scenes that are attacked.
        n_random: N of the best-of-N search.
        steps: Gradients of an ascent, from each of its starts.
        restarts: Random starts of an ascent besides the strongest version known.
        supports: Nonzeros that sparse codes may choose among.
        few: Labels per class where labels are few.
        pixel_steps: Of PGD.
    """

    n_train: int = 2000
    n_validation: int = 150
    n_test: int = 160
    n_random: int = 20
    steps: int = 8
    restarts: int = 1
    supports: tuple[int, ...] = (2, 3, 4, 6, 8)
    few: int = 5
    pixel_steps: int = 10


FULL = Sizes()
QUICK = Sizes(
    n_train=1000, n_validation=100, n_test=48, steps=5, supports=(2, 4, 6), pixel_steps=5
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Versions:
    """The same scenes edited in V ways, the first as they are.

    Args:
        names: Of the versions, V of them.
        parameters: ``[V, n, P]``.
        embeddings: ``[V, n, M]``, of norm 1.
    """

    names: tuple[str, ...]
    parameters: Tensor
    embeddings: Tensor

    def rows(self, *kinds: str) -> list[int]:
        """Numbers of the versions of some of ``KINDS``, the unedited one before them."""
        return [0, *(i for i, name in enumerate(self.names) if i and _kind(name) in kinds)]


def _kind(name: str) -> str:
    first = name.partition(" ")[0]
    return first if first in KINDS else "named"


@dataclass(frozen=True, eq=False)
class Part:
    """Some scenes with their embeddings.

    Args:
        scenes: What was drawn.
        ids: Their names.
        embeddings: ``[n, M]``, of norm 1.
    """

    scenes: Scenes
    ids: tuple[str, ...]
    embeddings: Tensor

    @property
    def labels(self) -> Tensor:
        """Classes ``[n]``."""
        return self.scenes.classes


@dataclass(frozen=True, eq=False)
class World:
    """An encoder, what it is told in words, and the scenes, drawn and embedded when first needed.

    Args:
        encoder: Images and texts to embeddings.
        cache: Where embeddings are kept.
        sizes: How much of everything.
        seed: Of everything.
        say: Told in a few words what is being done now.
    """

    encoder: ClipEncoder
    cache: Cache
    sizes: Sizes
    seed: int = 0
    say: Say = field(default=lambda title: None)

    @cached_property
    def digest(self) -> str:
        """What embeddings depend on."""
        return fingerprint(self.encoder)

    @property
    def is_small(self) -> bool:
        """Whether the encoder knows the words of ShapeWorld's captions only."""
        return isinstance(self.encoder.tokenize, SmallTokenizer)

    @cached_property
    def feasible(self) -> FeasibleSet:
        """What every attack may do."""
        return FeasibleSet()

    @cached_property
    def edits(self) -> dict[str, Edit]:
        """The named edits, by name."""
        return possible_edits(self.feasible)

    @cached_property
    def concepts(self) -> ConceptList:
        """The shipped list."""
        return load_concepts("shapeworld")

    @cached_property
    def dictionary(self) -> Dictionary:
        """The shipped concepts as centred atoms, near-copies left out."""
        return self.atoms_of(self.concepts.texts).distinct(ALIKE)

    @cached_property
    def words(self) -> Words:
        """What classifiers are told: these concepts, nuisances, a prompt for each class."""
        nuisances = (
            *(f"a shape {phrase}" for phrase in irrelevant_phrases()),
            *(f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} shape" for colour in COLOURS),
        )
        told = Words.embed(
            self.encoder, self.dictionary.texts, nuisances, template=CONCEPT_TEMPLATE
        )
        return replace(told, prompts=class_prompts(self.encoder))

    def atoms_of(self, texts: Sequence[str], template: str = CONCEPT_TEMPLATE) -> Dictionary:
        """Embeds concepts as centred atoms."""
        return concept_dictionary(texts, self.encoder.text, template=template, center="text")

    def shortcut(self, head: str) -> Confounding:
        """How the training split of ``head`` is confounded."""
        return Confounding.balanced(HEADS[head], seed=self.seed)

    @cached_property
    def train(self) -> dict[str, Part]:
        """The training split of each head."""
        return {head: self._part("train", self.sizes.n_train, head) for head in HEADS}

    @cached_property
    def validation(self) -> Part:
        """Scenes to choose on, without a shortcut."""
        return self._part("validation", self.sizes.n_validation)

    @cached_property
    def test(self) -> Part:
        """Scenes that are attacked, without a shortcut."""
        return self._part("test", self.sizes.n_test)

    @cached_property
    def test_versions(self) -> Versions:
        """Every version of the test scenes that attacks without gradient look at."""
        return self.versions(self.test.scenes, "test")

    @cached_property
    def validation_versions(self) -> Versions:
        """The same of the validation scenes."""
        return self.versions(self.validation.scenes, "validation")

    def versions(self, scenes: Scenes, what: str) -> Versions:
        """Edits scenes by every named edit and ``n_random`` random draws, and embeds all.

        Each draw also gives a ``"single"`` version, in which only one group of nuisances is the
        draw's: weather, light or appearance, by turns.
        """
        space = SceneSpace(scenes, self.feasible, PIXELS)
        generator = torch.Generator().manual_seed(self.seed)
        points = {UNEDITED: space.start}
        points |= {name: apply(edit, space) for name, edit in self.edits.items()}
        drawn = list(random_points(space, generator, self.sizes.n_random, "data"))
        points |= {f"random {i}": each for i, each in enumerate(drawn, start=1)}
        points |= {f"single {i}": self._single(space, each, i) for i, each in enumerate(drawn, 1)}
        parameters = torch.stack([space.parameters(each) for each in points.values()])

        def compute() -> dict[str, Tensor]:
            found = []
            for name, each in zip(points, parameters, strict=True):
                self.say(f"drawing {what} scenes: {name}")
                found.append(self.embed(scenes.with_parameters(each)))
            return {"embeddings": torch.stack(found)}

        settings = self._settings(fingerprint(parameters, scenes.classes, scenes.seeds))
        kept = self.cache.get("versions", settings, compute)
        return Versions(tuple(points), parameters, kept["embeddings"])

    def _single(self, space: SceneSpace, points: Tensor, turn: int) -> Tensor:
        groups = [replace(self.feasible, moves=(group,)).moving for group in self.feasible.moves]
        turns = (turn + torch.arange(len(points))) % len(groups)
        start = space.scenes.parameters
        mixed = torch.where(torch.stack(groups)[turns], space.parameters(points), start)
        return space.points(self.feasible.project(mixed, start))

    def edited(self, part: Part, kind: str, count: int) -> tuple[Tensor, Tensor]:
        """Embeddings of the first scenes, as often as there are edits of ``kind``, and edited."""
        scenes = part.scenes[: min(count, len(part.scenes))]
        edits = [edit for edit in self.edits.values() if edit.kind == kind]
        settings = self._settings(fingerprint(scenes.parameters, scenes.classes)) | {"kind": kind}

        def compute() -> dict[str, Tensor]:
            self.say(f"drawing edits of training scenes: {kind}")
            project = self.feasible.project
            versions = [project(edit(scenes.parameters), scenes.parameters) for edit in edits]
            return {
                "embeddings": torch.cat([self.embed(scenes.with_parameters(v)) for v in versions])
            }

        clean = part.embeddings[: len(scenes)].repeat(len(edits), 1)
        return clean, self.cache.get("edited", settings, compute)["embeddings"]

    @torch.no_grad()
    def embed(self, scenes: Scenes) -> Tensor:
        """Draws and embeds scenes, ``[n, M]`` of norm 1."""
        starts = range(0, len(scenes), AT_ONCE)
        parts = [scenes[at : at + AT_ONCE].render(size=PIXELS) for at in starts]
        return torch.cat([unit(self.encoder(images)) for images in parts])

    def _part(self, name: str, count: int, head: str = "") -> Part:
        shortcut = self.shortcut(head) if head else None
        scenes = draw_split(name, count, seed=self.seed, confounding=shortcut)

        def compute() -> dict[str, Tensor]:
            self.say(f"drawing {count} {name} scenes {head}")
            return {"embeddings": self.embed(scenes)}

        settings = self._settings(fingerprint(scenes.parameters, scenes.classes, scenes.seeds))
        embeddings = self.cache.get("embedded", settings, compute)["embeddings"]
        ids = tuple(f"{name}-{self.seed}/{row}" for row in range(count))
        return Part(scenes, ids, embeddings)

    def _settings(self, scenes: str) -> dict[str, str]:
        return {"encoder": self.digest, "scenes": scenes}


@dataclass(frozen=True)
class Association:
    """How strongly the weather goes with the class in a training split.

    Args:
        asked: Strength that was asked for.
        share: Of scenes in their class's favourite weather; 1/6 without a shortcut.
        cramers_v: Association of class and weather, from 0 to 1.
    """

    asked: float
    share: float
    cramers_v: float


def association(world: World, head: str) -> Association:
    """Measures what confounding a training split has in fact."""
    scenes = world.train[head].scenes
    weather = attributes(scenes.parameters).weather
    counts = torch.zeros(len(CLASSES), len(WEATHERS), dtype=torch.float64)
    ones = torch.ones(len(weather), dtype=torch.float64)
    counts.index_put_((scenes.classes, weather), ones, accumulate=True)
    expected = counts.sum(1, keepdim=True) * counts.sum(0) / counts.sum()
    share = (counts - expected).square() / expected.clamp_min(1e-12)
    most = counts.sum() * (min(counts.shape) - 1)
    achieved = world.shortcut(head).achieved(scenes)["weather"]
    return Association(HEADS[head], achieved, float((share.sum() / most).sqrt()))
