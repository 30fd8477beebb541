"""Instruct2Attack: the guidance of an instruction editor, turned until the model errs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from sparsedef.attacks.inputs import check_positive
from sparsedef.attacks.losses import find_loss
from sparsedef.attacks.semantic.edit import EditAttack
from sparsedef.attacks.semantic.search import OPTIMIZERS, StepRule, Strongest
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_choice, check_count

# clean and edited images [B, 3, H, W] to how different they look, [B]
Perceptual = Callable[[Tensor, Tensor], Tensor]


@runtime_checkable
class Editor(Protocol):
    """What edits images by an instruction, differentiable in its guidance and its noise.

    ``InstructPix2PixEditor`` makes one of a diffusers pipeline.
    """

    def latent_shape(self, images: Tensor) -> tuple[int, ...]:
        """Shape of one image's latents, such as ``(4, H / 8, W / 8)``."""

    def edit(
        self, images: Tensor, instruction: str, alpha: Tensor, beta: Tensor, noise: Tensor
    ) -> Tensor:
        """Edits images ``[B, 3, H, W]`` in [0, 1]: the same shape and range.

        Args:
            images: What is edited.
            instruction: In words.
            alpha: Share of the image guidance, ``[B, *latent_shape]`` in [0, 1].
            beta: Share of the text guidance, likewise.
            noise: What the reverse process begins at, standard normal, likewise.
        """


class Instruct2Attack(EditAttack):
    """Edits images by an instruction, with the editor's guidance set so that the model errs.

    With ``x' = edit(x, instruction, alpha, beta, noise)`` and ``d`` the perceptual distance,
    ascends over ``alpha`` and ``beta`` in [0, 1] (and ``noise``, if told)

        ``loss(model(x')) - penalty * max(d(x, x') - bound, 0)``

    by projected steps, from ``alpha = beta = 1`` (the editor's own guidance) and one draw of the
    noise per restart, for each instruction. Kept is the strongest point within the bound; an
    image of which no edit is within it comes back unedited.

    Bounded: ``d(x, x') <= bound``, for every image that is returned.

    Args:
        editor: Such as ``InstructPix2PixEditor.from_pretrained(...)``; see ``Editor``.
        instructions: What to ask for, "make it in snow"; the worst per image counts.
        perceptual: Clean and edited images to distances ``[B]``, differentiable: LPIPS, or
            ``colour_difference``.
        bound: Largest distance; the paper bounds LPIPS.
        penalty: Weight of what exceeds it.
        steps: Gradients per instruction and restart.
        restarts: Draws of the noise per instruction.
        optimizer: ``"adam"`` or ``"sign"``.
        step_size: Length of a step in alpha and beta.
        moves_noise: Also ascend over the noise, by the same steps.
        loss: ``"margin"``, ``"ce"`` or ``"dlr"``.
        seed: Of the noise, and of a random model's draws.
        draws: How often a random model is asked, per look.

    Source: Liu, Wei, Kong, Chellappa, 2023 (Instruct2Attack); its optimiser is not public, this
    one is ours. The editor: Brooks, Holynski, Efros, 2023 (InstructPix2Pix).
    """

    def __init__(
        self,
        editor: Editor,
        instructions: str | Sequence[str],
        *,
        perceptual: Perceptual,
        bound: float,
        penalty: float = 100.0,
        steps: int = 100,
        restarts: int = 1,
        optimizer: str = "adam",
        step_size: float = 0.05,
        moves_noise: bool = False,
        loss: str = "margin",
        seed: int = 0,
        draws: int = 20,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(seed=seed, draws=draws)
        if not isinstance(editor, Editor):
            raise TypeError(
                f"Instruct2Attack: editor must have edit and latent_shape,"
                f" got {type(editor).__name__} (a pipeline? pass InstructPix2PixEditor(pipeline))"
            )
        self.editor = editor
        self.instructions = [instructions] if isinstance(instructions, str) else list(instructions)
        if not self.instructions:
            raise ValueError("Instruct2Attack: instructions must hold at least one, got none")
        self.perceptual = perceptual
        self.bound = check_positive(self.name, "bound", bound)
        self.penalty = check_positive(self.name, "penalty", penalty)
        self.steps = check_count(self.name, "steps", steps)
        self.restarts = check_count(self.name, "restarts", restarts)
        check_choice(self.name, "optimizer", optimizer, OPTIMIZERS)
        self.optimizer = optimizer
        self.step_size = check_positive(self.name, "step_size", step_size)
        self.moves_noise = moves_noise
        self.loss = find_loss(self.name, loss)

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Ascends for each instruction and restart; see the class."""
        self._check_pictures(images, start)
        rows = torch.arange(len(images), device=images.device)
        best = Strongest(images, labels, self.loss)
        best.keep(rows, images, target.logits(images, labels))
        shape = (len(images), *self.editor.latent_shape(images))
        for instruction in self.instructions:
            for _ in range(self.restarts):
                noise = torch.randn(
                    shape, generator=generator, dtype=images.dtype, device=images.device
                )
                self._ascend(target, images, instruction, noise, best)
        return best.points

    def _ascend(
        self, target: Target, images: Tensor, instruction: str, noise: Tensor, best: Strongest
    ) -> None:
        """Climbs from the editor's own guidance; what is within the bound is offered to best."""
        point = torch.stack([torch.ones_like(noise), torch.ones_like(noise), noise], 1)
        rule = StepRule(point, self.optimizer)
        every = torch.arange(len(images), device=images.device)
        for step in range(self.steps + 1):
            is_last = step == self.steps
            with torch.set_grad_enabled(not is_last):
                variable = point.detach().requires_grad_(not is_last)
                edited = self._edit(images, instruction, variable)
                far = self.perceptual(images, edited)
            if far.shape != best.labels.shape:
                raise ValueError(
                    f"Instruct2Attack: perceptual must give [{len(images)}], got {list(far.shape)}"
                )
            if is_last:
                logits = target.logits(edited, best.labels)
            else:
                logits, _, grad = target.probe(edited, best.labels, self.loss)
            rows = torch.nonzero(far.detach() <= self.bound)[:, 0]
            best.keep(rows, edited.detach()[rows], logits[rows])
            if is_last:
                return
            lack = -self.penalty * (far - self.bound).clamp_min(0).sum()
            (uphill,) = torch.autograd.grad([edited, lack], variable, [grad, torch.ones_like(lack)])
            moved = point + self.step_size * rule(torch.nan_to_num(uphill, 0, 0, 0), every)
            noise = moved[:, 2:] if self.moves_noise else point[:, 2:]
            point = torch.cat([moved[:, :2].clamp(0, 1), noise], 1)

    def _edit(self, images: Tensor, instruction: str, point: Tensor) -> Tensor:
        edited = self.editor.edit(images, instruction, *point.unbind(1))
        if edited.shape != images.shape:
            raise ValueError(
                f"Instruct2Attack: editor must give images {list(images.shape)},"
                f" got {list(edited.shape)}"
            )
        if point.requires_grad and not edited.requires_grad:
            raise ValueError(
                "Instruct2Attack: editor must be differentiable in alpha, beta and noise, got"
                " images without a gradient (a torch.no_grad inside?)"
            )
        return edited.clamp(0, 1)
