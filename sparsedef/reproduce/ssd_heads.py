"""All classifiers of the comparison, fitted to the same embeddings; how sparse codes are chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sparsedef.defenses.semantic import RIVALS, SSD, EmbeddingClassifier, Rival, Words
from sparsedef.defenses.semantic.logistic import hold_out
from sparsedef.defenses.semantic.pursuit_concepts import PursuitConcepts
from sparsedef.evaluation import fingerprint
from sparsedef.reproduce.ssd_world import World
from sparsedef.worlds import CLASSES

HALF = "ssd_half"
CONTENDERS: Mapping[str, Rival] = {
    **RIVALS,
    HALF: Rival(SSD, "SSD with alpha for half of the atoms, the library's default"),
}
NOTHING: tuple[tuple[int, float], ...] = ()
HELD = 0.2  # share of the training scenes on which supports and penalties are chosen


@dataclass(frozen=True, eq=False)
class Fitted:
    """One classifier, and what its support was chosen among.

    Args:
        model: In evaluation mode.
        support: Nonzeros that were aimed at; 0 where nothing was chosen.
        tried: Accuracy on held-out training scenes by support.
    """

    model: EmbeddingClassifier
    support: int = 0
    tried: tuple[tuple[int, float], ...] = ()


def fit_heads(world: World, head: str) -> dict[str, Fitted]:
    """Fits every contender to the clean embeddings of one training split."""
    return {name: fit_one(world, head, name) for name in CONTENDERS}


def has_support(name: str) -> bool:
    """Whether a contender's support is chosen."""
    return issubclass(CONTENDERS[name].kind, (SSD, PursuitConcepts)) and name != HALF


def support_option(rival: Rival, support: int) -> dict[str, int]:
    """The option that asks for a code of ``support`` nonzeros."""
    name = "target_support" if issubclass(rival.kind, SSD) else "n_nonzero"
    return {name: support}


def choose_support(
    rival: Rival,
    world: World,
    words: Words,
    embeddings: Tensor,
    labels: Tensor,
) -> tuple[int, tuple[tuple[int, float], ...]]:
    """Chooses the sparsest code whose held-out accuracy is within a standard error of the best.

    Held out is a share of the training scenes, shortcut and all, without any attack.

    Returns:
        The support, and what was tried with its accuracy.

    Source: the one-standard-error rule, Breiman et al., Classification and Regression Trees, 1984.
    """
    is_held = hold_out(labels, HELD, world.seed)
    held = embeddings[is_held], labels[is_held]
    tried = []
    for support in world.sizes.supports:
        model = rival.fit(
            world.encoder, embeddings[~is_held], labels[~is_held], words, n_classes=len(CLASSES),
            validation=held, seed=world.seed, **support_option(rival, support),
        )  # fmt: skip
        right = model.classify(held[0]).argmax(1) == held[1]
        tried.append((support, float(right.double().mean())))
    best = max(accuracy for _, accuracy in tried)
    error = math.sqrt(max(best * (1 - best), 1 / len(held[1])) / len(held[1]))
    support = min(support for support, accuracy in tried if accuracy >= best - error)
    return support, tuple(tried)


def fit_one(world: World, head: str, name: str) -> Fitted:
    """Fits one contender, or takes it from the cache."""
    part, rival, words = world.train[head], CONTENDERS[name], world.words
    settings = {
        "contender": name, "seed": world.seed, "encoder": world.digest,
        "train": fingerprint(part.embeddings, part.labels),
        "words": fingerprint(words.concepts, words.nuisances, words.prompts),
        "supports": list(world.sizes.supports),
    }  # fmt: skip

    def options(support: int) -> dict[str, Any]:
        return {**rival.options, **(support_option(rival, support) if support else {})}

    def compute() -> dict[str, Any]:
        world.say(f"{head} heads: fitting {name}")
        support, tried = 0, NOTHING
        if has_support(name):
            support, tried = choose_support(rival, world, words, part.embeddings, part.labels)
        model = rival.fit(
            world.encoder, part.embeddings, part.labels, words, n_classes=len(CLASSES),
            seed=world.seed, **options(support),
        )  # fmt: skip
        # the encoder is the same for all and stays out of the file
        state = {k: v for k, v in model.state_dict().items() if not k.startswith("classifier.")}
        return {"state": state, "support": support, "tried": [list(each) for each in tried]}

    kept = world.cache.get("head", settings, compute)
    model = rival.kind.of_words(
        world.encoder, words, part.embeddings.shape[1], len(CLASSES), world.seed,
        **options(kept["support"]),
    )  # fmt: skip
    model.keep_as(part.embeddings, part.embeddings.device)
    model.load_state_dict(kept["state"], strict=False)
    tried = tuple((int(support), float(accuracy)) for support, accuracy in kept["tried"])
    return Fitted(model.eval().requires_grad_(False), kept["support"], tried)


def right(model: EmbeddingClassifier, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Says which of embeddings ``[..., n, M]`` are classified as ``labels`` ``[n]``: bool."""
    with torch.no_grad():
        logits = model.classify(embeddings.flatten(0, -2)).view(*embeddings.shape[:-1], -1)
    return (logits.argmax(-1) == labels) & logits.isfinite().all(-1)
