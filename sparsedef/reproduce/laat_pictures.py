"""LAAT's pictures: anchors before and after, learning curves, and texts blended with images."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.defenses.laat import cosines
from sparsedef.evaluation.curves import Curve, draw_curves
from sparsedef.evaluation.episodes import over_episodes
from sparsedef.evaluation.metrics import wilson_interval
from sparsedef.evaluation.pictures import png_uri
from sparsedef.evaluation.report import Figure, Panel, Strip
from sparsedef.reproduce.laat import Found
from sparsedef.reproduce.laat_methods import Setting

SCALE = 8  # pixels of the page's picture per anchor
COLOURS = ("red", "blue", "green", "orange", "plum", "teal", "violet")  # of the page's c1 to c7
LEARNT = ("laat", "raw anchors", "mmc", "no A-CE", "at", "aq", "sparse")


def strips(found: Found) -> list[Strip]:
    """Anchors as pictures, with the two charts."""
    kinds = ["raw", "expanded", *(["sparse"] if found.setting.concepts is not None else [])]
    figures = [
        Figure(png_uri(cosine_picture(found.setting, kind)), f"{kind} anchors", kind="photo")
        for kind in kinds
    ]
    return [
        Strip(
            "Cosines of all pairs of anchors",
            figures,
            "red is 1, white 0, blue below; seen classes first, then validation, then unseen",
            [learning_curves(found), blended_curves(found)],
        )
    ]


def cosine_picture(setting: Setting, kind: str) -> Tensor:
    """All cosines of one kind of anchors, as colours ``[3, side, side]`` in [0, 1]."""
    data = setting.data
    order = [*data.seen, *data.validation_classes, *data.unseen]
    between = cosines(setting.anchors(kind)[order]).float().clamp(-1, 1)
    red = torch.where(between < 0, 1 + between, torch.ones_like(between))
    blue = torch.where(between > 0, 1 - between, torch.ones_like(between))
    picture = torch.stack([red, 1 - between.abs(), blue])
    return picture.repeat_interleave(SCALE, 1).repeat_interleave(SCALE, 2)


def learning_curves(found: Found) -> Panel:
    """Robust accuracy on validation classes after each epoch, as in the paper's Fig. 3."""
    whole = min(len(found.setting.data.validation), found.setting.schedule.n_validation)
    names = [name for name in LEARNT if name in found.networks]
    curves = []
    for number, name in enumerate(names):
        # who has no anchors is scored on one half, by prototypes of the other
        count = whole if found.networks[name].anchors is not None else whole - whole // 2
        points = tuple(
            (score, *wilson_interval(round(score * count), count))
            for score in found.networks[name].trained.scores
        )
        curves.append(Curve(name, f"c{number + 1}", points))
    epochs = max(len(curve.points) for curve in curves)
    step = max(1, epochs // 8)
    ticks = [str(i + 1) if i % step == 0 else "" for i in range(epochs)]
    title = "Validation classes, accuracy under the training's attack by epoch: " + _legend(names)
    return Panel(title, draw_curves(curves, ticks, x_title="epoch", label=title))


def blended_curves(found: Found) -> Panel:
    """Accuracy under PGD-20 by support images per class, as in the paper's Fig. 5."""
    shots = sorted({each.n_shot for each in found.shots})
    keys = dict.fromkeys((each.method, each.kind) for each in found.shots)
    by = {(each.method, each.kind, each.n_shot): each for each in found.shots}
    names, curves = [], []
    for method, kind in keys:
        if method == "none":
            continue
        points: list[tuple[float, float, float] | None] = []
        for n_shot in shots:
            each = by.get((method, kind, n_shot))
            if each is None:
                points.append(None)
            else:
                mean, interval = over_episodes(each.attacked)
                points.append((mean, *interval))
        names.append(f"{method}, {kind}")
        curves.append(Curve(names[-1], f"c{len(names)}", tuple(points)))
    title = "Unseen classes, PGD-20, by support images per class: " + _legend(names)
    return Panel(title, draw_curves(
        curves, [str(n) for n in shots], x_title="support images per class", label=title
    ))  # fmt: skip


def _legend(names: list[str]) -> str:
    return "; ".join(f"{name} {colour}" for name, colour in zip(names, COLOURS, strict=False))
