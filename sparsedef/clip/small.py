"""A CLIP of under two million weights for ShapeWorld, of open_clip's own parts; it is shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from sparsedef.clip.encoder import ClipEncoder
from sparsedef.clip.tokens import SmallTokenizer
from sparsedef.models.seeded import seeded
from sparsedef.whole_file import whole_file

SIZE = 48
LENGTH = 40
CONCEPT_TEMPLATE = "a shape with {}"  # as ShapeWorld's captions say it: it knows few other words
WEIGHTS = Path(__file__).parent / "small.safetensors"


def build_small_clip(tokenizer: SmallTokenizer, *, seed: int = 0) -> ClipEncoder:
    """Builds the small CLIP with random weights: a ModifiedResNet of width 16, two text layers.

    Args:
        tokenizer: Its words.
        seed: Of the weights.

    Raises:
        ImportError: open_clip is not installed.
    """
    try:
        from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
    except ImportError as error:
        raise ImportError(
            "build_small_clip: open_clip is not installed (pip install 'sparsedef[clip]')"
        ) from error
    vision = CLIPVisionCfg(layers=(1, 1, 1, 1), width=16, head_width=32, image_size=SIZE)
    text = CLIPTextCfg(
        context_length=LENGTH, vocab_size=tokenizer.n_tokens, width=128, heads=4, layers=2
    )
    with seeded(seed):
        model: nn.Module = CLIP(embed_dim=128, vision_cfg=vision, text_cfg=text)
    return ClipEncoder(model, tokenizer, size=SIZE, name="small CLIP of ShapeWorld")


def save_small_clip(encoder: ClipEncoder, path: Path, facts: dict[str, Any]) -> None:
    """Writes the weights in half precision, with the words and ``facts`` in the metadata.

    Raises:
        ImportError: safetensors is not installed.
    """
    from safetensors.torch import save_file

    tokenizer = encoder.tokenize
    assert isinstance(tokenizer, SmallTokenizer)
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in encoder.model.state_dict().items()
        if name != "attn_mask"
    }
    about = {"ids": json.dumps(tokenizer.ids), "facts": json.dumps(facts)}
    with whole_file(path) as draft:
        save_file({name: value.contiguous() for name, value in state.items()}, draft, about)


def load_small_clip(path: Path = WEIGHTS) -> ClipEncoder:
    """Loads the small CLIP, the shipped one or your own, in float32 and evaluation mode.

    Raises:
        ImportError: open_clip or safetensors is not installed.
        FileNotFoundError: There is no such file.

    Example:
        >>> encoder = load_small_clip()  # doctest: +SKIP
        >>> encoder.text(["a red star in snow"]).shape  # doctest: +SKIP
        torch.Size([1, 128])
    """
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise ImportError(
            "load_small_clip: safetensors is not installed (pip install 'sparsedef[clip]')"
        ) from error
    if not path.is_file():
        raise FileNotFoundError(
            f"load_small_clip: there is no file {path} (sparsedef train clip --out FILE makes one)"
        )
    opened: Any = safe_open  # some releases annotate it
    with opened(path, "pt") as file:
        ids = json.loads(file.metadata()["ids"])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    encoder = build_small_clip(SmallTokenizer(ids, LENGTH))
    state = {
        name: value.float() if value.is_floating_point() else value for name, value in state.items()
    }
    missing, unexpected = encoder.model.load_state_dict(state, strict=False)
    if unexpected or [name for name in missing if name != "attn_mask"]:
        raise ValueError(f"load_small_clip: {path} is not of this model, got {sorted(state)[:3]}")
    return encoder.eval().requires_grad_(False)


def read_facts(path: Path = WEIGHTS) -> dict[str, Any]:
    """Reads what the file says of how it was made: seed, command, figures."""
    from safetensors import safe_open

    opened: Any = safe_open  # some releases annotate it
    with opened(path, "pt") as file:
        facts: dict[str, Any] = json.loads(file.metadata()["facts"])
    return facts
