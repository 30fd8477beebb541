"""Random search over scenes: N draws of what may move, the worst of them, then refined."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sparsedef.attacks.losses import find_loss
from sparsedef.attacks.semantic.scene_attack import Found, SceneAttack, SceneSpace
from sparsedef.attacks.semantic.search import Search
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_choice, check_count
from sparsedef.worlds.feasible import FeasibleSet
from sparsedef.worlds.parameters import CONDITIONS, column
from sparsedef.worlds.sampler import sample_scenes

SOURCES = ("data", "uniform")
WIDTH, SHRINK, NARROWEST = 0.3, 0.97, 0.03  # of refining steps
SHARE_MOVED = 0.3  # of the parameters, per refining step
NEW_WEATHER = 0.2  # share of refining steps that draw the weather afresh


class BestOfN(SceneAttack):
    """Shows N random versions of each scene, and keeps the worst, the unedited one included.

    Then ``refine`` times: a few parameters of the strongest version get Gaussian noise, of width
    0.3 that shrinks by 3 % a step to 0.03, or a new weather (one time in five); the result is
    projected onto the feasible set, and taken where it is stronger. A scene is no longer asked
    once it is misclassified. No gradient is asked for, so masked gradients do not protect.

    A scene's random numbers depend on the seed, its place and the number of scenes, not on the
    others; the first versions are the same whatever N is, so that more are never weaker.

    Args:
        n: Random versions.
        refine: Refining steps.
        source: ``"data"``: as ``sample_scenes`` draws them, one weather, one background and a
            named colour; ``"uniform"``: uniform in the feasible set.
        loss: Ranks versions that do not fool: ``"margin"``, ``"ce"`` or ``"dlr"``.
        feasible: What may move, and how far; ``None`` for ``FeasibleSet()``.
        size: Height and width of the images, in pixels.
        seed: Of the draws, and of a random model's.
        draws: How often a random model is asked, per look.
        batch_size: Scenes drawn and attacked at once.
    """

    def __init__(
        self,
        n: int = 20,
        *,
        refine: int = 0,
        source: str = "data",
        loss: str = "margin",
        feasible: FeasibleSet | None = None,
        size: int = 48,
        seed: int = 0,
        draws: int = 20,
        batch_size: int = 256,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(
            feasible=feasible, size=size, seed=seed, draws=draws, batch_size=batch_size
        )
        self.n = check_count(self.name, "n", n)
        self.refine = check_count(self.name, "refine", refine, 0)
        check_choice(self.name, "source", source, SOURCES)
        self.source = source
        self.loss = find_loss(self.name, loss)

    def search(
        self, target: Target, space: SceneSpace, labels: Tensor, generator: torch.Generator
    ) -> Found:
        """Draws and refines; see the class."""
        search = Search(target, labels, space, space.start, loss=self.loss)
        search.strongest([space.start])
        search.strongest(random_points(space, generator, self.n, self.source))
        for step in range(self.refine):
            width = max(NARROWEST, WIDTH * SHRINK**step)
            search.strongest([_neighbour(space, search.best.points, width, generator)])
        return Found(space.parameters(search.best.points))


def random_points(
    space: SceneSpace, generator: torch.Generator, n: int, source: str
) -> Iterator[Tensor]:
    """Draws ``n`` feasible versions of all scenes, points ``[B, P]`` each."""
    start = space.scenes.parameters
    for _ in range(n):
        if source == "uniform":
            yield space.sample(generator)
        else:
            drawn = sample_scenes(generator, len(start)).parameters.to(start)
            yield space.points(space.feasible.project(drawn, start))


def _neighbour(
    space: SceneSpace, points: Tensor, width: float, generator: torch.Generator
) -> Tensor:
    """Draws a feasible point near each of ``points`` ``[B, P]``."""

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64).to(points)

    normal = torch.randn(points.shape, generator=generator, dtype=torch.float64).to(points)
    moved = points + width * normal * (rand(*points.shape) < SHARE_MOVED)
    other = space.sample(generator)
    weather = torch.zeros(len(space.feasible.moving), dtype=torch.bool, device=points.device)
    weather[[column(name) for name in CONDITIONS]] = True
    is_new = (rand(len(points), 1) < NEW_WEATHER) & weather[space.columns]
    rows = torch.arange(len(points), device=points.device)
    return space.project(torch.where(is_new, other, moved), rows)
