"""Any CLIP by its name: the small one that is shipped, or one of open_clip's with its weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sparsedef.clip.encoder import MEAN, STD, ClipEncoder
from sparsedef.clip.small import load_small_clip

SMALL = "small"
NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # of files on the hub


def load_clip(name: str = SMALL, pretrained: str | None = None) -> ClipEncoder:
    """Loads a CLIP; nothing is downloaded.

    Args:
        name: ``"small"``, the CLIP of ShapeWorld that is shipped, or a model of open_clip such as
            ``"ViT-B-16"``.
        pretrained: For ``"small"`` a file of ``sparsedef train clip``, or ``None`` for the shipped
            one. Else a file of weights, or a tag such as ``"openai"`` whose weights lie in
            open_clip's cache already.

    Returns:
        ``ClipEncoder`` in evaluation mode, no weight of which takes a gradient.

    Raises:
        ImportError: open_clip is not installed.
        ValueError: open_clip has no such model or tag, or ``pretrained`` is missing.
        FileNotFoundError: The weights are not there; says where they were looked for.
    """
    if name == SMALL:
        return load_small_clip() if pretrained is None else load_small_clip(Path(pretrained))
    try:
        import open_clip
    except ImportError as error:
        raise ImportError(
            "load_clip: open_clip is not installed (pip install 'sparsedef[clip]')"
        ) from error
    if name not in open_clip.list_models():
        raise ValueError(
            f"load_clip: name must be {SMALL!r} or a model of open_clip, got {name!r} "
            f"(open_clip.list_models() lists them)"
        )
    if pretrained is None:
        tags = open_clip.list_pretrained_tags_by_model(name)
        raise ValueError(
            f"load_clip: pretrained must be a file or one of {tags} for {name}, got None"
        )
    config: dict[str, Any] = {}
    path = Path(pretrained)
    if not path.is_file():
        config = _config(open_clip, name, pretrained)
        path = _cached(config, f"{pretrained!r} of {name}")
    model = open_clip.create_model(
        name, pretrained=str(path), force_quick_gelu=config.get("quick_gelu", False)
    )
    size = model.visual.image_size
    encoder = ClipEncoder(
        model,
        open_clip.get_tokenizer(name),
        size=size[0] if isinstance(size, tuple | list) else size,
        name=f"{name}, {pretrained}",
        mean=config.get("mean", MEAN),
        std=config.get("std", STD),
    )
    return encoder.eval().requires_grad_(False)


def _config(open_clip: Any, name: str, tag: str) -> dict[str, Any]:
    config: dict[str, Any] = open_clip.get_pretrained_cfg(name, tag)
    if not config:
        tags = open_clip.list_pretrained_tags_by_model(name)
        raise ValueError(
            f"load_clip: pretrained of {name} must be a file or one of {tags}, got {tag!r}"
        )
    return config


def _cached(config: dict[str, Any], what: str) -> Path:
    """Finds the weights of a tag in the caches that open_clip downloads to."""
    from huggingface_hub.constants import HF_HUB_CACHE

    looked = []
    if config.get("hf_hub"):
        repository, file = os.path.split(config["hf_hub"])
        folder = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
        for each in (file,) if file else NAMES:
            found = sorted(folder.glob(f"*/{each}"))
            if found:
                return found[-1]
            looked.append(str(folder / "*" / each))
    if config.get("url"):
        path = Path.home() / ".cache" / "clip" / Path(config["url"]).name
        if path.is_file():
            return path
        looked.append(str(path))
    raise FileNotFoundError(
        f"load_clip: the weights {what} are not here and nothing is downloaded; looked for "
        f"{' and '.join(looked)} (or pass a file)"
    )
