"""What goes on inside the classifier: where it looks, and at which depth an attack shows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsedef.evaluation.activations import activation_ratios
from sparsedef.evaluation.class_maps import class_maps, overlay
from sparsedef.evaluation.gallery import LARGE, Shown, shown_images
from sparsedef.evaluation.pictures import png_uri
from sparsedef.evaluation.ratio_chart import RatioLine, draw_ratios
from sparsedef.evaluation.report import Figure, Panel, Strip
from sparsedef.evaluation.runner import Evaluation


def has_maps(model: nn.Module) -> bool:
    """Whether there is a place to show: a convolution, and one look at the image, not several."""
    looks_once = bool(getattr(model, "looks_once", True))
    return looks_once and any(isinstance(module, nn.Conv2d) for module in model.modules())


def map_strips(found: Evaluation, name: str, strength: float, count: int = 2) -> list[Strip]:
    """Shows what speaks for the true class: in the clean, the attacked and the purified image.

    As in the RegionSparse paper's Fig. 3, for the samples that the pictures show; none for a
    classifier without a convolution.
    """
    shown = shown_images(found, name, strength, count)
    contender = found.task.contenders[name]
    if shown is None or not has_maps(contender.model):
        return []
    bare = (
        contender.model if contender.bare is None else found.task.contenders[contender.bare].model
    )
    return [_map_strip(found, contender.model, bare, shown, i) for i in shown.chosen]


def _map_strip(found: Evaluation, model: nn.Module, bare: nn.Module, shown: Shown, i: int) -> Strip:
    test = found.task.test
    clean, label = test.images[i : i + 1], test.labels[i : i + 1]
    adaptive = shown.adaptive[i : i + 1]
    kind = "photo" if clean.shape[-1] >= LARGE else "pixel"
    pictures = [("clean", bare, clean)]
    if shown.gray_box is not None:
        pictures.append(("gray-box attack, no defense", bare, shown.gray_box[i : i + 1]))
        pictures.append(("gray-box attack, behind the defense", model, shown.gray_box[i : i + 1]))
    pictures.append(("adaptive attack, behind the defense" if model is not bare
                     else "attacked", model, adaptive))  # fmt: skip

    def figure(caption: str, classifier: nn.Module, images: Tensor) -> Figure:
        purify = getattr(classifier, "purify", None)
        with torch.no_grad():
            seen = images if purify is None else purify(images)
            guess = int(classifier(images)[0].argmax())
        picture = overlay(seen[0], class_maps(classifier, images, label)[0])
        classes = found.task.classes
        return Figure(png_uri(picture), caption, classes[guess], guess == int(label), kind=kind)

    return Strip(
        f"What speaks for “{found.task.classes[int(label)]}” in {test.ids[i]}",
        [figure(*each) for each in pictures],
        "Class-activation maps of the true class over the image that the classifier sees: pale "
        "where most speaks for it.",
    )


def ratio_panel(found: Evaluation, name: str, strength: float) -> Panel | None:
    """Draws by layer how much an attack raises activations, and what of that a defense leaves.

    The ratio of the RegionSparse paper's Eq. 7, attacked over benign, mean over the pictured
    images: without the defense, behind it, and behind it under the adaptive attack.

    Returns:
        ``None`` where no images are kept, or the classifier has no convolution.
    """
    shown = shown_images(found, name, strength, 1)
    contender = found.task.contenders[name]
    if shown is None or contender.bare is None or shown.gray_box is None:
        return None
    if not has_maps(contender.model):
        return None
    clean = found.task.test.images[: len(shown.adaptive)]
    bare = found.task.contenders[contender.bare].model
    lines = [
        RatioLine("no defense, attacked", "bare", activation_ratios(bare, clean, shown.gray_box)),
        RatioLine(
            f"{name}, gray-box", "gray", activation_ratios(contender.model, clean, shown.gray_box)
        ),
        RatioLine(
            f"{name}, adaptive", "adaptive",
            activation_ratios(contender.model, clean, shown.adaptive),
        ),
    ]  # fmt: skip
    title = "Activations by layer, attacked / clean"
    return Panel(title, draw_ratios(lines, label=f"{title}: {name}"))
