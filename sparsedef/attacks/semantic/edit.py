"""What attacks by edits of a picture share: no norm bounds them, and they begin at the picture."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from sparsedef.attacks.base import Attack


class EditAttack(Attack):
    """An attack that edits pictures as a person might, in a way that has no radius in pixels.

    The base class then holds the images to [0, 1] only, and each subclass says what it bounds
    instead. ``distance`` is the largest change of a pixel (linf), for information. ``start`` must
    be ``None``: an image that something else made need not be an edit of this kind.

    Args:
        seed: Of the attack's own randomness, and of a random model's draws.
        draws: How often a random model is asked, per look.
    """

    needs_eps: ClassVar[bool] = False

    def __init__(self, *, seed: int = 0, draws: int = 20) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(None, seed=seed, draws=draws)

    def _check_pictures(self, images: Tensor, start: Tensor | None) -> None:
        """Raises unless ``images`` ``[B, 3, H, W]`` have colours and no ``start`` is given."""
        if images.shape[1] != 3:
            raise ValueError(
                f"{self.name}: images must be [B, 3, H, W], got {list(images.shape)}"
                f" (grey? pass images.expand(-1, 3, -1, -1))"
            )
        if start is not None:
            raise ValueError(
                f"{self.name}: start must be None, as its edits begin at the clean images,"
                f" got a tensor"
            )
