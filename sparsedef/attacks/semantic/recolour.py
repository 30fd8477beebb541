"""Recolouring as ColorFool does it: lightness kept, colours shifted at random until it fools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.attacks.inputs import check_positive
from sparsedef.attacks.losses import find_loss
from sparsedef.attacks.score import ask
from sparsedef.attacks.semantic.edit import EditAttack
from sparsedef.attacks.semantic.lab import lab_to_rgb, rgb_to_lab
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_count

Segment = Callable[[Tensor], Mapping[str, Tensor]]
FAR = 127.0  # of a and b, in either direction
# lowest and highest a, then b, that keep a region natural; None: its colours stay as they are
REGIONS: Mapping[str, tuple[tuple[float, float], tuple[float, float]] | None] = {
    "water": ((-FAR, 0), (-FAR, 0)),
    "sky": ((-FAR, 0), (-FAR, 0)),
    "vegetation": ((-FAR, 0), (0, FAR)),
    "person": None,
}


class Recolour(EditAttack):
    """Shifts the colours of the whole picture, lightness kept, until the model errs.

    Trial ``t = 1, 2, ...`` in the Lab space: one ``(da, db)`` per image, uniform in
    ``+-reach * t / trials``, is added to ``a`` and ``b`` of every pixel, which are clipped to
    +-127; L is untouched. What a screen cannot show is then clipped to [0, 1] in RGB, which does
    move its L, far at the paper's reach. An image is no longer asked once it is misclassified, so
    that small shifts come first; one that holds out comes back as its strongest trial.

    With ``segment``, each region has a shift of its own, and its ``a`` and ``b`` stay where such
    things are seen: at most 0 both in water and sky, ``a <= 0 <= b`` in vegetation; persons keep
    their colours. A pixel that was outside its range already may move back, not further out.

    Bounded: L of every pixel (up to that clipping), ``a`` and ``b``, and the regions' ranges. No
    gradient is asked for, so masked gradients do not protect.

    Args:
        trials: Shifts tried per image, of growing range; with the clean image, one query more.
        reach: Largest shift of ``a`` and ``b``; the paper's is 127, all that there is.
        restarts: How often the trials are run, each time with fresh random numbers, for images
            that still stand; the paper's results are random, and 3 is a fair best-of.
        segment: Images ``[B, 3, H, W]`` to masks ``[B, H, W]`` in [0, 1], by name of ``REGIONS``,
            such as a segmentation network's. ``None``: nothing is sensitive.
        blur: Side of the box in pixels over which masks are averaged, so that no edge shows.
        loss: What ranks trials that do not fool: ``"margin"``, ``"ce"`` or ``"dlr"``.
        seed: Of the shifts, and of a random model's draws.
        draws: How often a random model is asked, per look.

    Source: Shamsabadi, Sanchez-Matilla, Cavallaro, 2020 (ColorFool).
    """

    uses_gradient: ClassVar[bool] = False

    def __init__(
        self,
        *,
        trials: int = 1000,
        reach: float = FAR,
        restarts: int = 1,
        segment: Segment | None = None,
        blur: int = 10,
        loss: str = "margin",
        seed: int = 0,
        draws: int = 20,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(seed=seed, draws=draws)
        self.trials = check_count(self.name, "trials", trials)
        self.restarts = check_count(self.name, "restarts", restarts)
        self.reach = check_positive(self.name, "reach", reach)
        self.blur = check_count(self.name, "blur", blur)
        if segment is not None and not callable(segment):
            raise TypeError(
                f"Recolour: segment must be callable, got {type(segment).__name__}"
                f" (masks at hand? pass lambda images: masks)"
            )
        self.segment = segment
        self.loss = find_loss(self.name, loss)

    @property
    def queries(self) -> int:
        """Most looks at the model per image, the final judgement left out."""
        return self.restarts * self.trials + 1

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Tries shift after shift; see the class."""
        self._check_pictures(images, start)
        lab, masks = rgb_to_lab(images), self._masks(images)
        found = images.clone()
        value, is_fallen = ask(target, images, labels, self.loss)
        rows = torch.nonzero(~is_fallen)[:, 0]  # images still asked
        for trial in range(self.restarts * self.trials):
            if rows.numel() == 0:
                break
            reach = self.reach * (trial % self.trials + 1) / self.trials
            # for the whole batch, so that no image's draws depend on when others fall
            drawn = torch.rand(
                1 + len(masks), len(images), 2, generator=generator, dtype=images.dtype,
                device=images.device,
            )  # fmt: skip
            shift = (reach * (2 * drawn - 1))[:, rows]
            chosen = {name: mask[rows] for name, mask in masks.items()}
            candidates = recolour(lab[rows], shift, chosen)
            score = ask(target, candidates, labels[rows], self.loss)
            is_better = score.is_fallen | (score.loss > value[rows])
            taken = rows[is_better]
            found[taken], value[taken] = candidates[is_better], score.loss[is_better]
            rows = rows[~score.is_fallen]
        return found

    def _masks(self, images: Tensor) -> dict[str, Tensor]:
        """Regions as shares of each pixel, ``[B, 1, H, W]``, that add up to at most 1."""
        if self.segment is None:
            return {}
        with torch.no_grad():
            masks = dict(self.segment(images))
        wanted = [len(images), *images.shape[2:]]
        for name, mask in masks.items():
            if name not in REGIONS:
                raise ValueError(
                    f"Recolour: segment must name regions of {list(REGIONS)}, got {name!r}"
                )
            if list(mask.shape) != wanted:
                raise ValueError(
                    f"Recolour: segment must give masks {wanted} to match the images,"
                    f" got {list(mask.shape)} for {name!r}"
                )
            if not bool(((mask >= 0) & (mask <= 1)).all()):
                raise ValueError(f"Recolour: segment must give masks in [0, 1], not so {name!r}")
        total = images.new_ones(len(images), 1, *images.shape[2:])
        soft = {name: self._soften(mask[:, None].to(images)) for name, mask in masks.items()}
        total = torch.maximum(total, sum(soft.values(), torch.zeros_like(total)))
        return {name: mask / total for name, mask in soft.items()}

    def _soften(self, mask: Tensor) -> Tensor:
        before = (self.blur - 1) // 2
        after = self.blur - 1 - before
        padded = functional.pad(mask, (before, after, before, after), mode="replicate")
        return functional.avg_pool2d(padded, self.blur, stride=1)


