"""How an attack grows through a network: activations attacked over clean, layer by layer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sparsedef.attacks.target import evaluation_mode
from sparsedef.defenses.base import check_images
from sparsedef.evaluation.class_maps import watched, what_is_classified


class LayerRatio(NamedTuple):
    """The activation of one layer on attacked images, relative to that on the clean ones.

    Args:
        name: Of the layer, as in ``named_modules()``; ``#2`` for its second call, and so on.
        ratio_mean: Mean over the images; NaN where ``n`` is 0.
        low: A tenth of the images have a smaller ratio.
        high: A tenth of the images have a larger ratio.
        n: Images that count: those whose clean activation is positive.
    """

    name: str
    ratio_mean: float
    low: float
    high: float
    n: int


def activation_ratios(
    model: nn.Module,
    benign: Tensor,
    attacked: Tensor,
    gamma: float = 0.0,
    *,
    batch_size: int = 32,
) -> list[LayerRatio]:
    """Measures at which depth of a network an attack shows.

    With m_c the largest activation of channel c over space, V = sum of those m_c that are above
    ``gamma``; a layer's ratio is V(attacked) / V(benign), image by image.

    Layers are the calls of activation modules with output ``[B, C, h, w]``. A network without such
    modules (activations as functions): the largest parts with one convolution each, which in
    torchvision's Inception end with the activation. Of a ``Purifier`` the ratios are its
    classifier's, on purified images, both of them. Evaluation mode meanwhile, no gradients.

    Args:
        model: Images ``[B, 3, H, W]`` in [0, 1] to logits.
        benign: Clean images ``[B, 3, H, W]``.
        attacked: The same images attacked, ``[B, 3, H, W]``.
        gamma: Threshold, >= 0, in the units of the activations.
        batch_size: Images at a time.

    Returns:
        One ``LayerRatio`` per layer, in the order in which the network calls them.

    Raises:
        ValueError: Shapes differ, no images, ``gamma`` is negative, an activation is not finite,
            ``batch_size`` is below 1, or the network has neither activation modules nor
            convolutions.
        TypeError: Images are not float32 or float64.

    Source: the activation metric of RegionSparse (its Eq. 7).
    """
    who = "activation_ratios"
    for images in (benign, attacked):
        check_images(who, images)
    if benign.shape != attacked.shape or len(benign) == 0:
        raise ValueError(
            f"{who}: benign and attacked must be the same images, at least one, got "
            f"{list(benign.shape)} and {list(attacked.shape)}"
        )
    if not gamma >= 0:
        raise ValueError(f"{who}: gamma must be >= 0, got {gamma}")
    if batch_size < 1:
        raise ValueError(f"{who}: batch_size must be >= 1, got {batch_size}")
    before = channel_sums(who, model, benign, gamma, batch_size)
    after = channel_sums(who, model, attacked, gamma, batch_size)
    if before.keys() != after.keys():
        raise ValueError(f"{who}: the network must call the same layers whatever the image")
    return [_ratio(name, before[name], after[name]) for name in before]


def channel_sums(
    who: str, model: nn.Module, images: Tensor, gamma: float, batch_size: int
) -> dict[str, Tensor]:
    """V of each layer for each image: by name, in order, ``[B]`` float64."""
    batches: dict[str, list[Tensor]] = {}
    with evaluation_mode(model), torch.no_grad():
        for batch in images.split(batch_size):
            classifier, seen = what_is_classified(model, batch)
            for name, sums in _batch_sums(who, classifier, seen, gamma).items():
                batches.setdefault(name, []).append(sums)
    return {name: torch.cat(parts) for name, parts in batches.items()}


def _batch_sums(who: str, model: nn.Module, images: Tensor, gamma: float) -> dict[str, Tensor]:
    single = {
        name
        for name, part in model.named_modules()
        if sum(isinstance(each, nn.Conv2d) for each in part.modules()) == 1
    }
    after_activations: dict[str, Tensor] = {}
    after_single: dict[str, Tensor] = {}
    previous: list[nn.Module] = []

    def note(name: str, module: nn.Module, output: object) -> None:
        follows_linear = bool(previous) and isinstance(previous[-1], nn.Linear)
        previous[:] = [module]
        is_activation = _is_activation(module)
        if not isinstance(output, Tensor) or output.ndim != 4:
            return
        if not is_activation and name not in single:
            return
        # now, before a later layer changes the output in place; linear layers have channels last
        peaks = output.detach().amax((1, 2) if follows_linear else (2, 3)).cpu().double()
        if not torch.isfinite(peaks).all():
            raise ValueError(f"{who}: the output of {name!r} must be finite")
        kept = after_activations if is_activation else after_single
        number = 1 + sum(called.split("#")[0] == name for called in kept)
        kept[name if number == 1 else f"{name}#{number}"] = (peaks * (peaks > gamma)).sum(1)

    with watched(model, note):
        model(images)
    found = after_activations or _outermost(after_single)
    if not found:
        raise ValueError(
            f"{who}: {type(model).__name__} must have activation modules or convolutions with "
            f"output [B, C, h, w], has none"
        )
    return found


def _is_activation(module: nn.Module) -> bool:
    """Whether a module is one of torch's pointwise activations; a softmax weighs, it does not."""
    is_softmax = isinstance(module, (nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax))
    return type(module).__module__ == "torch.nn.modules.activation" and not is_softmax


def _outermost(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leaves out the parts that lie in another part of the dictionary."""
    return {
        name: values
        for name, values in sums.items()
        if not any(name != outer and name.startswith(f"{outer.split('#')[0]}.") for outer in sums)
    }


def _ratio(name: str, before: Tensor, after: Tensor) -> LayerRatio:
    counts = before > 0
    ratios = after[counts] / before[counts]
    if len(ratios) == 0:
        return LayerRatio(name, float("nan"), float("nan"), float("nan"), 0)
    low, high = ratios.quantile(torch.tensor([0.1, 0.9], dtype=ratios.dtype)).tolist()
    return LayerRatio(name, float(ratios.mean()), low, high, len(ratios))
