"""Gradient ascent over the nuisances of a scene, through the renderer and the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from sparsedef.attacks.inputs import check_positive
from sparsedef.attacks.losses import LOSSES, find_loss, margin
from sparsedef.attacks.semantic.best_of_n import SOURCES, random_points
from sparsedef.attacks.semantic.named_edits import apply, possible_edits
from sparsedef.attacks.semantic.scene_attack import Found, SceneAttack, SceneSpace
from sparsedef.attacks.semantic.search import OPTIMIZERS, ModelLoss, Search
from sparsedef.attacks.target import Target
from sparsedef.solvers.checks import check_choice, check_count
from sparsedef.worlds.feasible import FeasibleSet

STARTS = ("scene", "named", "random")


class SceneAscent(SceneAttack):
    """Climbs the loss over all nuisance parameters, from several starts, inside the feasible set.

    Repeats ``p <- P(p + step_size * way(d loss(model(render(p))) / dp))``, ``P`` the projection of
    the feasible set, which keeps the strongest weather only; so a climb can hardly change from
    one weather to another, and the starts matter:

    - ``"scene"``: the scene as it is;
    - ``"named"``: the strongest of all named edits;
    - ``"random"``: the strongest of ``n_random`` random versions;

    and then ``restarts`` more random versions. The strongest point seen anywhere is kept; a scene
    is left alone once it is misclassified. ``health`` counts the gradients of the moving
    parameters. Where a defense's own gradient misleads, pass ``surrogate`` in the call (such as
    the dense head on the same atoms) and take ``worst_of`` both.

    Args:
        steps: Gradients per start.
        step_size: Length of a step, in units of the parameters' range.
        optimizer: ``"adam"`` or ``"sign"``.
        starts: Which of the three, in this order.
        n_random: Versions among which the random start is chosen.
        restarts: Climbs from one more random version each.
        source: Of random versions, ``"data"`` or ``"uniform"``, see ``BestOfN``.
        loss: ``"margin"``, ``"ce"`` or ``"dlr"`` of the logits, or a loss of the code
            (``ConceptLoss``, ``SupportLoss``, or any ``(model, images, labels) -> [B]``), which
            is climbed while the margin decides which point is the strongest.
        feasible: What may move, and how far; ``None`` for ``FeasibleSet()``.
        size: Height and width of the images, in pixels.
        seed: Of the draws, and of a random model's.
        draws: How often a random model is asked, per look.
        batch_size: Scenes drawn and attacked at once.
    """

    uses_gradient: ClassVar[bool] = True

    def __init__(
        self,
        *,
        steps: int = 20,
        step_size: float = 0.05,
        optimizer: str = "adam",
        starts: tuple[str, ...] = STARTS,
        n_random: int = 20,
        restarts: int = 0,
        source: str = "data",
        loss: str | ModelLoss = "margin",
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
        self.steps = check_count(self.name, "steps", steps)
        self.step_size = check_positive(self.name, "step_size", step_size)
        check_choice(self.name, "optimizer", optimizer, OPTIMIZERS)
        self.optimizer = optimizer
        self.starts = tuple(starts)
        for start in self.starts:
            check_choice(self.name, "starts", start, STARTS)
        self.n_random = check_count(self.name, "n_random", n_random)
        self.restarts = check_count(self.name, "restarts", restarts, 0)
        if not self.starts and not self.restarts:
            raise ValueError("SceneAscent: starts must hold at least one, got none")
        check_choice(self.name, "source", source, SOURCES)
        self.source = source
        if not callable(loss) and loss not in LOSSES:
            raise ValueError(
                f"SceneAscent: loss must be one of {list(LOSSES)}, or callable as"
                f" loss(model, images, labels), got {loss!r}"
            )
        self.loss = find_loss(self.name, loss) if isinstance(loss, str) else margin
        self.climbs = None if isinstance(loss, str) else loss

    def search(
        self, target: Target, space: SceneSpace, labels: Tensor, generator: torch.Generator
    ) -> Found:
        """Climbs from every start; see the class."""
        search = Search(target, labels, space, space.start, loss=self.loss, climbs=self.climbs)
        # seen in any case, whatever the starts: what is found must not be weaker than it
        search.strongest([space.start])
        for start in self._starts(search, space, generator):
            search.climb(
                start, steps=self.steps, step_size=self.step_size, optimizer=self.optimizer
            )
        return Found(space.parameters(search.best.points))

    def _starts(
        self, search: Search, space: SceneSpace, generator: torch.Generator
    ) -> Iterator[Tensor]:
        for start in self.starts:
            if start == "scene":
                yield space.start
            elif start == "named":
                edits = possible_edits(space.feasible).values()
                yield search.strongest(apply(edit, space) for edit in edits)
            else:
                drawn = random_points(space, generator, self.n_random, self.source)
                yield search.strongest(drawn)
        yield from random_points(space, generator, self.restarts, self.source)
