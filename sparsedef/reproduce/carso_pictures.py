"""What CARSO's classifier sees: images, attacked ones, and what is drawn from their features."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedef.defenses.carso import CARSO
from sparsedef.evaluation.contenders import NONE
from sparsedef.evaluation.gallery import GAIN
from sparsedef.evaluation.pictures import difference, png_uri
from sparsedef.evaluation.report import Figure, Strip
from sparsedef.evaluation.rows import describe_strength
from sparsedef.reproduce.carso import Found
from sparsedef.reproduce.carso_parts import CARSO_NAME

N_DRAWN = 2


@torch.no_grad()
def strips(found: Found, seed: int) -> list[Strip]:
    """A strip for each image that was kept: clean, attacked, and samples of both."""
    task = found.main.task
    defense, base = (task.contenders[name].model for name in (CARSO_NAME, NONE))
    assert isinstance(defense, CARSO)
    kept = {
        threat: images for (target, threat, strength), images in found.main.pictured.items()
        if target == CARSO_NAME and strength == found.amount.strengths[-1]
        and threat.startswith("white-box")
    }  # fmt: skip
    if not kept:
        return []
    threat, attacked = next(iter(kept.items()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clean = task.test.images[: len(attacked)]
        drawn = [defense.reconstructions(each)[:N_DRAWN] for each in (clean, attacked)]
        spread = [float(each.std(0).mean()) for each in drawn]
    how = f"APGD at {describe_strength('linf', found.amount.strengths[-1])}, {threat}"
    note = (
        f"{how}. Verdicts are the base's on the picture as shown. Mean deviation of a pixel over "
        f"samples: {spread[0]:.3f} clean, {spread[1]:.3f} attacked; near 0 the samples are one."
    )

    def figure(image: Tensor, caption: str, label: int) -> Figure:
        guess = int(base(image[None])[0].argmax())
        return Figure(png_uri(image), caption, task.classes[guess], guess == label)

    found_strips = []
    for i, label in enumerate(task.test.labels[: len(attacked)].tolist()):
        figures = [figure(clean[i], "clean", label)]
        figures += [figure(one[i], f"drawn {k + 1}", label) for k, one in enumerate(drawn[0])]
        figures += [figure(attacked[i], "attacked", label)]
        figures += [Figure(png_uri(difference(clean[i], attacked[i], GAIN)), f"change x {GAIN:g}")]
        figures += [figure(one[i], f"drawn {k + 1}", label) for k, one in enumerate(drawn[1])]
        title = f"Samples of {task.test.ids[i]}, a “{task.classes[label]}”"
        found_strips.append(Strip(title, figures, note))
    return found_strips
