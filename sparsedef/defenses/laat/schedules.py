"""How LAAT is trained: as published for CIFAR-FS and miniImageNet, and smaller for ShapeWorld."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sparsedef.training.augment import Augment
from sparsedef.training.inner import LinfAscent


@dataclass(frozen=True)
class Schedule:
    """The settings of one training; see ``training.anchored.train_anchored``.

    Args:
        backbone: In ``models.embedding_net.BACKBONES``.
        size: Side of the images.
        epochs: How often each image is seen.
        batch_size: Of all ranks together.
        eps: Radius of the inner attack.
        steps: Its steps.
        step_size: Their length; ``None`` for ``eps / 4``.
        augment: Of the training images.
        lr: Of SGD; a tenth of it after 60% of the epochs.
        n_validation: Validation images at most, attacked after each epoch.
    """

    backbone: str
    size: int
    epochs: int = 100
    batch_size: int = 128
    eps: float = 8 / 255
    steps: int = 7
    step_size: float | None = None
    augment: Augment = Augment()  # noqa: RUF009, it cannot be changed
    lr: float = 0.05
    n_validation: int = 1000

    def attack(self) -> LinfAscent:
        """The inner attack."""
        step_size = self.eps / 4 if self.step_size is None else self.step_size
        return LinfAscent(self.eps, self.steps, step_size)


SCHEDULES: Mapping[str, Schedule] = {
    "shapeworld": Schedule(
        "tiny", 32, epochs=20, batch_size=64, eps=4 / 255, steps=3, step_size=2 / 255,
        n_validation=200,
    ),
    "cifar_fs": Schedule("conv4", 32, augment=Augment(shift=4, flip=True, rotation=15.0)),
    "miniimagenet": Schedule("conv4", 80, augment=Augment(shift=8, jitter=0.4, flip=True)),
    # the paper's settings for ImageNet are not in its code: these are a guess
    "imagenet": Schedule(
        "resnet12", 112, eps=4 / 255, augment=Augment(shift=8, jitter=0.4, flip=True)
    ),
}  # fmt: skip
