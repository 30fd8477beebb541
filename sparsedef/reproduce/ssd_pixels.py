"""Attacks on pixels, for sanity: nothing about a sparse code bounds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparsedef.attacks import PGD
from sparsedef.evaluation import Row, fingerprint
from sparsedef.evaluation.threats import WHITE_BOX
from sparsedef.reproduce.ssd_attacks import Advance, as_outcome
from sparsedef.reproduce.ssd_heads import Fitted
from sparsedef.reproduce.ssd_world import PIXELS, World

RADII = (1 / 255, 2 / 255, 4 / 255)
ATTACKED = ("linear_probe", "ssd")


def pixel_rows(
    world: World, task: str, models: Mapping[str, Fitted], advance: Advance
) -> list[Row]:
    """Attacks the pixels of the test images by PGD, through everything."""
    return [
        _row(world, task, name, models[name], radius, advance)
        for name in ATTACKED for radius in RADII
    ]  # fmt: skip


def _row(
    world: World, task: str, name: str, fitted: Fitted, radius: float, advance: Advance
) -> Row:
    test, steps = world.test, world.sizes.pixel_steps
    settings = {
        "model": fingerprint(fitted.model), "radius": radius, "steps": steps, "seed": world.seed,
        "scenes": fingerprint(test.scenes.parameters, test.scenes.classes, test.scenes.seeds),
    }  # fmt: skip
    title = f"{task}: pixels of {name}"
    advance(title, 0)

    def compute() -> dict[str, Any]:
        images = test.scenes.render(size=PIXELS)
        attack = PGD(radius, steps=steps, loss="margin", seed=world.seed)
        found = attack(fitted.model, images, test.labels)
        health = found.health
        return {
            "right": ~found.success, "asked": sum(health.asked), "zero": sum(health.zero),
            "nonfinite": sum(health.nonfinite),
        }  # fmt: skip

    kept = world.cache.get("pixels", settings, compute)
    advance(title, 1)
    return Row(
        task, name, "pgd-margin", WHITE_BOX, "linf", radius, as_outcome(kept["right"]),
        steps=steps, gradients=kept["asked"], zero_gradients=kept["zero"],
        nonfinite_gradients=kept["nonfinite"],
    )  # fmt: skip
