"""Internal features of any classifier: outputs of layers by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

INPUT = "input"  # the images themselves, as a layer


def tapped_layers(classifier: nn.Module) -> tuple[str, ...]:
    """Names the layers of a classifier that are worth reading.

    Its own choice, an attribute ``tapped_layers``, if it has one; the convolutions in the blocks
    of a ``WideResNet``, for WRN-28-10 the 26 that CARSO reads; or else all convolutions.

    Raises:
        ValueError: It has no convolution.

    Example:
        >>> from sparsedef.models import SmallCNN, WideResNet
        >>> len(tapped_layers(WideResNet(10, width=1))), tapped_layers(SmallCNN(10))[:2]
        (26, ('features.0', 'features.2'))
    """
    own = getattr(classifier, "tapped_layers", None)
    if own is not None:
        return tuple(own)
    blocks: Callable[[], tuple[str, ...]] | None = getattr(classifier, "block_convolutions", None)
    if blocks is not None:
        return blocks()
    found = tuple(n for n, m in classifier.named_modules() if isinstance(m, nn.Conv2d))
    if not found:
        raise ValueError(
            f"tapped_layers: {type(classifier).__name__} has no convolution (give it an attribute "
            f"tapped_layers, names of its layers with outputs [B, C, H, W])"
        )
    return found


def read_layers(classifier: nn.Module, names: Sequence[str], images: Tensor) -> list[Tensor]:
    """Runs a classifier and returns what some of its layers gave, in the order of ``names``.

    Differentiable. A layer that runs more than once gives its last output; one whose output is
    overwritten in place by the next layer gives what that one made of it.

    Args:
        classifier: Any module of images.
        names: Of its submodules; ``"input"`` is the images themselves.
        images: ``[B, 3, H, W]``.

    Returns:
        One ``[B, C, H, W]`` per name.

    Raises:
        ValueError: There is no layer of that name, or its output has another shape, or it was not
            run.

    Example:
        >>> import torch
        >>> from sparsedef.models import SmallCNN
        >>> read_layers(SmallCNN(10), ["features.0"], torch.rand(2, 3, 32, 32))[0].shape
        torch.Size([2, 16, 16, 16])
    """
    found: dict[str, Tensor] = {INPUT: images}
    modules = dict(classifier.named_modules())
    unknown = [name for name in names if name != INPUT and name not in modules]
    if unknown:
        raise ValueError(
            f"read_layers: {type(classifier).__name__} must have a layer {unknown[0]!r}, got "
            f"{', '.join(n for n in list(modules)[1:6])}, ... (classifier.named_modules())"
        )

    def keep(name: str) -> object:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            found[name] = output

        return modules[name].register_forward_hook(hook)

    inner = [name for name in names if name != INPUT]
    handles = [keep(name) for name in dict.fromkeys(inner)]
    try:
        if inner:
            classifier(images)
    finally:
        for handle in handles:
            handle.remove()  # type: ignore[attr-defined]
    for name in names:
        output = found.get(name)
        if not isinstance(output, Tensor) or output.ndim != 4:
            got = "nothing" if output is None else getattr(output, "shape", type(output).__name__)
            raise ValueError(f"read_layers: {name} must give a tensor [B, C, H, W], got {got}")
    return [found[name] for name in names]
