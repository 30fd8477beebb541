"""Edits made elsewhere, such as by an image editor: the worst of them for each image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from sparsedef.attacks.base import misclassified
from sparsedef.attacks.inputs import check_images
from sparsedef.attacks.losses import margin
from sparsedef.attacks.semantic.edit import EditAttack
from sparsedef.attacks.target import Target
from sparsedef.data.pictures import is_picture, need_pillow, read_pictures

Edits = str | os.PathLike[str] | Mapping[str, Tensor]


class EditedFolder(EditAttack):
    """Shows every edit of an image to the model and keeps the worst, the unedited one included.

    For edits by instruction ("make it in snow", "at night") with any editor and any number of
    seeds: the worst case over N of them per image. The strongest is one that is misclassified, or
    else the one with the largest margin loss. No gradient is asked for.

    Bounded: nothing; the images are the edits themselves, and whether an edit keeps the class is
    for a person to say, before the model is looked at.

    Args:
        edits: A folder with ``ID/*.png`` (or ``.jpg``...) for each image, pictures of the images'
            size; or a mapping from id to edits ``[E, 3, H, W]`` in [0, 1], E of its own for each.
        ids: Of the images that are going to be attacked, in their order; such as ``ids`` of a
            data set, ``test.ids[:8]``. An attack is called with exactly these images.
        seed: Of a random model's draws.
        draws: How often a random model is asked, per look.

    Raises:
        FileNotFoundError: There is no such folder, or no folder of an id.
        ValueError: An id has no edits.
        ImportError: A folder is given and Pillow is not installed.

    Example:
        >>> image = torch.full((1, 3, 4, 4), 0.5)
        >>> attack = EditedFolder({"a": torch.stack([image[0] / 2, image[0] + 0.4])}, ["a"])
        >>> def bright(x: Tensor) -> Tensor:
        ...     return torch.stack([x.mean((1, 2, 3)), 0.6 + 0 * x[:, 0, 0, 0]], 1)
        >>> round(attack(bright, image, torch.tensor([1])).images.mean().item(), 3)
        0.9
    """

    uses_gradient: ClassVar[bool] = False

    def __init__(self, edits: Edits, ids: Sequence[str], *, seed: int = 0, draws: int = 20) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(seed=seed, draws=draws)
        if isinstance(ids, str):
            raise TypeError(f"EditedFolder: ids must be a sequence of names, got {ids!r}")
        self.ids = [str(each) for each in ids]
        self.edits: Mapping[str, Tensor] | Path
        if isinstance(edits, Mapping):
            self.edits = edits
            for name in self.ids:
                if name not in edits or len(edits[name]) == 0:
                    raise ValueError(
                        f"EditedFolder: edits must have some of every id, not {name!r}"
                    )
        else:
            need_pillow("EditedFolder")
            self.edits = Path(edits)
            for name in self.ids:
                self._files(self.edits / name)

    def of(self, ids: Sequence[str]) -> EditedFolder:
        """The same edits for other images, such as the next batch."""
        edits: Edits = self.edits
        return EditedFolder(edits, ids, seed=self.seed, draws=self.draws)

    def perturb(
        self,
        target: Target,
        images: Tensor,
        labels: Tensor,
        start: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Looks at all edits of each image, one image at a time."""
        self._check_pictures(images, start)
        if len(images) != len(self.ids):
            raise ValueError(
                f"EditedFolder: images must be the {len(self.ids)} of ids, got {len(images)}"
                f" (pass attack.of(ids) for others)"
            )
        return torch.stack(
            [
                self._worst(target, torch.cat([image[None], self._edits_of(name, image)]), label)
                for name, image, label in zip(self.ids, images, labels, strict=True)
            ]
        )

    @staticmethod
    def _worst(target: Target, choices: Tensor, label: Tensor) -> Tensor:
        """The strongest ``[3, H, W]`` of ``choices`` ``[E, 3, H, W]`` of one image."""
        labels = label.expand(len(choices))
        logits = target.all_logits(choices, labels)
        error_rate = misclassified(logits, labels).float().mean(0)
        value = torch.nan_to_num(margin(logits.mean(0), labels), nan=torch.inf)
        most = error_rate == error_rate.max()
        return choices[torch.where(most, value, -torch.inf).argmax()]

    def _edits_of(self, name: str, image: Tensor) -> Tensor:
        if isinstance(self.edits, Path):
            height, width = image.shape[1:]
            if height != width:
                raise ValueError(
                    f"EditedFolder: images must be square to be read from a folder,"
                    f" got {height} x {width} (pass a mapping of tensors)"
                )
            files = self._files(self.edits / name)
            edits = read_pictures("EditedFolder", files, height, exact=True)
        else:
            edits = self.edits[name]
            check_images(f"EditedFolder: edits of {name!r}", edits)
            if edits.shape[1:] != image.shape:
                raise ValueError(
                    f"EditedFolder: edits of {name!r} must be images {list(image.shape)}"
                    f" like theirs, got {list(edits.shape)}"
                )
        return edits.to(image)

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        if not folder.is_dir():
            raise FileNotFoundError(f"EditedFolder: there is no folder {folder} (ID/*.png)")
        files = sorted(path for path in folder.iterdir() if is_picture(path))
        if not files:
            raise ValueError(f"EditedFolder: {folder} must hold pictures, got none")
        return files
