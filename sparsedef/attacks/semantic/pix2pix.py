"""InstructPix2Pix from diffusers as an editor that can be differentiated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sparsedef.attacks.inputs import check_positive
from sparsedef.solvers.checks import check_count


class InstructPix2PixEditor:
    """Edits images by an instruction with InstructPix2Pix, guidance and noise differentiable.

    With ``e(I, T)`` the noise that the network predicts for the image condition I and the text
    T, 0 for none, each of ``steps`` reverse steps follows

        ``e(0, 0) + alpha s_I (e(I, 0) - e(0, 0)) + beta s_T (e(I, T) - e(I, 0))``

    with ``alpha`` and ``beta`` of the latents' shape, so that guidance is weighted place by place.
    The steps are DDIM's without noise, whatever scheduler the pipeline has, so that an edit is a
    function of its arguments. Each is recomputed in the backward pass (activation checkpointing),
    which costs one more pass of the network and keeps memory at about that of one step.

    Args:
        pipeline: A ``diffusers.StableDiffusionInstructPix2PixPipeline`` on the images' device; its
            parameters are frozen.
        steps: Reverse steps.
        image_guidance: ``s_I``.
        text_guidance: ``s_T``.

    Source: Brooks, Holynski, Efros, 2023.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        steps: int = 20,
        image_guidance: float = 1.5,
        text_guidance: float = 7.5,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        who = "InstructPix2PixEditor"
        parts = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
        missing = [part for part in parts if not hasattr(pipeline, part)]
        if missing:
            raise TypeError(
                f"{who}: pipeline must be a StableDiffusionInstructPix2PixPipeline,"
                f" got {type(pipeline).__name__} without {' and '.join(missing)}"
            )
        self.pipeline = pipeline
        self.steps = check_count(who, "steps", steps)
        self.image_guidance = check_positive(who, "image_guidance", image_guidance)
        self.text_guidance = check_positive(who, "text_guidance", text_guidance)
        for part in ("unet", "vae", "text_encoder"):
            getattr(pipeline, part).requires_grad_(False).eval()

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        *,
        device: str | torch.device = "cpu",
        steps: int = 20,
        image_guidance: float = 1.5,
        text_guidance: float = 7.5,
    ) -> InstructPix2PixEditor:
        """Loads the weights from a folder; nothing is ever downloaded.

        Args:
            folder: As ``pipeline.save_pretrained`` writes it, such as a copy of
                ``timbrooks/instruct-pix2pix``.
            device: Where to.
            steps: Reverse steps.
            image_guidance: ``s_I``.
            text_guidance: ``s_T``.

        Raises:
            ImportError: diffusers or transformers is not installed.
            FileNotFoundError: There are no such weights in the folder.
        """
        try:
            from diffusers import StableDiffusionInstructPix2PixPipeline as Pipeline
        except ImportError as error:
            raise ImportError(
                "InstructPix2PixEditor: needs diffusers and transformers, which are not installed"
                " (pip install diffusers transformers)"
            ) from error
        if not (Path(folder) / "model_index.json").is_file():
            raise FileNotFoundError(
                f"InstructPix2PixEditor: there is no model_index.json in {folder} (copy"
                f" timbrooks/instruct-pix2pix, or what pipeline.save_pretrained wrote, there)"
            )
        pipeline = Pipeline.from_pretrained(
            str(folder), safety_checker=None, requires_safety_checker=False, local_files_only=True
        ).to(device)
        return cls(
            pipeline, steps=steps, image_guidance=image_guidance, text_guidance=text_guidance
        )

    def latent_shape(self, images: Tensor) -> tuple[int, ...]:
        """Shape of the latents of one of ``images`` ``[B, 3, H, W]``: ``(C, H / f, W / f)``."""
        factor = 2 ** (len(self.pipeline.vae.config.block_out_channels) - 1)
        height, width = images.shape[2:]
        if height % factor or width % factor:
            raise ValueError(
                f"InstructPix2PixEditor: images must have sides divisible by {factor},"
                f" got {height} x {width}"
            )
        return (self.pipeline.vae.config.latent_channels, height // factor, width // factor)

    def edit(
        self, images: Tensor, instruction: str, alpha: Tensor, beta: Tensor, noise: Tensor
    ) -> Tensor:
        """Edits images ``[B, 3, H, W]`` in [0, 1]; see ``Editor.edit``."""
        pipe, dtype = self.pipeline, self.pipeline.unet.dtype
        with torch.no_grad():
            text = torch.cat([self._embed(each) for each in (instruction, "", "")])
            text = text.repeat_interleave(len(images), 0)
            seen = pipe.vae.encode(2 * images.to(dtype) - 1).latent_dist.mode()
            image = torch.cat([seen, seen, torch.zeros_like(seen)])
        # DDIM whatever the pipeline has: no noise of its own, so that an edit is repeatable
        from diffusers import DDIMScheduler

        scheduler = DDIMScheduler.from_config(
            pipe.scheduler.config, clip_sample=False, set_alpha_to_one=False
        )
        scheduler.set_timesteps(self.steps, device=images.device)
        latents = noise.to(dtype) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            predicted: Any = checkpoint(
                self._predict, latents, image, timestep, text, alpha, beta, use_reentrant=False
            )
            latents = scheduler.step(predicted, timestep, latents, return_dict=False)[0]
        decoded: Any = checkpoint(self._decode, latents, use_reentrant=False)
        return (decoded / 2 + 0.5).clamp(0, 1).to(images.dtype)

    def _predict(
        self,
        latents: Tensor,
        image: Tensor,
        timestep: Tensor,
        text: Tensor,
        alpha: Tensor,
        beta: Tensor,
    ) -> Tensor:
        three = torch.cat([torch.cat([latents] * 3), image], 1)
        noise = self.pipeline.unet(three, timestep, encoder_hidden_states=text).sample
        both, only_image, neither = noise.chunk(3)
        seen = alpha.to(noise) * self.image_guidance * (only_image - neither)
        told = beta.to(noise) * self.text_guidance * (both - only_image)
        return neither + seen + told

    def _decode(self, latents: Tensor) -> Tensor:
        decoded: Tensor = self.pipeline.vae.decode(
            latents / self.pipeline.vae.config.scaling_factor
        ).sample
        return decoded

    def _embed(self, text: str) -> Tensor:
        tokens = self.pipeline.tokenizer(
            text, padding="max_length", truncation=True, return_tensors="pt",
            max_length=self.pipeline.tokenizer.model_max_length,
        )  # fmt: skip
        embedded: Tensor = self.pipeline.text_encoder(
            tokens.input_ids.to(self.pipeline.unet.device)
        )[0]
        return embedded
