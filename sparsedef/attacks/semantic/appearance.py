"""Attack by weather and light on any picture: the knobs of a photo editor, turned by gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.attacks.inputs import check_positive
from sparsedef.attacks.losses import find_loss
from sparsedef.attacks.semantic.edit import EditAttack
from sparsedef.attacks.semantic.photo_edits import KNOBS, NAMES, Fields, edit_photos
from sparsedef.attacks.semantic.search import OPTIMIZERS, Search
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_choice, check_count


class Appearance(EditAttack):
    """Turns hue, saturation, contrast, brightness, fog and snow to where the model errs.

    Maximises ``loss(model(edit_photos(x, budget * v)))`` over ``v`` in the box that ``KNOBS``
    declares, a few numbers per image. Climbs by ``steps`` projected steps from the clean image;
    looks at ``samples`` uniform draws and climbs from the strongest; then from ``restarts`` more
    draws. The strongest point of all is kept, so that neither masked gradients nor a flat
    surface hides it. The clouds of the fog and the flakes of the snow are drawn once per image.

    Bounded: each knob, by ``budget`` times its range in ``KNOBS``. Whether a picture keeps its
    class at the full ranges is for a person to say.

    Args:
        budget: Share of the box, above 0 and at most 1.
        edits: Names of the knobs that may be turned; ``None`` for all of ``KNOBS``.
        steps: Gradients per climb.
        samples: Random draws that are looked at.
        restarts: Climbs from random draws besides the first two.
        optimizer: ``"adam"`` or ``"sign"``.
        step_size: Length of a step, in half-widths of the box.
        loss: ``"margin"``, ``"ce"`` or ``"dlr"``.
        seed: Of all draws, and of a random model's.
        draws: How often a random model is asked, per look.

    Source: after Hosseini, Poovendran, 2018 (hue and saturation), and Hendrycks, Dietterich, 2019
    (fog, snow, brightness, contrast as corruptions), here as one differentiable edit.
    """

    def __init__(
        self,
        *,
        budget: float = 1.0,
        edits: tuple[str, ...] | None = None,
        steps: int = 20,
        samples: int = 20,
        restarts: int = 0,
        optimizer: str = "adam",
        step_size: float = 0.1,
        loss: str = "margin",
        seed: int = 0,
        draws: int = 20,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(seed=seed, draws=draws)
        self.budget = check_positive(self.name, "budget", budget)
        if self.budget > 1:
            raise ValueError(f"{self.name}: budget must be <= 1, got {budget}")
        self.edits = NAMES if edits is None else tuple(edits)
        if not self.edits:
            raise ValueError(f"{self.name}: edits must name at least one knob, got none")
        for name in self.edits:
            check_choice(self.name, "edits", name, NAMES)
        self.steps = check_count(self.name, "steps", steps)
        self.samples = check_count(self.name, "samples", samples, 0)
        self.restarts = check_count(self.name, "restarts", restarts, 0)
        check_choice(self.name, "optimizer", optimizer, OPTIMIZERS)
        self.optimizer = optimizer
        self.step_size = check_positive(self.name, "step_size", step_size)
        self.loss = find_loss(self.name, loss)

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Climbs, looks around and climbs again; see the class."""
        self._check_pictures(images, start)
        knobs = KnobSpace(images, Fields.draw(images, generator), self.edits, self.budget)
        clean = images.new_zeros(len(images), len(self.edits))
        search = Search(target, labels, knobs, clean, loss=self.loss)

        def climb(start: Tensor) -> None:
            search.climb(
                start, steps=self.steps, step_size=self.step_size, optimizer=self.optimizer
            )

        climb(clean)
        if self.samples:
            climb(search.strongest(knobs.sample(generator) for _ in range(self.samples)))
        for _ in range(self.restarts):
            climb(knobs.sample(generator))
        rows = torch.arange(len(images), device=images.device)
        return knobs.images(search.best.points, rows)


class KnobSpace:
    """The knobs that may be turned, each as a number in [-1, 1], or [0, 1] where it has no below.

    Args:
        photos: ``[B, 3, H, W]`` in [0, 1].
        fields: Clouds and flakes of the photos.
        edits: Names of ``KNOBS``.
        budget: Share of their ranges.
    """

    def __init__(
        self, photos: Tensor, fields: Fields, edits: tuple[str, ...], budget: float
    ) -> None:
        """Keeps the settings; see the class."""
        self.photos = photos
        self.fields = fields
        self.columns = [NAMES.index(name) for name in edits]
        self.reach = photos.new_tensor([budget * KNOBS[i].high for i in self.columns])
        self.low = photos.new_tensor([-1.0 if KNOBS[i].low < 0 else 0.0 for i in self.columns])

    def images(self, points: Tensor, rows: Tensor) -> Tensor:
        """Edits the photos numbered ``rows`` ``[R]`` by ``points`` ``[R, P]``."""
        values = points.new_zeros(len(points), len(KNOBS))
        columns = torch.tensor(self.columns, device=points.device)
        values = values.index_copy(1, columns, points * self.reach)
        return edit_photos(self.photos[rows], values, self.fields[rows])

    def project(self, points: Tensor, rows: Tensor) -> Tensor:
        """Clips to the box."""
        return torch.maximum(points, self.low).clamp_max(1)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draws a uniform point of the box for each photo, ``[B, P]``."""
        drawn = torch.rand(
            len(self.photos), len(self.columns), generator=generator, dtype=self.photos.dtype,
            device=self.photos.device,
        )  # fmt: skip
        return self.low + (1 - self.low) * drawn
