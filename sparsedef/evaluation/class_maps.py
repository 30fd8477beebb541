"""Where a classifier looked: class-activation maps, and pictures of them over the image."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.attacks.inputs import check_logits
from sparsedef.attacks.target import evaluation_mode
from sparsedef.defenses import Purifier
from sparsedef.defenses.base import check_images

METHODS = ("hires_cam", "grad_cam")
Note = Callable[[str, nn.Module, object], None]

# Dark blue over red to pale yellow, with CIE lightness 12 to 94 in equal steps.
COLOURS = (
    (0.01, 0.11, 0.30),
    (0.30, 0.12, 0.57),
    (0.66, 0.09, 0.56),
    (0.92, 0.20, 0.43),
    (0.99, 0.49, 0.32),
    (0.99, 0.73, 0.42),
    (1.00, 0.93, 0.71),
)


def class_maps(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    layer: str | None = None,
    method: str = "hires_cam",
    batch_size: int = 32,
) -> Tensor:
    """Shows which places of each image speak for a class.

    With A_k channel k of a layer's output and y the logit of the class: map = max(0, sum over k of
    w_k A_k), upsampled bilinearly to the image and divided by its maximum. A map that is zero
    everywhere (nothing speaks for the class) stays zero. The weights w_k are dy / dA_k, at each
    place its own (``"hires_cam"``), or their mean over space (``"grad_cam"``).

    Both give the same map where the network averages over space and is linear after that layer,
    as ResNet, Inception and ``WideResNet`` are. Where its head tells places apart, as that of
    ``SmallCNN``, the mean mixes them up, and only the first adds up to the logit (less its bias,
    before negative places are cut off).

    Of a ``Purifier`` the map is its classifier's, on the purified image that it sees. The model is
    put in evaluation mode meanwhile; parameters, their ``.grad`` and its hooks stay what they are.

    Args:
        model: Images ``[B, 3, H, W]`` in [0, 1] to logits ``[B, classes]``.
        images: ``[B, 3, H, W]`` float32 or float64.
        labels: The class to explain per image, ``[B]`` int64; ``None`` for the predicted one.
        layer: Name of the layer as in ``named_modules()``; of a ``Purifier``, in its classifier.
            ``None``: the last output at the resolution of the last convolution, that is, after the
            activation, sum or concatenation that follows it.
        method: ``"hires_cam"`` or ``"grad_cam"``.
        batch_size: Images at a time.

    Returns:
        Maps ``[B, H, W]`` in [0, 1], of the images' dtype.

    Raises:
        ValueError: No convolution to be found, no such layer or method, an output that is not
            ``[B, C, h, w]``, logits that do not depend on it, or a gradient that is not finite.
        TypeError: Images are not float32 or float64.

    Source: Grad-CAM, Selvaraju et al., 2017; HiResCAM, Draelos and Carin, 2020.
    """
    who = "class_maps"
    if method not in METHODS:
        raise ValueError(f"{who}: method must be one of {METHODS}, got {method!r}")
    if batch_size < 1:
        raise ValueError(f"{who}: batch_size must be >= 1, got {batch_size}")
    check_images(who, images)
    if labels is not None and (labels.shape != images.shape[:1] or labels.dtype != torch.int64):
        raise ValueError(
            f"{who}: labels must be int64 [{len(images)}], got {labels.dtype} {list(labels.shape)}"
        )
    maps = images.new_zeros(len(images), *images.shape[-2:])
    if len(images) == 0:
        return maps
    if labels is not None and int(labels.min()) < 0:
        raise ValueError(f"{who}: labels must be >= 0, got {int(labels.min())}")
    with evaluation_mode(model):
        for first in range(0, len(images), batch_size):
            rows = slice(first, first + batch_size)
            classifier, seen = what_is_classified(model, images[rows])
            layer = layer or find_layer(classifier, seen[:1])
            chosen = None if labels is None else labels[rows]
            maps[rows] = _map_batch(who, classifier, seen, chosen, layer, method)
    return maps


def overlay(image: Tensor, class_map: Tensor, *, opacity: float = 0.75) -> Tensor:
    """Lays a map over its image in colours whose lightness grows evenly with the map.

    Where the map is 0 the image shows unchanged, where it is 1 the colour covers ``opacity`` of it.

    Args:
        image: ``[3, H, W]`` in [0, 1].
        class_map: ``[H, W]`` in [0, 1].
        opacity: In [0, 1].

    Returns:
        ``[3, H, W]`` in [0, 1].
    """
    if image.shape != (3, *class_map.shape):
        raise ValueError(
            f"overlay: image must be [3, H, W] and class_map [H, W], got {list(image.shape)} and "
            f"{list(class_map.shape)}"
        )
    if not 0 <= opacity <= 1:
        raise ValueError(f"overlay: opacity must be in [0, 1], got {opacity}")
    share = opacity * class_map
    return ((1 - share) * image + share * colours(class_map)).clamp(0, 1)


def colours(values: Tensor) -> Tensor:
    """Colours ``[H, W]`` in [0, 1] from dark blue to pale yellow: ``[3, H, W]``."""
    points = torch.tensor(COLOURS, dtype=values.dtype, device=values.device)
    place = values.clamp(0, 1) * (len(points) - 1)
    left = place.floor().clamp(max=len(points) - 2).long()
    share = (place - left)[..., None]
    return ((1 - share) * points[left] + share * points[left + 1]).movedim(-1, 0)


def what_is_classified(model: nn.Module, images: Tensor) -> tuple[nn.Module, Tensor]:
    """The bare classifier, and the images as it sees them: purified, if ``model`` purifies."""
    while isinstance(model, Purifier):
        with torch.no_grad():
            images = model.purify(images).detach()
        model = model.classifier
    return model, images


def find_layer(model: nn.Module, image: Tensor) -> str:
    """Names the last output at the resolution of the last convolution; see ``class_maps``.

    Args:
        model: The classifier.
        image: One, ``[1, 3, H, W]``, to be classified once.

    Raises:
        ValueError: No convolution was called.
    """
    calls: list[tuple[str, bool, tuple[int, ...]]] = []

    def note(name: str, module: nn.Module, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            calls.append((name, isinstance(module, nn.Conv2d), tuple(output.shape[-2:])))

    with watched(model, note), torch.no_grad():
        model(image)
    # those at 1 x 1 weigh channels or stand for a linear layer; they see no places
    found = [size for _, is_convolution, size in calls if is_convolution and size != (1, 1)]
    if not found:
        raise ValueError(
            f"class_maps: {type(model).__name__} must have a convolution whose output has places "
            f"to map, has none (name another layer whose output is [B, C, h, w])"
        )
    return [name for name, _, size in calls if size == found[-1]][-1]


@contextmanager
def watched(model: nn.Module, note: Note) -> Iterator[None]:
    """Tells ``note(name, module, output)`` about each call of a part of ``model``, in order."""
    handles = [
        part.register_forward_hook(
            lambda module, inputs, output, name=name: note(name, module, output)
        )
        for name, part in model.named_modules()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _map_batch(
    who: str, model: nn.Module, images: Tensor, labels: Tensor | None, layer: str, method: str
) -> Tensor:
    parts = dict(model.named_modules())
    if layer not in parts:
        close = difflib.get_close_matches(layer, parts, n=1)
        hint = f" ({close[0]}?)" if close else ""
        raise ValueError(f"{who}: {type(model).__name__} has no layer {layer!r}{hint}")
    outputs: list[Tensor] = []

    def cut(module: nn.Module, inputs: object, output: object) -> Tensor:
        """Lets the graph begin here: what comes before needs no gradient."""
        if not isinstance(output, Tensor) or output.ndim != 4:
            shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"{who}: the output of {layer!r} must be [B, C, h, w], got {shape}")
        outputs.append(output.detach().requires_grad_(True))
        return outputs[-1].clone()  # what follows may change it in place

    handle = parts[layer].register_forward_hook(cut)
    try:
        with torch.enable_grad():
            logits = model(images)
            chosen = logits.detach().argmax(1) if labels is None else labels
            check_logits(who, logits, chosen)
            score = logits.gather(1, chosen[:, None]).sum()
    finally:
        handle.remove()
    if not outputs:
        raise ValueError(f"{who}: {layer!r} is not called when {type(model).__name__} classifies")
    grad = None
    if score.requires_grad:
        (grad,) = torch.autograd.grad(score, outputs[-1], allow_unused=True)
    if grad is None:
        raise ValueError(f"{who}: the logits must depend on the output of {layer!r} differentiably")
    if not torch.isfinite(grad).all():
        raise ValueError(f"{who}: the gradient at {layer!r} must be finite, got NaN or infinity")
    weights = grad.mean((2, 3), keepdim=True) if method == "grad_cam" else grad
    small = (weights * outputs[-1].detach()).sum(1, keepdim=True).relu()
    size = (images.shape[-2], images.shape[-1])
    large = functional.interpolate(small, size=size, mode="bilinear", align_corners=False)[:, 0]
    peak = large.amax((1, 2), keepdim=True)
    return torch.where(peak > 0, large / peak, 0.0)
