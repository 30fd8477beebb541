"""What the demo's page says besides its numbers, and its own pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sparsedef.defenses import RegionSparse
from sparsedef.demo.gallery import dictionary_strip, photograph_strips
from sparsedef.demo.plan import DemoPlan
from sparsedef.evaluation import Task, Words
from sparsedef.evaluation.report import Strip

LEAD = (
    "A small network is trained on real images, a defense is put before it, and both are "
    "attacked. The defense, RegionSparse, finds the object, rebuilds it from a few patches of a "
    "dictionary of clean patches, and smooths the rest. Bilateral filtering alone stands beside it "
    "as a control.",
    "The question is not whether it stops attacks that do not know of it, but what is left when "
    "the attack goes through it. All numbers are on the same test images; an image that is "
    "misclassified without any attack counts as wrong throughout.",
)
CAVEATS = (
    "These are small images and a small network, so that everything runs in minutes: the numbers "
    "show how an evaluation is done, not how the defense would do elsewhere.",
    "The adaptive gradient is exact with the box and the choice of atoms held fixed. An attack "
    "that steers the box or the choice of atoms could do better; none is tried here.",
    "Attacks climb the margin between the best wrong class and the true one, because "
    "cross-entropy has zero gradient on a confident network, which would pass for robustness.",
)
CAVEAT_PHOTOGRAPHS = (
    "Test crops of the photographs do not overlap, and training and test crops come from opposite "
    "sides, but there are only two photographs: intervals describe other crops of these two, not "
    "other photographs."
)


def demo_words(plan: DemoPlan, tasks: Sequence[Task]) -> Words:
    """Gives the page's text, settings and pictures of the dictionaries."""
    strips: dict[tuple[str, str], Sequence[Strip]] = {}
    for task in tasks:
        defense = task.contenders["regionsparse"].model
        assert isinstance(defense, RegionSparse)
        strips[task.name, "regionsparse"] = [
            dictionary_strip(defense),
            *(photograph_strips(defense) if task.name == "photographs" else []),
        ]
    settings = asdict(plan)
    del settings["attacks"]
    has_photographs = any(task.name == "photographs" for task in tasks)
    return Words(
        title="A defense, attacked honestly",
        lead=LEAD,
        caveats=[*CAVEATS, *([CAVEAT_PHOTOGRAPHS] if has_photographs else [])],
        settings=settings,
        strips=strips,
    )
