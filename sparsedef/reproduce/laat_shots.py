"""Few-shot episodes: prototypes of a few images, alone and blended with text anchors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from sparsedef.attacks import PGD
from sparsedef.data import Split
from sparsedef.defenses.laat import LAAT, blend
from sparsedef.evaluation import Cache
from sparsedef.evaluation.contenders import NONE, fingerprint
from sparsedef.evaluation.episodes import Episode, draw_episodes
from sparsedef.reproduce.laat_methods import Network, Setting
from sparsedef.reproduce.laat_sizes import MAIN, Sizes

COMPARED = (*MAIN, NONE, "at", "aq")
BLENDED = (*MAIN, NONE)


@dataclass(frozen=True)
class Shots:
    """Accuracies of few-shot episodes.

    Args:
        method: Whose features.
        kind: ``"images"`` (prototypes) or ``"blended"`` (with text anchors).
        n_shot: Support images per class; 0: texts alone.
        clean: Accuracy of each episode.
        attacked: The same under PGD-20.
    """

    method: str
    kind: str
    n_shot: int
    clean: tuple[float, ...]
    attacked: tuple[float, ...]


def divide(test: Split, supports: int) -> tuple[Split, Split]:
    """Sets the first images of each class apart for prototypes; the others are classified."""
    is_support = torch.zeros(len(test), dtype=torch.bool)
    for label in test.labels.unique().tolist():
        is_support[torch.nonzero(test.labels == label)[:supports, 0]] = True
    return test.where(is_support), test.where(~is_support)


def run_shots(
    setting: Setting,
    networks: Mapping[str, Network],
    sizes: Sizes,
    cache: Cache,
    say: Callable[[str], object],
) -> list[Shots]:
    """Few-shot episodes: prototypes of images, alone and blended with texts."""
    _, queries = divide(setting.data.test, sizes.supports)
    n_way, found = min(5, len(setting.data.unseen)), []
    for n_shot in (0, *sizes.shots):
        episodes = draw_episodes(
            queries.labels, sizes.shot_episodes, n_way=n_way, n_query=sizes.shot_queries,
            n_shot=n_shot, seed=setting.seed + 1,
        )  # fmt: skip
        for name, network in networks.items():
            if name not in COMPARED:
                continue
            kinds = ["images"] if n_shot > 0 else []
            kinds += ["blended"] if name in BLENDED else []
            for kind in kinds:
                say(f"{n_shot}-shot: {name}, {kind}")
                found.append(_shots(setting, network, kind, n_shot, queries, episodes, cache))
    return found


def _shots(
    setting: Setting, network: Network, kind: str, n_shot: int, test: Split,
    episodes: Sequence[Episode], cache: Cache,
) -> Shots:  # fmt: skip
    eps, seed = setting.schedule.eps, setting.seed

    def one(episode: Episode) -> tuple[float, float]:
        model = _few_shot(network, kind, n_shot, test, episode)
        rows = torch.tensor(episode.queries)
        each = len(rows) // len(episode.classes)
        labels = torch.arange(len(episode.classes)).repeat_interleave(each)
        images = test.images[rows]
        with torch.no_grad():
            clean = float((model(images).argmax(1) == labels).float().mean())
        result = PGD(eps, steps=20, step_size=eps / 4, seed=seed)(model, images, labels)
        return clean, float((~result.success).float().mean())

    settings = {
        "method": network.name, "network": fingerprint(network.encoder), "kind": kind,
        "anchors": fingerprint(network.anchors), "n_shot": n_shot, "eps": eps, "seed": seed,
        "test": fingerprint(test.images, test.labels), "episodes": repr(episodes),
    }  # fmt: skip

    def compute() -> dict[str, list[float]]:
        pairs = [one(episode) for episode in episodes]
        return {"clean": [pair[0] for pair in pairs], "attacked": [pair[1] for pair in pairs]}

    kept = cache.get("shots", settings, compute)
    return Shots(network.name, kind, n_shot, tuple(kept["clean"]), tuple(kept["attacked"]))


def _few_shot(network: Network, kind: str, n_shot: int, test: Split, episode: Episode) -> LAAT:
    """Episodes list queries and supports class by class."""
    if n_shot == 0:
        return network.zero_shot(episode.classes)
    rows = torch.tensor(episode.supports)
    labels = torch.arange(len(episode.classes)).repeat_interleave(n_shot)
    anchors = network.means(test.images[rows], labels, len(episode.classes))
    if kind == "blended":
        texts = network.zero_shot(episode.classes).anchors
        anchors = blend(texts, anchors, n_shot)
    return LAAT(network.encoder, anchors).eval()
