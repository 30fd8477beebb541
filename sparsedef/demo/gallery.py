"""The demo's pictures: what an image, an attack and the defense look like."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.data import load_photograph
from sparsedef.defenses import RegionSparse
from sparsedef.demo.bench import Bench
from sparsedef.evaluation.pictures import difference, mosaic, png_uri
from sparsedef.evaluation.report import Figure, Strip

GAIN = 4.0


def _box_percent(box: Tensor, height: int, width: int) -> tuple[float, float, float, float]:
    top, left, bottom, right = box.tolist()
    return (
        100 * left / width,
        100 * top / height,
        100 * (right - left) / width,
        100 * (bottom - top) / height,
    )


def choose_samples(outcomes: dict[str, str], count: int, limit: int) -> list[int]:
    """Picks images to show: first those that tell the story, then any.

    Args:
        outcomes: Per key ``"clean"``, ``"gray"``, ``"adaptive"``: ``"1"`` or ``"0"`` per sample.
        count: How many to pick.
        limit: Only from the first so many.

    Returns:
        Sample numbers: right when clean and gray-box but fooled adaptively; then one that
        withstands all; then in order.
    """
    told = list(zip(outcomes["clean"], outcomes["gray"], outcomes["adaptive"], strict=True))[:limit]
    story = [i for i, seen in enumerate(told) if seen == ("1", "1", "0")]
    withstands = [i for i, seen in enumerate(told) if seen == ("1", "1", "1")]
    falls = [i for i, seen in enumerate(told) if seen == ("1", "0", "0")]
    order = [*story[: count - 2], *withstands[:1], *falls[:1], *story, *range(len(told))]
    return list(dict.fromkeys(order))[:count]


def sample_strips(
    bench: Bench, chosen: list[int], gray_box: Tensor, adaptive: Tensor, strength: str
) -> list[Strip]:
    """Shows, per chosen sample, the clean, the attacked and the purified image.

    Args:
        bench: The task.
        chosen: Sample numbers.
        gray_box: The first attacked images, made on the bare classifier, ``[n, 3, H, W]``.
        adaptive: The first attacked images, made through the defense.
        strength: How strong, for the captions.
    """
    defense, classes = bench.regionsparse, bench.dataset.classes
    with torch.no_grad():
        return [
            _sample(
                defense, classes, bench.test.images[i], gray_box[i], adaptive[i],
                int(bench.test.labels[i]), bench.test.ids[i], strength,
            )
            for i in chosen
        ]  # fmt: skip


def _sample(
    defense: RegionSparse,
    classes: tuple[str, ...],
    clean: Tensor,
    gray_box: Tensor,
    adaptive: Tensor,
    label: int,
    name: str,
    strength: str,
) -> Strip:
    height, width = clean.shape[-2:]

    def figure(image: Tensor, caption: str, *, has_box: bool = False) -> Figure:
        logits = defense.classifier(image[None])[0]
        guess = int(logits.argmax())
        box = _box_percent(defense.boxes(image[None])[0], height, width) if has_box else None
        return Figure(png_uri(image), caption, classes[guess], guess == label, box)

    def purified(image: Tensor) -> Tensor:
        return defense.purify(image[None])[0]

    figures = [
        figure(clean, "clean", has_box=True),
        figure(purified(clean), "clean, purified"),
        figure(gray_box, "gray-box attack"),
        Figure(png_uri(difference(clean, gray_box, GAIN)), f"its change x {GAIN:g}"),
        figure(purified(gray_box), "then purified"),
        figure(adaptive, "adaptive attack", has_box=True),
        Figure(png_uri(difference(clean, adaptive, GAIN)), f"its change x {GAIN:g}"),
        figure(purified(adaptive), "then purified"),
    ]
    return Strip(
        f"Sample {name}, a “{classes[label]}”", figures,
        f"BIM at {strength}. Verdicts are the classifier's on the picture as shown; yellow: the "
        f"box that is coded sparsely.",
    )  # fmt: skip


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
            box = _box_percent(whole.boxes(small)[0], height, width)
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
