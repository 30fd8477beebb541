"""The demo's own pictures: the dictionary, and what it makes of whole photographs."""

from __future__ import annotations

import torch
from torch.nn import functional

from sparsedef.data import load_photograph
from sparsedef.defenses import RegionSparse
from sparsedef.evaluation.gallery import GAIN, box_percent
from sparsedef.evaluation.pictures import difference, mosaic, png_uri
from sparsedef.evaluation.report import Figure, Strip


def dictionary_strip(defense: RegionSparse) -> Strip:
    """Shows the dictionary's atoms, each stretched to full range."""
    side = defense.patch_size
    atoms = defense.dictionary.view(-1, 3, side, side)
    caption = f"{len(atoms)} atoms of {side} x {side} pixels, each stretched to full range"
    picture = Figure(png_uri(mosaic(atoms, 32)), caption, kind="mosaic")
    return Strip("The dictionary", [picture], "learnt from smoothed clean training patches")


def photograph_strips(defense: RegionSparse, *, width: int = 320) -> list[Strip]:
    """Shows what the defense does to the two whole photographs, made ``width`` pixels wide."""
    strips = []
    for name in ("china", "flower"):
        photograph = load_photograph(name)[None]
        height = round(width * photograph.shape[-2] / photograph.shape[-1])
        small = functional.interpolate(
            photograph, size=(height, width), mode="bilinear", antialias=True
        ).clamp(0, 1)
        whole = RegionSparse.fit(
            defense.classifier, small, torch.zeros(1, dtype=torch.long),
            dictionary=defense.dictionary,
        )  # fmt: skip
        with torch.no_grad():
            purified = whole.purify(small)
            box = box_percent(whole.boxes(small)[0], height, width)
        strips.append(
            Strip(
                f"The photograph “{name}”",
                [
                    Figure(png_uri(small[0]), "as it is, with the box", box=box, kind="photo"),
                    Figure(png_uri(purified[0]), "purified", kind="photo"),
                    Figure(
                        png_uri(difference(small[0], purified[0], GAIN)),
                        f"what purifying changed x {GAIN:g}",
                        kind="photo",
                    ),
                ],
            )
        )
    return strips
