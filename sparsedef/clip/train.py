"""Training of the small CLIP on scenes of ShapeWorld and their captions; the result is shipped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from sparsedef.clip.encoder import ClipEncoder, unit
from sparsedef.clip.small import LENGTH, SIZE, build_small_clip
from sparsedef.clip.tokens import SmallTokenizer
from sparsedef.training import Batch, Step, train
from sparsedef.worlds import (
    CLASSES,
    COLOURS,
    CaptionMode,
    Scenes,
    draw_split,
    irrelevant_phrases,
    relevant_phrases,
    write_captions,
)

PROMPTS = ("a {}", "a picture of a {}", "a drawing of a {}", "an image of a {}")
FRAME = "an image of a picture of a drawing of a shape with this, and that"


def multi_positive_loss(images: Tensor, texts: Tensor, scale: Tensor, caption: Tensor) -> Tensor:
    """Contrasts images with texts, both ways; equal captions in a batch are the same target.

    ``logits = scale * images @ texts.T``; the target of a row is spread evenly over the columns
    with its caption; the result is the mean of both directions' cross-entropies. Without this,
    captions that happen to be equal would be pushed apart.

    Args:
        images: Unit embeddings ``[B, M]``.
        texts: Unit embeddings ``[B, M]``.
        scale: Inverse temperature.
        caption: Number of each pair's caption, ``[B]`` int64.
    """
    logits = scale * images @ texts.T
    is_same = (caption[:, None] == caption[None, :]).to(logits)
    target = is_same / is_same.sum(1, keepdim=True)
    both = functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    return both / 2


def known_texts() -> list[str]:
    """Lists texts with every word that the captions use: what the small CLIP can be asked about."""
    return [FRAME, *CLASSES, *COLOURS, *relevant_phrases(), *irrelevant_phrases()]


@dataclass(frozen=True)
class Pairs:
    """Scenes, drawn once and kept as bytes, with a fresh caption each time they are asked for.

    Args:
        images: ``[B, 3, 48, 48]`` uint8.
        scenes: What they show.
        tokenizer: Of the captions.
        mode: Which captions: see ``worlds.write_captions``.
        seed: Of the captions.
    """

    images: Tensor
    scenes: Scenes
    tokenizer: SmallTokenizer
    mode: CaptionMode
    seed: int

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.scenes)

    def batch(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Gives images in [0, 1] and the tokens of captions."""
        generator = torch.Generator().manual_seed(hash_of(self.seed, rows))
        texts = write_captions(self.scenes[rows], generator, mode=self.mode)
        return self.images[rows].float() / 255, self.tokenizer(texts)


def hash_of(seed: int, rows: Tensor) -> int:
    """Seeds the captions of a minibatch by its rows, which differ in every epoch."""
    weights = torch.arange(1, len(rows) + 1, dtype=torch.int64)
    return (seed * 1_000_003 + int((rows * weights).sum())) % 2**62


