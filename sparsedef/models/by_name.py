"""Every classifier by its name or file, asked in one way."""

from __future__ import annotations

import os

import torch
from torch import nn

from sparsedef.models.from_file import from_file
from sparsedef.models.from_torchvision import from_torchvision
from sparsedef.models.small_cnn import SmallCNN
from sparsedef.models.weights import put_weights, read_weights
from sparsedef.models.wide_resnet import NAME, wide_resnet

KINDS = (
    "'small_cnn', 'wrn-28-10' (any depth and width, maybe '-silu'), 'torchvision:NAME', "
    "'FILE.py:FUNCTION', or a checkpoint 'FILE.pt'"
)


def load_model(
    spec: str, *, n_classes: int, size: int, weights: str | os.PathLike[str] | None = None
) -> nn.Module:
    """Loads any classifier of images in [0, 1] by its name or file, ready to be evaluated.

    - ``"small_cnn"``: four convolutions, see ``SmallCNN``.
    - ``"wrn-10-2"``, ``"wrn-28-10-silu"``, ...: see ``WideResNet``.
    - ``"torchvision:resnet18"``, ``"torchvision:inception_v3"``, ...: with ``weights``, or the
      published ones if they are in torch hub's cache; normalised inside. Nothing is downloaded.
    - ``"path/to/file.py:build"``: what that function of yours returns; it is called with
      ``n_classes`` and ``size``, those of them that it takes.
    - ``"path/to/model.pt"``: a checkpoint that ``sparsedef train`` wrote.

    The first two are untrained without ``weights``: their start comes from torch's global random
    state.

    Args:
        spec: Which.
        n_classes: Number of classes.
        size: Height and width of the images.
        weights: File with a state dict: ``.safetensors``, or what ``torch.save`` wrote of one.

    Returns:
        The module in evaluation mode, on the CPU unless your function put it elsewhere. It has
        classified one black image, so it does give logits ``[1, n_classes]``.

    Raises:
        ValueError: An unknown spec, weights that do not fit, another number of classes, or images
            of this size do not go through.
        FileNotFoundError: A file is missing; says which one is looked for, and where.
        ImportError: torchvision or safetensors is needed and not installed.
        TypeError: Your function returned something else than a module.

    Example:
        >>> load_model("small_cnn", n_classes=10, size=32)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    if n_classes < 1 or size < 1:
        raise ValueError(f"load_model: n_classes and size must be >= 1, got {n_classes} and {size}")
    model, is_loaded = _make(spec, n_classes, size, weights)
    if weights is not None and not is_loaded:
        put_weights(f"load_model: {spec}", model, read_weights("load_model", weights), weights)
    model.eval()
    _check(spec, model, n_classes, size)
    return model


def _make(
    spec: str, n_classes: int, size: int, weights: str | os.PathLike[str] | None
) -> tuple[nn.Module, bool]:
    """The network, and whether it has its weights already."""
    if spec == "small_cnn":
        if size % 8:
            raise ValueError(f"load_model: small_cnn: size must be a multiple of 8, got {size}")
        return SmallCNN(n_classes, size), False
    if NAME.fullmatch(spec):
        return wide_resnet(spec, n_classes), False
    if spec.startswith("torchvision:"):
        name = spec.removeprefix("torchvision:")
        return from_torchvision(name, n_classes=n_classes, size=size, weights=weights), True
    path, colon, function = spec.rpartition(":")
    if colon and path.endswith(".py"):
        return from_file(path, function, n_classes=n_classes, size=size), False
    if spec.endswith(".pt"):
        if weights is not None:
            raise ValueError(
                f"load_model: {spec}: a checkpoint has its own weights, pass no others"
            )
        from sparsedef.models.checkpoint import load_classifier

        if not os.path.isfile(spec):
            raise FileNotFoundError(
                f"load_model: there is no file {spec} (sparsedef train standard --out makes one)"
            )
        return load_classifier(spec).model, True
    hint = f" (which function? {spec}:build)" if spec.endswith(".py") else ""
    raise ValueError(f"load_model: spec must be {KINDS}, got {spec!r}{hint}")


def _check(spec: str, model: nn.Module, n_classes: int, size: int) -> None:
    """Raises unless the model classifies a black image of this size into ``n_classes``."""
    like = next(model.parameters(), torch.empty(0))
    image = torch.zeros(1, 3, size, size, dtype=like.dtype, device=like.device)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            logits = model(image)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        first = str(error).splitlines()[0] if str(error) else ""
        raise ValueError(
            f"load_model: {spec} cannot classify images of {size} x {size}: "
            f"{type(error).__name__}: {first}"
        ) from error
    shape = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape != [1, n_classes]:
        raise ValueError(
            f"load_model: {spec} must give logits [1, {n_classes}] for one image, got {shape} "
            f"(another number of classes?)"
        )
