"""Who LAAT is compared with: each method trained on the same images with the same attack."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sparsedef.clip import load_clip
from sparsedef.data.class_split import ClassSplit, places
from sparsedef.defenses.laat import (
    LAAT,
    AnchorInputs,
    ClassTexts,
    class_means,
    make_anchors,
)
from sparsedef.defenses.laat.schedules import Schedule
from sparsedef.evaluation import Cache, fingerprint
from sparsedef.models.embedding_net import build_embedding_net
from sparsedef.models.seeded import seeded
from sparsedef.training import CrossEntropy, Tensors, Trained, accuracy
from sparsedef.training.anchored import AnchorObjective, train_anchored
from sparsedef.training.embedding_drift import EmbeddingDrift
from sparsedef.training.episodic import AdversarialQuerying, EpisodeSource

CLIP_LR = 3e-4  # of AdamW, for a tower that is trained already
SUPPORT, QUERY, WAY = 5, 5, 5  # of the episodes of adversarial querying
Say = Callable[[str], object]


@dataclass(frozen=True)
class Setting:
    """What all methods share.

    Args:
        data: Images, their classes divided.
        texts: Features of all class names.
        concepts: Features of phrases; ``None`` where there are none.
        schedule: Network, attack, and how long.
        seed: Of everything random.
        clip_epochs: Of methods that begin at a trained CLIP.
        is_silent: No bars.
    """

    data: ClassSplit
    texts: ClassTexts
    concepts: ClassTexts | None
    schedule: Schedule
    seed: int = 0
    clip_epochs: int = 5
    is_silent: bool = False

    def anchors(self, kind: str) -> Tensor:
        """Anchors of all classes, ``[C, M]``."""
        given = AnchorInputs(
            self.texts, self.data.names(self.data.seen), self.concepts, seed=self.seed
        )
        return make_anchors(kind, given, self.data.classes)


@dataclass(frozen=True)
class Method:
    """One way to train an encoder.

    Args:
        about: What it is, for tables.
        anchors: Kind of its anchors; ``None`` where it has none, and needs images of new classes.
        objective: What it minimises.
        head: ``"anchors"``, ``"linear"`` (over seen classes), ``"episodes"`` or ``"clip"``.
    """

    about: str
    anchors: str | None
    objective: Callable[[Schedule], Any] = field(repr=False)
    head: str = "anchors"

    @property
    def is_zero_shot(self) -> bool:
        """Whether it can name classes of which it has no image."""
        return self.anchors is not None


def _anchored(**options: Any) -> Callable[[Schedule], AnchorObjective]:
    return lambda schedule: AnchorObjective(schedule.attack(), **options)


METHODS: Mapping[str, Method] = {
    "none": Method(
        "plain training on clean images, expanded anchors", "expanded",
        lambda schedule: AnchorObjective(),
    ),
    "laat": Method("LAAT: expanded anchors, A-CE, smoothness", "expanded", _anchored()),
    "raw anchors": Method("the same, anchors not expanded", "raw", _anchored()),
    "mmc": Method("the same, anchors far apart that mean nothing", "mmc", _anchored()),
    "no smoothness": Method(
        "LAAT without its second term", "expanded", _anchored(smoothness=0.0)
    ),
    "no A-CE": Method(
        "LAAT, cosine in place of cross-entropy", "expanded", _anchored(alignment="cos")
    ),
    "raw, no smoothness": Method(
        "neither expansion nor smoothness", "raw", _anchored(smoothness=0.0)
    ),
    "sparse": Method("LAAT, anchors are sparse codes over concepts", "sparse", _anchored()),
    "at": Method(
        "adversarial training of a linear head, then prototypes", None,
        lambda schedule: CrossEntropy(schedule.attack()), "linear",
    ),
    "aq": Method(
        "adversarial querying, then prototypes", None,
        lambda schedule: AdversarialQuerying(schedule.attack(), class_means, WAY), "episodes",
    ),
    "tecoa": Method(
        "CLIP's own image tower, tuned by cross-entropy over texts", "raw",
        lambda schedule: CrossEntropy(schedule.attack()), "clip",
    ),
    "fare": Method(
        "CLIP's own image tower, tuned to keep its embedding", "raw",
        lambda schedule: schedule.attack(), "clip",
    ),
}  # fmt: skip


NOT_QUICK = ("raw, no smoothness",)  # left out of a quick run


@dataclass(frozen=True)
class Network:
    """A trained encoder.

    Args:
        name: Of its method.
        encoder: Images to features, in evaluation mode, no weight of which takes a gradient.
        anchors: Of all classes ``[C, M]``; ``None`` where there are none.
        trained: Losses and validation scores of the epochs.
        looks: Gradients of images that the training took, those of its attack included.
    """

    name: str
    encoder: nn.Module
    anchors: Tensor | None
    trained: Trained
    looks: int

    def zero_shot(self, classes: tuple[int, ...], temperature: float = 1.0) -> LAAT:
        """The classifier of some classes by their anchors."""
        assert self.anchors is not None, f"{self.name} has no anchors"
        return LAAT(self.encoder, self.anchors[list(classes)], temperature=temperature).eval()

    @torch.no_grad()
    def means(self, images: Tensor, labels: Tensor, n_classes: int) -> Tensor:
        """Prototypes ``[C, M]`` of support images."""
        return class_means(self.encoder(images), labels, n_classes)


def train_method(cache: Cache, name: str, setting: Setting, say: Say) -> Network:
    """Trains one method, or takes it from the cache; a stopped training goes on.

    The epoch is chosen by accuracy under attack on validation classes: zero-shot where there are
    anchors, by prototypes of half of the validation images where there are none.

    Raises:
        ImportError: It needs open_clip, which is not installed.
    """
    method, schedule = METHODS[name], setting.schedule
    anchors = None if method.anchors is None else setting.anchors(method.anchors)
    encoder = _encoder(method, setting, anchors)
    epochs = setting.clip_epochs if method.head == "clip" else schedule.epochs
    settings = {
        "method": name, "schedule": repr(schedule), "epochs": epochs, "seed": setting.seed,
        "data": fingerprint(*setting.data.train.batch(torch.arange(16))),
        "images": len(setting.data.train), "source": setting.data.source,
        "anchors": fingerprint(anchors), "start": fingerprint(encoder),
    }  # fmt: skip
    if method.head == "clip":
        settings["lr"] = CLIP_LR
    checkpoint = cache.path("training", settings).with_suffix(".checkpoint")

    def learn() -> dict[str, Any]:
        say(f"training {name}")
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        trained = _learn(name, method, setting, encoder, anchors, epochs, str(checkpoint))
        return {
            "state": dict(encoder.state_dict()), "losses": trained.losses,
            "scores": trained.scores, "best": trained.best_epoch,
        }  # fmt: skip

    found = cache.get("training", settings, learn)
    checkpoint.unlink(missing_ok=True)
    encoder.load_state_dict(found["state"])
    trained = Trained(found["losses"], found["scores"], found["best"])
    looks = len(setting.data.train) * epochs * _looks(method, schedule)
    return Network(name, encoder.eval().requires_grad_(False), anchors, trained, looks)


def _looks(method: Method, schedule: Schedule) -> int:
    """Gradients per image and epoch: of the attack, and of the descent."""
    objective = method.objective(schedule)
    if isinstance(objective, AnchorObjective) and objective.perturb is None:
        return 1
    is_twice = isinstance(objective, AnchorObjective) and objective.smoothness > 0
    return schedule.steps + (2 if is_twice else 1)


def _encoder(method: Method, setting: Setting, anchors: Tensor | None) -> nn.Module:
    if method.head == "clip":
        return load_clip().requires_grad_(True)
    width = setting.texts.features.shape[1] if anchors is None else anchors.shape[1]
    return build_embedding_net(seed=setting.seed, width=width, backbone=setting.schedule.backbone)


def _learn(
    name: str, method: Method, setting: Setting, encoder: nn.Module, anchors: Tensor | None,
    epochs: int, checkpoint: str,
) -> Trained:  # fmt: skip
    data, schedule = setting.data, setting.schedule
    objective: Any = method.objective(schedule)
    source: Any = data.train
    augment: Any = schedule.augment
    model, lr, batch_size, recipe = encoder, schedule.lr, schedule.batch_size, "sgd"
    if method.head == "linear":
        model = _with_head(encoder, setting)
    elif method.head == "episodes":
        per_episode = WAY * (SUPPORT + QUERY)
        labels = torch.cat(
            [data.train.batch(rows)[1] for rows in torch.arange(len(data.train)).split(512)]
        )
        source = EpisodeSource(
            data.train, labels, max(1, len(data.train) // per_episode), n_way=WAY,
            n_shot=SUPPORT, n_query=QUERY, seed=setting.seed,
        )  # fmt: skip
        batch_size, augment = 1, None
    elif method.head == "clip":
        lr, recipe = CLIP_LR, "adamw"
        if name == "fare":
            original = copy.deepcopy(encoder).eval().requires_grad_(False)
            objective = EmbeddingDrift(objective, original)
        else:
            assert anchors is not None
            model = _clip_head(encoder, anchors[list(data.seen)])
        _train_image_tower_only(encoder)
    else:
        assert anchors is not None
        model = LAAT(encoder, anchors[list(data.seen)])
    return train_anchored(
        model, source, objective, epochs=epochs, batch_size=batch_size, lr=lr,
        recipe=recipe, augment=augment,
        validate=lambda: validation_score(encoder, anchors, setting), seed=setting.seed,
        settings={"method": name}, checkpoint=checkpoint, checkpoint_steps=200,
        title=f"training {name}", is_silent=setting.is_silent,
    )  # fmt: skip


def validation_score(encoder: nn.Module, anchors: Tensor | None, setting: Setting) -> float:
    """Accuracy under the training's own attack on images of validation classes."""
    data, schedule = setting.data, setting.schedule
    part, classes = data.validation.take(schedule.n_validation), data.validation_classes
    images, labels = part.images, places(part.labels, classes)
    if anchors is None:
        half = len(labels) // 2
        with torch.no_grad():
            means = class_means(encoder(images[:half]), labels[:half], len(classes))
        judge, images, labels = LAAT(encoder, means), images[half:], labels[half:]
    else:
        judge = LAAT(encoder, anchors[list(classes)])
    return accuracy(judge, Tensors(images, labels), perturb=schedule.attack(), seed=setting.seed)


def _with_head(encoder: nn.Module, setting: Setting) -> nn.Module:
    width = setting.texts.features.shape[1]
    with seeded(setting.seed):
        return nn.Sequential(encoder, nn.Linear(width, len(setting.data.seen)))


def _clip_head(encoder: nn.Module, anchors: Tensor) -> LAAT:
    """CLIP's zero-shot classifier, at the temperature that it was trained with."""
    scale: Any = encoder.scale
    return LAAT(encoder, anchors, temperature=1 / float(scale.detach()))


def _train_image_tower_only(encoder: nn.Module) -> None:
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(".visual." in f".{name}")
