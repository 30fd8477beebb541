"""How much of LAAT's evaluation is run, in earnest and for a quick look."""

from __future__ import annotations

from dataclasses import dataclass

MAIN = ("laat", "raw anchors")  # what the paper's claim is about; they get the costly attacks


@dataclass(frozen=True)
class Sizes:
    """How much is evaluated.

    Args:
        episodes: Zero-shot episodes.
        queries: Images of each class in an episode.
        auto_episodes: Of them, for AutoAttack.
        auto_methods: Whom AutoAttack attacks; empty for all.
        shots: Support images per class of the few-shot curves.
        shot_episodes: Few-shot episodes, each attacked anew.
        shot_queries: Images of each class in those.
        supports: Images per class kept for prototypes.
        held_out: Images of seen classes in the generalised test.
        longer: Steps of the check that more steps do not help a defense.
    """

    episodes: int = 2000
    queries: int = 20
    auto_episodes: int = 100
    auto_methods: tuple[str, ...] = ()
    shots: tuple[int, ...] = (1, 2, 5, 10)
    shot_episodes: int = 50
    shot_queries: int = 20
    supports: int = 10
    held_out: int = 400
    longer: int = 100


QUICK = Sizes(
    episodes=200, queries=10, auto_episodes=1, auto_methods=MAIN, shots=(1, 5),
    shot_episodes=5, shot_queries=4, held_out=100, longer=40,
)  # fmt: skip
