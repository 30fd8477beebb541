"""Pictures of an evaluation: what an image, an attack and a defense look like."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsedef.evaluation.contenders import Contender
from sparsedef.evaluation.jobs import main_attack
from sparsedef.evaluation.pictures import difference, png_uri
from sparsedef.evaluation.report import Figure, Strip
from sparsedef.evaluation.rows import Row, describe_strength
from sparsedef.evaluation.runner import Evaluation
from sparsedef.evaluation.threats import CLEAN, GRAY_BOX, WARM, variants_of

GAIN = 4.0
LARGE = 96  # pixels from which an image is shown smooth


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


@dataclass(frozen=True)
class Shown:
    """The images of one contender that pictures are made of.

    Args:
        adaptive: Attacked knowing the defense, begun at the gray-box images where that was done.
        gray_box: Attacked on the bare classifier; ``None`` for a bare contender.
        chosen: Samples worth showing.
        how: Attack, strength and threat model in words.
    """

    adaptive: Tensor
    gray_box: Tensor | None
    chosen: list[int]
    how: str


def shown_images(found: Evaluation, name: str, strength: float, count: int) -> Shown | None:
    """Finds what the main attack left of contender ``name`` at ``strength``, and picks samples.

    Returns:
        ``None`` where no images were kept.
    """
    attack, bare = main_attack(found.plan), found.task.contenders[name].bare
    here = {
        (target, threat): images
        for (target, threat, radius), images in found.pictured.items() if radius == strength
    }  # fmt: skip
    own = {threat: images for (target, threat), images in here.items() if target == name}
    if not own:
        return None
    threat = next((t for t in own if WARM in variants_of(t)), next(iter(own)))
    gray_box = next((images for (target, _), images in here.items() if target == bare), None)
    label = attack.label
    outcomes = {"clean": _outcome(found.rows, name, CLEAN, "", 0.0)}
    outcomes["adaptive"] = _outcome(found.rows, name, threat, label, strength)
    outcomes["gray"] = outcomes["adaptive"]
    if gray_box is not None:
        outcomes["gray"] = _outcome(found.rows, name, GRAY_BOX, label, strength)
    chosen = choose_samples(outcomes, count, len(own[threat]))
    title = next(r.attack_title for r in found.rows if r.attack == label)
    how = f"{title} at {describe_strength(attack.norm, strength)}, {threat}"
    return Shown(own[threat], gray_box, chosen, how)


def sample_strips(found: Evaluation, name: str, strength: float, count: int = 4) -> list[Strip]:
    """Shows some samples of contender ``name``: clean, attacked and, if it cleans, purified."""
    shown = shown_images(found, name, strength, count)
    if shown is None:
        return []
    return [_strip(found, found.task.contenders[name], i, shown) for i in shown.chosen]


def _outcome(rows: list[Row], name: str, threat: str, attack: str, strength: float) -> str:
    return next(
        row.correct for row in rows
        if (row.defense, row.threat_model, row.attack, row.strength, row.check)
        == (name, threat, attack, strength, "")
    )  # fmt: skip


@torch.no_grad()
def _strip(
    found: Evaluation,
    contender: Contender,
    i: int,
    shown: Shown,
) -> Strip:
    test, classes = found.task.test, found.task.classes
    clean, label = test.images[i], int(test.labels[i])
    kind = "photo" if clean.shape[-1] >= LARGE else "pixel"
    purifier = contender.purifier
    classifier = contender.model if purifier is None else purifier.classifier

    def figure(image: Tensor, caption: str, *, has_box: bool = False) -> Figure:
        guess = int(classifier(image[None])[0].argmax())
        box = _region(contender, image) if has_box else None
        return Figure(png_uri(image), caption, classes[guess], guess == label, box, kind)

    def change(image: Tensor) -> Figure:
        return Figure(
            png_uri(difference(clean, image, GAIN)), f"its change x {GAIN:g}", kind=kind
        )  # fmt: skip

    figures = [figure(clean, "clean", has_box=True)]
    if purifier is not None:
        figures.append(figure(purifier.purify(clean[None])[0], "clean, purified"))
    gray_box, adaptive = shown.gray_box, shown.adaptive
    if gray_box is not None:
        figures += [figure(gray_box[i], "gray-box attack"), change(gray_box[i])]
        if purifier is not None:
            figures.append(figure(purifier.purify(gray_box[i][None])[0], "then purified"))
    figures += [figure(adaptive[i], "adaptive attack", has_box=True), change(adaptive[i])]
    if purifier is not None:
        figures.append(figure(purifier.purify(adaptive[i][None])[0], "then purified"))
    verdicts = "Verdicts are the classifier's on the picture as shown"
    boxes = "; yellow: the region that is rebuilt" if hasattr(contender.model, "boxes") else ""
    return Strip(
        f"Sample {test.ids[i]}, a “{classes[label]}”", figures, f"{shown.how}. {verdicts}{boxes}."
    )


def _region(contender: Contender, image: Tensor) -> tuple[float, float, float, float] | None:
    """The region's box, for a defense that has one."""
    boxes = getattr(contender.model, "boxes", None)
    return None if boxes is None else box_percent(boxes(image[None])[0], *image.shape[-2:])


def box_percent(box: Tensor, height: int, width: int) -> tuple[float, float, float, float]:
    """Turns top, left, bottom, right in pixels into left, top, width, height in percent."""
    top, left, bottom, right = box.tolist()
    return (
        100 * left / width,
        100 * top / height,
        100 * (right - left) / width,
        100 * (bottom - top) / height,
    )