def train_small_clip(
    *,
    n_scenes: int = 60_000,
    epochs: int = 9,
    batch_size: int = 128,
    lr: float = 3e-3,
    mode: CaptionMode = "full",
    seed: int = 0,
    checkpoint: Path | None = None,
    is_silent: bool = False,
) -> ClipEncoder:
    """Trains the small CLIP: AdamW, one warm-up, one cosine, multi-positive contrast; it resumes.

    Args:
        n_scenes: Scenes drawn, of the training part of ShapeWorld's seed.
        epochs: Passes over them, each with other captions.
        batch_size: Pairs contrasted at once.
        lr: Peak of the learning rate, after the first 5% of the steps.
        mode: Captions that also name colour, weather and scene (``"full"``), or never do
            (``"relevant"``).
        seed: Of scenes, captions, weights and order.
        checkpoint: Where a stopped training goes on.
        is_silent: Show no bar.

    Returns:
        The encoder, in evaluation mode.
    """
    tokenizer = SmallTokenizer.for_texts(known_texts(), LENGTH)
    encoder = build_small_clip(tokenizer, seed=seed)
    scenes = draw_split("train", n_scenes, seed=seed)
    source = Pairs(draw_bytes(scenes), scenes, tokenizer, mode, seed)
    decayed = [p for p in encoder.parameters() if p.ndim > 1]
    others = [p for p in encoder.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=lr, betas=(0.9, 0.98),
    )  # fmt: skip
    n_steps = epochs * -(-n_scenes // batch_size)
    warm = max(1, n_steps // 20)

    def rate(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(1, n_steps - warm))

    model: Any = encoder.model
    # convolutions and averages on a CPU are a third faster so; the weights are the same
    model.visual.to(memory_format=torch.channels_last)

    def loss(batch: Batch, step: Step) -> Tensor:
        images, tokens = batch
        seen = (images - encoder.mean) / encoder.std
        seen = seen.contiguous(memory_format=torch.channels_last)
        # equal captions are equal rows of tokens
        _, caption = tokens.unique(dim=0, return_inverse=True)
        texts = encode_by_length(model, tokens)
        scale = model.logit_scale.exp().clamp(max=100)
        return multi_positive_loss(unit(model.encode_image(seen)), unit(texts), scale, caption)

    train(
        encoder, source, loss, optimizer=optimizer, schedule=LambdaLR(optimizer, rate),
        epochs=epochs, batch_size=batch_size, seed=seed, max_norm=1.0,
        settings={"mode": mode, "lr": lr}, checkpoint=checkpoint,
        checkpoint_steps=500 if checkpoint is not None else None,
        title="small CLIP", is_silent=is_silent,
    )  # fmt: skip
    return encoder.eval().requires_grad_(False)


def encode_by_length(model: Any, tokens: Tensor, groups: int = 4) -> Tensor:
    """Embeds texts ``[B, L]``, those of similar length together: most of L is padding."""
    lengths = (tokens != 0).sum(1)
    order = lengths.argsort()
    parts = [
        encode_short_text(model, tokens[rows], int(lengths[rows].max()))
        for rows in order.tensor_split(groups) if len(rows) > 0
    ]  # fmt: skip
    return torch.cat(parts)[order.argsort()]


def encode_short_text(model: Any, tokens: Tensor, length: int) -> Tensor:
    """Embeds texts of at most ``length`` tokens: padding after a text's end changes nothing."""
    hidden = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
    mask = model.attn_mask[:length, :length]
    hidden = model.ln_final(model.transformer(hidden, attn_mask=mask))
    end = tokens[:, :length].argmax(1)
    found: Tensor = hidden[torch.arange(len(tokens)), end] @ model.text_projection
    return found


def draw_bytes(scenes: Scenes, batch_size: int = 256) -> Tensor:
    """Draws scenes as bytes, ``[B, 3, 48, 48]`` uint8."""
    images = torch.empty(len(scenes), 3, SIZE, SIZE, dtype=torch.uint8)
    for rows in torch.arange(len(scenes)).split(batch_size):
        images[rows] = (scenes[rows].render(size=SIZE) * 255).round().to(torch.uint8)
    return images


@torch.no_grad()
def class_prompts(encoder: ClipEncoder, classes: Sequence[str] = CLASSES) -> Tensor:
    """Embeds classes, each the mean of its prompts: unit rows ``[classes, M]``."""
    found = torch.stack([unit(encoder.text([p.format(c) for c in classes])) for p in PROMPTS])
    return unit(found.mean(0))


@torch.no_grad()
def zero_shot_accuracy(
    encoder: ClipEncoder, images: Tensor, labels: Tensor, *, batch_size: int = 256
) -> float:
    """Measures the share of ShapeWorld images whose class is the nearest prompt."""
    prompts = class_prompts(encoder)
    right = 0
    for rows in torch.arange(len(images)).split(batch_size):
        guess = (unit(encoder.image(images[rows])) @ prompts.T).argmax(1)
        right += int((guess == labels[rows]).sum())
    return right / len(images)