def recolour(lab: Tensor, shift: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
    """Shifts the colours of Lab images and converts them to RGB in [0, 1].

    Args:
        lab: ``[B, 3, H, W]``.
        shift: Of a and b: first everywhere, then in each region of ``masks``, in its order,
            ``[1 + len(masks), B, 2]``.
        masks: Shares of each pixel ``[B, 1, H, W]``, by name of ``REGIONS``.
    """
    lightness, colour = lab[:, :1], lab[:, 1:]
    moved = (colour + shift[0, :, :, None, None]).clamp(-FAR, FAR)
    share = torch.ones_like(lightness)
    mixed = torch.zeros_like(colour)
    for (name, mask), own in zip(masks.items(), shift[1:], strict=True):
        mixed = mixed + mask * _natural(name, colour, own)
        share = share - mask
    mixed = mixed + share.clamp_min(0) * moved
    return lab_to_rgb(torch.cat([lightness, mixed], 1)).clamp(0, 1)


def _natural(name: str, colour: Tensor, shift: Tensor) -> Tensor:
    """The colours ``[B, 2, H, W]`` of a region after its shift ``[B, 2]``, in its range."""
    limits = REGIONS[name]
    if limits is None:
        return colour
    low, high = (colour.new_tensor(side).view(1, 2, 1, 1) for side in zip(*limits, strict=True))
    moved = colour + shift[:, :, None, None]
    return torch.minimum(
        torch.maximum(moved, torch.minimum(low, colour)), torch.maximum(high, colour)
    )
